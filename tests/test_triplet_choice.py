"""Which triplets a dataset draws: shares, totals, repetition, and that nothing but names and seed decide."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visprep.errors import UnknownContent, UnknownName, UsageError
from visprep.loaders.triplet_choice import MIXTURES, UnknownDifficulty, checked, checked_total, choose, mixture, shares

NAMES = ("easy", "medium", "hard")


def keys(**counts: int) -> dict[str, list[str]]:
    return {name: [f"{name}/female/{number:05}" for number in range(count)] for name, count in counts.items()}


def drawn(available: dict[str, list[str]], weights: dict[str, float] | None, total: int | None, seed: int) -> list[str]:
    chosen, _ = choose(available, weights, total, seed)
    return [available[name][number] for name, number in chosen]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("easy", {"easy": 10_000}),
        ("medium", {"easy": 3_000, "medium": 7_000}),
        ("hard", {"easy": 2_500, "medium": 2_500, "hard": 5_000}),
    ],
)
def test_the_three_mixtures_of_ten_thousand(name: str, expected: dict[str, int]) -> None:
    assert shares(checked(mixture(name)), 10_000) == expected


@pytest.mark.parametrize(
    ("weights", "total", "expected"),
    [
        ({"easy": 0.3, "medium": 0.7}, 1, {"easy": 0, "medium": 1}),
        ({"easy": 0.3, "medium": 0.7}, 9, {"easy": 3, "medium": 6}),  # 2.7 and 6.3
        ({"easy": 0.25, "medium": 0.25, "hard": 0.5}, 3, {"easy": 1, "medium": 1, "hard": 1}),  # 0.75, 0.75, 1.5
        ({"easy": 0.5, "medium": 0.5}, 3, {"easy": 2, "medium": 1}),
        ({"easy": 0.1, "medium": 0.4, "hard": 0.5}, 10, {"easy": 1, "medium": 4, "hard": 5}),
        ({"easy": 1 / 3, "medium": 1 / 3, "hard": 1 / 3}, 9, {"easy": 3, "medium": 3, "hard": 3}),
    ],
)
def test_shares_go_by_the_largest_remainder(weights: dict[str, float], total: int, expected: dict[str, int]) -> None:
    assert shares(weights, total) == expected


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(any), st.integers(1, 10**7))
def test_shares_add_up_and_miss_by_less_than_one(parts: list[int], total: int) -> None:
    weights = {name: part / sum(parts) for name, part in zip(NAMES, parts, strict=True)}
    found = shares(checked(weights), total)
    assert sum(found.values()) == total
    assert all(abs(count - total * weights[name]) < 1 + 1e-3 for name, count in found.items())


@pytest.mark.parametrize(
    "weights",
    [
        {"easy": 0.5, "medium": 0.4},
        {"easy": 1.2, "medium": -0.2},
        {"easy": float("nan")},
        {"easy": float("inf")},
        {"easy": "much"},
        {"easy": None},
        {"easy": 0.0},
        {},
        [0.3, 0.7],
        {"easy": 30, "medium": 70},
    ],
)
def test_weights_that_are_no_shares_are_refused(weights: Any) -> None:
    with pytest.raises(UsageError) as refused:
        checked(weights)
    assert refused.value.hint


def test_what_weights_may_be() -> None:
    assert checked({"hard": 1, "easy": 0}) == {"hard": 1.0}
    assert list(checked({"hard": 0.34, "easy": 0.33, "medium": 0.33})) == ["easy", "medium", "hard"]
    with pytest.raises(UnknownDifficulty, match="'harder' is no difficulty") as refused:
        checked({"harder": 1.0})
    assert refused.value.hint == "did you mean hard?"


@pytest.mark.parametrize("name", ["impossible", "Easy", "", None, 3, ["easy"]])
def test_a_difficulty_that_there_is_not_is_a_value_error_too(name: object) -> None:
    for kind in (ValueError, UnknownName):
        with pytest.raises(kind, match="is no difficulty") as refused:
            mixture(name)
        again = pickle.loads(pickle.dumps(refused.value))
        assert (type(again), again.message, again.hint) == (type(refused.value), refused.value.message, again.hint)


@pytest.mark.parametrize("total", [0, -1, 2.5, "10", True, None])
def test_totals_are_whole_and_positive(total: object) -> None:
    with pytest.raises(UsageError, match="total="):
        checked_total(total)


def test_the_total_is_all_that_is_there_of_any_difficulty() -> None:
    chosen, shortages = choose(keys(easy=6, medium=10, hard=4), {"easy": 0.3, "medium": 0.7}, None, 0)
    assert Counter(name for name, _ in chosen) == {"easy": 6, "medium": 14}
    assert [(one.difficulty, one.wanted, one.available) for one in shortages] == [("medium", 14, 10)]
    assert "Target count exceeds available samples for difficulty 'medium': 14 wanted, 10 there" in shortages[0].words


def test_nothing_is_drawn_twice_where_there_is_enough() -> None:
    found = drawn(keys(easy=100, medium=100), {"easy": 0.5, "medium": 0.5}, 120, 3)
    assert len(set(found)) == 120


def test_what_is_short_is_repeated_evenly() -> None:
    found = Counter(drawn(keys(hard=7), {"hard": 1.0}, 7 * 4 + 3, 1))
    assert sorted(found.values()) == [4] * 4 + [5] * 3


def test_without_weights_each_comes_once() -> None:
    available = keys(easy=5, medium=3, hard=2)
    assert sorted(drawn(available, None, None, 0)) == sorted(itertools.chain(*available.values()))
    assert len(set(drawn(available, None, 4, 0))) == 4


def test_names_and_seed_alone_decide() -> None:
    available = keys(easy=50, medium=50, hard=50)
    weights = dict(MIXTURES["hard"])
    first = drawn(available, weights, 60, 5)
    assert drawn(available, weights, 60, 5) == first
    assert drawn({name: found[::-1] for name, found in reversed(available.items())}, weights, 60, 5) == first
    assert drawn(available, weights, 60, 6) != first
    assert set(drawn(available, weights, 60, 6)) != set(first)
    # And they are mixed: not one difficulty after the other
    kinds = [name.partition("/")[0] for name in first]
    assert len(list(itertools.groupby(kinds))) > 20


def test_another_triplet_changes_little() -> None:
    before = drawn(keys(easy=1000), {"easy": 1.0}, 300, 0)
    after = drawn(keys(easy=1001), {"easy": 1.0}, 300, 0)
    assert len(set(before) - set(after)) <= 1
    both = [name for name in before if name in set(after)]
    assert [name for name in after if name in set(before)] == both


def test_every_triplet_is_as_likely_as_any_other() -> None:
    times = Counter(
        name for seed in range(400) for name in drawn(keys(easy=20), {"easy": 1.0}, 5, seed)
    )  # 100 each, give or take 9
    assert len(times) == 20
    assert all(60 < count < 140 for count in times.values())
    first = Counter(drawn(keys(easy=20), {"easy": 1.0}, 20, seed)[0] for seed in range(400))
    assert len(first) == 20  # 20 each


@pytest.mark.parametrize("available", [keys(easy=3), keys(easy=3, hard=0)])
def test_a_difficulty_with_a_weight_and_no_sample_is_an_error(available: dict[str, list[str]]) -> None:
    with pytest.raises(UnknownContent, match="No samples available for difficulty 'hard'"):
        choose(available, {"easy": 0.5, "hard": 0.5}, 1, 0)
