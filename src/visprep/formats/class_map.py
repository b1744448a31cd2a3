"""A file that says which classes are kept, and under which names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from visprep.errors import FileMissing, UnknownName, UsageError, did_you_mean

__all__ = ["ClassMap"]


@dataclass(frozen=True, slots=True)
class ClassMap:
    """What becomes of each class: `renames` has new names, `kept` and `dropped` are named so.

    Where any class is `kept`, those that no line names are dropped; else they are kept. `lines` are those that say
    something, without comments.
    """

    lines: tuple[str, ...]
    renames: Mapping[str, str]
    kept: frozenset[str]
    dropped: frozenset[str]

    @classmethod
    def read(cls, path: str) -> ClassMap:
        """The map of a file: lines `old=new`, `old` and `-old`, `#` begins a comment; UsageError for others."""
        try:
            text = Path(path).read_text("utf-8-sig")
        except FileNotFoundError:
            raise FileMissing(f"{path}: no such file", hint="--classes names a text file") from None
        except (OSError, UnicodeDecodeError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "it is no UTF-8 text"
            raise UsageError(f"{path}: {why}", hint="a line is: old=new, old, or -old") from None
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, name: str) -> ClassMap:
        """As `read`, of the text itself; `name` is what messages call it."""
        renames: dict[str, str] = {}
        kept: set[str] = set()
        dropped: set[str] = set()
        seen: dict[str, int] = {}
        lines: list[str] = []
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.partition("#")[0].strip()
            if not line:
                continue
            lines.append(line)
            old, sign, new = (part.strip() for part in line.partition("="))
            goes = line.startswith("-") and not sign
            old = old[1:].strip() if goes else old
            if not old or (sign and not new):
                raise UsageError(f"{name}: line {number}: {line!r}", hint="a line is: old=new, old, or -old")
            if old in seen:
                words = f"{name}: line {number} speaks of {old!r} again, as line {seen[old]} did"
                raise UsageError(words, hint="keep one of the two lines")
            seen[old] = number
            if sign:
                renames[old] = new
            else:
                (dropped if goes else kept).add(old)
        if not lines:
            raise UsageError(f"{name}: no line in it says anything", hint="a line is: old=new, old, or -old")
        return cls(tuple(lines), renames, frozenset(kept), frozenset(dropped))

    def names(self, known: Iterable[str]) -> dict[str, str | None]:
        """The new name of each class, None for one that is dropped; UnknownName for lines about others."""
        there = dict.fromkeys(known)
        for old in (*self.renames, *self.kept, *self.dropped):
            if old not in there:
                raise UnknownName(f"--classes: there is no class {old!r}", hint=did_you_mean(old, there))
        return {old: self._name(old) for old in there}

    def _name(self, old: str) -> str | None:
        if old in self.dropped or (self.kept and old not in self.kept and old not in self.renames):
            return None
        return self.renames.get(old, old)
