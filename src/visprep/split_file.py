"""`split.json`: what a split was asked for, what it reached, and who is in which part."""

from __future__ import annotations

from typing import Any

import msgspec

from visprep.errors import BadRecord
from visprep.findings import Finding

SPLIT = "split.json"
FORMAT_VERSION = 1


class PartOf(msgspec.Struct, frozen=True, kw_only=True):
    """A part: `asked` is a share or a count, None for one that was there and that nobody asked to change.

    `records` are in it, which is `share` of those that were divided (not those of parts that stay).
    """

    name: str
    asked: float | int | None
    records: int
    share: float | None


class ClassOf(msgspec.Struct, frozen=True, kw_only=True):
    """A class: its `records` in all parts, those of each, and the greatest `error` of a part's share.

    That is in percentage points, and of all records that were divided, those in no part included.
    """

    name: str
    records: int
    parts: dict[str, int]
    error: float


class InputOf(msgspec.Struct, frozen=True, kw_only=True):
    """See `recordsets.Input`."""

    path: str
    digest: str
    records: int
    images: str | None = None
    directory: str = ""
    label: str = ""


class OutputOf(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a part, below the place of the split."""

    path: str
    part: str
    records: int
    size: int
    digest: str


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was left out, or one annotation; `why` is a code, or a word.

    `key` is None for a record without a name. `file` is the input that it stands in, `row` counts its images from 0.
    """

    why: str
    key: str | None = None
    file: str | None = None
    image_id: int | None = None
    row: int | None = None
    annotation_id: int | None = None


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """What is in no part: how many records and annotations for which reason, and each that was cleaned away."""

    records: dict[str, int] = {}
    annotations: dict[str, int] = {}
    listed: tuple[Left, ...] = ()


class Move(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A record that is in another part than in the split before; None for no part."""

    key: str
    from_: str | None
    to: str | None
    why: str


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """All that `split.json` says. `members` are the keys of each part, sorted.

    `absent` are keys of records that the split which was extended had placed, and that are in no part of this one: they
    were away, or at fault. They are carried on from split to split, and return to their part.

    `tying` are keys of members that tie parts together: they are in the part that they happened to come to, and who
    extends the split need not leave them there.

    `crowded` pictures were compared with some only of those that are near to them in looks.

    `records` were there, those that were left out included; the others made so many `groups`, and `ungrouped` of them
    lack the field `group_by`, and stand alone for that.
    """

    format_version: int
    kind: str
    seed: int
    method: str
    stratified: bool
    group_by: str | None
    near_duplicates: dict[str, Any] | None
    clean: bool
    drop_empty: bool
    how: str
    name: str | None
    extends: str | None
    records: int
    groups: int
    ungrouped: int
    crowded: int = 0
    parts: tuple[PartOf, ...]
    classes: tuple[ClassOf, ...]
    inputs: tuple[InputOf, ...]
    outputs: tuple[OutputOf, ...]
    left_out: LeftOut
    moved: tuple[Move, ...]
    findings: tuple[dict[str, Any], ...]
    members: dict[str, tuple[str, ...]]
    absent: dict[str, tuple[str, ...]] = {}
    tying: tuple[str, ...] = ()

    def dump(self) -> bytes:
        """The same bytes for the same split: readable, a key a line."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def part_of(self) -> dict[str, str]:
        """The part of each key."""
        return {key: part for part, keys in self.members.items() for key in keys}

    def placed(self) -> dict[str, str]:
        """The part that each key keeps when the split is extended: absent records too, and no tying ones."""
        found = {key: part for part, keys in self.absent.items() for key in keys} | self.part_of()
        for key in self.tying:
            del found[key]
        return found


def load(data: bytes, name: str) -> Split:
    """What `dump` wrote; BadRecord when it is not that, or says two things of one record."""
    hint = "name the split.json that visprep split wrote; or make it anew: without --extend, in another --output"
    try:
        split = msgspec.json.decode(data, type=Split)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        version = _version(data)
        if version is not None and version != FORMAT_VERSION:
            why = f"its format_version is {version}, and this visprep reads {FORMAT_VERSION}"
            raise BadRecord(f"{name}: {why}", hint="use the visprep that wrote it, or a newer one") from None
        raise BadRecord(f"{name}: it was not written by visprep split: {problem}", hint=hint) from None
    if split.format_version != FORMAT_VERSION:
        why = f"its format_version is {split.format_version}, and this visprep reads {FORMAT_VERSION}"
        raise BadRecord(f"{name}: {why}", hint="use the visprep that wrote it, or a newer one")
    if wrong := _contradiction(split):
        raise BadRecord(f"{name}: {wrong}", hint=hint)
    return split


def plain(finding: Finding) -> dict[str, Any]:
    """A finding as split.json has it."""
    return {
        "code": finding.code,
        "level": finding.level.value,
        "path": finding.path,
        "message": finding.message,
        "where": dict(finding.where),
    }


def _version(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)["format_version"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError, IndexError):
        return None


def _contradiction(split: Split) -> str | None:
    """What cannot be true of a split: it was changed by hand, or cut."""
    names = [part.name for part in split.parts]
    if len(set(names)) != len(names) or set(names) != split.members.keys():
        return f"its parts are {', '.join(names)}, its members those of {', '.join(split.members)}"
    for part in split.parts:
        if len(split.members[part.name]) != part.records:
            return f"part {part.name} has {part.records:,} records, and {len(split.members[part.name]):,} members"
    if strange := {one.part for one in split.outputs} - split.members.keys():
        return f"its files are of a part {min(strange)}, which it does not have"
    if not split.inputs:
        return "it names nothing that was split"
    if strange := split.absent.keys() - split.members.keys():
        return f"its absent records are of a part {min(strange)}, which it does not have"
    if strange := set(split.tying) - split.part_of().keys():
        return f"{min(strange)!r} ties parts together, and is in none"
    if len(set(split.tying)) != len(split.tying):
        return "it says twice of a record that it ties parts together"
    seen: dict[str, str] = {}
    for name, keys in (*split.members.items(), *split.absent.items()):
        for key in keys:
            if key in seen:
                return f"{key!r} is in {seen[key]} and in {name}"
            seen[key] = name
    return None
