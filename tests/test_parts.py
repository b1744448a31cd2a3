"""The parts that are asked for, as they are written."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visprep.errors import UsageError
from visprep.partition import Method, parse_parts
from visprep.partition.parts import largest_remainder


def test_shares_are_read_as_they_are_written() -> None:
    parts = parse_parts("train=0.8, val=.1 ,test=1/10")
    assert parts.names == ("train", "val", "test")
    assert [part.size for part in parts.parts] == [Fraction(4, 5), Fraction(1, 10), Fraction(1, 10)]
    assert (parts.counted, parts.method) == (False, Method.STABLE)
    assert str(parts) == "train=0.8,val=0.1,test=0.1"
    assert str(parse_parts("a=1/3,b=0.00001")) == "a=1/3,b=1/100000"
    assert str(parse_parts("a=1.,b=0")) == "a=1.0,b=0.0"


def test_counts_are_read_as_they_are_written() -> None:
    parts = parse_parts("train=10000,val=1")
    assert [part.size for part in parts.parts] == [10_000, 1]
    assert (parts.counted, parts.method) == (True, Method.EXACT)
    assert str(parts) == "train=10000,val=1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no part"),
        ("train", "is no part"),
        ("train=", "is no part"),
        ("train=0.8,,val=0.2", "is no part"),
        ("train=x", "is no part"),
        ("train=-0.5", "is no part"),
        ("train=1e-1", "is no part"),
        ("train=80%", "is no part"),
        ("train=1/0", "is no part"),
        ("train=\u0660.\u0665", "is no part"),
        ("train=.", "is no part"),
        ("=0.5", "cannot be the name"),
        ("../x=0.5", "cannot be the name"),
        (".hidden=0.5", "cannot be the name"),
        ("-x=0.5", "cannot be the name"),
        ("a b=0.5", "cannot be the name"),
        ("a.=0.5", "cannot be the name"),
        (f"{'a' * 65}=0.5", "cannot be the name"),
        ("train=0.8,train=0.1", "the same name"),
        ("train=0.8,Train=0.1", "the same name"),
        ("train=0.8,val=0.3", "sum to 1.1"),
        ("train=1,val=0.1", "sum to 1.1"),
        ("train=0.8,val=2000", "2000 is a count"),
        ("train=0,val=0.0", "nothing is asked for"),
        ("train=1", "all records, or one"),
    ],
)
def test_what_is_no_list_of_parts_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_parts(text)


def test_parts_that_stay_are_named_once() -> None:
    parts = parse_parts("train=0.9,test=0.1").with_staying(["val"])
    assert parts.names == ("train", "test", "val")
    assert parts.staying == (False, False, True)
    assert parts.wanted(10) == (9, 1, 0)
    assert str(parts) == "train=0.9,test=0.1"
    with pytest.raises(UsageError, match="the same name"):
        parts.with_staying(["train"])


@given(st.lists(st.fractions(0, 1), min_size=1, max_size=6).filter(any), st.integers(0, 10**9))
def test_largest_remainder_is_never_off_by_one(weights: list[Fraction], count: int) -> None:
    found = largest_remainder(weights, count)
    assert sum(found) == count
    for weight, number in zip(weights, found, strict=True):
        assert abs(number - weight * count / sum(weights)) < 1


def test_what_shares_leave_is_counted_as_well() -> None:
    assert parse_parts("a=1/3,b=1/3").wanted(10) == (4, 3)
    assert parse_parts("a=0.25,b=0.25").wanted(3) == (1, 1)
    assert parse_parts("train=0.8,val=0.1,test=0.1").wanted(118_287) == (94_629, 11_829, 11_829)
