"""What encoded images are, and whether they are whole: told from their bytes, without making pixels.

Only formats that are told by their first bytes are known; the name of a file decides nothing. PNG, JPEG and the first
bytes of WebP are read by hand, in files of their own.
"""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, UnidentifiedImageError

from visprep import jpegs, pngs, webps
from visprep.errors import WrongContent
from visprep.jpegs import Fault

#: How many bytes of a file are enough for `probe`.
HEAD_BYTES = 64 * 1024

#: Where a RIFF file tells of which kind it is.
_RIFF = 8
_AVIF = (b"ftypavif", b"ftypavis")
#: (offset, first bytes, Pillow's name or None, in words)
_SIGNATURES: tuple[tuple[int, bytes, str | None, str], ...] = (
    (0, b"\x89PNG", "PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "JPEG", "a JPEG image"),
    (0, b"GIF8", "GIF", "a GIF image"),
    (_RIFF, b"WEBP", "WEBP", "a WebP image"),
    (0, b"BM", "BMP", "a BMP image"),
    (0, b"II*\0", "TIFF", "a TIFF image"),
    (0, b"MM\0*", "TIFF", "a TIFF image"),
    (0, b"\0\0\0\x0cjP  ", "JPEG2000", "a JPEG 2000 image"),
    *((4, brand, "AVIF", "an AVIF image") for brand in _AVIF),
    *((0, b"P%d%c" % (number, space), "PPM", "a PNM image") for number in range(1, 7) for space in b" \t\r\n"),
    (0, b"\0\0\1\0", "ICO", "an ICO image"),
    (4, b"ftyp", None, "an MP4 or HEIC file"),
    (_RIFF, b"AVI ", None, "an AVI video"),
    (0, b"%PDF", None, "a PDF file"),
    (0, b"PK\3\4", None, "a zip archive"),
    (0, b"\x1f\x8b", None, "a gzip file"),
    (0, b"version https://git-lfs", None, "a Git LFS pointer, not the file itself"),
)
_MARKUP = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG image"),
    (b"<", "XML text"),
)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image's header says: sizes in pixels, as stored, before `orientation` (EXIF, 1 is upright) applies.

    `format` is Pillow's name. `mode` is Pillow's, except that PNG's other bit depths are told apart (`RGB;16`,
    `L;2`). `frames` counts those of an animation; `transparency` says that a palette or one color is see-through.
    """

    format: str
    width: int
    height: int
    mode: str
    frames: int = 1
    transparency: bool = False
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @property
    def animated(self) -> bool:
        """Whether there is more than one frame."""
        return self.frames > 1

    @property
    def plain(self) -> bool:
        """Whether every reader sees the same 8-bit RGB pixels: still, opaque and upright."""
        return self.mode == "RGB" and not self.animated and not self.transparency and self.orientation == 1


def describe(data: bytes) -> str:
    """What the first bytes of a file look like, in words: "a JPEG image", "an HTML page"."""
    signature = _signature(data)
    if signature:
        return signature[3]
    start = data[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    for beginning, words in _MARKUP:
        if start.startswith(beginning):
            return words
    if start[:1] in (b"{", b"["):
        return "JSON text"
    return f"no image (it begins with the bytes {data[:8].hex(' ')})" if data else "empty"


def image_format(data: bytes) -> str | None:
    """Pillow's name of the format that the first bytes announce; None when it is no image that visprep reads."""
    signature = _signature(data)
    return signature[2] if signature else None


def _signature(data: bytes) -> tuple[int, bytes, str | None, str] | None:
    for entry in _SIGNATURES:
        if data.startswith(entry[1], entry[0]) and (entry[0] != _RIFF or data.startswith(b"RIFF")):
            return entry
    return None


def probe(data: bytes) -> ImageFacts:
    """What the header says; WrongContent when it is no image or its header is damaged.

    `data` may be the first HEAD_BYTES of a file, except for WebP and AVIF, whose decoders want all of it. Only
    headers are read, so the pixels may be broken all the same.
    """
    kind = image_format(data)
    if kind == "PNG":
        png = pngs.header(data)
        size = png.width, png.height
        return ImageFacts("PNG", *size, png.mode, png.frames, png.transparency, _orientation_in(png.notes))
    if kind == "JPEG" and (facts := jpeg_facts(jpegs.scan(data, header=True))):
        return facts
    with calm(), open_lazily(data, kind) as image:
        see_through = "transparency" in image.info
        size, mode, orientation = image.size, image.mode, orientation_of(image)
        return ImageFacts(image.format or str(kind), *size, mode, _frames(image), see_through, orientation)


def probe_beginning(data: bytes) -> ImageFacts:
    """What `probe` says, of the first bytes of a file; of a WebP without its frames, and an orientation if it is there.

    An orientation of a WebP stands in a chunk after its pixels.
    """
    if image_format(data) != "WEBP":
        return probe(data)
    webp = webps.header(data)
    return ImageFacts("WEBP", webp.width, webp.height, webp.mode, orientation=_orientation_in(webp.notes))


def stored_size(data: bytes) -> tuple[int, int]:
    """Width and height that the header says, as `probe` does, only sooner."""
    return (data.startswith(b"\xff\xd8\xff") and jpegs.frame_size(data)) or probe(data).size


def jpeg_facts(seen: jpegs.JpegScan) -> ImageFacts | None:
    """What the header of a JPEG says, several times sooner than Pillow does; None where it says too little."""
    if not (seen.width and seen.height and seen.mode):
        return None
    return ImageFacts("JPEG", seen.width, seen.height, seen.mode, orientation=seen.orientation)


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # counting reads on, and the data may end early
        return 1


def _orientation_in(notes: dict[str, Any]) -> int:
    """The orientation that Pillow takes from what a PNG or a WebP says beside its pixels."""
    if not notes:
        return 1
    bearer = Image.new("L", (1, 1))
    bearer.info.update(notes)
    return orientation_of(bearer)


def container_fault(data: bytes) -> Fault | None:
    """Where an encoded image is damaged or cut off, as far as that shows without decoding; None when it does not.

    For PNG and JPEG, and the chunks of WebP: the other formats leave it to the decoder.
    """
    return survey(data)[0]


def survey(data: bytes) -> tuple[Fault | None, int | None]:
    """What `container_fault` says, and where the image ends: None where only decoding could tell."""
    kind = image_format(data)
    if kind == "PNG":
        return pngs.survey(data)
    if kind == "JPEG":
        seen = jpegs.scan(data)
        return seen.fault, seen.end
    return webps.survey(data) if kind == "WEBP" else (None, None)


def open_lazily(data: bytes, kind: str | None) -> Image.Image:
    """Pillow's lazy image; WrongContent when its header cannot be read."""
    if kind is None:
        raise WrongContent(f"it is {describe(data)}")
    try:
        with calm():
            return Image.open(io.BytesIO(data), formats=[kind])
    except Exception as problem:  # on damaged data Pillow raises whatever its plugin stumbles over
        raise WrongContent(f"{describe(data)} that cannot be opened: {in_words(problem)}") from problem


def in_words(problem: Exception) -> str:
    """An exception of Pillow's as the end of a sentence that is the same every time."""
    if isinstance(problem, UnidentifiedImageError):  # its text holds an address in memory
        return "its header is damaged"
    if isinstance(problem, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it declares more than {Image.MAX_IMAGE_PIXELS} pixels"
    if isinstance(problem, KeyError):  # formats that a build of Pillow may lack, AVIF above all
        return "the installed Pillow does not read this format"
    return str(problem) or type(problem).__name__


class _Calm:
    """No warnings of Pillow's while at least one thread is in here, but for bombs, which become exceptions.

    `catch_warnings` alone is not safe with threads: two that leave in the wrong order leave its filters behind.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.filters: warnings.catch_warnings[None] = warnings.catch_warnings()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self.lock:
            if self.inside == 0:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            self.inside += 1
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if self.inside == 0:
                    self.filters.__exit__(None, None, None)


#: `with calm():` around calls into Pillow.
calm = _Calm()


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1 (upright) to 8; 1 where there is none or it is damaged."""
    try:
        with calm():
            return _upright_or(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # damaged EXIF turns nothing
        return 1


def _upright_or(value: Any) -> int:
    return value if isinstance(value, int) and 2 <= value <= 8 else 1
