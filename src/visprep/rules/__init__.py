"""Rules: each finds one kind of wrong, and declares its code, level and explanation beside itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from visprep.findings import Finding, Level


class Depth(StrEnum):
    """How closely verify looks; each depth includes those before it."""

    NAMES = "names"
    SIZES = "sizes"
    HEADERS = "headers"
    DECODE = "decode"
    CONTENT = "content"

    @property
    def rank(self) -> int:
        """0 for `names`, the shallowest."""
        return _RANKS[self.value]

    def reaches(self, other: Depth) -> bool:
        """Whether looking this closely includes looking as closely as `other`."""
        return self.rank >= other.rank


_RANKS = {depth.value: rank for rank, depth in enumerate(Depth)}


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of wrong: its stable code and level, the depth from which it can be seen, and its page in words.

    `what` is one sentence, `why` says what breaks when it is ignored, `fix` says what to do. `bad` is the least that it
    takes to be found, and `near` what comes close and is all right; tests show both.
    """

    code: str
    level: Level
    depth: Depth
    what: str
    why: str
    fix: str
    bad: str
    near: str

    def at(self, path: str, message: str, **where: object) -> Finding:
        """A finding of this rule."""
        return Finding(self.code, self.level, path, message, hint=self.fix, where=where)
