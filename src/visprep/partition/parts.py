"""The parts that are asked for: their names, and how much each is to have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from visprep.errors import UsageError

#: Stands where a record is in no part.
LEFT_OUT = -1
_HINT = "for example --parts train=0.8,val=0.1,test=0.1, or --parts train=10000,val=2000"
#: Names become names of files and directories, on any system.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_SIZE = re.compile(r"\d{1,18}|\d{0,18}\.\d{1,18}|\d{1,18}\.|\d{1,18}/\d{1,18}", re.ASCII)


class Method(StrEnum):
    """How parts are drawn."""

    STABLE = "stable"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Part:
    """A part: its share of the whole, or how many records; None for one that has what it has, and gets no more."""

    name: str
    size: Fraction | None


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts, in the order in which they were named. `counted` tells counts from shares."""

    parts: tuple[Part, ...]
    counted: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Of all parts, in their order."""
        return tuple(part.name for part in self.parts)

    @property
    def method(self) -> Method:
        """What is taken when nobody says: a share of a hash needs no counting, a count does."""
        return Method.EXACT if self.counted else Method.STABLE

    @property
    def staying(self) -> tuple[bool, ...]:
        """Of each part whether it keeps what it has, and gets no more."""
        return tuple(part.size is None for part in self.parts)

    def with_staying(self, names: Iterable[str]) -> Parts:
        """These, then parts that keep what they have; UsageError for a name that is there, or is no name."""
        more = tuple(Part(_name(name), None) for name in names)
        return replace(self, parts=_unique(self.parts + more))

    def wanted(self, records: int) -> tuple[int, ...]:
        """How many records each is to have of so many (those of parts that stay apart), by largest remainder.

        What the shares leave of a whole is nobody's. 0 for parts that stay. UsageError when more are counted than
        there are.
        """
        sizes = [part.size or Fraction(0) for part in self.parts]
        if self.counted:
            if (total := sum(sizes, Fraction(0))) > records:
                raise UsageError(
                    f"--parts asks for {int(total):,} records, and there are {records:,}",
                    hint="ask for fewer, or for shares: --parts train=0.8,val=0.2",
                )
            return tuple(map(int, sizes))
        return largest_remainder([*sizes, 1 - sum(sizes, Fraction(0))], records)[:-1]

    def shares(self, records: int) -> tuple[Fraction, ...]:
        """Of each part its share of so many records; 0 for parts that stay."""
        sizes = (part.size or Fraction(0) for part in self.parts)
        return tuple(size / max(records, 1) if self.counted else size for size in sizes)

    def __str__(self) -> str:
        return ",".join(f"{part.name}={_text(part.size, self.counted)}" for part in self.parts if part.size is not None)


def check_method(parts: Parts, method: Method | None) -> None:
    """UsageError when parts of such sizes cannot be drawn so."""
    if method is Method.STABLE and parts.counted:
        raise UsageError(
            f"--parts {parts} are counts: --method stable looks at one record at a time, and cannot count",
            hint="ask for shares (train=0.8), or take --method exact",
        )


def parse_parts(text: str) -> Parts:
    """The parts that are written as `train=0.8,val=0.1,test=0.1` (or `1/3`), or as counts: `train=10000,val=2000`.

    Shares may sum to less than 1, counts to less than there is: the rest is in no part. UsageError for what cannot be
    read, mixes both, sums to more than 1, or names a part twice or by what is no name of a file.
    """
    pieces = [piece.strip() for piece in text.split(",")]
    read = [_piece(piece) for piece in pieces]
    if fractions := [size for _, size, whole in read if not whole]:
        if mixed := [size for _, size, whole in read if whole and size > 1]:
            raise UsageError(f"--parts {text}: {mixed[0]} is a count, and others are shares", hint=_HINT)
        if (total := sum(size for _, size, _ in read)) > 1:
            raise UsageError(f"--parts {text}: the shares sum to {float(total):g}, more than 1", hint=_HINT)
    sizes = [size for _, size, _ in read]
    if not any(sizes):
        raise UsageError(f"--parts {text}: nothing is asked for", hint=_HINT)
    if not fractions and sum(sizes) == 1:
        why = "is that all records, or one?"
        raise UsageError(f"--parts {text}: {why}", hint="write 1.0 for all of them")
    return Parts(_unique(tuple(Part(name, size) for name, size, _ in read)), counted=not fractions)


def largest_remainder(weights: list[Fraction], count: int) -> tuple[int, ...]:
    """Whole numbers that sum to `count`, in proportion to weights (not all 0); of equal remainders the first wins."""
    total = sum(weights)
    exact = [weight * count / total for weight in weights]
    floors = [int(one) for one in exact]
    order = sorted(range(len(exact)), key=lambda at: (floors[at] - exact[at], at))
    for at in order[: count - sum(floors)]:
        floors[at] += 1
    return tuple(floors)


def _piece(piece: str) -> tuple[str, Fraction, bool]:
    name, equals, size = (one.strip() for one in piece.partition("="))
    if not equals or not _SIZE.fullmatch(size) or re.search(r"/0+$", size):
        raise UsageError(f"--parts: {piece[:80]!r} is no part: NAME=SHARE or NAME=COUNT", hint=_HINT)
    return _name(name), Fraction(f"{size}0" if size.endswith(".") else size), size.isdigit()


def _name(name: str) -> str:
    if not _NAME.fullmatch(name) or name.endswith("."):
        why = "letters, digits, '_', '-' and '.', at most 64 characters, not beginning with '-' or '.'"
        raise UsageError(f"--parts: {name[:80]!r} cannot be the name of a part", hint=why)
    return name


def _unique(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    seen: dict[str, str] = {}
    for part in parts:
        # Two files whose names differ only by case are one file on some systems.
        if other := seen.get(part.name.lower()):
            raise UsageError(f"--parts: {other!r} and {part.name!r} are the same name", hint=_HINT)
        seen[part.name.lower()] = part.name
    return parts


def _text(size: Fraction, counted: bool) -> str:
    if counted:
        return str(size)
    short = repr(float(size))
    return short if "e" not in short and Fraction(short) == size else str(size)
