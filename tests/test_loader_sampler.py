"""The order of samples: the same for any number of ranks, and from any batch on."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visprep.errors import BadRecord, UsageError
from visprep.loaders.batches import Batch
from visprep.loaders.next_uses import NEVER
from visprep.loaders.sampler import EpochSampler


def _dealt(length: int, batch_size: int, ranks: int, **more: Any) -> list[list[Batch]]:
    """The batches of one epoch, rank for rank."""
    return [list(EpochSampler(length, batch_size, rank=rank, ranks=ranks, **more)) for rank in range(ranks)]


def _woven(dealt: list[list[Batch]]) -> list[int]:
    """The draws of all ranks in the order in which they are made."""
    return [index for step in zip(*dealt, strict=True) for batch in step for index in batch]


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 4.0, 1.0] * 40])
def test_the_order_is_the_same_for_any_number_of_ranks(ranks: int, weights: list[float] | None) -> None:
    whole = EpochSampler(160, 5, weights=weights, seed=7).order(0).tolist()
    assert _woven(_dealt(160, 5, ranks, weights=weights, seed=7)) == whole


def test_every_sample_comes_once_an_epoch_and_each_epoch_in_another_order() -> None:
    sampler = EpochSampler(1000, 32, seed=3)
    first, second = sampler.order(0).tolist(), sampler.order(1).tolist()
    assert sorted(first) == sorted(second) == list(range(1000))
    assert first != second != list(range(1000))
    assert EpochSampler(1000, 32, seed=4).order(0).tolist() != first


def test_the_order_of_a_seed_does_not_change_from_version_to_version() -> None:
    # A state that was kept must mean the same draws for good
    assert EpochSampler(10, 2, seed=0).order(0).tolist() == ORDER_OF_SEED_0
    assert EpochSampler(10, 2, seed=0, weights=[1.0] * 10).order(0).tolist() == DRAWS_OF_SEED_0


ORDER_OF_SEED_0 = [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]
DRAWS_OF_SEED_0 = [6, 2, 0, 0, 8, 9, 6, 7, 5, 9]


def test_without_shuffle_samples_come_in_their_own_order() -> None:
    assert list(EpochSampler(5, 2, shuffle=False)) == [[0, 1], [2, 3], [4]]
    assert list(EpochSampler(5, 2, shuffle=False, drop_last=True)) == [[0, 1], [2, 3]]


def test_draws_follow_the_weights_and_a_weight_of_0_never_comes() -> None:
    counts = Counter(EpochSampler(4, 10, weights=[1, 0, 2, 4], draws=70_000, seed=1).order(0).tolist())
    assert set(counts) == {0, 2, 3}
    assert counts[0] == pytest.approx(10_000, rel=0.05)
    assert counts[2] == pytest.approx(20_000, rel=0.05)
    assert counts[3] == pytest.approx(40_000, rel=0.05)


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(0, 60),
    batch_size=st.integers(1, 9),
    ranks=st.integers(1, 8),
    uneven=st.sampled_from(["pad", "drop"]),
    drop_last=st.booleans(),
)
def test_all_ranks_have_as_many_batches_of_the_same_size(
    length: int, batch_size: int, ranks: int, uneven: Any, drop_last: bool
) -> None:
    dealt = _dealt(length, batch_size, ranks, uneven=uneven, drop_last=drop_last)
    sizes = [[len(batch) for batch in batches] for batches in dealt]
    assert all(each == sizes[0] for each in sizes)
    assert all(size > 0 for size in sizes[0])
    assert len(EpochSampler(length, batch_size, ranks=ranks, uneven=uneven, drop_last=drop_last)) == len(sizes[0])
    woven = _woven(dealt)
    if drop_last:
        assert all(size == batch_size for size in sizes[0])
        assert len(woven) == length // (ranks * batch_size) * ranks * batch_size
    elif uneven == "pad":
        assert set(woven) == set(range(length))
        assert 0 <= len(woven) - length < ranks
    else:
        assert len(woven) == len(set(woven))
        assert 0 <= length - len(woven) < ranks


@settings(max_examples=100, deadline=None)
@given(
    length=st.integers(1, 60),
    batch_size=st.integers(1, 9),
    before=st.integers(1, 4),
    after=st.integers(1, 4),
    data=st.data(),
)
def test_a_state_goes_on_at_every_step_with_any_number_of_ranks(
    length: int, batch_size: int, before: int, after: int, data: st.DataObject
) -> None:
    undisturbed = EpochSampler(length, batch_size, seed=5).order(0).tolist()
    taken = EpochSampler(length, batch_size, seed=5, ranks=before)
    steps = data.draw(st.integers(1, len(taken)))
    state = json.loads(json.dumps(taken.state(0, taken.delivered_after(steps))))
    assert len(json.dumps(state)) < 1024
    dealt = []
    for rank in range(after):
        sampler = EpochSampler(length, batch_size, seed=5, rank=rank, ranks=after)
        sampler.restore(state)
        if state["delivered"] == length:  # the epoch was over, and the next one begins
            assert (sampler.epoch, sampler.delivered) == (1, 0)
            return
        dealt.append(list(sampler))
    rest = undisturbed[steps * before * batch_size :]
    assert _woven(dealt)[: len(rest)] == rest


def test_a_state_of_an_epoch_whose_rest_is_dropped_begins_the_next() -> None:
    sampler = EpochSampler(10, 4, drop_last=True)
    state = sampler.state(2, sampler.delivered_after(2))
    sampler.restore(state)
    assert (sampler.epoch, sampler.delivered) == (3, 0)
    assert len(list(sampler)) == 2


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_batch_announces_those_that_the_same_worker_gets_next(workers: int) -> None:
    batches = list(EpochSampler(40, 4, workers=workers, ahead=2, seed=1))
    stride = max(1, workers)
    for number, batch in enumerate(batches):
        coming = batches[number + stride :: stride][:2]
        assert list(batch.upcoming) == [index for one in coming for index in one]
        assert batch.first == number * 4


def test_a_batch_tells_when_its_samples_come_again() -> None:
    sampler = EpochSampler(6, 2, look_further=True, seed=2)
    order, following = sampler.order(0).tolist(), sampler.order(1).tolist()
    for number, batch in enumerate(sampler):
        assert list(batch.next_uses) == [6 + following.index(index) for index in batch]
        assert list(batch) == order[2 * number : 2 * number + 2]
        assert list(batch.upcoming_next_uses) == [6 + following.index(index) for index in batch.upcoming]


def test_draws_are_counted_on_from_epoch_to_epoch() -> None:
    sampler = EpochSampler(6, 2, look_further=True)
    sampler.epoch = 2
    following = sampler.order(3).tolist()
    for number, batch in enumerate(sampler):
        assert batch.first == 12 + 2 * number
        assert list(batch.next_uses) == [18 + following.index(index) for index in batch]


def test_a_sample_that_is_drawn_no_more_has_no_next_use() -> None:
    sampler = EpochSampler(1000, 10, weights=[1.0] * 1000, draws=20, look_further=True)
    draws = [*sampler.order(0).tolist(), *sampler.order(1).tolist()]
    uses = [use for batch in sampler for use in batch.next_uses]
    assert uses == [next((at for at in range(n + 1, 40) if draws[at] == draws[n]), NEVER) for n in range(20)]


def test_a_batch_survives_the_way_to_a_worker() -> None:
    batch = next(iter(EpochSampler(9, 3, ahead=1, look_further=True)))
    again = pickle.loads(pickle.dumps(batch))
    assert type(again) is Batch
    assert (again, again.first, again.upcoming, again.next_uses) == (
        batch,
        batch.first,
        batch.upcoming,
        batch.next_uses,
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"ranks": 0}, "ranks"),
        ({"rank": 2, "ranks": 2}, "no rank 2"),
        ({"rank": -1}, "rank"),
        ({"seed": -1}, "seed"),
        ({"uneven": "loop"}, "uneven"),
        ({"weights": [1.0]}, "1 weights for 4 samples"),
        ({"weights": [1.0, -1.0, 1.0, 1.0]}, "negative"),
        ({"weights": [0.0] * 4}, "above 0"),
        ({"weights": [float("nan")] * 4}, "finite"),
        ({"draws": 3}, "draws"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        EpochSampler(4, **{"batch_size": 2, **arguments})


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"length": 11}, "length was 10, and is 11"),
        ({"seed": 1}, "seed was 0, and is 1"),
        ({"weights": [1.0] * 10}, "weights"),
        ({"shuffle": False}, "shuffle"),
    ],
)
def test_a_state_of_other_draws_is_refused(other: dict[str, Any], told: str) -> None:
    state = EpochSampler(10, 2).state(0, 4)
    sampler = EpochSampler(**{"length": 10, "batch_size": 2, **other})
    with pytest.raises(UsageError, match=told):
        sampler.restore(state)
    assert (sampler.epoch, sampler.delivered) == (0, 0)


@pytest.mark.parametrize("state", [{}, {"epoch": 1}, {"format_version": 9, "epoch": 0, "delivered": 0, "sequence": {}}])
def test_what_is_no_state_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        EpochSampler(10, 2).restore(state)
