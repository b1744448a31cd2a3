"""Images that are all different, and the ways in which a copy of one comes again: for benchmark and tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw

from image_faults import encoded

Resampling = Image.Resampling
_SIZES = ((320, 240), (240, 320), (300, 225), (320, 213), (256, 256))


def scene(seed: int) -> Image.Image:
    """A picture with the spectrum of a photo, in color, with up to eleven things in front of each other."""
    rng = np.random.default_rng(seed)
    width, height = _SIZES[seed % len(_SIZES)]
    image = _background(rng).resize((width, height), Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 12)):
        left, top = rng.uniform(-0.2, 1, 2)
        across, down = rng.uniform(0.03, 0.5, 2)
        box = (left * width, top * height, (left + across) * width, (top + down) * height)
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=_color(rng))
    return image


def _background(rng: np.random.Generator) -> Image.Image:
    """Noise whose amplitude falls with the frequency, as that of photos does (Field, 1987)."""
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None])
    frequency[0, 0] = 1 / 64
    waves = frequency ** -rng.uniform(0.9, 1.6) * np.exp(2j * np.pi * rng.random((4, 64, 33)))
    gray, *colors = np.fft.irfft2(waves, s=(64, 64))
    channels = [gray + 0.5 * color for color in colors]
    channels = [(one - one.mean()) / one.std() * rng.uniform(25, 60) + rng.uniform(70, 180) for one in channels]
    return Image.fromarray(np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8))


def _color(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(rng.integers(0, 256, 3).tolist())


def page(seed: int) -> Image.Image:
    """A page of text: words in black on white, on lines that all pages have."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (240, 320), "white")
    draw = ImageDraw.Draw(image)
    for top in range(20, 300, 10):
        left = 20.0
        while left < 220 and rng.random() < 0.95:
            word = rng.uniform(5, 40)
            draw.rectangle((left, top, min(left + word, 220), top + 5), fill="black")
            left += word + 5
    return image


def drawing(seed: int) -> Image.Image:
    """A few thin lines on white, as puzzles are drawn: what thumbnails say little of."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 12)):
        draw.line(rng.uniform(0, 256, 4).tolist(), fill=_color(rng), width=int(rng.integers(1, 3)))
    return image


def gradient(seed: int) -> Image.Image:
    """From one color to another: no two alike, and all of them nearly."""
    rng = np.random.default_rng(seed)
    start, end = rng.integers(0, 256, (2, 3))
    ramp = np.linspace(0, 1, 256)[None, :, None]
    values = np.repeat(start + (end - start) * ramp, 200, axis=0)
    return Image.fromarray(np.rint(values).astype(np.uint8))


def frame(seed: int) -> Image.Image:
    """A frame of a series of fifteen: before a background that stays, something that stands out moves by its width."""
    series, place = divmod(seed, 15)
    image = _background(np.random.default_rng(10_000 + series)).resize((320, 240), Resampling.BICUBIC)
    left, top = (place % 5) * 64, (place // 5) * 80
    box = (left, top, left + 63, top + 79)
    dark = np.asarray(image.crop(box)).mean() < 128
    ImageDraw.Draw(image).ellipse(box, fill=(240, 250, 235) if dark else (15, 5, 20))
    return image


def uniform(seed: int) -> Image.Image:
    """One color, never the same, with hardly any noise."""
    rng = np.random.default_rng(seed)
    values = np.asarray(_color(rng)) + rng.integers(-1, 2, (64, 64, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


#: How many of each there are among so many images that are all different.
MIX: dict[Callable[[int], Image.Image], float] = {
    scene: 0.5,
    frame: 0.15,
    page: 0.1,
    drawing: 0.1,
    gradient: 0.1,
    uniform: 0.05,
}


def different(count: int) -> Iterator[tuple[str, Image.Image]]:
    """So many images, no two of which are the same picture, with the name of their kind; the same ones every time."""
    for make, share in MIX.items():
        for seed in range(round(share * count)):
            yield make.__name__, make(seed)


def _again(image: Image.Image, format: str, **options: int) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, format, **options))).convert("RGB")


def _resized(share: float, how: Resampling) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((round(image.width * share), round(image.height * share)), how)


def _sampled(share: float) -> Callable[[Image.Image], Image.Image]:
    """Resized as OpenCV does when not asked otherwise: bilinear between the four nearest pixels, however small."""

    def resize(image: Image.Image) -> Image.Image:
        width, height = round(image.width * share), round(image.height * share)
        steps = (image.width / width, 0, 0, 0, image.height / height, 0)
        return image.transform((width, height), Image.Transform.AFFINE, steps, Resampling.BILINEAR)

    return resize


def _cropped(share: float, *, side: bool) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        width, height = round(image.width * share), round(image.height * share)
        if side:
            return image.crop((width, height, image.width, image.height))
        return image.crop((width // 2, height // 2, image.width - (width - width // 2), image.height - height // 2))

    return crop


def _reencodings() -> dict[str, Callable[[Image.Image], Image.Image]]:
    jpegs = {
        f"JPEG, quality {q}": lambda image, q=q: _again(image, "JPEG", quality=q) for q in (40, 50, 60, 75, 85, 95)
    }
    return {
        **jpegs,
        "WebP, quality 40": lambda image: _again(image, "WEBP", quality=40),
        "WebP, quality 80": lambda image: _again(image, "WEBP", quality=80),
        "PNG of a JPEG, quality 75": lambda image: _again(_again(image, "JPEG", quality=75), "PNG"),
        "GIF, 256 colors": lambda image: _again(image.quantize(256), "GIF"),
    }


_SHARES = (0.25, 0.33, 0.5, 0.77, 1.5, 2)
_WAYS = {"area": Resampling.BOX, "bicubic": Resampling.BICUBIC, "Lanczos": Resampling.LANCZOS}
#: All of these must be found.
REENCODED = _reencodings()
RESIZED = {f"resized to {share}, {way}": _resized(share, how) for share in _SHARES for way, how in _WAYS.items()} | {
    f"resized to {share}, bilinear": _sampled(share) for share in _SHARES
}
#: Of these, as many as are.
OTHER: dict[str, Callable[[Image.Image], Image.Image]] = {
    **{f"resized to {share}, nearest pixel": _resized(share, Resampling.NEAREST) for share in (0.25, 0.5, 2)},
    "squeezed to a square": lambda image: image.resize((224, 224), Resampling.BICUBIC),
    "gray": lambda image: image.convert("L").convert("RGB"),
    **{
        f"cropped by {share:.0%}, {where}": _cropped(share, side=where == "one corner")
        for share in (0.01, 0.02, 0.05, 0.1)
        for where in ("all around", "one corner")
    },
    "brighter by 5 %": lambda image: image.point([min(255, round(value * 1.05)) for value in range(256)] * 3),
    "flipped": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_90),
}
