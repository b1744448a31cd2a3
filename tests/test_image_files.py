"""Image files: each kind of fault has its code, and odd ones that are whole have none."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from visprep import jpegs
from visprep.image_headers import probe
from visprep.rules import Depth, image_files
from visprep.rules.image_files import look

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from image_faults import KINDS, encoded, photo, planted

SMALL = photo(3, 96, 64)
JPEG = encoded(SMALL)


def codes(data, path="photo.jpg", depth=Depth.DECODE, **options):
    return [finding.code for finding in look(data, path, depth, **options).findings]


def errors(data, depth=Depth.DECODE):
    return {finding.code for finding in look(data, "photo.jpg", depth).findings if finding.level == "error"}


#: What a scan alone cannot see, and what may leave a JPEG that a decoder takes for whole.
INSIDE = {"4 KB zeros inside", "16 KB missing inside", "4 KB random inside", "32 bytes flipped", "two files spliced"}
CHANCE = {"1 byte flipped"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in CHANCE])
def test_every_planted_fault_is_found_and_named(kind):
    wanted, _ = KINDS[kind]
    for data in planted(kind, 4):
        found = errors(data)
        assert found & set(wanted) if wanted else not found, kind


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in CHANCE | INSIDE])
def test_what_shows_without_pixels_is_found_at_headers(kind):
    wanted, _ = KINDS[kind]
    for data in planted(kind, 2):
        found = errors(data, Depth.HEADERS)
        assert found & set(wanted) if wanted else not found, kind


def test_a_flipped_byte_is_found_more_often_than_not_by_others():
    found = [errors(data) for data in planted("1 byte flipped", 12)]
    assert sum(map(bool, found)) >= 3  # Pillow and OpenCV find none of them


@pytest.mark.parametrize(
    ("data", "name", "wanted"),
    [
        (encoded(SMALL.convert("CMYK")), "photo.jpg", ["image-cmyk"]),
        (encoded(SMALL.convert("L")), "photo.jpg", []),
        (JPEG[:-900] + bytes(400) + JPEG[-500:], "photo.jpg", ["image-damaged"]),
        (JPEG.replace(b"JFIF", b"JUNK", 1), "photo.jpg", []),
        (b"", "photo.jpg", ["image-empty"]),
        (encoded(Image.new("RGB", (1, 1))), "photo.jpg", []),
        (b"<html>404</html>", "photo.jpg", ["image-not-image"]),
        (encoded(SMALL, progressive=True), "photo.jpg", []),
        (encoded(SMALL, "PNG"), "photo.jpg", ["image-other-format"]),
        (JPEG, "PHOTO.JPEG", []),
        (JPEG, "photo", []),
        (JPEG + bytes(1_000), "photo.jpg", ["image-trailing"]),
        (encoded(SMALL, "PNG") + b"x", "photo.png", ["image-trailing"]),
        (encoded(SMALL, "WEBP") + b"xy", "photo.webp", ["image-trailing"]),
        (JPEG[:-64], "photo.jpg", ["image-truncated"]),
        (encoded(SMALL, "PNG")[:-40], "photo.png", ["image-truncated"]),
        (encoded(SMALL, "WEBP")[:-40], "photo.webp", ["image-truncated"]),
        (encoded(SMALL, "GIF")[:-900], "photo.gif", ["image-truncated"]),
        (encoded(SMALL, "BMP")[:-900], "photo.bmp", ["image-truncated"]),
        (JPEG[:2], "photo.jpg", ["image-not-image"]),
        (JPEG[:30], "photo.jpg", ["image-truncated"]),
    ],
)
def test_one_fault_has_one_code(data, name, wanted):
    assert codes(data, name) == wanted


def test_a_flipped_bit_in_a_png_is_damage():
    data = bytearray(encoded(SMALL, "PNG"))
    data[len(data) // 2] ^= 1
    assert codes(bytes(data), "photo.png") == ["image-damaged"]


def test_more_than_8_bits_are_told():
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    assert codes(encoded(Image.fromarray(deep), "PNG"), "photo.png") == ["image-deep"]
    assert codes(encoded(SMALL, "PNG"), "photo.png") == []
    twelve = bytearray(JPEG)
    twelve[twelve.index(b"\xff\xc0") + 4] = 12
    assert codes(bytes(twelve)) == ["image-deep"]


def test_what_declares_more_than_anybody_takes_is_not_decoded():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    assert codes(bomb, "photo.png") == ["image-oversized"]
    huge = bytearray(JPEG)
    at = huge.index(b"\xff\xc0") + 5
    huge[at : at + 4] = b"\xfd\xe8\xfd\xe8"
    assert codes(bytes(huge)) == ["image-oversized"]


def rotated(orientation, format="JPEG"):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(SMALL, format, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_that_which_pillow_sees(orientation):
    data = rotated(orientation)
    assert probe(data).orientation == orientation
    assert Image.open(io.BytesIO(data)).getexif().get(ExifTags.Base.Orientation) == orientation
    assert codes(data) == (["image-rotated"] if orientation > 1 else [])


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image():
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0" + bytes(6) + JPEG
    data = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + JPEG[2:]
    assert codes(data) == []
    assert codes(data[: len(exif) + 400]) == ["image-truncated"]


def test_of_a_beginning_only_the_header_is_judged():
    assert codes(JPEG[:700], depth=Depth.HEADERS, whole=False) == []
    assert look(JPEG[:700], "photo.jpg", Depth.HEADERS, whole=False).facts.size == (96, 64)
    assert codes(b"<html>", depth=Depth.HEADERS, whole=False) == ["image-not-image"]
    assert codes(encoded(SMALL, "WEBP")[:100], depth=Depth.HEADERS, whole=False) == ["image-other-format"]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.sampled_from([b"", b"\xff\xd8\xff", JPEG[:300], JPEG[:620]]))
def test_whatever_the_bytes_are_there_is_an_answer(data, start):
    sight = look(start + data, "photo.jpg", Depth.DECODE)
    assert sight.facts or sight.findings


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_cut_jpeg_is_never_taken_for_whole(data):
    size = data.draw(st.integers(0, len(JPEG) - 1))
    assert errors(JPEG[:size], Depth.HEADERS)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}])
def test_scan_and_pillow_agree_on_what_is_whole(options):
    data = encoded(SMALL, **options)
    seen = jpegs.scan(data)
    assert (seen.fault, seen.end, (seen.width, seen.height)) == (None, len(data), SMALL.size)
    assert jpegs.strict_fault(data) is None


def test_real_images_are_whole(real_coco):
    found = {path.name: codes(path.read_bytes()) for path in real_coco.glob("*/*.jpg")}
    assert found
    assert {name: told for name, told in found.items() if told} == {}


def test_every_rule_of_the_table_is_found_somewhere_here():
    source = Path(__file__).read_text(encoding="utf-8")
    elsewhere = {"image-unreadable"}  # tests/test_coco_verify.py
    assert all(f'"{rule.code}"' in source for rule in image_files.RULES if rule.code not in elsewhere)
