"""How much is read of an image file, and what may be said of the rest."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from visprep import wire
from visprep.digests import digest_of
from visprep.errors import WrongContent
from visprep.image_glances import WHOLE
from visprep.image_headers import probe, stored_size
from visprep.image_loading import IMAGE_BYTES, see, size_at_once
from visprep.jpegs import frame_size
from visprep.manifest import File
from visprep.rules import Depth
from visprep.stores.local import LocalStore

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from image_faults import encoded, photo


@pytest.fixture
def seen(tmp_path):
    """What looking at these bytes gives; the file may be made longer, by a hole."""

    def look(data, depth=Depth.HEADERS, size=None, **options):
        path = tmp_path / "photo.jpg"
        with path.open("wb") as out:
            out.write(data)
            out.truncate(size or len(data))
        file = File("photo.jpg", size or len(data))
        return wire.wait(see(LocalStore(tmp_path), file, depth, **({"near": False} | options)))

    return look


def test_what_no_image_can_have_is_not_read(seen):
    data = encoded(photo(1, 96, 64))
    for near in (True, False):
        (finding,) = seen(data, size=IMAGE_BYTES + 1, near=near).findings
        assert (finding.code, "270,000,001 bytes" in finding.message) == ("image-oversized", True)
    (finding,) = seen(data, size=IMAGE_BYTES).findings  # of which next to nothing is read
    assert (finding.code, finding.where) == ("image-trailing", {"bytes": IMAGE_BYTES - len(data)})
    assert seen(data, size=IMAGE_BYTES + 1, depth=Depth.SIZES).findings == ()


def test_the_digest_is_that_of_all_bytes_or_there_is_none(seen):
    long, short = encoded(photo(1, 400, 300), quality=98), encoded(photo(1, 96, 64))
    assert len(short) < WHOLE < len(long)
    for data, depth, near, told in (
        (long, Depth.HEADERS, False, False),
        (long, Depth.HEADERS, True, True),
        (long, Depth.DECODE, False, True),
        (short, Depth.HEADERS, False, True),
    ):
        sight = seen(data, depth=depth, near=near, digest=True)
        assert (sight.findings, sight.digest) == ((), digest_of(data) if told else None)
        assert seen(data, depth=depth, near=near).digest is None
    exact = short + b"\0" * (WHOLE - len(short))
    assert seen(exact, digest=True).digest == digest_of(exact)
    assert seen(exact + b"\0", digest=True).digest is None


SMALL = photo(1, 96, 64)
JPEG = encoded(SMALL)


def said(tell, data):
    """What it says, or that it says nothing."""
    try:
        return tell(data)
    except WrongContent:
        return "nothing"


@pytest.mark.parametrize(
    "data",
    [
        *(JPEG[:size] for size in (0, 2, 3, 20, 300, 623, 700)),
        encoded(SMALL, progressive=True),
        encoded(SMALL.convert("L")),
        encoded(SMALL.convert("CMYK")),
        encoded(SMALL, comment=b"c" * 2_000),
        encoded(SMALL, exif=Image.Exif().tobytes()),
        JPEG[:2] + b"\xff\xff\xff" + JPEG[2:],  # fill bytes may stand before a mark
        *(encoded(SMALL, format) for format in ("PNG", "GIF", "WEBP", "BMP", "TIFF")),
        b"<html>",
    ],
)
def test_the_size_at_once_is_that_of_the_header(data):
    assert said(stored_size, data) == said(lambda one: probe(one).size, data)


@settings(max_examples=500, deadline=None)
@given(st.integers(2, 700), st.binary(min_size=1, max_size=4))
@example(JPEG.index(b"\xff\xc0") + 5, bytes(4))  # no height, no width
@example(JPEG.index(b"\xff\xc0") + 9, b"\x02")  # two components
@example(JPEG.index(b"\xff\xdb") + 2, bytes(2))  # a segment without a length
@example(JPEG.index(b"\xff\xc0") + 2, b"\x0f")  # a frame header that is not all there
def test_a_damaged_header_says_at_once_nothing_else_than_on_the_second_look(at, junk):
    data = JPEG[:at] + junk + JPEG[at + len(junk) :]
    assert frame_size(data) is None or frame_size(data) == probe(data).size


def test_the_size_at_once_is_read_from_the_first_bytes_of_a_file(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(SMALL, comment=b"c" * 3_000))
    assert size_at_once(str(path)) == (96, 64)
    long = JPEG[:2] + b"\xff\xfe" + struct.pack(">H", 5_002) + bytes(5_000) + JPEG[2:]
    for data in (long, b"<html>", b""):
        path.write_bytes(data)
        with pytest.raises(WrongContent):
            size_at_once(str(path))
    with pytest.raises(FileNotFoundError):
        size_at_once(str(tmp_path / "none.jpg"))
