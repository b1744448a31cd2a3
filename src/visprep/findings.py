"""What verify says: a `Finding` is one thing wrong with the data, a `Report` is all of them.

How a report looks to a person or to a machine is the business of `render`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from visprep.traffic import Traffic


class Level(StrEnum):
    """How much a finding matters. Errors make a report fail; warnings do where that is asked for; notes never."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """Sort key: the gravest level is 0."""
        return list(Level).index(self)


class Kind(Protocol):
    """A kind of wrong that was looked for, in words: what `visprep.rules.Rule` says of itself."""

    @property
    def code(self) -> str:
        """The stable name that its findings bear."""

    @property
    def level(self) -> Level:
        """How much its findings matter."""

    @property
    def what(self) -> str:
        """What is wrong, in a sentence."""

    @property
    def why(self) -> str:
        """What breaks when it is ignored."""

    @property
    def fix(self) -> str:
        """What to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with the data.

    `code` is the stable name of the rule that found it, `path` is relative to the place, and `where` says
    which part of the file (`{"pointer": "/annotations/3/bbox", "image_id": 139}`) when a file has parts. Entries of
    `where` called `id`, `*_id`, `key` or `field` name a part; all others tell its position or what was measured.
    """

    code: str
    level: Level
    path: str
    message: str
    hint: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sort_key(self) -> tuple[int, str, bool, str, str]:
        """Gravest first, then by path, code and message: the same data gives the same order.

        What keeps a JSON file from being read comes before all else about it: the rest may follow from that.
        """
        return self.level.rank, self.path, not self.code.startswith("json-"), self.code, self.message

    @property
    def unread(self) -> bool:
        """Whether it says that something could not be looked at: then silence about that means nothing."""
        return self.code.endswith("-unreadable")

    @property
    def unseen(self) -> bool:
        """Whether it says that something was not looked at: it could not be read, or nothing here can read it."""
        return self.unread or self.code.endswith("-not-checked")

    @property
    def names(self) -> dict[str, Any]:
        """The entries of `where` that name a part of the file, and do not tell its position."""
        return {key: self.where[key] for key in sorted(self.where) if key in _NAMES or key.endswith("_id")}

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that stay the same for as long as the fault does.

        Made of the code, the path, and the names in `where`. Positions, measured values and the words of the message
        take no part, since they change when something else in the file does, or with the version of visprep. So two
        findings may have the same one; see `numbered`.
        """
        identity = json.dumps([self.code, self.path, self.names], default=str)
        return hashlib.sha256(identity.encode()).hexdigest()[:32]


_NAMES = frozenset({"id", "key", "field"})
#: Tables of a JSON file -> the entry of `where` that has the id of one of their records.
ID_OF: Mapping[str, str] = MappingProxyType(
    {"annotations": "annotation_id", "categories": "category_id", "images": "image_id", "licenses": "license_id"}
)


def numbered(findings: Iterable[Finding]) -> Iterator[tuple[Finding, int]]:
    """Each finding with how many so far, itself included, have its fingerprint: both together are unique."""
    seen: Counter[str] = Counter()
    for finding in findings:
        fingerprint = finding.fingerprint
        seen[fingerprint] += 1
        yield finding, seen[fingerprint]


@dataclass(frozen=True, slots=True)
class Report:
    """All that verify found at one place.

    `checked` counts what was looked at, by kind (`{"files": 30, "tasks": 10}`): a report without findings is
    worth only as much as what was checked. `rules` are the kinds of wrong that were looked for. Findings of the level
    `fail_on`, or graver, make it fail. `known` is how many findings were left out because a baseline has them. Of a
    `dry_run`, `checked` tells what would be looked at, with the `bytes` to read, and there are no findings.
    `traffic` is what was asked of servers, of a dry run what would be at the least; None for a place on this machine.
    `spared` counts the images that the record of the place vouches for, and that were therefore not looked into.
    """

    place: str
    findings: tuple[Finding, ...]
    checked: Mapping[str, int] = field(default_factory=dict)
    format: str | None = None
    depth: str | None = None
    rules: tuple[Kind, ...] = ()
    fail_on: Level = Level.ERROR
    known: int = 0
    dry_run: bool = False
    traffic: Traffic | None = None
    spared: int = 0

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
        return tuple(finding for finding in self.findings if finding.unread)

    def fails(self, finding: Finding) -> bool:
        """Whether a finding makes the report fail."""
        return finding.level.rank <= self.fail_on.rank

    @property
    def failed(self) -> bool:
        """Whether any finding is as grave as `fail_on`: an error, unless warnings are to fail too."""
        return any(self.fails(finding) for finding in self.findings)
