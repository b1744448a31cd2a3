"""What people see of statistics: one screen, or JSON."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from visprep.console import out, out_json, plain, size
from visprep.render.text import counted, printable

if TYPE_CHECKING:
    from visprep.statistics import Histogram, PromptStats, Stats

#: Columns where there is no terminal, and as many as are used of a wide one.
_WIDTH, _WIDEST = 80, 100
#: Columns of what a line is about, of the number of a class, and of the label and the number of a bar: ground_truth.mp4
#: is 16 wide.
_LEAD, _NUMBER, _LABEL, _COUNT = 13, 12, 17, 10
#: Classes, splits, licenses, and prompts that are shown, and lines that one fact may have.
_CLASSES, _NAMED, _PROMPTS, _LINES = 8, 6, 2, 2
#: Characters of a prompt that are shown.
_LONGEST = 60
#: Lines of histograms, in two columns.
_BARS = 17
#: The histograms that are shown, in this order, as long as there is room; JSON has all.
_SHOWN = (
    "boxes-per-image",
    "frames-per-episode",
    "task-files",
    "triplet-files",
    "box-areas",
    "box-shares",
    "prompt-lengths",
    "image-aspect",
    "image-brightness",
    "caption-lengths",
    "image-megapixels",
    "keypoints",
)
#: Left of these where both are there: the other says nearly the same.
_INSTEAD = {"box-shares": "box-areas"}
#: Parts of a character cell.
_EIGHTHS = " ▏▎▍▌▋▊▉"


def show_stats(stats: Stats, *, as_json: bool) -> None:
    """Statistics, to stdout."""
    if as_json:
        out_json(plain(stats))
        return
    width = _WIDTH
    if sys.stdout.isatty():
        width = max(40, min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDEST))
    fine = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")
    for line in screen(stats, width, fine):
        out(f"{line}\n")


def screen(stats: Stats, width: int, fine: bool) -> Iterator[str]:
    """The lines of one screen; bars are of block characters where these are `fine`, else of number signs."""
    return (_fitted(line, width).rstrip() for line in _lines(stats, width, fine))


def _lines(stats: Stats, width: int, fine: bool) -> Iterator[str]:
    yield f"{stats.place}: {stats.kind}, {counted(stats.files, 'file')}, {size(stats.bytes)}"
    for lead, text in _facts(stats):
        lines = textwrap.wrap(printable(text), width - _LEAD, max_lines=_LINES, placeholder=" ...") or [""]
        yield f"  {lead:<{_LEAD - 2}}{lines[0]}"
        yield from (f"{'':{_LEAD}}{line}" for line in lines[1:])
    if stats.classes:
        yield ""
        yield from _classes(stats, width, fine)
    blocks = _blocks(stats, fine, (width - 4) // 2 if width >= 72 else width - 2)
    if blocks:
        yield ""
        yield from _beside(blocks, width) if width >= 72 else (line for block in blocks for line in block)


def _facts(stats: Stats) -> Iterator[tuple[str, str]]:
    yield stats.unit, _records(stats)
    if len(stats.splits) > 1 or (stats.splits and stats.splits[0].name):
        yield "splits", _some([(one.name or "(none)", one.records) for one in stats.splits], len(stats.splits))
    if stats.licenses:
        yield "licenses", _some(stats.licenses.items(), len(stats.licenses))
    if stats.sizes:
        known = stats.sizes
        common = _some([(one.text, one.count) for one in known.common], known.different, 3)
        ends = f"{_size(known.smallest)} to {_size(known.largest)}" if known.different > 1 else ""
        some = any(one.sampled for one in stats.histograms if one.name == "image-aspect")
        yield "sizes", "; ".join(filter(None, (common, ends, "in the sample" if some else "")))
    yield from _pixels(stats)
    if stats.copies:
        few = f"{stats.copies.copies or 'no'} {'copy' if stats.copies.copies == 1 else 'copies'}"
        by = "the manifest" if stats.copies.known_from == "manifest" else "size and ETag"
        yield "same bytes", f"{few} among {counted(stats.copies.compared, 'image')}, by {by}"
    if stats.prompts:
        yield stats.prompts.unit, _prompts(stats.prompts)
    for note in stats.notes[:3]:
        yield "note", note


def _records(stats: Stats) -> str:
    told = [f"{stats.records:,}"]
    if stats.annotations is not None:
        told.append(f"{counted(stats.annotations, 'annotation')}, {stats.empty or 0:,} without any")
    if stats.unit != "images" and stats.unit != "files":
        told.append(counted(stats.images, "picture"))
    if stats.incomplete:
        told.append(f"{stats.incomplete:,} {'lacks' if stats.incomplete == 1 else 'lack'} a file")
    if stats.absent:
        told.append(f"{stats.absent:,} {'is' if stats.absent == 1 else 'are'} not there")
    return ", ".join(told)


def _pixels(stats: Stats) -> Iterator[tuple[str, str]]:
    sample = stats.sample
    if not sample:
        return
    modes, formats = (stats.histogram(name) for name in ("image-modes", "image-formats"))
    told = [
        f"{one.labels[0]} {one.counts[0]:,}" if len(one.labels) == 1 else _pairs(one) for one in (modes, formats) if one
    ]
    unread = f"{sample.unread:,} do not decode" if sample.unread else ""
    yield "modes", "; ".join(filter(None, (*told, unread)))
    if sample.brightness:
        least, middle, most = sample.brightness
        yield "brightness", f"median {middle}, {least} to {most}, of 0 to 255"
    yield "duplicates", f"{sample.copies:,} of the same pixels, {sample.alike:,} that look like another one"
    drawn = f"{sample.looked:,} of {sample.images:,} images, drawn by seed {sample.seed}; --pixels all looks at all"
    every = f"all {sample.images:,} images" if sample.images != 1 else "the only image"
    yield "looked at", drawn if sample.looked < sample.images else every


def _pairs(one: Histogram) -> str:
    return ", ".join(f"{label} {count:,}" for label, count in zip(one.labels, one.counts, strict=True))


def _some(counts: Iterable[tuple[str, int]], whole: int, most: int = _NAMED) -> str:
    """The first few, and how many more there are."""
    shown = [f"{name} ({count:,})" for name, count in list(counts)[:most]]
    return ", ".join(shown) + (f" and {whole - len(shown):,} more" if whole > len(shown) else "")


def _prompts(prompts: PromptStats) -> str:
    told = f"{prompts.count:,}, {prompts.different:,} different; {prompts.shortest:,} to {prompts.longest:,} characters"
    often = "; ".join(f"{one.count:,} times {_quoted(one.text)}" for one in prompts.frequent[:_PROMPTS])
    return f"{told}, median {prompts.median:,}" + (f"; {often}" if often else "")


def _quoted(text: str) -> str:
    return f"{text[:_LONGEST]!r}{'...' * (len(text) > _LONGEST)}"


def _size(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"


def _classes(stats: Stats, width: int, fine: bool) -> Iterator[str]:
    """The most frequent classes, with a bar each."""
    boxes = any(one.annotations is not None for one in stats.classes)
    shown = stats.classes[:_CLASSES]
    what = f"annotations, {stats.unit}" if boxes else stats.unit
    rest = len(stats.classes) - len(shown)
    yield f"Classes: {len(stats.classes):,}{f', the first {len(shown)}' if rest else ''} ({what})"
    counts = [one.annotations if one.annotations is not None else one.records for one in shown]
    name = max(10, min(28, width // 3))
    bar = width - 2 - name - _NUMBER - (_NUMBER if boxes else 0) - 2
    for one, count in zip(shown, counts, strict=True):
        numbers = f"{count:>{_NUMBER},}" + (f"{one.records:>{_NUMBER},}" if boxes else "")
        yield f"  {_fitted(_ending(one.name, name - 1), name)}{numbers}  {_bar(count, max(counts), bar, fine)}"


def _ending(name: str, width: int) -> str:
    """The name; of one that is too long and has directories in it, the end, which tells more."""
    return f"...{name[3 - width :]}" if len(name) > width and "/" in name else name


def _blocks(stats: Stats, fine: bool, width: int) -> list[list[str]]:
    """The histograms that are shown, each as a title with a bar a line."""
    known = {one.name: one for one in stats.histograms if any(one.counts)}
    found, lines = [], 0
    for name in _SHOWN:
        one = known.get(name)
        if one is None or _INSTEAD.get(name) in known:
            continue
        block = _block(one, fine, width)
        if lines + len(block) <= 2 * _BARS:
            found.append(block)
            lines += len(block) + 1
    return found


def _block(one: Histogram, fine: bool, width: int) -> list[str]:
    filled = [number for number, count in enumerate(one.counts) if count]  # empty bars at the ends say nothing
    pairs = list(zip(one.labels, one.counts, strict=True))[filled[0] : filled[-1] + 1]
    bar = width - _LABEL - _COUNT - 3
    most = max(count for _, count in pairs)
    title = f"{one.title} ({one.unit}{', sample' if one.sampled else ''})"
    return [
        _fitted(title, width).rstrip(),
        *(f"  {_fitted(label, _LABEL)}{count:>{_COUNT},} {_bar(count, most, bar, fine)}" for label, count in pairs),
    ]


def _beside(blocks: Sequence[list[str]], width: int) -> Iterator[str]:
    """Blocks in two columns, each put where there is more room."""
    columns: tuple[list[str], list[str]] = ([], [])
    for block in blocks:
        column = min(columns, key=len)
        column += [*([""] if column else []), *block]
    half = (width - 4) // 2 + 4
    for number in range(max(map(len, columns))):
        left, right = (column[number] if number < len(column) else "" for column in columns)
        yield f"{_fitted(left, half)}{right}"


def _bar(count: int, most: int, width: int, fine: bool) -> str:
    """A bar as long as its count; never nothing for something."""
    if not count or width <= 0:
        return ""
    eighths = max(1, round(8 * width * count / most))
    if not fine:
        return "#" * max(1, eighths // 8)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _fitted(text: str, width: int) -> str:
    """A text in so many columns, cut or filled with blanks: some characters are two wide."""
    from rich.cells import set_cell_size

    return set_cell_size(printable(text), width)
