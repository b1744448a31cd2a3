"""When a draw's item is drawn again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visprep.loaders.next_uses import NEVER, next_uses


def by_looking(draws: list[int], following: list[int]) -> list[int]:
    both = draws + following
    return [next((n for n in range(i + 1, len(both)) if both[n] == both[i]), NEVER) for i in range(len(draws))]


def test_it_is_the_next_draw_of_the_same_item_in_this_epoch_or_the_following():
    assert next_uses(np.array([5, 7, 5, 9]), np.array([9, 5])).tolist() == [2, NEVER, 5, 4]


@given(st.lists(st.integers(0, 8), max_size=30), st.lists(st.integers(0, 8), max_size=30))
def test_it_agrees_with_looking_ahead(draws: list[int], following: list[int]):
    assert next_uses(np.array(draws, int), np.array(following, int)).tolist() == by_looking(draws, following)


@pytest.mark.parametrize("base", [0, 65_530, 2**31, 2**40])
def test_items_may_be_large(base: int):
    draws = [base + n for n in (3, 1, 70_000, 3, 0, 1)]
    following = [base + n for n in (70_000, 131_072, 0)]
    assert next_uses(np.array(draws), np.array(following)).tolist() == by_looking(draws, following)


def test_without_draws_there_are_none():
    assert next_uses(np.array([], int), np.array([], int)).tolist() == []
