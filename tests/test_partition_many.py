"""Many parts: what is looked at again is only what changed."""

from __future__ import annotations

import numpy as np

from visprep.partition.filling import evened

BINS = 40


def evening():
    """Units of several weights in bins that they fill unevenly; the bins in the end, and what was asked for costs."""
    rng = np.random.default_rng(3)
    weights = rng.integers(1, 30, 4_000)
    found = rng.integers(0, BINS, len(weights))
    room = np.full(BINS, weights.sum() // BINS)
    room[: weights.sum() % BINS] += 1
    asked = []

    def moved(now, giver, taker):
        asked.append((giver, taker))
        return np.cos(np.arange(len(now)) + 10 * giver + taker)

    return evened(found, weights, room, moved), weights, room, asked


def test_bins_are_filled_to_the_record():
    found, weights, room, _ = evening()
    assert np.bincount(found, weights=weights, minlength=BINS).tolist() == room.tolist()


def test_pairs_of_bins_in_which_nothing_changed_are_not_looked_at_again():
    *_, asked = evening()
    # A look at every pair after every exchange would be a hundred times as many
    assert len(asked) < 25 * len(set(asked))
