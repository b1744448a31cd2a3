"""Gathering what is wrong with a COCO JSON file: cheap while it is read, with exact addresses at the end.

Whoever finds something says which record it is about. Where that record stands is looked up afterwards, by reading
just the blocks again that somebody spoke of. Of each kind of wrong a thousand are kept, and the rest are counted.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from visprep.findings import Finding
from visprep.formats.coco_bytes import member
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_scan import Records
from visprep.rules import Rule

#: Findings of one rule that are told one by one.
KEPT = 1_000
#: Characters of a message: what is cited may be megabytes long.
_LONGEST = 500
#: Digits of a number that is told in full: more than a float can tell apart, and than any id has.
_DIGITS = 40


@dataclass(slots=True)
class _Note:
    rule: Rule
    message: str
    key: str | None
    number: int | None
    field: str
    inside: int | None
    ids: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Block:
    first: int
    offset: int
    length: int
    line: int
    column: int


@dataclass
class Notes:
    """What was found so far in one file."""

    file: JsonFile
    path: str
    _kept: list[_Note] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _blocks: defaultdict[str, list[_Block]] = field(default_factory=lambda: defaultdict(list))
    _rules: dict[str, Rule] = field(default_factory=dict)

    def saw(self, records: Records) -> None:
        """Remember where these records stand."""
        length = len(records.data) - 2
        block = _Block(records.first, records.offset, length, records.line, records.column)
        self._blocks[records.key].append(block)

    def full(self, rule: Rule) -> bool:
        """Whether no more of a rule are kept; they are to be noted all the same, to be counted."""
        return self._counts[rule.code] >= KEPT

    def count(self, rule: Rule, number: int) -> None:
        """So many more, of which nothing is kept."""
        self._rules[rule.code] = rule
        self._counts[rule.code] += number

    def drop(self, rule: Rule) -> None:
        """Forget what was noted of a rule: another one has a better word for it."""
        self._kept = [note for note in self._kept if note.rule is not rule]
        del self._counts[rule.code]

    def add(
        self,
        rule: Rule,
        message: str,
        key: str | None = None,
        number: int | None = None,
        field: str = "",
        *,
        inside: int | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> None:
        """Something is wrong with a record of the array `key`, in its member `field`; or `inside` it, at that byte.

        Of such a finding `where` has the ids; of any other it is all that is said of the place.
        """
        self.count(rule, 1)
        if self._counts[rule.code] <= KEPT:
            told = {name: shortened(value) for name, value in (where or {}).items()}
            self._kept.append(_Note(rule, shortened(message), key, number, field, inside, told))

    def findings(self) -> Iterator[Finding]:
        """All findings, with addresses; reads from the file again what they are about."""
        placed: defaultdict[tuple[str, int], list[_Note]] = defaultdict(list)
        for note in self._kept:
            if note.key is None or note.number is None:
                yield note.rule.at(self.path, note.message, **note.ids)
            else:
                blocks = self._blocks[note.key]
                at = bisect.bisect_right(blocks, note.number, key=lambda block: block.first) - 1
                placed[note.key, at].append(note)
        for (key, at), notes in placed.items():
            yield from self._placed(key, self._blocks[key][at], notes)
        for code, count in self._counts.items():
            if count > KEPT:
                words = f"and {count - KEPT:,} more of this kind, not told one by one"
                yield self._rules[code].at(self.path, words, count=count - KEPT)

    def _placed(self, key: str, block: _Block, notes: list[_Note]) -> Iterator[Finding]:
        data = b"[" + self.file.read(block.offset, block.length) + b"]"
        records = Records(key, block.first, 0, block.offset, data, None, block.line, block.column)
        starts, lengths = records.spans()
        for note in notes:
            assert note.number is not None
            begin = int(starts[note.number - block.first])
            record = data[begin - block.offset + 1 :][: int(lengths[note.number - block.first])]
            name = note.field.partition("/")[0]
            byte = begin + (note.inside if note.inside is not None else member(record, name) if name else 0)
            before = data[1 : byte - block.offset + 1]
            lines = before.count(b"\n")
            column = len(before) - before.rfind(b"\n") if lines else block.column + len(before)
            pointer = "/".join(
                ["", *([escaped(key)] if key else []), str(note.number), *([note.field] if name else [])]
            )
            where = {"pointer": pointer, "byte": byte, "line": block.line + lines, "column": column}
            ids = {name: value for name, value in note.ids.items() if value is not None}
            yield note.rule.at(self.path, note.message, **where, **ids)


def shortened(value: Any) -> Any:
    """A text, or a number, that may be said, and kept a thousand times; anything else as it is."""
    if isinstance(value, int) and abs(value) >= 10**_DIGITS:
        digits = str(value)
        return f"{digits[:12]}... ({len(digits.lstrip('-'))} digits)"
    return f"{value[: _LONGEST - 3]}..." if isinstance(value, str) and len(value) > _LONGEST else value


def escaped(key: str) -> str:
    """A key as part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
