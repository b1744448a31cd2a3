"""What people see of differences: a line each as they are found, JSON, Markdown, or a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from visprep.console import out, out_beside, plain, size, write_whole

if TYPE_CHECKING:
    from visprep.differences import Difference
    from visprep.differences.counting import Counts
    from visprep.settings import S3Settings

    Renderer = Callable[[Iterable[Difference], Counts, str, str], Iterator[str]]


def show_differences(
    differences: Iterable[Difference],
    a: str,
    b: str,
    format: str,
    say: Callable[[str], None],
    file: Path | None = None,
    s3: S3Settings | None = None,
) -> bool:
    """Whether two places differ, and how, to stdout; `say` gets the numbers where the format is for people.

    With `file` that is told in words, and in `format` in the file, which is written whole or not at all.
    """
    from visprep.differences.counting import Counts

    counts = Counts()
    if file:
        write_whole(file, _renderer(format, s3)(_spoken(differences), counts, a, b))
    else:
        for piece in _renderer(format, s3)(differences, counts, a, b):
            out(piece)
    if file or format == "text":
        for sentence in counts.sentences() if counts.any else ["no differences"]:
            say(sentence)
    return counts.any


def _spoken(differences: Iterable[Difference]) -> Iterator[Difference]:
    """The differences, each also told in words to stdout."""
    told = Lines()
    for one in differences:
        out_beside(told.of(one))
        yield one


class Lines:
    """Lines of text; the path of a file stands above what its records say."""

    def __init__(self) -> None:
        self._path: str | None = None

    def of(self, one: Difference) -> str:
        """The line of a difference, and before it the path where that is another."""
        from visprep.differences import FileDifference, PromptDifference, TaskDifference
        from visprep.differences.words import line, mark
        from visprep.render.text import printable

        if isinstance(one, FileDifference):
            sizes = " -> ".join(size(amount) for amount in (one.size_a, one.size_b) if amount is not None)
            return f"{mark(one.change)} {printable(one.path)}  ({sizes})\n"
        told = f"{mark(one.change)} {printable(line(one))}\n"
        if isinstance(one, TaskDifference | PromptDifference):
            return told
        above = "" if one.path == self._path else f"{printable(one.path)}:\n"
        self._path = one.path
        return f"{above}  {told}"


def _as_text(differences: Iterable[Difference], counts: Counts, a: str, b: str) -> Iterator[str]:
    lines = Lines()
    for one in differences:
        counts.take(one)
        yield lines.of(one)


def _as_json(differences: Iterable[Difference], counts: Counts, a: str, b: str) -> Iterator[str]:
    from visprep.differences import FileDifference
    from visprep.differences import plain as plain_record

    # What stands before the next difference: of places that cannot be compared nothing is printed
    before, comma, of_files = '{"format_version": 1, "differences": [', "", True
    for one in differences:
        if of_files and not isinstance(one, FileDifference):
            before, comma, of_files = f'{before}],\n"records": [', "", False
        counts.take(one)
        told = plain(one) if isinstance(one, FileDifference) else plain_record(one)
        yield f"{before}{comma}\n{json.dumps(told)}"
        before, comma = "", ","
    if of_files:
        before += '],\n"records": ['
    yield f'{before}],\n"counts": {json.dumps(counts.files)},\n"record_counts": {json.dumps(counts.records)}}}\n'


def _renderer(format: str, s3: S3Settings | None) -> Renderer:
    if format == "html":
        from functools import partial

        from visprep.diff_page import as_html

        return partial(as_html, s3=s3)
    if format == "markdown":
        from visprep.differences.markdown import as_markdown

        return as_markdown
    return _as_json if format == "json" else _as_text
