"""How a report looks: functions from one `Report` to text, by name of the format."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from visprep.findings import Finding, Report

FORMAT_VERSION = 1


def text(report: Report) -> str:
    """For people: what was checked, a line or two for each finding, the totals last."""
    checked = ", ".join(f"{count} {kind}" for kind, count in report.checked.items())
    detail = f" (as {report.format}, depth {report.depth})" if report.format else ""
    lines = [f"{report.place}: {checked or 'nothing'} checked{detail}"]
    for finding in report.findings:
        lines.append(f"{finding.level.value:<8}{finding.path or '.'}: {finding.message} [{finding.code}]")
        if finding.hint:
            lines.append(f"{'':8}hint: {finding.hint}")
    lines.append(_totals(report))
    return "\n".join(lines) + "\n"


def _totals(report: Report) -> str:
    named = [f"{count} {level}{'' if count == 1 else 's'}" for level, count in report.counts.items() if count]
    return ", ".join(named) if named else "no findings"


def as_json(report: Report) -> str:
    """For machines: the report of the command line's contract, with `format_version`."""
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "place": report.place,
        "format": report.format,
        "depth": report.depth,
        "checked": dict(report.checked),
        "counts": report.counts,
        "findings": [_finding(finding) for finding in report.findings],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "level": finding.level.value,
        "path": finding.path,
        "where": dict(finding.where),
        "message": finding.message,
        "hint": finding.hint,
    }


#: name of a format -> what renders it
RENDERERS: Mapping[str, Callable[[Report], str]] = MappingProxyType({"json": as_json, "text": text})
