"""SARIF 2.1.0, for code scanning services and editors.

Paths are URIs relative to the working directory, under `%SRCROOT%`. Every result has a line, since code scanning wants
one: the first, where none is known. `partialFingerprints` hold no position, so that an alert stays the same alert when
something else in the file changes; `primaryLocationLineHash` is the name of the one that GitHub reads.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from visprep.findings import Finding, Kind, Report, numbered
from visprep.render.json import ROWS, json_text, written
from visprep.render.paths import Paths
from visprep.render.text import counted

#: How many results GitHub keeps of a run. With more than 25,000 it refuses the whole file.
LIMIT = 5_000


def as_sarif(report: Report) -> Iterator[str]:
    """The report as a log with one run: the gravest findings first, and a notification that says what is left out."""
    kinds: dict[str, Kind | Finding] = {finding.code: finding for finding in report.findings}
    kinds.update((kind.code, kind) for kind in report.rules)
    codes = sorted(kinds)
    run = {
        "tool": {"driver": _driver([_rule(kinds[code]) for code in codes])},
        "invocations": [_invocation(report)],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "place": report.place,
            "format": report.format,
            "depth": report.depth,
            "checked": dict(report.checked),
            "counts": report.counts,
            "known": report.known,
        },
        "results": ROWS,
    }
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    indices = {code: index for index, code in enumerate(codes)}
    paths = Paths(report.place)
    shown = numbered(report.findings[:LIMIT])
    yield from written(log, (_result(finding, number, indices, paths) for finding, number in shown), _dumped)


def _dumped(value: Any, indent: int | None = None) -> str:
    """JSON that strict readers take: half a surrogate pair, of a name that is no UTF-8, as an escape that is text."""
    return _HALF.sub(lambda half: rf"\\u{ord(half[0]):04x}", json_text(value, indent))


_HALF = re.compile("[\ud800-\udfff]")
#: What makes a link of the text of a message (SARIF 2.1.0, 3.11.6), unless a backslash stands before it.
_LINKS = re.compile(r"[\[\]\\]")


def _driver(rules: list[dict[str, Any]]) -> dict[str, Any]:
    version = importlib.metadata.version("visprep")
    return {"name": "visprep", "version": version, "rules": rules}


def _rule(kind: Kind | Finding) -> dict[str, Any]:
    """A kind of wrong in words; of one that is known by its findings alone, no more than these say."""
    if isinstance(kind, Finding):
        what, why, fix = kind.code, "", kind.hint or kind.code
    else:
        what, why, fix = kind.what, kind.why, kind.fix
    return {
        "id": kind.code,
        "shortDescription": {"text": what},
        "fullDescription": {"text": f"{what} {why}".strip()},
        "help": {"text": f"{what} {why}".strip() + f"\n\nTo fix: {fix}"},
        "defaultConfiguration": {"level": kind.level.value},
    }


def _invocation(report: Report) -> dict[str, Any]:
    """Whether all could be looked at, and what is not among the results."""
    invocation: dict[str, Any] = {"executionSuccessful": not report.unread}
    if left_out := report.findings[LIMIT:]:
        codes = Counter(finding.code for finding in left_out)
        named = ", ".join(f"{count:,} {code}" for code, count in codes.most_common())
        words = f"{counted(len(left_out), 'more finding')}, not among the results: {named}. --format json has all."
        invocation["toolExecutionNotifications"] = [{"level": "warning", "message": {"text": words}}]
    return invocation


def _result(finding: Finding, number: int, indices: Mapping[str, int], paths: Paths) -> dict[str, Any]:
    location: dict[str, Any] = {"uri": paths.uri(finding.path)}
    if "://" not in location["uri"]:
        location["uriBaseId"] = "%SRCROOT%"
    fingerprint = f"{finding.fingerprint}:{number}"
    return {
        "ruleId": finding.code,
        "ruleIndex": indices[finding.code],
        "level": finding.level.value,
        "message": {"text": _LINKS.sub(r"\\\g<0>", finding.message)},
        "locations": [{"physicalLocation": {"artifactLocation": location, "region": _region(finding.where)}}],
        "partialFingerprints": {"primaryLocationLineHash": fingerprint, "visprep/v1": fingerprint},
        "properties": {"path": finding.path, "where": dict(finding.where), "hint": finding.hint},
    }


def _region(where: Mapping[str, Any]) -> dict[str, int]:
    """The point at which the fault is; the beginning of the file where nobody knows."""
    line, column = where.get("line") or 1, where.get("column") or 1
    return {"startLine": line, "startColumn": column, "endLine": line, "endColumn": column}
