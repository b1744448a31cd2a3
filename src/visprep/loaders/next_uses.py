"""When each item of a known order of draws is drawn again: what a cache must know to keep the right ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The number of a draw that never comes.
NEVER = 2**62


def next_uses(draws: NDArray[Any], following: NDArray[Any]) -> NDArray[np.int64]:
    """For each of `draws`, the number of the draw at which the same item comes again.

    Draws are counted from the first of `draws` on through `following` (those of the next epoch); `NEVER` where the
    item comes in neither again. Items are whole numbers of 0 and more. Time and memory are linear in the draws.
    """
    items = np.concatenate([np.asarray(draws, np.int64), np.asarray(following, np.int64)])
    order = _sorted_by(items)
    grouped = items[order]
    uses = np.full(len(items), NEVER, np.int64)
    again = grouped[1:] == grouped[:-1]
    uses[order[:-1][again]] = order[1:][again]
    return uses[: len(draws)]


def _sorted_by(items: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order that sorts items, equal ones as they come: numpy sorts 16 bits in linear time, so 16 bits at a time."""
    order = np.arange(len(items))
    highest = int(items.max(initial=0))
    for shift in range(0, max(highest.bit_length(), 1), 16):
        digits = (items >> shift).astype(np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
    return order
