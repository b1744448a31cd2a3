"""For people: what was checked, a line or two for each finding, the totals last.

Nothing that a file name or message smuggles in reaches the terminal: what cannot be printed is written as an escape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from visprep.findings import ID_OF, Finding, Report

#: As many findings are shown whatever they are; of more than that, the first `OF_EACH` of every code.
LIMIT = 200
OF_EACH = 20
#: What one of a kind is called, where that is not the kind without its last letter.
_ONE = {"categories": "category"}


#: How verify writes down all findings.
_WHOLE = "--format json --report FILE"


def as_text(report: Report, whole: str = _WHOLE) -> Iterator[str]:
    """The report in words; `whole` is how to have all findings, where they are too many to be shown."""
    yield heading(report)
    yield from cost(report)
    if not report.dry_run:
        yield from listing(report.findings, whole)
        yield totals(report)


def heading(report: Report) -> str:
    """The line that says what was checked, or would be."""
    counts = dict(report.checked)
    read = f", {counts.pop('bytes', 0):,} bytes read" if report.dry_run else ""
    checked = listed(counts)
    detail = f" (as {report.format}, depth {report.depth})" if report.format else ""
    verb = "would be checked" if report.dry_run else "checked"
    return f"{printable(report.place)}: {checked or 'nothing'} {verb}{read}{detail}\n"


def cost(report: Report) -> Iterator[str]:
    """The lines that say what a place elsewhere took to be looked at, or would take, and what was spared."""
    traffic = report.traffic
    if traffic is None:
        return
    reads, least = traffic.requests - traffic.listings, "at least " if report.dry_run else ""
    yield (
        f"{'':8}{least}{counted(traffic.listings, 'listing')}, {counted(reads, 'other request')}, "
        f"{counted(traffic.bytes, 'byte')}: about ${traffic.request_dollars:.6f} for the requests, and "
        f"${traffic.transfer_dollars:.6f} where the bytes leave AWS\n"
    )
    if report.spared:
        words = "are not" if report.dry_run else "were not"
        yield (
            f"{'':8}{counted(report.spared, 'image')} {words} looked into: size and ETag tell whether they are as "
            "the manifest says (--reread looks)\n"
        )


def listing(findings: Iterable[Finding], whole: str = _WHOLE) -> Iterator[str]:
    """The findings, and what of them is not shown: `whole` is how to have all of them."""
    findings = tuple(findings)
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.code] += 1
        if len(findings) <= LIMIT or seen[finding.code] <= OF_EACH:
            yield _lines(finding)
    if len(findings) > LIMIT:
        yield _not_shown(Counter({code: count - OF_EACH for code, count in seen.items() if count > OF_EACH}), whole)


def _lines(finding: Finding) -> str:
    words = printable(f"{finding.message}{_which(finding)}")
    line = f"{finding.level.value:<8}{printable(finding.path or '.')}: {words} [{finding.code}]\n"
    return f"{line}{'':8}hint: {printable(finding.hint)}\n" if finding.hint else line


def _which(finding: Finding) -> str:
    """Which record of a JSON file a finding is about, as far as its message does not say so: ids, and where it is."""
    where = finding.where
    pointer, byte = where.get("pointer"), where.get("byte")
    if not pointer:
        return f" (byte {byte:,})" if byte and not _says(finding, f"byte {byte:,}") else ""
    table = pointer.split("/")[1]
    key = next((key for key in (ID_OF.get(table, ""), "image_id") if where.get(key) is not None), None)
    own = f"{key[:-3]} {where[key]}" if key else ""
    if own and _says(finding, own) and not table.isdigit():  # results have no ids of their own
        return ""
    told = [part for part in (own, pointer) if part and not _says(finding, part)]
    return f" ({', '.join(told)})" if told else ""


def _says(finding: Finding, words: str) -> bool:
    return re.search(rf"{re.escape(words)}(?![\w/])", finding.message) is not None


def _not_shown(more: Counter[str], whole: str) -> str:
    if not more:
        return ""
    lines = [f"and {more.total():,} more; of each code, the first {OF_EACH} are above:"]
    lines += (f"{count:>12,}  {code}" for code, count in more.most_common())
    return "\n".join((*lines, f"{'':8}hint: {whole} tells all", ""))


def totals(report: Report) -> str:
    """The lines that say how many findings there are."""
    named = ", ".join(counted(count, level) for level, count in report.counts.items() if count)
    if not report.known:
        return f"{named or 'no findings'}\n"
    return f"{counted(report.known, 'known finding')} left out\n{named or 'no new findings'}\n"


def listed(counts: Mapping[str, int]) -> str:
    """`1 image, 20 files`: how many of each kind, by names of several."""
    return ", ".join(
        counted(1, _ONE.get(kind, kind[:-1])) if count == 1 else f"{count:,} {kind}" for kind, count in counts.items()
    )


def counted(count: int, noun: str) -> str:
    """`1 error`, `1,200 errors`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shortened(text: str, most: int) -> str:
    """The text, or its first characters and `…`: `most` in all."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    """`text` on one line and without anything that a terminal, or XML, would not take as a plain character."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def code_span(text: str) -> str:
    """Text as it stands, in a code span of Markdown: nothing in it is markup, HTML or a mention of somebody."""
    text = printable(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
