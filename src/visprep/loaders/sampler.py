"""Which samples come when: shuffled or weighted, the same for any number of ranks, resumable at any batch.

All of an epoch's draws are one sequence, a function of the seed and the number of the epoch alone. It is cut into
batches, and these are dealt to the ranks in turn; so the state of a training is where in the sequence it has come to,
whatever the number of ranks, and may be taken up by another number.

The draws are made of the raw output of PCG64, which numpy keeps the same from version to version, while it does not
promise that of `permutation` and `choice` (NEP 19).
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from visprep.errors import BadRecord, UsageError
from visprep.loaders.batches import Batch
from visprep.loaders.next_uses import NEVER, next_uses

Draws = npt.NDArray[np.int64]

FORMAT_VERSION = 1


class EpochSampler:
    """A batch sampler for a DataLoader: iterated, it gives the batches of one epoch that this rank has left.

    `length` is the number of samples. Without `weights` every sample comes once an epoch, in a new order each time or,
    without `shuffle`, in its own; with `weights`, one for each sample, `draws` (by default as many as there are
    samples) are made with replacement, each sample as often as its weight says. `batch_size` counts samples a rank.
    Where the draws do not go into the ranks evenly, `uneven` says whether the last ones are dropped, or the first of
    the epoch are taken once more ("pad"); so all ranks have as many batches, of the same size. `drop_last` leaves out
    an epoch's last batch when it is smaller than the others.

    `ahead` batches of the same worker are announced with each batch, for `workers` of a DataLoader. `look_further`
    tells when each sample comes again, for a cache that is ordered by it.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        shuffle: bool = True,
        weights: Sequence[float] | npt.NDArray[np.floating[Any]] | None = None,
        draws: int | None = None,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        uneven: Literal["pad", "drop"] = "pad",
        drop_last: bool = False,
        workers: int = 0,
        ahead: int = 2,
        look_further: bool = False,
    ) -> None:
        self.length, self.batch_size = length, _at_least(1, "batch_size", batch_size)
        self.shuffle, self.seed = shuffle, _at_least(0, "seed", seed)
        self.ranks = _at_least(1, "ranks", ranks)
        self.rank = _at_least(0, "rank", rank)
        if self.rank >= self.ranks:
            raise UsageError(f"there is no rank {rank} among {ranks}", hint="ranks are counted from 0")
        if uneven not in ("pad", "drop"):
            raise UsageError(f"uneven is {uneven!r}", hint='it is "pad" or "drop"')
        self.uneven, self.drop_last = uneven, drop_last
        self.workers, self.ahead = _at_least(0, "workers", workers), _at_least(0, "ahead", ahead)
        self.look_further = look_further
        self._bounds = None if weights is None else _bounds(weights, length)
        if weights is None and draws not in (None, length):
            raise UsageError("draws go with weights; without them every sample comes once", hint="leave draws out")
        self.draws = length if draws is None else _at_least(0, "draws", draws)
        self.epoch = 0
        #: Draws of this epoch that all ranks together have been given already.
        self.delivered = 0

    def __len__(self) -> int:
        """The batches of a whole epoch, for this rank."""
        step = self.ranks * self.batch_size
        whole, rest = divmod(self.draws, step)
        return whole + (0 if self.drop_last else min(1, self._share(rest)))

    def __iter__(self) -> Iterator[Batch]:
        """The batches that are left of this epoch, beginning where `delivered` says."""
        order = self.order(self.epoch)
        uses = next_uses(order, self.order(self.epoch + 1)) if self.look_further else None
        mine = list(self._mine(self.delivered))
        epoch, begin = self.epoch, self.delivered
        stride, before = max(1, self.workers), self.epoch * self.draws
        if uses is not None:
            uses = np.where(uses == NEVER, NEVER, uses + before)
        for number, draws in enumerate(mine):
            soon = mine[number + stride : number + stride * self.ahead + 1 : stride]
            coming = np.concatenate(soon) if soon else _NONE
            yield Batch(
                order[draws].tolist(),
                before + int(draws[0]),
                order[coming].tolist(),
                uses[draws].tolist() if uses is not None else (),
                uses[coming].tolist() if uses is not None else (),
                self._seed_at(epoch, begin + number * self.ranks * self.batch_size),
            )

    def order(self, epoch: int) -> Draws:
        """All draws of an epoch, for all ranks together: indices of samples."""
        if self._bounds is not None:
            at = _fractions(self.seed, epoch, self.draws)
            return np.searchsorted(self._bounds, at, side="right").astype(np.int64)
        if self.shuffle:
            return np.argsort(_raw(self.seed, epoch, self.length), kind="stable").astype(np.int64)
        return np.arange(self.length, dtype=np.int64)

    def _mine(self, begin: int) -> Iterator[Draws]:
        """Which draws this rank gets, batch for batch, from the `begin`th draw of all ranks on."""
        while begin < self.draws:
            rest = min(self.draws - begin, self.ranks * self.batch_size)
            if rest < self.ranks * self.batch_size and self.drop_last:
                return
            share = self._share(rest)
            if share:
                draws = np.arange(begin + self.rank * share, begin + (self.rank + 1) * share, dtype=np.int64)
                yield draws % self.draws  # those beyond the end are the first ones again
            begin += rest

    def _share(self, draws: int) -> int:
        """How many of one step's draws each rank gets."""
        return -(-draws // self.ranks) if self.uneven == "pad" else draws // self.ranks

    def delivered_after(self, batches: int) -> int:
        """`delivered` when this many more batches of this rank have been delivered, and as many of all others."""
        return min(self.delivered + batches * self.ranks * self.batch_size, self.draws)

    def seed_here(self) -> int:
        """A seed for what is drawn besides, by this rank, from where it has come to."""
        return self._seed_at(self.epoch, self.delivered)

    def seed_after(self, batches: int) -> int:
        """The seed of the batch that comes after so many more of this rank, which is that in its `Batch`."""
        return self._seed_at(self.epoch, self.delivered + batches * self.ranks * self.batch_size)

    def _seed_at(self, epoch: int, delivered: int) -> int:
        here = f"{self.seed}/{epoch}/{delivered}/{self.rank}"
        return int.from_bytes(hashlib.sha256(here.encode()).digest()[:7], "big")

    def state(self, epoch: int, delivered: int) -> dict[str, Any]:
        """What to keep of a training that has come this far, as plain data of a few hundred bytes."""
        return {
            "format_version": FORMAT_VERSION,
            "epoch": epoch,
            "delivered": delivered,
            "sequence": self._sequence(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; UsageError when it is of another sequence of draws."""
        try:
            version, epoch, delivered = (operator.index(state[key]) for key in ("format_version", "epoch", "delivered"))
            sequence = dict(state["sequence"])
        except (KeyError, TypeError, ValueError) as problem:
            raise BadRecord(f"that is no state of a loader: {problem}", hint="give what state_dict() gave") from None
        if version != FORMAT_VERSION:
            raise BadRecord(f"a loader's state of format {version}", hint="use the version of visprep that wrote it")
        ours = self._sequence()
        if differing := [name for name, value in ours.items() if sequence.get(name) != value]:
            name = differing[0]
            raise UsageError(
                f"the state is of other draws: {name} was {sequence.get(name)}, and is {ours[name]}",
                hint="make the loader with the dataset and the arguments that it had",
            )
        self.epoch, self.delivered = epoch, delivered
        if next(self._mine(delivered), None) is None:  # it was taken at the last batch of its epoch
            self.epoch, self.delivered = epoch + 1, 0

    def _sequence(self) -> dict[str, Any]:
        """All that the sequence of draws depends on."""
        weights = None if self._bounds is None else hashlib.sha256(self._bounds.tobytes()).hexdigest()[:16]
        return {
            "length": self.length,
            "draws": self.draws,
            "weights": weights,
            "shuffle": self.shuffle if weights is None else None,
            "seed": self.seed,
        }


_NONE = np.empty(0, dtype=np.int64)


def _at_least(least: int, name: str, value: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise UsageError(f"{name} is {value!r}", hint=f"it is a whole number of at least {least}")
    return number


def _bounds(weights: Sequence[float] | npt.NDArray[np.floating[Any]], length: int) -> npt.NDArray[np.float64]:
    """Where in [0, 1) each sample's share ends."""
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (length,):
        raise UsageError(f"there are {given.size} weights for {length} samples", hint="give one for each sample")
    if length and not (np.isfinite(given).all() and (given >= 0).all() and given.sum() > 0):
        raise UsageError("weights are finite, none is negative, and one at least is above 0")
    ends = np.cumsum(given)
    if length:
        ends /= ends[-1]
        ends[np.flatnonzero(given)[-1] :] = 1.0  # rounding leaves nothing over, nor gives it to a weight of 0
    return ends


def _raw(seed: int, epoch: int, count: int) -> npt.NDArray[np.uint64]:
    raw: npt.NDArray[np.uint64] = np.asarray(
        np.random.PCG64(np.random.SeedSequence([seed, epoch])).random_raw(count), dtype=np.uint64
    )
    return raw


def _fractions(seed: int, epoch: int, count: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1), of 53 bits."""
    return (_raw(seed, epoch, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
