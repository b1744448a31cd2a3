"""What verify says: a `Finding` is one thing wrong with the data, a `Report` is all of them.

How a report looks to a person or to a machine is the business of `render`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How much a finding matters. Only errors make a report fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """Sort key: the gravest level is 0."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with the data.

    `code` is the stable name of the rule that found it, `path` is relative to the place, and `where` says
    which part of the file (`{"pointer": "/annotations/3/bbox", "image_id": 139}`) when a file has parts.
    """

    code: str
    level: Level
    path: str
    message: str
    hint: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sort_key(self) -> tuple[int, str, str, str]:
        """Gravest first, then by path, code and message: the same data gives the same order."""
        return self.level.rank, self.path, self.code, self.message


@dataclass(frozen=True, slots=True)
class Report:
    """All that verify found at one place.

    `checked` counts what was looked at, by kind (`{"files": 30, "tasks": 10}`): a report without findings is
    worth only as much as what was checked.
    """

    place: str
    findings: tuple[Finding, ...]
    checked: Mapping[str, int] = field(default_factory=dict)
    format: str | None = None
    depth: str | None = None

    @classmethod
    def of(cls, place: str, findings: Iterable[Finding], **facts: Any) -> Report:
        """A report with its findings in their stable order."""
        return cls(place, tuple(sorted(findings, key=lambda finding: finding.sort_key)), **facts)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each level, zeros included."""
        seen = Counter(finding.level for finding in self.findings)
        return {level.value: seen[level] for level in Level}

    @property
    def unread(self) -> tuple[Finding, ...]:
        """The findings that say that something could not be looked at: then silence about it means nothing."""
        return tuple(finding for finding in self.findings if finding.code.endswith("-unreadable"))

    @property
    def failed(self) -> bool:
        """Whether there is at least one error; warnings and notes alone do not fail."""
        return any(finding.level is Level.ERROR for finding in self.findings)
