"""Which record goes into which part: what holds whatever the records, classes and groups are like."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visprep.errors import UsageError
from visprep.partition import LEFT_OUT, Assignment, Balance, Parts, Population, assign, join, measure, parse_parts

THREE = parse_parts("train=0.8,val=0.1,test=0.1")


def population(labels: list[list[int]], values: list[str | None] | None = None, prefix: str = "") -> Population:
    """Records by the classes that each has, and by the values that make groups."""
    keys = [f"{prefix}{number:06}.jpg" for number in range(len(labels))]
    classes = [f"class {label}" for label in range(max((label for one in labels for label in one), default=-1) + 1)]
    pairs = sorted({(number, label) for number, one in enumerate(labels) for label in one})
    groups = join(keys, np.empty((0, 2), np.int64), values) if values else None
    return Population.of(keys, classes, np.array(pairs, np.int64).reshape(-1, 2), groups)


def drawn(records: Population, parts: Parts | str = THREE, **options: Any) -> tuple[Assignment, Balance]:
    parts = parse_parts(parts) if isinstance(parts, str) else parts
    found = assign(records, parts, **options)
    return found, measure(records, parts, found)


def exact(records: Population, parts: Parts | str = THREE, **options: Any) -> Balance:
    return drawn(records, parts, method="exact", stratify=True, **options)[1]


def by_key(records: Population, found: Assignment) -> dict[str, int]:
    return dict(zip(records.keys, found.parts.tolist(), strict=True))


def many(count: int, seed: int = 0) -> list[list[int]]:
    """Records with 0 to 4 of 60 classes, of which the commonest is 100 times as common as the rarest."""
    dice = np.random.default_rng(seed)
    chances = np.geomspace(1, 0.01, 60)
    chances /= chances.sum()
    return [dice.choice(60, dice.integers(0, 5), replace=False, p=chances).tolist() for _ in range(count)]


def shuffled(records: Population, seed: int) -> Population:
    """The same records, classes and groups in another order, and with other numbers."""
    dice = np.random.default_rng(seed)
    order, names, numbers = (
        dice.permutation(count) for count in (len(records), len(records.classes), len(records.group_keys))
    )
    owners, labels = records.having.T
    moved, renamed = np.argsort(order), np.argsort(names)
    return Population(
        tuple(records.keys[at] for at in order),
        tuple(records.classes[at] for at in names),
        dice.permutation(np.column_stack([moved[owners], renamed[labels]])),
        np.argsort(numbers)[records.groups[order]],
        tuple(records.group_keys[at] for at in numbers),
    )


PARTS = st.sampled_from(
    [
        "train=0.8,val=0.1,test=0.1",
        "a=0.5,b=0.5",
        "a=0.3,b=0.2",
        "a=1/3,b=0,c=2/3",
        "all=1.0",
        "train=0.899,val=0.1,test=0.001",
        ",".join(f"p{number}=0.1" for number in range(10)),
    ]
)
RECORDS = st.lists(
    st.tuples(st.lists(st.integers(0, 8), max_size=4), st.one_of(st.none(), st.sampled_from("abcdef"))), max_size=60
)


@settings(deadline=None, max_examples=200)
@given(RECORDS, PARTS, st.sampled_from(["stable", "exact"]), st.booleans(), st.integers(0, 5), st.data())
def test_whatever_comes_groups_stay_whole_what_was_placed_stays_and_order_is_nothing(
    rows: list[tuple[list[int], str | None]], text: str, method: str, stratify: bool, seed: int, data: st.DataObject
) -> None:
    parts = parse_parts(text)
    records = population([labels for labels, _ in rows], [value for _, value in rows])
    some = st.lists(st.integers(-1, len(parts.names) - 1), min_size=len(rows), max_size=len(rows))
    placed = np.array(data.draw(st.one_of(st.none(), some)) or [LEFT_OUT] * len(rows), np.int64)
    options: dict[str, Any] = {"method": method, "stratify": stratify, "seed": seed}
    found, balance = drawn(records, parts, placed=placed, **options)

    assert found.parts.shape == (len(rows),)
    assert set(found.parts.tolist()) <= {LEFT_OUT, *range(len(parts.names))}
    assert (found.parts[placed != LEFT_OUT] == placed[placed != LEFT_OUT]).all()
    assert int(balance.reached.sum()) + balance.left_out == len(rows)
    for group in range(len(records.group_keys)):
        members = records.groups == group
        inside = set(found.parts[members].tolist())
        before = set(placed[members].tolist()) - {LEFT_OUT}
        assert inside == before or (len(before) < 2 and len(inside) == 1)
        assert (group in found.torn) == (len(before) > 1)
        assert found.tying[members].any() == (len(before) > 1 and bool((placed[members] == LEFT_OUT).any()))
    if method == "exact" and (placed == LEFT_OUT).all() and len(records.group_keys) == len(rows):
        assert balance.reached.tolist() == balance.asked.tolist()

    order = data.draw(st.integers(0, 5))
    other = shuffled(records, order)
    moved = dict(zip(records.keys, placed.tolist(), strict=True))
    again, _ = drawn(other, parts, placed=np.array([moved[key] for key in other.keys], np.int64), **options)
    assert by_key(other, again) == by_key(records, found)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 30), max_size=40), st.integers(0, 3))
def test_sizes_are_met_where_single_records_make_up_for_groups(sizes: list[int], seed: int) -> None:
    singles = 30 * len(sizes)
    values = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)] + [None] * singles
    records = population([[number % 7] for number in range(len(values))], values)
    for stratify in (False, True):
        _, balance = drawn(records, "a=0.6,b=0.4", method="exact", stratify=stratify, seed=seed)
        assert balance.reached.tolist() == balance.asked.tolist()


@pytest.mark.parametrize("method", ["stable", "exact"])
def test_another_seed_draws_another_way(method: str) -> None:
    records = population(many(1_000))
    for stratify in (False, True):
        ways = {
            drawn(records, method=method, stratify=stratify, seed=seed)[0].parts.tobytes() for seed in (-1, 0, 1, 2**70)
        }
        assert len(ways) == 4


@pytest.mark.parametrize("grown", [10_100, 11_000, 20_000])
def test_what_grows_moves_nothing(grown: int) -> None:
    after = population(many(grown))
    few = population(many(10_000))
    before, _ = drawn(few, seed=3)
    later, _ = drawn(after, seed=3)
    assert (later.parts[:10_000] == before.parts).all()
    for method in ("stable", "exact"):
        first, _ = drawn(few, method=method, stratify=True, seed=4)
        placed = np.append(first.parts, np.full(grown - 10_000, LEFT_OUT))
        later, balance = drawn(after, method=method, stratify=True, placed=placed, seed=5)
        assert (later.parts[:10_000] == first.parts).all()
        assert LEFT_OUT not in later.parts
    assert balance.reached.tolist() == balance.asked.tolist()
    assert balance.worst(200) < 1


def test_an_exact_split_that_was_not_stratified_is_mended_by_what_is_new() -> None:
    labels = [[number % 2] for number in range(2_000)]
    placed = np.array([0 if number % 2 and number < 800 else LEFT_OUT for number in range(2_000)], np.int64)
    balance = exact(population(labels), "a=0.5,b=0.5", placed=placed)
    assert balance.per_class.tolist() == [[500, 500], [500, 500]]


def test_a_part_that_has_more_than_its_share_already_takes_no_more() -> None:
    placed = np.array([1] * 60 + [LEFT_OUT] * 40, np.int64)
    _, balance = drawn(population([[]] * 100), "a=0.6,b=0.2,c=0.2", method="exact", placed=placed)
    assert balance.reached.tolist() == [30, 60, 10]
    assert balance.asked.tolist() == [60, 20, 20]


def test_shares_that_leave_something_leave_it_out() -> None:
    for method in ("stable", "exact"):
        found, balance = drawn(population([[0]] * 10_000), "a=0.25,b=0.5", method=method)
        assert balance.left_out == np.count_nonzero(found.parts == LEFT_OUT)
        assert abs(balance.left_out - 2_500) <= (0 if method == "exact" else 200)


def test_counts_are_met_and_the_rest_is_left_out() -> None:
    _, balance = drawn(population(many(1_000)), "train=300,val=20")
    assert (balance.reached.tolist(), balance.left_out) == ([300, 20], 680)


def test_counts_of_more_than_there_is_and_counts_by_a_hash_are_refused() -> None:
    records = population([[0]] * 10)
    with pytest.raises(UsageError, match="asks for 11 records, and there are 10"):
        drawn(records, "a=10,b=1")
    with pytest.raises(UsageError, match="are counts"):
        drawn(records, "a=5", method="stable")


def test_the_hash_is_what_it_was() -> None:
    # Written down: another hash would move every record of every split that was ever made.
    found, _ = drawn(population([[]] * 12), "a=0.5,b=0.5", method="stable", seed=42)
    assert "".join(map(str, found.parts.tolist())) == "110010001100"


def test_a_hash_says_how_uneven_it_is() -> None:
    _, balance = drawn(population([[number % 50] for number in range(10_000)]), method="stable", stratify=True)
    assert 1 < balance.worst(200) < 15


def test_a_group_of_placed_ones_draws_its_new_ones_along() -> None:
    records = population([[]] * 30, ["a"] * 10 + ["b"] * 10 + ["c"] * 10)
    placed = np.array([1] + [LEFT_OUT] * 9 + [0, 1, 1] + [LEFT_OUT] * 17, np.int64)
    for method in ("stable", "exact"):
        found, _ = drawn(records, "x=0.5,y=0.5", method=method, placed=placed)
        assert found.parts[:10].tolist() == [1] * 10
        assert found.parts[10:20].tolist() == [0] + [1] * 9
        assert found.torn == (1,)
        assert np.flatnonzero(found.tying).tolist() == list(range(13, 20))


def test_a_part_that_stays_gets_nothing_and_its_copies_are_told() -> None:
    parts = parse_parts("train=0.5,test=0.5").with_staying(["val"])
    records = population([[0]] * 102, ["same", "same", *[None] * 100])
    placed = np.array([2, LEFT_OUT, 2, 2] + [LEFT_OUT] * 98, np.int64)
    for method in ("stable", "exact"):
        found, balance = drawn(records, parts, method=method, stratify=True, placed=placed)
        assert np.flatnonzero(found.parts == 2).tolist() == [0, 2, 3]
        assert found.torn == (int(records.groups[0]),)
        assert np.flatnonzero(found.tying).tolist() == [1]
        assert (balance.records, balance.reached[2]) == (99, 3)
    assert balance.asked.tolist() == [50, 49, 0]
    assert balance.reached.tolist() == [50, 49, 3]


def test_what_stays_in_its_part_counts_for_no_class() -> None:
    parts = parse_parts("train=0.8,test=0.2").with_staying(["val"])
    records = population([[number % 2] for number in range(1_000)] + [[0]] * 1_000)
    placed = np.array([LEFT_OUT] * 1_000 + [2] * 1_000, np.int64)
    balance = exact(records, parts, placed=placed)
    assert balance.per_class.tolist() == [[400, 100, 1_000], [400, 100, 0]]
    assert balance.counts.tolist() == [500, 500]
    assert balance.errors.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_groups_without_single_records_are_exchanged_until_sizes_are_met() -> None:
    sizes = (38, 37, 35, 33, 31, 30, 28, 28, 20, 16, 15, 11, 10, 7)
    values: list[str | None] = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    for stratify in (False, True):
        records = population([[0]] * len(values), values)
        _, balance = drawn(records, "a=0.7,b=0.3", method="exact", stratify=stratify)
        assert balance.reached.tolist() == balance.asked.tolist() == [237, 102]


def test_join_ties_what_pairs_and_values_tie() -> None:
    groups = join(["f", "e", "d", "c", "b", "a"], np.array([[0, 1], [4, 3]]), [None, "z", "y", None, "y", None])
    assert groups.numbers.tolist() == [0, 0, 1, 1, 1, 2]
    assert groups.keys == ("z", "y", "a")
    assert groups.sizes.tolist() == [2, 3, 1]
    assert join([], np.empty((0, 2), np.int64)).keys == ()
    # The smallest, not the first: another order of the records gives the same key.
    assert join(["b", "a"], np.array([[0, 1]])).keys == ("a",)
    assert join(["a", "b"], np.array([[0, 1]]), ["z", "y"]).keys == ("y",)


@settings(deadline=None)
@given(st.integers(1, 40).flatmap(lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))))
def test_joined_groups_are_the_connected_ones(pairs: list[tuple[int, int]]) -> None:
    count = max((max(pair) for pair in pairs), default=0) + 1
    groups = join([str(number) for number in range(count)], np.array(pairs, np.int64).reshape(-1, 2))
    sets = {number: {number} for number in range(count)}
    for one, other in pairs:
        if sets[one] is not sets[other]:
            sets[one] |= sets[other]
            for member in sets[one]:
                sets[member] = sets[one]
    for one in range(count):
        assert set(np.flatnonzero(groups.numbers == groups.numbers[one]).tolist()) == sets[one]


def test_a_long_chain_is_one_group() -> None:
    count = 20_000
    ends = np.arange(count - 1)
    groups = join([str(number) for number in range(count)], np.column_stack([ends, ends + 1])[::-1])
    assert groups.sizes.tolist() == [count]


def test_classes_are_spread_within_a_point() -> None:
    for seed in range(3):
        balance = exact(population(many(10_000, seed)), seed=seed)
        assert balance.reached.tolist() == [8_000, 1_000, 1_000]
        assert balance.worst(200) < 1
        assert balance.absent == ()


@pytest.mark.parametrize("text", ["a=0.5,b=0.5", ",".join(f"p{number}=0.1" for number in range(10)), "a=0.999,b=0.001"])
def test_classes_are_spread_over_two_parts_ten_parts_and_a_tiny_part(text: str) -> None:
    balance = exact(population(many(10_000)), text)
    assert balance.reached.tolist() == balance.asked.tolist()
    assert balance.worst(200) < 1


def test_one_class_for_all_and_one_for_each() -> None:
    assert exact(population([[0]] * 1_000)).per_class.tolist() == [[800, 100, 100]]
    balance = exact(population([[number] for number in range(1_000)]))
    assert balance.reached.tolist() == [800, 100, 100]
    assert balance.absent == ()


def tail(alone: bool) -> Population:
    """10,000 records, 5 common classes and 1,000 of 1 to 5 records: alone on a record, or beside common ones."""
    dice = np.random.default_rng(5)
    rare = np.repeat(np.arange(5, 1_005), dice.integers(1, 6, 1_000)).tolist()
    if alone:
        return population([[label] for label in rare] + [[number % 5] for number in range(10_000 - len(rare))])
    labels = [dice.choice(5, 2, replace=False).tolist() for _ in range(10_000)]
    for label, record in zip(rare, dice.choice(10_000, len(rare), replace=False).tolist(), strict=True):
        labels[record].append(label)
    return population(labels)


def test_a_long_tail_is_in_every_part_where_there_is_room() -> None:
    balance = exact(tail(alone=False))
    assert balance.reached.tolist() == [8_000, 1_000, 1_000]
    assert balance.worst(200) < 1
    assert balance.absent == ()


def test_a_long_tail_that_has_no_room_is_told() -> None:
    balance = exact(tail(alone=True))
    assert balance.reached.tolist() == [8_000, 1_000, 1_000]
    assert balance.worst(200) < 1
    assert 0 < len(balance.absent) < 900
    names = {name: row for row, name in enumerate(balance.classes)}
    for one in balance.absent:
        assert balance.per_class[names[one.label], balance.names.index(one.part)] == 0
        assert one.count == balance.counts[names[one.label]] >= 3
        assert one.enough
    silent = np.argwhere((balance.per_class == 0) & (balance.counts >= 3)[:, None])
    assert len(silent) == len(balance.absent)


def test_classes_with_fewer_records_than_parts_are_told_as_such() -> None:
    balance = exact(population([[0]] * 4 + [[1]] * 996), ",".join(f"p{number}=0.1" for number in range(10)))
    assert {(one.label, one.enough) for one in balance.absent} == {("class 0", False)}
    assert int(balance.per_class[0].sum()) == 4


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_fewer_records_than_parts(count: int) -> None:
    for method in ("stable", "exact"):
        found, balance = drawn(population([[0]] * count), method=method, stratify=True)
        assert len(found.parts) == int(balance.reached.sum()) == count


def test_a_part_of_nothing_stays_empty() -> None:
    for method in ("stable", "exact"):
        _, balance = drawn(population(many(500)), "a=0.9,b=0,c=0.1", method=method, stratify=True)
        assert balance.reached[1] == 0
        assert "b" not in {one.part for one in balance.absent}


def test_groups_of_very_unequal_size_stay_whole_and_balanced() -> None:
    dice = np.random.default_rng(1)
    sizes = (dice.pareto(1.2, 3_000) + 1).astype(int)
    values: list[str | None] = [f"group {number}" for number in np.repeat(np.arange(3_000), sizes)][:10_000]
    balance = exact(population(many(10_000), values))
    assert balance.reached.tolist() == [8_000, 1_000, 1_000]
    assert balance.worst(200) < 1


def test_a_group_that_is_larger_than_its_part_is_seen_in_the_sizes() -> None:
    _, balance = drawn(population([[0]] * 100, ["one"] * 50 + ["two"] * 50), method="exact")
    assert sorted(balance.reached.tolist()) in ([0, 0, 100], [0, 50, 50])
    assert balance.asked.tolist() == [80, 10, 10]


def test_a_value_that_is_a_key_of_another_record_confuses_nobody() -> None:
    records = population([[0], [0]], ["000001.jpg", None])
    assert records.group_keys == ("000001.jpg", "000001.jpg")
    ways = set()
    for seed in range(8):
        other = shuffled(records, seed)
        ways.add(str(sorted(by_key(other, drawn(other, "a=0.5,b=0.5", method="exact")[0]).items())))
    assert len(ways) == 1


def test_two_classes_of_one_name_are_two() -> None:
    records = replace(population([[number % 2] for number in range(1_000)]), classes=("same", "same"))
    assert exact(records).per_class.tolist() == [[400, 50, 50], [400, 50, 50]]


def test_a_group_larger_than_any_room_that_is_left_leaves_single_records_a_place() -> None:
    found, balance = drawn(population([[]] * 3, [None, "a", "a"]), "a=0.3,b=0.2", method="exact", stratify=True)
    assert len(set(found.parts[1:].tolist())) == 1
    assert int(balance.reached.sum()) + balance.left_out == 3
