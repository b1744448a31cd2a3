"""Which records cross from one side to another: held against looking at every pair."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from visprep.crossings import Crossing, Looks, crossings

KINDS = ("strict", "wide")


def by_pairs(homes, kinds):
    """The same by looking at every pair: (second, side of the first) -> the strictest kind."""
    found = {}
    for first, second in itertools.permutations(range(len(homes)), 2):
        (family, side), (other_family, other_side) = homes[first], homes[second]
        if (family != other_family and family and other_family) or side >= other_side:
            continue
        kind = next((kind for kind, of in kinds.items() if of[first] is not None and of[first] == of[second]), None)
        if kind:
            best = found.setdefault((second, side), kind)
            found[second, side] = min(best, kind, key=list(kinds).index)
    return found


#: A side has one family; those of no year are held against all.
HOMES = [("2014", 0), ("2017", 1), (None, 2), ("2014", 3), ("2017", 4), (None, 5)]
homes_and_values = st.lists(
    st.tuples(
        st.sampled_from(HOMES),
        st.one_of(st.none(), st.integers(0, 4)),
        st.one_of(st.none(), st.integers(0, 2)),
    ),
    max_size=30,
)


@given(homes_and_values)
def test_as_every_pair_says(rows):
    homes = [home for home, _, _ in rows]
    kinds = {"strict": [strict for _, strict, _ in rows], "wide": [wide for _, _, wide in rows]}
    found = list(crossings(homes, kinds))
    assert {(one.second, homes[one.first][1]): one.kind for one in found} == by_pairs(homes, kinds)
    assert len(found) == len({(one.second, homes[one.first][1]) for one in found})
    for one in found:
        assert kinds[one.kind][one.first] == kinds[one.kind][one.second] is not None
        assert len({homes[one.first][0], homes[one.second][0]} - {None}) < 2
        assert homes[one.first][1] < homes[one.second][1]


def test_of_those_that_look_alike_the_nearest_is_told():
    homes = [(None, 0), (None, 0), (None, 1), (None, 1)]
    looks = Looks([0, 0, 0, 0], [0, 1, 2, 3], [(0, 2, 3.5), (1, 2, 1.5)])
    assert list(crossings(homes, {"looks": looks})) == [Crossing(1, 2, "looks", 1.5), Crossing(0, 3, "looks", None)]


def test_a_link_holds_for_copies_too():
    homes = [(None, 0), (None, 0), (None, 1), (None, 1)]
    looks = Looks([0, 0, 0, 0], [0, 0, 2, 2], [(0, 2, 2.0)])
    assert list(crossings(homes, {"looks": looks})) == [Crossing(0, 2, "looks", 2.0), Crossing(0, 3, "looks", 2.0)]


class Counted(str):
    """A value that counts how often it is looked for."""

    looked = 0

    def __hash__(self):
        Counted.looked += 1
        return super().__hash__()


def test_many_copies_of_what_looks_like_many_are_no_more_work_than_their_number():
    many = 300
    homes = [(None, 0)] * many + [(None, 1)] * many
    copies = [Counted(str(number)) for number in range(many)] + [Counted("many")] * many
    looks = Looks([0] * (2 * many), copies, [(number, many, 1.0 + number) for number in range(many)])
    Counted.looked = 0
    found = list(crossings(homes, {"looks": looks}))
    assert found == [Crossing(0, many + number, "looks", 1.0) for number in range(many)]
    assert Counted.looked < 50 * many
