"""For the log of a GitHub workflow: workflow commands, which GitHub shows as annotations on the files.

GitHub shows ten annotations of each level for a step, the first ten. So the tenth says what comes after it, and all
that have no annotation stand in the log as text.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator

from visprep.findings import Finding, Level, Report
from visprep.render.paths import Paths
from visprep.render.text import counted, heading, listing, printable, totals

#: How many annotations of one level GitHub shows for one step.
LIMIT = 10

_COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def as_github(report: Report) -> Iterator[str]:
    """The report as annotations, the gravest first; then as text whatever has none."""
    paths = Paths(report.place)
    rest: list[Finding] = []
    yield _text(heading(report))
    for level in Level:
        found = [finding for finding in report.findings if finding.level is level]
        shown = found if len(found) <= LIMIT else found[: LIMIT - 1]
        for finding in shown:
            yield _annotation(finding, paths)
        if more := found[len(shown) :]:
            yield _summary(level, more)
            rest += more
    if rest:
        yield f"::group::{counted(len(rest), 'finding')} without an annotation\n"
        yield from map(_text, listing(rest))
        yield "::endgroup::\n"
    yield _text(totals(report))


def _text(lines: str) -> str:
    """Lines that are no commands: `::` counts at the beginning of one, and `##[`, the older form, anywhere in it."""
    broken = (line.replace("##[", "##\\x5b") for line in lines.splitlines(keepends=True))
    return "".join(f"\\x3a{line[1:]}" if line.startswith("::") else line for line in broken)


def _annotation(finding: Finding, paths: Paths) -> str:
    properties = {"title": finding.code}
    message = finding.message
    if paths.remote:  # an annotation is about a file of the repository; this one is elsewhere
        message = f"{paths.path(finding.path)}: {message}"
    else:
        properties = {"file": paths.path(finding.path), **_position(finding), **properties}
    if finding.hint:
        message += f"\nhint: {finding.hint}"
    return _command(_COMMANDS[finding.level], properties, message)


def _position(finding: Finding) -> dict[str, str]:
    """Line and column, where they are known; a column alone means nothing."""
    line, column = finding.where.get("line"), finding.where.get("column")
    if not line:
        return {}
    return {"line": str(line), "col": str(column)} if column else {"line": str(line)}


def _summary(level: Level, more: list[Finding]) -> str:
    codes = Counter(finding.code for finding in more)
    named = ", ".join(f"{count:,} {code}" for code, count in codes.most_common())
    words = f"{counted(len(more), f'more {level.value}')}, in the log of this step: {named}"
    return _command(_COMMANDS[level], {"title": "visprep"}, words)


def _command(name: str, properties: dict[str, str], message: str) -> str:
    """A workflow command, with the escapes that the runner undoes; a line break in a message stays one."""
    set_ = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{name} {set_}::{_escaped(message)}\n"


def _escaped(text: str, also: str = "") -> str:
    """What GitHub's toolkit escapes; other control characters, and bytes that are no UTF-8, as visible escapes."""
    return "".join(
        f"%{ord(char):02X}" if char in "%\r\n" or char in also else printable(char) if _unfit(char) else char
        for char in text
    )


def _unfit(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs")
