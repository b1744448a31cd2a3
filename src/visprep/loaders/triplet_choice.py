"""How many triplets of each difficulty a dataset has, and which: arithmetic alone, without torch and without images."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from visprep.errors import UnknownContent, UnknownName, UsageError, did_you_mean
from visprep.formats.triplets import DIFFICULTIES

Weights = Mapping[str, float]

#: The three mixtures by name: which share of the samples is of which difficulty.
MIXTURES: Mapping[str, Weights] = MappingProxyType(
    {
        "easy": MappingProxyType({"easy": 1.0, "medium": 0.0, "hard": 0.0}),
        "medium": MappingProxyType({"easy": 0.3, "medium": 0.7, "hard": 0.0}),
        "hard": MappingProxyType({"easy": 0.25, "medium": 0.25, "hard": 0.5}),
    }
)
#: By how much weights may miss 1: thirds are written as 0.33, 0.33 and 0.34, or come out of a division.
_NEAR_ONE = 1e-6


class UnknownDifficulty(UnknownName, ValueError):
    """There is no difficulty of that name. It is a ValueError, too."""


def mixture(difficulty: object) -> Weights:
    """The weights of a mixture by its name; UnknownDifficulty when there is none."""
    weights = MIXTURES.get(difficulty) if isinstance(difficulty, str) else None
    if weights is None:
        raise UnknownDifficulty(f"{difficulty!r} is no difficulty", hint=did_you_mean(str(difficulty), DIFFICULTIES))
    return weights


def checked(weights: Mapping[str, Any]) -> dict[str, float]:
    """Weights by difficulty, those of 0 left out.

    UsageError when one is negative or no number, or when they do not sum to 1; UnknownDifficulty for other names.
    """
    if not isinstance(weights, Mapping):
        raise UsageError(f"difficulty_weights={weights!r}", hint="they have names, as in {'easy': 0.3, 'medium': 0.7}")
    found: dict[str, float] = {}
    for name, weight in weights.items():
        if name not in DIFFICULTIES:
            raise UnknownDifficulty(f"{name!r} is no difficulty", hint=did_you_mean(str(name), DIFFICULTIES))
        try:
            number = float(weight)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            raise UsageError(f"the weight of {name!r} is {weight!r}", hint="weights are shares: from 0 to 1")
        found[name] = number
    total = math.fsum(found.values())
    if abs(total - 1) > _NEAR_ONE:
        raise UsageError(
            f"the weights {dict(weights)} sum to {total:g}",
            hint="they are shares of the whole, and sum to 1, as in {'easy': 0.3, 'medium': 0.7}",
        )
    return {name: found[name] for name in DIFFICULTIES if found.get(name)}


def checked_total(total: object) -> int:
    """The number of samples that was asked for; UsageError when it is none."""
    try:
        number = operator.index(total)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1 or isinstance(total, bool):
        raise UsageError(f"total={total!r}", hint="it is the number of samples: 1 or more")
    return number


def shares(weights: Weights, total: int) -> dict[str, int]:
    """How many of `total` samples each difficulty gets: whole numbers that add up, by the largest remainder.

    Of equal remainders the greater weight goes first, then the easier one.
    """
    exact = {name: Fraction(repr(weight)) for name, weight in weights.items()}  # 0.3 is three tenths
    whole = sum(exact.values())
    quotas = {name: total * weight / whole for name, weight in exact.items()}
    counts = {name: math.floor(quota) for name, quota in quotas.items()}
    left = total - sum(counts.values())
    ranked = sorted(quotas, key=lambda name: (counts[name] - quotas[name], -exact[name], DIFFICULTIES.index(name)))
    for name in ranked[:left]:
        counts[name] += 1
    return counts


@dataclass(frozen=True, slots=True)
class Shortage:
    """A difficulty of which more samples are wanted than there are triplets."""

    difficulty: str
    wanted: int
    available: int

    @property
    def words(self) -> str:
        """What the log says of it."""
        return (
            f"Target count exceeds available samples for difficulty {self.difficulty!r}: {self.wanted:,} wanted, "
            f"{self.available:,} there; triplets are repeated, each as often as any other or once more"
        )


def choose(
    keys: Mapping[str, Sequence[str]], weights: Weights | None, total: int | None, seed: int
) -> tuple[list[tuple[str, int]], list[Shortage]]:
    """The samples of a dataset in their order: difficulty, and number among `keys[difficulty]`.

    `keys` are names of the available triplets. What is drawn depends on these and on the seed alone, not on the order
    of the keys, as long as no two are equal; another triplet changes it as little as can be. Where a difficulty has too
    few, its triplets are repeated evenly; each such Shortage is told. Without weights all triplets are drawn alike.

    `total` is by default the number of all triplets. UnknownContent when a difficulty has a weight and no triplet.
    """
    available = {name: len(found) for name, found in keys.items() if found}
    total = sum(available.values()) if total is None else checked_total(total)
    order = {name: _order(found, seed) for name, found in keys.items()}
    picked: list[tuple[bytes, int, str, int]] = []  # what sorts the samples, which round, and the two that are told
    shortages = []
    if weights is None:
        every = sorted((mark, name, number) for name, ranked in order.items() for mark, number in ranked)
        counts, pools = {"": total}, {"": every}
    else:
        for name in weights:
            if name not in available:
                raise UnknownContent(f"No samples available for difficulty {name!r}")
        counts = shares(weights, total)
        pools = {name: [(mark, name, number) for mark, number in order[name]] for name in weights}
    for pool, count in counts.items():
        for nth in range(count if pools[pool] else 0):
            again, at = divmod(nth, len(pools[pool]))
            mark, name, number = pools[pool][at]
            picked.append((mark if not again else _mark(f"{again}", mark.hex()), again, name, number))
        if count > len(pools[pool]):
            shortages.append(Shortage(pool or "all", count, len(pools[pool])))
    picked.sort(key=lambda one: (one[0][8:], one[1], one[0]))  # other bytes than those that chose
    return [(name, number) for _, _, name, number in picked], shortages


def _order(keys: Sequence[str], seed: int) -> list[tuple[bytes, int]]:
    """The numbers of keys, in the order in which they are drawn, each with the mark that says so."""
    return sorted((_mark(str(seed), key), number) for number, key in enumerate(keys))


def _mark(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).digest()
