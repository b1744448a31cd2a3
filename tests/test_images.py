from __future__ import annotations

import io
import struct
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from visprep.errors import AccessDenied, DiskError, FileMissing, WrongContent
from visprep.images import (
    HEAD_BYTES,
    as_png,
    convert_to_pil_image,
    decode,
    decode_fault,
    describe,
    encode_png,
    image_format,
    load_from_path,
    numpy_to_pil,
    probe,
    to_pil,
)
from visprep.pngs import missing_pixels

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "ICO")


def noise(width: int = 60, height: int = 40, channels: int = 3, seed: int = 0) -> np.ndarray[Any, Any]:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(image: Image.Image | None) -> Any:
    assert image is not None
    return np.asarray(image).tolist()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, color: int, rows: bytes, *before: bytes) -> bytes:
    """A PNG by hand, for what Pillow cannot write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


RGB = Image.fromarray(noise())
PNG = encoded(RGB)


# Arrays


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 7, 255]], np.uint8), [[0, 7, 255]]),
        (np.array([[[0], [7]]], np.uint8), [[0, 7]]),
        (np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), [[[1, 2, 3], [4, 5, 6]]]),
        (np.array([[[1, 2, 3, 4]]], np.uint8), [[[1, 2, 3, 4]]]),
        (np.array([[True, False]]), [[255, 0]]),
        (np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16), [[0, 0, 1, 1, 128, 255]]),
        (np.array([[0, 200, 255]], np.int64), [[0, 200, 255]]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [[0, 128, 255]]),
        (np.array([[0.0, 1.0]], np.float16), [[0, 255]]),
        (np.array([[-0.25, 0.25]]), [[0, 64]]),
        (np.array([[-3.0, 1.6, 254.5001, 260.0]]), [[0, 2, 255, 255]]),
        (np.array([[0, 7, 255]], np.uint8)[:, ::-1], [[255, 7, 0]]),
        (np.array([[0, 257, 65535]], ">u2"), [[0, 1, 255]]),
    ],
)
def test_arrays_become_8_bit_images(array: np.ndarray[Any, Any], expected: list[Any]) -> None:
    assert pixels(numpy_to_pil(array)) == expected
    converted = convert_to_pil_image(array)
    assert converted is not None
    assert converted.mode == "RGB"


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.5, np.nan]]),
        np.array([[0.5, np.inf]]),
        np.array([[-1, 5]]),
        np.array([[0, 256]], np.int32),
        np.zeros((2, 2), np.complex64),
        np.zeros((2, 2), object),
        np.zeros(4, np.uint8),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_images_are_refused(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(WrongContent):
        numpy_to_pil(array)
    assert convert_to_pil_image(array) is None


# Every kind of input


def test_every_kind_of_input_gives_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "frame.dat"  # the name decides nothing
    path.write_bytes(PNG)
    inputs = [
        RGB,
        noise(),
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        path,
        str(path),
        {"bytes": PNG, "path": None},
        {"bytes": PNG, "path": "not/there.png"},
        {"bytes": None, "path": str(path)},
        {"path": path},
        Image.open(io.BytesIO(PNG)),
    ]
    for given_input in inputs:
        assert pixels(convert_to_pil_image(given_input)) == noise().tolist()


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        7,
        "no/such/file.png",
        "nul\0.png",
        b"",
        b"<html></html>",
        PNG[:-10],
        {},
        {"bytes": None, "path": None},
        {"bytes": {"bytes": PNG}},
        {"bytes": b"", "path": None},
        [1, 2],
        Image.open(io.BytesIO(PNG[:200])),
    ],
)
def test_nonsense_gives_none_and_a_reason(nonsense: Any) -> None:
    assert convert_to_pil_image(nonsense) is None
    with pytest.raises((WrongContent, FileMissing, DiskError)):
        to_pil(nonsense)


def test_an_unknown_mode_gives_none() -> None:
    assert convert_to_pil_image(RGB, "XYZ") is None


def test_the_input_is_never_handed_back_or_changed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(encoded(RGB, exif=exif)))
    for image in (RGB.copy(), turned):
        before = np.asarray(image).tolist(), image.size
        result = convert_to_pil_image(image)
        assert result is not None
        result.paste("red", (0, 0, *result.size))
        assert (np.asarray(image).tolist(), image.size) == before


def test_paths_say_why_they_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="nothing"):
        load_from_path(tmp_path / "nothing.png")
    with pytest.raises((DiskError, AccessDenied)):
        load_from_path(tmp_path)
    page = tmp_path / "page.png"
    page.write_text("<!DOCTYPE html><title>404</title>")
    with pytest.raises(WrongContent, match=r"page\.png: it is an HTML page"):
        load_from_path(str(page))


def test_a_path_is_loaded_in_its_own_mode_and_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "gray.png"
    path.write_bytes(encoded(RGB.convert("L"), exif=exif))
    image = load_from_path(path)
    assert (image.mode, image.size) == ("L", (40, 60))


# Modes


def test_alpha_is_laid_on_white() -> None:
    rgba = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        rgba.putpixel((x, 0), (255, 0, 0, alpha))
    on_white = [[[255, 255, 255], [255, 127, 127], [255, 0, 0]]]
    assert pixels(convert_to_pil_image(rgba)) == on_white
    assert pixels(convert_to_pil_image(encoded(rgba))) == on_white
    assert pixels(convert_to_pil_image(np.asarray(rgba))) == on_white
    assert pixels(convert_to_pil_image(encoded(rgba, "WEBP", lossless=True, exact=True))) == on_white
    assert pixels(convert_to_pil_image(rgba, "RGBA")) == pixels(rgba)
    assert pixels(convert_to_pil_image(rgba.convert("LA"), "L"))[0][0] == 255


def test_a_palette_with_see_through_entries_is_laid_on_white() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    assert pixels(convert_to_pil_image(encoded(image, transparency=1))) == [[[10, 20, 30], [255] * 3, [70, 80, 90]]]
    assert pixels(convert_to_pil_image(encoded(image, transparency=b"\x00\xff"))) == [
        [[255] * 3, [40, 50, 60], [70, 80, 90]]
    ]
    assert pixels(convert_to_pil_image(encoded(image))) == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]


@pytest.mark.parametrize(
    ("depth", "color", "rows", "key", "expected"),
    [
        (8, 0, b"\0\x07\x09", b"\0\x07", [255, 9]),
        (1, 0, b"\0\x40", b"\0\x01", [0, 255]),  # black, white; white is see-through
        (1, 0, b"\0\x40", b"\0\x00", [255, 255]),
        (2, 0, b"\0\x60", b"\0\x01", [255, 170]),  # 1 and 2 of 0 to 3
        (4, 0, b"\0\x5f", b"\0\x05", [255, 255]),
        (16, 0, b"\0\x01\x2c\x80\x00", b"\x01\x2c", [255, 128]),
    ],
)
def test_a_see_through_gray_is_found_at_every_bit_depth(
    depth: int, color: int, rows: bytes, key: bytes, expected: list[int]
) -> None:
    data = png(2, 1, depth, color, rows, chunk(b"tRNS", key))
    assert pixels(convert_to_pil_image(data)) == [[[gray] * 3 for gray in expected]]
    assert probe(data).transparency


def test_a_see_through_color_is_found_at_8_and_16_bits() -> None:
    eight = png(2, 1, 8, 2, b"\0\1\2\3\4\5\6", chunk(b"tRNS", b"\0\1\0\2\0\3"))
    sixteen = png(2, 1, 16, 2, b"\0\1\0\2\0\3\0\4\0\5\0\6\0", chunk(b"tRNS", b"\1\0\2\0\3\0"))
    for data in (eight, sixteen):
        assert pixels(convert_to_pil_image(data)) == [[[255, 255, 255], [4, 5, 6]]]


def test_16_bits_are_scaled_and_not_clipped() -> None:
    gray = Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16))
    expected = [[[level] * 3 for level in (0, 1, 128, 255)]]
    assert pixels(convert_to_pil_image(gray)) == expected
    assert pixels(convert_to_pil_image(encoded(gray))) == expected
    assert pixels(convert_to_pil_image(encoded(gray, "TIFF"))) == expected
    pgm = b"P5 4 1 65535\n" + np.array([0, 257, 32768, 65535], ">u2").tobytes()
    assert pixels(convert_to_pil_image(pgm)) == expected
    assert pixels(convert_to_pil_image(Image.fromarray(np.array([[0.0, 1.0]], np.float32)))) == [[[0] * 3, [255] * 3]]
    color = png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 0, 0x8000, 0xFFFF))
    assert pixels(convert_to_pil_image(color)) == [[[0, 128, 255]]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "F", "I"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.new(mode, (5, 4))
    for target in ("RGB", "L", "RGBA", "LA", "1"):
        converted = convert_to_pil_image(image, target)
        assert converted is not None
        assert (converted.mode, converted.size) == (target, (5, 4))


def test_cmyk_jpeg() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = pixels(convert_to_pil_image(data))[0][0]
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, format: str) -> None:
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    undo: dict[int, Callable[[Any], Any]] = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright))).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(stored, format, exif=exif, **options)
    assert pixels(convert_to_pil_image(data, "L")) == upright.tolist()
    assert probe(data).orientation == orientation
    assert probe(as_png(data)).plain


def test_what_is_inflated_ends_with_the_picture() -> None:
    """A stream that goes on for a gigabyte after the last pixel: nobody holds it in memory."""
    pack = zlib.compressobj()
    rows = b"".join(pack.compress(bytes(1024 * 1024)) for _ in range(256)) + pack.flush()
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0), b"IDAT" + rows, b"IEND")
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks
    )
    tracemalloc.start()
    try:
        assert missing_pixels(data) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_damaged_exif_turns_nothing() -> None:
    data = encoded(RGB, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    assert pixels(convert_to_pil_image(data)) == noise().tolist()
    assert probe(data).orientation == 1


# Headers


@pytest.mark.parametrize("format", FORMATS)
def test_formats_are_told_by_their_bytes(format: str) -> None:
    data = encoded(RGB if format != "ICO" else RGB.resize((32, 32)), format)
    assert image_format(data) == format
    assert probe(data).format == format
    assert probe(data).size == ((32, 32) if format == "ICO" else (60, 40))
    assert not probe(data).animated
    assert decode_fault(data) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n<!DOCTYPE HTML><html>", "an HTML page"),
        (b"<HTML>", "an HTML page"),
        (b'<?xml version="1.0"?><Error>', "XML text"),
        (b'{"error": "gone"}', "JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer, not the file itself"),
        (b"\0" * 100, "no image (it begins with the bytes 00 00 00 00 00 00 00 00)"),
        (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
        (b"\0\0\0\x18ftypisom", "an MP4 or HEIC file"),
        (b"P5 is a level, not an image", "a PNM image"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, words: str) -> None:
    assert describe(data) == words
    with pytest.raises(WrongContent):
        probe(data)
    assert decode_fault(data)


@pytest.mark.parametrize(
    ("depth", "color", "mode"),
    [
        (1, 0, "1"),
        (2, 0, "L;2"),
        (4, 0, "L;4"),
        (8, 0, "L"),
        (16, 0, "I;16"),
        (8, 2, "RGB"),
        (16, 2, "RGB;16"),
        (8, 4, "LA"),
        (16, 4, "LA;16"),
        (8, 6, "RGBA"),
        (16, 6, "RGBA;16"),
    ],
)
def test_png_modes_are_told_apart(depth: int, color: int, mode: str) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    data = png(1, 1, depth, color, b"\0" + b"\x80" * max(1, channels * depth // 8))
    facts = probe(data)
    assert facts.mode == mode
    assert facts.plain == (mode == "RGB")
    assert probe(as_png(data)).plain


@pytest.mark.parametrize(("depth", "color"), [(3, 2), (4, 2), (16, 3), (1, 6), (8, 1), (8, 7)])
def test_illegal_png_headers_are_refused(depth: int, color: int) -> None:
    with pytest.raises(WrongContent, match="not legal"):
        probe(png(1, 1, depth, color, b"\0"))


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (2**31, 1)])
def test_impossible_png_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(WrongContent, match="not legal"):
        probe(png(*size, 8, 2, b"\0"))


def test_the_head_of_a_large_png_is_enough() -> None:
    data = encoded(Image.fromarray(noise(400, 300)), compress_level=0)
    assert len(data) > 2 * HEAD_BYTES
    assert probe(data[:HEAD_BYTES]) == probe(data)
    assert probe(data[:33]).size == (400, 300)


def test_the_head_of_a_large_jpeg_is_enough() -> None:
    data = encoded(Image.fromarray(noise(400, 300)), "JPEG", quality=100)
    assert len(data) > 2 * HEAD_BYTES
    assert probe(data[:HEAD_BYTES]).size == (400, 300)


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "TIFF"])
def test_animations_are_counted_and_their_first_frame_is_used(format: str) -> None:
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    data = encoded(red, format, save_all=True, append_images=[blue], **({"lossless": True} if format == "WEBP" else {}))
    facts = probe(data)
    assert (facts.frames, facts.animated, facts.plain) == (2, True, False)
    assert pixels(convert_to_pil_image(data))[0][0] == [255, 0, 0]
    assert not probe(as_png(data)).animated


# Damage


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_a_cut_anywhere_is_found(format: str) -> None:
    data = encoded(RGB, format)
    assert decode_fault(data) is None
    for length in (
        0,
        1,
        7,
        8,
        20,
        33,
        50,
        len(data) // 3,
        len(data) // 2,
        len(data) - 13,
        len(data) - 2,
        len(data) - 1,
    ):
        assert decode_fault(data[:length]), length


def test_a_cut_between_two_chunks_of_pixels_is_found() -> None:
    data = encoded(Image.fromarray(noise(300, 200)))  # Pillow writes chunks of 64 KB
    end = data.index(b"IDAT", data.index(b"IDAT") + 4) - 4
    assert "cut off at byte" in str(decode_fault(data[:end]))


def test_every_flipped_byte_of_a_png_is_found() -> None:
    data = encoded(Image.fromarray(noise(8, 6)))
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        assert decode_fault(bytes(damaged)), at


def test_faults_say_what_and_where() -> None:
    at = PNG.index(b"IDAT")
    flipped = PNG[: at + 10] + bytes([PNG[at + 10] ^ 1]) + PNG[at + 11 :]
    assert f"checksum of chunk IDAT at byte {at - 4}" in str(decode_fault(flipped))
    assert "cut off in chunk IDAT" in str(decode_fault(PNG[: at + 100]))
    assert "end mark" in str(decode_fault(PNG[:-12]))
    assert "text mode" in str(decode_fault(PNG.replace(b"\r\n", b"\n", 1)))
    assert "no pixels" in str(decode_fault(PNG[:33] + PNG[-12:]))
    assert "end mark" in str(decode_fault(encoded(RGB, "JPEG")[:-2]))


@pytest.mark.parametrize(
    ("depth", "color", "bits"), [(1, 0, 1), (8, 0, 8), (16, 0, 16), (8, 2, 24), (4, 3, 4), (8, 6, 32)]
)
@pytest.mark.parametrize("interlace", [0, 1])
def test_pixels_that_end_early_in_sound_chunks_are_found(depth: int, color: int, bits: int, interlace: int) -> None:
    size = 9  # a side that fills no byte and no pass evenly
    rows = [(size, size)]
    if interlace:
        steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        rows = [(len(range(x, size, dx)), len(range(y, size, dy))) for x, y, dx, dy in steps]
    stream = b"".join((b"\0" + b"\x11" * -(-columns * bits // 8)) * count for columns, count in rows)
    header = struct.pack(">IIBBBBB", size, size, depth, color, 0, 0, interlace)
    palette = [chunk(b"PLTE", bytes(48))] if color == 3 else []

    def made(stream: bytes) -> bytes:
        parts = [chunk(b"IHDR", header), *palette, chunk(b"IDAT", zlib.compress(stream)), chunk(b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

    black = b"".join((b"\0" + b"\0" * -(-columns * bits // 8)) * count for columns, count in rows)
    for whole in (stream, black):
        assert decode_fault(made(whole)) is None
        assert decode_fault(made(whole[:-1]))
        assert decode_fault(made(whole[: len(whole) // 2]))
    if not interlace:  # a whole row less is what Pillow itself does not see
        assert "end early" in str(decode_fault(made(stream[: -(len(stream) // size)])))


@pytest.mark.parametrize("format", FORMATS[:5])
def test_bytes_after_the_end_are_tolerated(format: str) -> None:
    data = encoded(RGB, format)
    assert decode_fault(data + b"trailing") is None
    assert pixels(convert_to_pil_image(data + b"\0" * 100)) == pixels(convert_to_pil_image(data))


@pytest.mark.parametrize("side", [10_000, 60_000])  # beyond Pillow's warning, and beyond its error
def test_a_decompression_bomb_is_a_fault(side: int) -> None:
    bomb = png(side, side, 8, 2, b"\0" * 100)
    assert "declares more than" in str(decode_fault(bomb))
    assert convert_to_pil_image(bomb) is None
    assert probe(bomb).size == (side, side)


def test_no_warning_of_pillows_escapes_and_filters_are_left_alone() -> None:
    palette = RGB.convert("P")
    data = encoded(palette, transparency=bytes(range(256)))  # Pillow warns when this becomes RGB
    apng = encoded(RGB, save_all=True, append_images=[Image.new("RGB", RGB.size)]).replace(
        b"acTL\0\0\0\2", b"acTL\0\0\0\0"
    )
    before = list(warnings.filters)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                assert convert_to_pil_image(data) is not None
                assert convert_to_pil_image(png(10_000, 10_000, 8, 2, b"\0")) is None
                assert decode_fault(apng)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(warnings.filters) == before


# PNG


def test_a_plain_png_is_returned_to_the_byte() -> None:
    noted = encoded(RGB, dpi=(72, 72))
    for data in (PNG, noted, PNG + b"trailing"):
        assert as_png(data) == data


@pytest.mark.parametrize("format", FORMATS[1:])
def test_other_formats_become_plain_png_with_the_same_pixels(format: str) -> None:
    data = encoded(RGB, format)
    made = as_png(data)
    assert probe(made).plain
    assert pixels(decode(made)) == pixels(convert_to_pil_image(data))
    assert as_png(made) == made
    assert as_png(data) == made


def test_only_pixels_are_kept() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 3, "secret"
    made = as_png(encoded(RGB.convert("RGBA"), exif=exif, icc_profile=b"profile", dpi=(72, 72)))
    assert [made[at - 4 : at] for at in (16,)] == [b"IHDR"]
    assert all(name not in made for name in (b"eXIf", b"iCCP", b"pHYs", b"tEXt", b"secret"))
    assert encode_png(Image.open(io.BytesIO(made))) == made


@pytest.mark.parametrize("data", [b"", b"<html>", PNG[:-20], encoded(RGB, "JPEG")[:-50]])
def test_what_does_not_decode_becomes_no_png(data: bytes) -> None:
    with pytest.raises(WrongContent):
        as_png(data)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", *(encoded(RGB, format)[:40] for format in FORMATS)]))
def test_no_bytes_make_anything_else_than_a_fault(tail: bytes, head: bytes) -> None:
    data = head + tail
    fault = decode_fault(data)
    if fault is not None:
        assert "0x" not in fault  # no address of an object: the same data gives the same words
        assert convert_to_pil_image(data) is None


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA"]),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(0, 1000),
)
def test_lossless_formats_keep_pixels(mode: str, width: int, height: int, seed: int) -> None:
    image = Image.fromarray(noise(width, height, 4, seed)).convert(mode)
    shown = pixels(convert_to_pil_image(image))
    for format in ("PNG",) if mode == "P" else ("PNG", "TIFF"):  # TIFF has no palette with alpha
        assert pixels(decode(as_png(encoded(image, format)))) == shown
