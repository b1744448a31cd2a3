"""Differences as Markdown, for the comment of a pull request: a table of numbers, and the first of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from visprep.differences import Difference, FileDifference, PromptDifference, TaskDifference
from visprep.differences.counting import Counts
from visprep.differences.words import line, mark
from visprep.render.text import code_span, shortened

#: Lines of one kind that are shown, and characters of one: GitHub takes comments of 65,536 characters.
_LINES, _LONGEST = 25, 200
#: What says itself where it is.
_SAY_WHERE = (FileDifference, TaskDifference, PromptDifference)
_TITLES = {
    "file": "Files",
    "document": "Headers",
    "category": "Classes",
    "image": "Images",
    "annotation": "Annotations",
    "ids": "Other ids",
    "split": "Splits",
    "task": "Tasks",
    "prompt": "Prompts",
    "not-compared": "Not compared by records",
}


def as_markdown(differences: Iterable[Difference], counts: Counts, a: str, b: str) -> Iterator[str]:
    """The pieces of a text that fits into a comment; `counts` counts what comes by."""
    shown: dict[str, list[Difference]] = {}
    paths: set[str] = set()
    total: dict[str, int] = {}
    for one in differences:
        counts.take(one)
        total[one.kind] = total.get(one.kind, 0) + 1
        if len(kept := shown.setdefault(one.kind, [])) < _LINES:
            kept.append(one)
            if not isinstance(one, _SAY_WHERE):
                paths.add(one.path)
    names = f"{code_span(a)} and {code_span(b)}"
    if not counts.any:
        yield f"No differences between {names}.\n"
        return
    yield f"Differences between {names}:\n\n| | removed | added | changed | |\n|---|---:|---:|---:|---|\n"
    for what, removed, added, changed, note in counts.rows():
        yield f"| {what} | {removed:,} | {added:,} | {changed:,} | {note} |\n"
    for kind, title in _TITLES.items():
        if kind in shown:
            yield f"\n<details><summary>{title} ({total[kind]:,})</summary>\n\n"
            yield "".join(f"- {_line(one, len(paths) > 1)}\n" for one in shown[kind])
            if more := total[kind] - len(shown[kind]):
                yield f"- and {more:,} more\n"
            yield "\n</details>\n"


def _line(one: Difference, several: bool) -> str:
    """A difference in words, with its annotation file where there are several of these."""
    told = one.path if isinstance(one, FileDifference) else line(one)
    if several and not isinstance(one, _SAY_WHERE):
        told = f"{one.path}: {told}"
    return code_span(shortened(f"{mark(one.change)} {told}", _LONGEST))
