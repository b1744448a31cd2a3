"""The findings of a page: those of a report of verify, and which of them can be listed."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from visprep.baselines import MAKE, report_bytes
from visprep.errors import BadRecord
from visprep.findings import Finding, Level, Report
from visprep.page.payload import Code, FindingRow, FindingsSummary
from visprep.render.text import counted
from visprep.reporting import Subject
from visprep.rules.all_rules import RULES

#: Findings that are listed at the most, and of each code; of more than ten codes so many that each has its share.
LISTED, OF_A_CODE = 1_000, 100


def read(file: str | os.PathLike[str]) -> Report:
    """The report that `verify` wrote as JSON; FileMissing or DiskError when it cannot be read, BadRecord for another.

    Of what it says, the place, the findings, the format, the depth and the counts come back.
    """
    try:
        document = json.loads(report_bytes(file))
        if document["format_version"] != 1 or document.get("dry_run"):
            raise ValueError
        findings = [_finding(one) for one in document["findings"]]
        checked = {str(key): int(count) for key, count in dict(document.get("checked") or {}).items()}
        facts = {key: document.get(key) for key in ("format", "depth")}
        return Report.of(str(document["place"]), findings, checked=checked, **facts)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise BadRecord(f"{os.fspath(file)}: not a report of visprep verify in JSON", hint=MAKE) from None


def _finding(one: Mapping[str, Any]) -> Finding:
    hint = None if one.get("hint") is None else str(one["hint"])
    where = {key: value for key, value in dict(one.get("where") or {}).items() if isinstance(value, str | int | float)}
    return Finding(str(one["code"]), Level(one["level"]), str(one["path"]), str(one["message"]), hint, where)


@dataclass
class Told:
    """The findings of a report, each with the number of the record that it is about."""

    report: Report
    owners: list[int | None]
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, report: Report | None, subject: Subject | None) -> Told:
        """The findings, held against the records of the place; without a report not even that there are none."""
        if report is None:
            return cls(Report("", ()), [])
        owners = [subject.owner(one) if subject else None for one in report.findings]
        return cls(report, owners, report.counts)

    def by_code(self) -> list[list[int]]:
        """The records with findings, a list for each code, the gravest first."""
        found: dict[str, dict[int, None]] = defaultdict(dict)
        for finding, owner in self._owned():
            if owner is not None:
                found[finding.code].setdefault(owner)
        return [list(one) for one in found.values()]

    def _owned(self) -> Iterator[tuple[Finding, int | None]]:
        return zip(self.report.findings, self.owners, strict=True)

    def codes(self) -> tuple[Code, ...]:
        """Every code with all its findings counted, the gravest first."""
        findings = self.report.findings
        levels = {one.code: one.level.value for one in reversed(findings)}
        counts = Counter(one.code for one in findings)
        return tuple(Code(code, levels[code], count) for code, count in counts.items())

    def of_items(self, items: Mapping[int, int]) -> dict[int, dict[str, int]]:
        """Of each item of the page how many findings of each code are about it, the gravest first."""
        found: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for one, owner in self._owned():
            if owner is not None and (item := items.get(owner)) is not None:
                found[item][one.code] += 1
        return {item: dict(counts) for item, counts in found.items()}

    def rows(self, items: Mapping[int, int]) -> tuple[FindingsSummary, dict[int, list[int]]]:
        """What is listed, and of each item the rows about it; `items` are the items of the page by record.

        Of a code with many findings, the one that counts those not told comes first, then those that can be seen on
        the page.
        """
        findings = self.report.findings
        order = [(one.level.rank, [*one.where] != ["count"], owner not in items) for one, owner in self._owned()]
        seen = sorted(range(len(findings)), key=order.__getitem__)
        codes = self.codes()
        most = min(OF_A_CODE, max(1, LISTED // max(1, len(codes))))
        of_code: Counter[str] = Counter()
        kept: list[int] = []
        for at in seen:
            of_code[findings[at].code] += 1
            if of_code[findings[at].code] <= most and len(kept) < LISTED:
                kept.append(at)
        rows: list[FindingRow] = []
        about: defaultdict[int, list[int]] = defaultdict(list)
        for number, at in enumerate(sorted(kept)):
            item = items.get(-1 if (owner := self.owners[at]) is None else owner)
            rows.append(_row(findings[at], item))
            if item is not None:
                about[item].append(number)
        left = len(findings) - len(rows)
        note = f"{counted(len(rows), 'finding')} of {len(findings):,} are listed; verify lists all" if left else ""
        return FindingsSummary(self.counts, tuple(rows), note, codes), about


def _row(finding: Finding, item: int | None) -> FindingRow:
    hint = finding.hint or (RULES[finding.code].fix if finding.code in RULES else "")
    return FindingRow(finding.code, finding.level.value, finding.path, finding.message, hint, item)
