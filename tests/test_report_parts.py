"""The parts that a page of `report` is made of: the draw, the pictures, the outlines."""

import io
import random

import numpy as np
import pytest
from PIL import Image

from visprep.page.payload import Text, box, polygons
from visprep.reporting.facts import tables
from visprep.reporting.making import Rooms, cut, within
from visprep.reporting.pictures import addresses, thumbnail
from visprep.reporting.sampling import choose, in_turn
from visprep.reporting.shapes import drawn, edges, outline, simplified
from visprep.statistics import PromptStats, Stats, TextCount

NAMES = [f"image {number}" for number in range(1000)]
GROUPS = ["train"] * 900 + ["val"] * 100


def having(rng):
    """A common class, a middling one, and one that five records have."""
    pairs = [(number, 0) for number in range(1000) if number % 10]
    pairs += [(number, 1) for number in range(0, 1000, 7)] + [(number, 2) for number in rng.sample(range(1000), 5)]
    return np.array(sorted(pairs), np.int64)


def test_each_class_of_each_group_is_drawn_in_turn():
    pairs = having(random.Random(1))
    chosen = choose(NAMES, GROUPS, pairs, 40)
    assert (len(chosen), len(set(chosen)), chosen) == (40, 40, tuple(sorted(chosen)))
    rare = set(pairs[pairs[:, 1] == 2, 0].tolist())
    assert rare <= set(chosen)
    assert {GROUPS[number] for number in chosen} == {"train", "val"}
    assert any(number not in set(pairs[:, 0].tolist()) for number in chosen)  # those without a class are one, too


def test_the_draw_is_that_of_its_seed_and_stays_when_records_are_added():
    pairs = having(random.Random(1))
    chosen = choose(NAMES, GROUPS, pairs, 100)
    assert choose(NAMES, GROUPS, pairs, 100) == chosen
    assert choose(NAMES, GROUPS, pairs, 100, seed=1) != chosen
    more = choose([*NAMES, *(f"new {number}" for number in range(100))], [*GROUPS, *["train"] * 100], pairs, 100)
    assert len({*chosen} & {*more}) > 85


def test_what_comes_first_takes_half_at_the_most():
    first = [range(500), range(500, 510)]
    chosen = set(choose(NAMES, GROUPS, having(random.Random(1)), 60, first=first))
    assert len(chosen) == 60
    assert {*range(20), *range(500, 510)} <= chosen
    assert choose(NAMES, GROUPS, having(random.Random(1)), 1000) == tuple(range(1000))


@pytest.mark.parametrize(
    ("lists", "most", "found"),
    [([[1, 2, 3], [4]], 9, [1, 4, 2, 3]), ([[1, 2], [1, 2]], 9, [1, 2]), ([[1, 2], [3]], 1, [1]), ([], 3, [])],
)
def test_in_turn(lists, most, found):
    assert in_turn(lists, most) == found


def test_of_classes_that_are_as_rare_the_seed_draws():
    """Else a small sample would be the classes whose names come first, whatever the seed."""
    alone = np.array([(number, number) for number in range(100)])
    drawn = {choose(NAMES[:100], ["train"] * 100, alone, 5, seed=seed) for seed in range(3)}
    assert len(drawn) == 3


def noise(size=(640, 480), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_pictures_shrink_until_there_is_room_for_all():
    pictures = [thumbnail(noise(seed=seed)) for seed in range(3)]
    whole = addresses(pictures, 10_000_000)
    size = sum(map(len, whole))
    less = addresses(pictures, size // 4)
    assert sum(map(len, less)) <= size // 4
    assert all(less)
    few = addresses(pictures, len(less[0]) // 10)
    assert "" in few
    assert sum(map(len, few)) <= len(less[0]) // 10


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_any_mode_are_shown(mode):
    out = io.BytesIO()
    image = Image.new(mode, (700, 300))
    image.save(out, "TIFF")
    small = thumbnail(out.getvalue(), printed=True)
    assert (small.size, small.note) == ((700, 300), "")
    assert Image.open(io.BytesIO(small.jpeg)).size == (320, 137)
    assert small.row is not None


@pytest.mark.parametrize("data", [b"", b"no image", noise()[:2000]])
def test_what_is_no_picture_says_so(data):
    small = thumbnail(data)
    assert (small.jpeg, bool(small.note)) == (b"", True)
    assert addresses([small], 1000) == [""]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bbox": [1, 2, 3]},
        {"bbox": "all"},
        {"bbox": [1, 2, float("nan"), 4]},
        {"bbox": [1e300, 0, 1, 1]},
        {"segmentation": [[1, 2, 3]]},
        {"segmentation": {"size": [4], "counts": "1"}},
        {"segmentation": {"size": [4, 4], "counts": "~~"}},
        {"segmentation": {"size": [10**9, 10**9], "counts": [10**18]}},
        {"keypoints": [1, 2]},
        {"keypoints": [1, 2, 0]},
        {"keypoints": [[1, 2, 2]]},
    ],
)
def test_what_is_not_as_it_should_be_is_not_drawn(wrong):
    assert list(drawn(wrong, "cat", (64, 64))) == []


def test_outlines_give_way_to_boxes_where_there_is_no_room():
    shapes = [polygons(0, ((1, 1, 5, 1, 5, 5),), "cat"), box(0, 1, 1, 4, 4, "cat")]
    rooms = Rooms(outlines=3 * len(shapes[0].d))
    kept = [shape.kind for _ in range(5) for shape in within(shapes, rooms)]
    assert kept == ["outline", "box"] * 3 + ["box"] * 2
    rooms = Rooms(shapes=3)
    assert [shape.kind for _ in range(3) for shape in within(shapes, rooms)] == ["outline", "box", "outline"]


def test_texts_are_cut_where_there_is_no_room():
    rooms = Rooms(texts=350)
    kept = [text.value for text in cut([Text("prompt", "x" * 200), Text("prompt", "y" * 200), Text("a", "b")], rooms)]
    assert kept == ["x" * 200, "y" * 100 + " ...", "b"]


def test_a_frequent_text_that_is_cut_says_so():
    often = TextCount("x" * 200, 3), TextCount("y" * 201, 2)
    prompts = PromptStats("prompts", 5, 2, 200, 200, 201, often)
    (table,) = tables(Stats("place", "tasks", 3, 5, "tasks", 3, prompts=prompts))
    assert [text for text, _ in table.rows] == ["x" * 200, "y" * 199 + "…"]


def test_a_long_outline_keeps_what_can_be_seen():
    angles = np.linspace(0, 2 * np.pi, 20_000)
    ring = [value for at in angles for value in (500 + 400 * np.cos(at), 500 + 400 * np.sin(at))]
    few = simplified(ring, (1000, 1000))
    assert len(few) <= 2 * 400 + 2
    assert max(few[0::2]) > 898
    assert min(few[1::2]) < 102


def test_a_large_mask_is_looked_at_in_steps():
    mask = np.zeros((3000, 4000), np.bool_)
    mask[600:1500, 1000:3000] = True
    (ring,) = edges(mask)
    assert np.allclose(
        [min(ring[0::2]), max(ring[0::2]), min(ring[1::2]), max(ring[1::2])], [1000, 3000, 600, 1500], atol=14
    )
    assert list(outline({"size": [2, 3], "counts": [2, 4]}, (3, 2))) == [(1.0, 0.0, 3.0, 0.0, 3.0, 2.0, 1.0, 2.0)]
