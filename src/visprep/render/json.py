"""For machines: the report of the command line's contract, with `format_version`; all findings, one a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from visprep.findings import Finding, Report
from visprep.traffic import PRICES_OF, Traffic

FORMAT_VERSION = 1

#: Stands in a document for the list that is written row by row. No text of a report holds a NUL.
ROWS = "\0rows"


def as_json(report: Report) -> Iterator[str]:
    """The whole report as one JSON object."""
    document = {
        "format_version": FORMAT_VERSION,
        "place": report.place,
        "format": report.format,
        "depth": report.depth,
        "dry_run": report.dry_run,
        "checked": dict(report.checked),
        "fail_on": report.fail_on.value,
        "known": report.known,
        "counts": report.counts,
        **({"traffic": _traffic(report.traffic), "spared": report.spared} if report.traffic else {}),
        "findings": ROWS,
    }
    yield from written(document, (plain_finding(finding) for finding in report.findings))


def _traffic(traffic: Traffic) -> dict[str, Any]:
    """Traffic as plain data; dollars are an estimate at list prices."""
    return {
        "requests": traffic.requests,
        "listings": traffic.listings,
        "bytes": traffic.bytes,
        "dollars": {
            "requests": round(traffic.request_dollars, 12),
            "transfer": round(traffic.transfer_dollars, 12),
            "prices_of": PRICES_OF,
        },
    }


def plain_finding(finding: Finding) -> dict[str, Any]:
    """A finding as plain data."""
    return {
        "code": finding.code,
        "level": finding.level.value,
        "path": finding.path,
        "where": dict(finding.where),
        "message": finding.message,
        "hint": finding.hint,
    }


def written(document: Any, rows: Iterable[dict[str, Any]], dumped: Callable[..., str] | None = None) -> Iterator[str]:
    """`document` as JSON with `rows`, one a line, in place of `ROWS`; `dumped` makes the text of each."""
    dumped = dumped or _dumped
    before, _, after = dumped(document, indent=2).partition(_dumped(ROWS))
    indent = before[before.rindex("\n") :].partition('"')[0]
    yield f"{before}["
    separator = ""
    for row in rows:
        yield f"{separator}{indent}  {dumped(row)}"
        separator = ","
    yield f"{indent}]{after}\n" if separator else f"]{after}\n"


def _dumped(value: Any, indent: int | None = None) -> str:
    """JSON in UTF-8; of a file name that is no UTF-8, the odd bytes as the escapes by which Python reads them back."""
    return json_text(value, indent).encode("utf-8", "backslashreplace").decode()


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON with all characters as they are, half surrogate pairs too."""
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)
