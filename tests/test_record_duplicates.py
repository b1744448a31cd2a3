"""Records that are the same by their pictures: what counts for each kind."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from visprep import wire
from visprep.errors import WrongContent
from visprep.fingerprints import Kind
from visprep.record_duplicates import duplicate_records
from visprep.stores import Store
from visprep.stores.local import LocalStore

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from image_faults import encoded
from planted_images import scene

BYTES, PIXELS, LOOKS = Kind.BYTES, Kind.PIXELS, Kind.PERCEPTUAL
WHITE = Image.new("RGB", (64, 48), "white")
JPEG = [encoded(scene(number)) for number in range(4)]
PNG = [encoded(Image.open(io.BytesIO(data)), "PNG") for data in JPEG]  # the same pixels
SMALL = [encoded(scene(number).resize((160, 120))) for number in range(4)]  # the same looks


@dataclass
class Records:
    """Records of a kind, each with the pictures of these paths."""

    kind: str
    store: Store
    pictures: list[list[str]]

    def images(self):
        for number, paths in enumerate(self.pictures):
            for path in paths:
                yield number, self.store, wire.wait(self.store.stat(path))


@pytest.fixture
def found(tmp_path):
    """`found(kind, [[data, data], [data], ...])`: what is found of records with these pictures."""

    def find(kind, pictures, **options):
        paths = []
        for record, datas in enumerate(pictures):
            paths.append([f"{record:05}-{number:05}.img" for number in range(len(datas))])
            for path, data in zip(paths[-1], datas, strict=True):
                (tmp_path / path).write_bytes(data)
        return duplicate_records(Records(kind, LocalStore(tmp_path), paths), len(pictures), **options)

    return find


def links(found):
    return [(pair.first, pair.second, pair.kind) for pair in found.pairs]


@pytest.mark.parametrize("kind", ["coco", "images"])
def test_images_are_the_same_by_bytes_pixels_and_looks(found, kind):
    got = found(kind, [[JPEG[0]], [JPEG[1]], [JPEG[0]], [PNG[0]], [SMALL[0]], [SMALL[2]], [JPEG[2]]])
    assert got.bytes.tolist() == [0, 1, 0, 3, 4, 5, 6]
    assert got.pixels.tolist() == [0, 1, 0, 0, 4, 5, 6]
    assert got.looks.tolist() == [0, 1, 0, 0, 0, 5, 5]
    assert sorted(links(got)) == [(0, 2, BYTES), (0, 3, PIXELS), (0, 4, LOOKS), (5, 6, LOOKS)]
    assert got.pairs[0].images == ("00000-00000.img", "00002-00000.img")
    assert got.images == 7
    assert [len(one) for one in got.digests] == [1] * 7
    assert got.digests[0] == got.digests[2] != got.digests[3]


def test_triplets_share_a_person_or_a_try_on(found):
    got = found("vton", [[JPEG[0], JPEG[1]], [JPEG[2], SMALL[0]], [JPEG[3], JPEG[3]]])
    assert links(got) == [(0, 1, LOOKS)]
    assert got.looks.tolist() == [0, 0, 2]


def test_tasks_are_the_same_by_pixels_and_neither_by_looks_nor_by_an_empty_canvas(found):
    white, other_white = encoded(WHITE, "PNG"), encoded(WHITE.resize((99, 99)), "PNG")
    got = found("tasks", [[JPEG[0]], [PNG[0]], [SMALL[0]], [white], [white], [other_white]])
    assert links(got) == [(0, 1, PIXELS)]
    assert got.looks.tolist() == [0, 0, 2, 3, 4, 5]
    assert all(len(one) == 1 for one in got.digests)


def test_empty_pictures_of_other_kinds_are_copies_all_the_same(found):
    white = encoded(WHITE, "PNG")
    assert links(found("coco", [[white], [JPEG[0]], [white]])) == [(0, 2, BYTES)]


def frame(number):
    """A small frame, different for each number."""
    return encoded(Image.new("RGB", (8, 8), (number % 256, number // 256, 9)).resize((8, 8)), "PNG")


def frames(*numbers):
    """Frames that are not of one color."""
    made = []
    for number in numbers:
        image = Image.new("RGB", (8, 8), (number % 256, number // 256, 9))
        image.putpixel((0, 0), (255, 255, 255))
        made.append(encoded(image, "PNG"))
    return made


def test_episodes_are_the_same_when_half_of_the_shorter_one_is_in_the_other(found):
    whole = frames(*range(10))
    half = frames(0, 1, 2, 90, 91, 92)
    less = frames(3, 4, 80, 81, 82, 83)
    got = found("frames", [whole, half, less, frames(*range(60, 70))])
    assert links(got) == [(0, 1, BYTES)]
    assert got.pairs[0].images == ("00000-00000.img", "00001-00000.img")
    assert got.looks.tolist() == [0, 0, 2, 3]


def test_frames_that_repeat_count_once_and_those_of_one_color_not_at_all(found):
    black = [frame(0)] * 20
    start = frames(1) * 20
    assert found("frames", [black + frames(2, 3), black + frames(4, 5)]).pairs == ()
    assert found("frames", [start + frames(2, 3, 6), start + frames(4, 5, 7)]).pairs == ()
    assert len(found("frames", [start, frames(1, 8)]).pairs) == 1
    assert found("frames", [black, black]).pairs == ()


def test_episodes_by_pixels(found):
    got = found("frames", [[JPEG[0], JPEG[1]], [PNG[1], PNG[0]], [SMALL[0], SMALL[1]]])
    assert links(got) == [(0, 1, PIXELS)]
    assert got.bytes.tolist() == [0, 1, 2]


def test_many_copies_of_an_episode_are_few_links(found):
    got = found("frames", [frames(1, 2, 3)] * 30)
    assert [(pair.first, pair.second) for pair in got.pairs] == [(0, other) for other in range(1, 30)]


def test_a_file_of_two_records_is_read_once_and_ties_them(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG[0])
    got = duplicate_records(Records("coco", LocalStore(tmp_path), [["a.jpg"], [], ["a.jpg"]]), 3)
    assert links(got) == [(0, 2, BYTES)]
    assert got.images == 1
    assert [len(one) for one in got.digests] == [1, 0, 1]


def test_pictures_of_several_places_are_held_against_each_other(tmp_path):
    class Both:
        kind = "coco"

        def images(self):
            for number, name in enumerate(("one", "two")):
                (tmp_path / name).mkdir()
                (tmp_path / name / "same.jpg").write_bytes(JPEG[number // 2])
                store = LocalStore(tmp_path / name)
                yield number, store, wire.wait(store.stat("same.jpg"))

    assert links(duplicate_records(Both(), 2)) == [(0, 1, BYTES)]


def test_pictures_that_do_not_decode_are_told_with_their_record(found):
    got = found("coco", [[JPEG[0]], [b"no image"], [JPEG[0][:1000]], [JPEG[0]]])
    assert [(one.record, one.file.path, type(one.error)) for one in got.unread] == [
        (1, "00001-00000.img", WrongContent),
        (2, "00002-00000.img", WrongContent),
    ]
    assert links(got) == [(0, 3, BYTES)]
    assert [len(one) for one in got.digests] == [1, 0, 0, 1]


def test_no_records_at_all(found):
    got = found("coco", [])
    assert got.pairs == got.unread == got.digests == ()
    assert got.images == 0


@pytest.mark.parametrize("kind", ["coco", "images", "vton", "tasks"])
def test_records_that_have_the_very_same_file_are_the_same(tmp_path, kind):
    for name, data in zip("abc", JPEG, strict=False):
        (tmp_path / name).write_bytes(data)
    records = Records(kind, LocalStore(tmp_path), [["a"], ["b"], ["a"], ["c"], ["a", "c"]])
    got = duplicate_records(records, 5)
    assert sorted(links(got)) == [(0, 2, BYTES), (0, 4, BYTES), (3, 4, BYTES)]
    assert (got.bytes.tolist(), got.images) == ([0, 1, 0, 0, 0], 3)
