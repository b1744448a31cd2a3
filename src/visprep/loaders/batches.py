"""A batch of indices that also says what comes after it, so that it can be on its way before it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Batch(list[int]):
    """The indices of one batch.

    `first` is the number of its first draw, counted over all ranks and from the first epoch on. `upcoming` are the
    indices of the batches that the same worker gets next, soonest first. Where the sampler was asked to look further,
    `next_uses` tells for each index at which draw it comes again, in this epoch or the next (see `next_uses`), and
    `upcoming_next_uses` the same for `upcoming`. `seed` is for what is drawn while the batch is made. A DataLoader
    hands it unchanged to `Dataset.__getitems__`, through its workers' queues too.
    """

    __slots__ = ("first", "next_uses", "seed", "upcoming", "upcoming_next_uses")

    def __init__(
        self,
        indices: Iterable[int] = (),
        first: int = 0,
        upcoming: Sequence[int] = (),
        next_uses: Sequence[int] = (),
        upcoming_next_uses: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(indices)
        self.first = first
        self.upcoming = upcoming
        self.next_uses = next_uses
        self.upcoming_next_uses = upcoming_next_uses
        self.seed = seed


class Lone(list[int]):
    """One index that somebody asked for by itself, of whom no word of the next one is expected."""
