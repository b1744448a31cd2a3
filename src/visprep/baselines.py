"""What was wrong already: the JSON report of an earlier run, of which later runs do not speak again."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visprep.errors import BadRecord, DiskError, FileMissing
from visprep.findings import Finding, Level

FORMAT_VERSION = 1

MAKE = "make one with: visprep verify PLACE --format json --report FILE"


class Baseline:
    """How many findings of each fingerprint are known.

    Fingerprints hold no positions and no words, so a finding stays known when the file around it changes. Where a
    part of a place has the same fault more often than before, as many are known as there were.
    """

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        self._known = dict(known or {})

    def new(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Those of `findings` that are not known.

        One that says that a file could not be read is always among them: what such a file hides is never known.
        """
        left = Counter(self._known)
        found = []
        for finding in findings:
            fingerprint = finding.fingerprint
            if left[fingerprint] > 0 and not finding.unread:
                left[fingerprint] -= 1
            else:
                found.append(finding)
        return tuple(found)


def read(file: str | os.PathLike[str]) -> Baseline:
    """The baseline in a JSON report; FileMissing or DiskError when it cannot be read, BadRecord when it is none."""
    name, data = os.fspath(file), report_bytes(file)
    try:
        return Baseline(Counter(finding.fingerprint for finding in _findings(data, name)))
    except RecursionError:
        raise BadRecord(f"{name}: nested deeper than any report of visprep verify", hint=MAKE) from None


def report_bytes(file: str | os.PathLike[str]) -> bytes:
    """What is in the file of a report; FileMissing or DiskError when it cannot be read."""
    name = os.fspath(file)
    try:
        return Path(name).read_bytes()
    except FileNotFoundError:
        raise FileMissing(f"{name}: no such file", hint=MAKE) from None
    except OSError as error:
        raise DiskError(f"{name}: {(error.strerror or str(error)).lower()}", hint=MAKE) from None


def _findings(data: bytes, name: str) -> list[Finding]:
    try:
        report: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise BadRecord(f"{name}: not JSON, so not a report that can be a baseline", hint=MAKE) from None
    if not isinstance(report, dict) or not isinstance(report.get("findings"), list):
        raise BadRecord(f"{name}: JSON, but not a report of visprep verify", hint=MAKE)
    if report.get("format_version") != FORMAT_VERSION:
        found = report.get("format_version")
        raise BadRecord(f"{name}: format_version {found!r} is not {FORMAT_VERSION}", hint=MAKE)
    if report.get("dry_run"):
        raise BadRecord(f"{name}: the report of a dry run, which looked at nothing", hint=MAKE)
    return [_finding(entry, number, name) for number, entry in enumerate(report["findings"])]


def _finding(entry: Any, number: int, name: str) -> Finding:
    """A finding as far as its fingerprint goes."""
    try:
        where, code, path, level = entry.get("where", {}), entry["code"], entry["path"], Level(entry["level"])
        sound = isinstance(where, dict) and isinstance(code, str) and isinstance(path, str)
    except (AttributeError, KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise BadRecord(f"{name}: findings[{number}] is not a finding of visprep verify", hint=MAKE) from None
    return Finding(code, level, path, "", where=where)
