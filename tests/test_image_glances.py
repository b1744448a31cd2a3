"""Images elsewhere: what their first and last bytes tell is what all of them would tell, and few of them are read."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from visprep import wire
from visprep.image_loading import reads_seen, see
from visprep.manifest import File
from visprep.rules import Depth
from visprep.stores.memory import MemoryStore
from visprep.traffic import Traffic

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from image_faults import KINDS as EVERYWHERE
from image_faults import encoded, photo
from planted_ends import KINDS, image


class Counting(MemoryStore):
    """Counts what is read of it."""

    def __init__(self) -> None:
        super().__init__("memory")
        self.reads: list[int] = []

    async def read(self, path, offset=0, length=None):
        data = await super().read(path, offset, length)
        self.reads.append(len(data))
        return data


def look(data, name="a.jpg", size=None, near=False):
    """What looking at an image tells, and how many bytes each read of it took."""
    store = Counting()
    wire.wait(store.write(name, data))
    seen = wire.wait(see(store, File(name, len(data) if size is None else size), Depth.HEADERS, near=near))
    return seen, store.reads


def told(seen):
    return {one.code for one in seen.findings}


JPEGS = {way: image(way) for way in range(5)}
PNG = image(7, "png")
#: That an image is not whole is said in two ways.
BROKEN = {"image-damaged", "image-truncated"}


@pytest.mark.parametrize("way", range(5))
def test_of_a_sound_image_its_beginning_and_its_end_are_read(way):
    data = JPEGS[way]
    assert len(data) > 100_000
    seen, reads = look(data)
    assert (seen.findings, seen.size, seen.orientation) == ((), (640, 480), 1)
    assert sum(reads) <= (512 if way < 3 else 9_000)
    assert (reads[0], reads[-1]) == (256, 256)


def test_what_is_estimated_is_what_is_read_of_a_plain_image():
    files = [File("a.jpg", len(JPEGS[0])), File("b.jpg", 300), File("c.jpg", 0)]
    assert reads_seen(files, Depth.HEADERS, near=False) == Traffic(3, 0, 512 + 300)
    assert sum(look(JPEGS[0])[1]) == 512
    small = encoded(photo(1, 40, 30))
    assert look(small)[1] == [len(small)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_planted_damage_is_told_as_by_all_bytes(kind, seed):
    data = KINDS[kind](PNG if seed == 7 else JPEGS[seed % 5], random.Random(seed))
    name = "a.png" if seed == 7 else "a.jpg"
    (far, reads), (near, _) = look(data, name), look(data, name, near=True)
    assert (far.size, far.orientation) == (near.size, near.orientation)
    assert told(far) - BROKEN == told(near) - BROKEN
    assert bool(told(far) & BROKEN) == bool(told(near) & BROKEN)  # where both apply, either is right
    assert kind == "other size" or told(far)
    assert sum(reads) < 45_000


@pytest.mark.parametrize("kind", EVERYWHERE)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_said_that_all_bytes_would_not_say(kind, seed):
    """Damage in the middle is not seen; and what is seen is there."""
    data = EVERYWHERE[kind][1](seed)
    (far, _), (near, _) = look(data), look(data, near=True)
    assert told(far) <= told(near)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 4), st.floats(0, 1, exclude_max=True))
def test_a_cut_at_any_point_is_told(way, where):
    data = JPEGS[way][: int(len(JPEGS[way]) * where)]
    far, reads = look(data)
    assert told(far) & {"image-truncated", "image-empty", "image-not-image", "image-damaged"}
    assert told(far) == told(look(data, near=True)[0])
    assert sum(reads) < 45_000  # one whose header is 40 KB, and little of its pixels follows, is read whole


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + JPEGS[0][8:],
        b"RIFF\0\0\0\0WEBP" + JPEGS[0][12:],
        JPEGS[0][:-50_000] + b"\xff" * 50_000,
        JPEGS[4][:30_000],
    ],
    ids=["PNG", "WebP", "a tail of ff", "cut in its header"],
)
def test_what_parts_tell_of_is_not_read_whole(data):
    far, reads = look(data)
    assert told(far) & {"image-other-format", "image-truncated"}
    assert told(far) <= told(look(data, near=True)[0])
    assert sum(reads) < 15_000


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 4), st.integers(1, 60_000), st.integers(0, 4), st.integers(0, 99))
def test_bytes_after_the_end_are_no_damage(way, more, fill, seed):
    """However many they are, and whatever they hold: a video, a second picture, zeros."""
    rng = random.Random(seed)
    tail = (
        bytes(more),
        rng.randbytes(more),
        (b"<html>" * more)[:more],
        JPEGS[0][-more:],
        b"<html>" * more + bytes(more),
    )[fill]
    far, near = look(JPEGS[way] + tail)[0], look(JPEGS[way] + tail, near=True)[0]
    assert told(near) == {"image-trailing"}
    assert told(far) <= {"image-trailing"}
    assert fill == 3 or told(far)


def test_a_long_run_of_one_color_is_no_end():
    """Pixels that are all alike may be zeros, or hold no mark for long."""
    picture = photo(3, 1600, 1200)
    picture.paste((255, 255, 255), (0, 300, 1600, 1150))
    for options in ({"optimize": True}, {"progressive": True}, {}):
        data = encoded(picture, **options)
        for changed in (data, data + bytes(20_000), data + b"text" * 5_000, data[:-40], data[:-40] + bytes(40_000)):
            far, near = look(changed)[0], look(changed, near=True)[0]
            assert told(far) == told(near)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("before", [0, 3_000, 7_000, 60_000, 200_000])
def test_a_long_header_is_followed_without_reading_it(orientation, before):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(1, 640, 480), exif=exif)
    long = b"".join(
        b"\xff\xe2" + struct.pack(">H", size + 2) + bytes(size)
        for size in [50_000] * (before // 50_000) + [before % 50_000]
    )
    far, reads = look(data[:2] + long + data[2:])
    assert (far.size, far.orientation) == ((640, 480), orientation)
    assert told(far) == ({"image-rotated"} if orientation == 6 else set())
    assert sum(reads) < 14_000


def test_an_orientation_in_xmp_is_seen():
    packet = b"http://ns.adobe.com/xap/1.0/\0" + b" " * 20_000 + b'<x tiff:Orientation="6"/>'
    data = JPEGS[0][:2] + b"\xff\xe1" + struct.pack(">H", len(packet) + 2) + packet + JPEGS[0][2:]
    assert look(data)[0].orientation == look(data, near=True)[0].orientation == 6


def test_a_file_that_shrank_since_it_was_listed_is_read_as_it_is():
    assert told(look(JPEGS[0][:50_000], size=len(JPEGS[0]))[0]) == {"image-truncated"}
    assert told(look(b"", size=50_000)[0]) == {"image-empty"}


@pytest.mark.parametrize("format", ["GIF", "BMP", "WEBP", "TIFF"])
def test_other_kinds_are_known_by_their_beginning(format):
    data, name = encoded(photo(1, 640, 480), format), f"a.{format.lower()}"
    far, reads = look(data, name)
    assert (far.findings, sum(reads) <= 4_096 + 256) == ((), True)
    assert far.size == (None if format == "TIFF" else (640, 480))
    assert told(look(data, "a.jpg")[0]) == {"image-other-format"}
    assert told(look(data[: len(data) // 2], name)[0]) == ({"image-truncated"} if format == "WEBP" else set())


NOISE = Image.frombytes("RGB", (128, 96), random.Random(1).randbytes(128 * 96 * 3))
SEEN_THROUGH = Image.merge("RGBA", (*NOISE.split(), NOISE.getchannel(0)))
TURNED = Image.Exif()
TURNED[0x0112], TURNED[0x010F] = 6, "Camera" * 100
IN_XMP = b'<x tiff:Orientation="6"/>'


@pytest.mark.parametrize(
    ("picture", "options", "orientation"),
    [
        (NOISE, {"quality": 100}, 1),
        (NOISE, {"lossless": True}, 1),
        (SEEN_THROUGH, {"quality": 100}, 1),
        (SEEN_THROUGH, {"lossless": True}, 1),
        (NOISE, {"save_all": True, "append_images": [NOISE.transpose(0)]}, 1),
        (NOISE, {"save_all": True, "append_images": [NOISE.transpose(0)], "exif": TURNED}, 6),
        (SEEN_THROUGH, {"exif": TURNED, "icc_profile": bytes(1001), "xmp": b"<x/>"}, 6),
        (NOISE, {"lossless": True, "xmp": IN_XMP}, 6),
    ],
    ids=["lossy", "lossless", "alpha", "lossless alpha", "animated", "animated and turned", "turned", "turned by XMP"],
)
def test_a_webp_tells_its_size_its_length_and_how_it_is_turned(picture, options, orientation):
    data = encoded(picture, "WEBP", **options)
    plain = told(look(data, "a.webp", near=True)[0])
    assert (len(data) > 8_192, plain) == (True, {"image-rotated"} if orientation == 6 else set())
    far, reads = look(data, "a.webp")
    long = orientation == 6 and data[30:34] != b"ANIM"
    assert (told(far), far.size, far.orientation) == (plain, (128, 96), orientation)
    assert sum(reads) < (2_500 if orientation == 6 else 600)
    for changed, more in (
        (data + bytes(77), {"image-trailing"}),
        (data + b"<html>", {"image-trailing"}),
        (data[:12] + bytes(40) + data[52:], {"image-damaged"}),
        (data[:4] + bytes(4) + data[8:], {"image-damaged"}),
        (data[:-9], {"image-truncated"}),
        (bytes(2) + data[2:], {"image-not-image"}),
        *([(data[:-2_000] + bytes(2_000), {"image-damaged"})] if orientation == 6 else ()),
        *([(data[:34] + b"\xff\xff\xff\x7f" + data[38:], {"image-damaged"})] if long else ()),
    ):
        far, near = look(changed, "a.webp")[0], look(changed, "a.webp", near=True)[0]
        assert told(far) >= more
        assert told(far) == told(near)
        if far.size and near.size:
            assert (far.size, far.orientation) == (near.size, near.orientation)
