"""Decoding for training: the pixels that Pillow gives, from whatever kind of image, or the same complaint."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from visprep import errors
from visprep.loaders.decoding import decode

PIXELS = np.random.default_rng(7).integers(0, 256, (48, 64, 3), np.uint8)
SMOOTH = np.dstack(np.meshgrid(np.arange(64) * 4, np.arange(48) * 5)).astype(np.uint8)
SMOOTH = np.dstack((SMOOTH, SMOOTH[:, :, :1]))


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def by_pillow(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 95, "subsampling": 0}, {"restart": 1}])
@pytest.mark.parametrize("pixels", [PIXELS, SMOOTH, PIXELS[:, :, 0]])
def test_jpegs_as_pillow_gives_them(pixels: Any, options: dict[str, Any]) -> None:
    data = encoded(Image.fromarray(pixels), **({"restart_marker_rows": 1} if "restart" in options else options))
    image = decode(data)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), by_pillow(data))


def test_other_kinds_become_rgb() -> None:
    rgb = Image.fromarray(SMOOTH)
    for image, kind in [(rgb, "PNG"), (rgb.convert("L"), "PNG"), (rgb.quantize(), "PNG"), (rgb, "WEBP"), (rgb, "BMP")]:
        data = encoded(image, kind)
        assert np.array_equal(np.asarray(decode(data)), by_pillow(data))
    cmyk = decode(encoded(rgb.convert("CMYK")))
    assert (cmyk.mode, cmyk.size) == ("RGB", (64, 48))
    deep = decode(encoded(Image.fromarray(np.full((4, 4), 257 * 100, np.uint16)), "PNG"))
    assert np.asarray(deep).tolist() == [[[100] * 3] * 4] * 4
    clear = decode(encoded(Image.new("RGBA", (2, 2), (9, 9, 9, 0)), "PNG"))
    assert np.asarray(clear).tolist() == [[[255] * 3] * 2] * 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "CMYK"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_is_kept_or_obeyed(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(SMOOTH)
    options = {"exif": exif} if kind == "PNG" else {"exif": exif, "quality": 95, "subsampling": 0}
    if kind == "CMYK":
        image = image.convert("CMYK")
    data = encoded(image, "PNG" if kind == "PNG" else "JPEG", **options)
    stored = np.asarray(decode(data)).astype(int)
    assert stored.shape == (48, 64, 3)
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    turned = np.asarray(decode(data, exif="rotate")).astype(int)
    assert turned.shape == np.asarray(upright).shape
    assert abs(turned - np.asarray(upright)).max() <= 2
    assert (turned.shape == stored.shape) == (orientation < 5)


@pytest.mark.parametrize(
    ("least", "size"),
    [
        ((64, 48), (64, 48)),
        ((33, 24), (40, 30)),
        ((32, 24), (32, 24)),
        ((8, 6), (8, 6)),
        ((8, 48), (64, 48)),
        ((90, 90), (64, 48)),
    ],
)
def test_smaller_where_that_is_enough(least: tuple[int, int], size: tuple[int, int]) -> None:
    image = decode(encoded(Image.fromarray(SMOOTH)), least)
    assert image.size == size
    assert all(have >= min(want, stored) for have, want, stored in zip(image.size, least, (64, 48), strict=True))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(encoded(Image.fromarray(SMOOTH), exif=exif), (24, 32), exif="rotate")
    assert turned.size == (24, 32)
    assert decode(encoded(Image.fromarray(SMOOTH), "PNG"), (8, 6)).size == (64, 48)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_damage_is_damage_whoever_decodes(mode: str) -> None:
    whole = encoded(Image.fromarray(PIXELS).convert(mode))
    decode(whole + b"more")
    for cut in (3, 30, len(whole) // 2, len(whole) - 2):
        with pytest.raises(errors.WrongContent, match="cut off"):
            decode(whole[:cut])
        with pytest.raises(errors.WrongContent):
            decode(whole[:cut], (8, 6))
    hurt = bytearray(whole)
    hurt[len(whole) // 2 : len(whole) // 2 + 20] = b"\xff\xd3" * 10
    with pytest.raises(errors.WrongContent, match="a JPEG image, damaged"):
        decode(bytes(hurt))


@pytest.mark.parametrize("data", [b"", b"<!doctype html>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\0" * 99])
def test_what_is_no_image(data: bytes) -> None:
    with pytest.raises(errors.WrongContent):
        decode(data)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.fromarray(PIXELS))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 // 3)
    with pytest.raises(errors.WrongContent):
        decode(data)


def test_pixels_can_be_written_to() -> None:
    image = decode(encoded(Image.fromarray(PIXELS)))
    image.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) == (1, 2, 3)
