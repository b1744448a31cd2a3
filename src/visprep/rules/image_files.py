"""The rules of image files: whether each holds a whole picture of the kind that its name says.

For datasets whose images may be of any size and kind; the frames of tasks are asked for more (`rules.frames`). What is
seen from the depth `headers` on is seen there only as far as the file was read: on S3 its beginning and its end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from visprep import jpegs
from visprep.errors import WrongContent
from visprep.findings import Finding, Level
from visprep.image_headers import ImageFacts, describe, image_format, jpeg_facts, probe, probe_beginning, survey
from visprep.images import decode_fault
from visprep.rules import Depth, Rule

_AGAIN = (
    "move it away and run the download again, or what else brought it; in a directory visprep fix PLACE --how refetch "
    "fetches single images of COCO and Open Images"
)
_CONVERT = "convert it: visprep.convert_to_pil_image(path).save(path)"

IMAGE_CMYK = Rule(
    "image-cmyk",
    Level.WARNING,
    Depth.HEADERS,
    "An image has the four inks of printing, CMYK, for channels.",
    "Readers that expect RGB fail on it, or take inks for light: its colors come out inverted.",
    _CONVERT,
    bad="A photo saved for print.",
    near="A gray image: readers make RGB of it without a loss.",
)
IMAGE_DAMAGED = Rule(
    "image-damaged",
    Level.ERROR,
    Depth.HEADERS,
    "An image is damaged: not all of its pixels are what they were.",
    "Pillow and OpenCV fill such places up, mostly with gray, and say nothing; training goes on with that.",
    _AGAIN,
    bad="4,096 bytes in the middle of a JPEG are zeros.",
    near="A comment of a JPEG holds other bytes than it did: no pixel depends on it.",
)
IMAGE_DEEP = Rule(
    "image-deep",
    Level.WARNING,
    Depth.HEADERS,
    "An image has more than 8 bits a channel.",
    "Readers that expect 8 fail on it, clip it to white, or take every second byte for a pixel.",
    f"{_CONVERT}, which scales it",
    bad="A gray PNG of 16 bits.",
    near="8 bits with a chunk that says that 5 of them mean something (sBIT).",
)
IMAGE_EMPTY = Rule(
    "image-empty",
    Level.ERROR,
    Depth.SIZES,
    "An image file has no bytes.",
    "It was begun and never written; loaders fail on it.",
    _AGAIN,
    bad="A photo of 0 bytes, as a full disk leaves it.",
    near="An image of one pixel.",
)
IMAGE_NOT_IMAGE = Rule(
    "image-not-image",
    Level.ERROR,
    Depth.HEADERS,
    "A file with the name of an image holds no image.",
    "Loaders fail on it; most often it is the page that told why a download failed.",
    _AGAIN,
    bad="photo.jpg is an HTML page.",
    near="photo.jpg is a JPEG of an unusual kind: arithmetic, progressive, gray.",
)
IMAGE_OTHER_FORMAT = Rule(
    "image-other-format",
    Level.ERROR,
    Depth.HEADERS,
    "An image is of another format than its name says.",
    "Readers that go by the name fail on it: libjpeg, and what decodes on a GPU.",
    "rename it, here and in the annotations, or convert it: visprep.convert_to_pil_image(path).save(path)",
    bad="photo.jpg is a PNG that was renamed.",
    near="photo.jpeg, or PHOTO.JPG, is a JPEG.",
)
IMAGE_OVERSIZED = Rule(
    "image-oversized",
    Level.ERROR,
    Depth.HEADERS,
    "An image declares more pixels, or has more bytes, than any reader will take.",
    "It fills the memory of whoever decodes it; Pillow refuses it as a decompression bomb.",
    "fetch the file again, or scale it down",
    bad="A PNG of 700 bytes that declares 50,000 x 50,000 pixels.",
    near="A photo of 50 million pixels.",
)
IMAGE_ROTATED = Rule(
    "image-rotated",
    Level.WARNING,
    Depth.HEADERS,
    "An image is to be turned or mirrored before it is shown, as the orientation in its EXIF says.",
    "Some readers turn it and some do not, so that boxes drawn on the one lie wrong on the other.",
    f"{_CONVERT}, which turns it; see to it that its annotations were drawn on the turned picture",
    bad="A JPEG with the EXIF orientation 3.",
    near="EXIF that says orientation 1: upright.",
)
IMAGE_TRAILING = Rule(
    "image-trailing",
    Level.WARNING,
    Depth.HEADERS,
    "Bytes follow the end of an image.",
    "Readers pass them over; but they may be a second picture, another file, or what a failed download left.",
    f"{_CONVERT}, or leave it as it is",
    bad="A thousand zeros after the end mark of a JPEG.",
    near="A thumbnail inside of the EXIF of a JPEG, with an end mark of its own.",
)
IMAGE_TRUNCATED = Rule(
    "image-truncated",
    Level.ERROR,
    Depth.HEADERS,
    "An image is cut off: its end is missing.",
    "Loaders fail on it, or fill it up with gray.",
    _AGAIN,
    bad="The last 64 bytes of a JPEG are missing.",
    near="A whole JPEG with a thousand zeros after its end.",
)
IMAGE_UNREADABLE = Rule(
    "image-unreadable",
    Level.ERROR,
    Depth.HEADERS,
    "An image is listed and cannot be read.",
    "What it holds is not known, and training would stop there.",
    "see to it that the file can be read, then verify again",
    bad="A photo is a link that leads to nowhere.",
    near="A photo may be read and not be written.",
)

RULES: tuple[Rule, ...] = (
    IMAGE_CMYK,
    IMAGE_DAMAGED,
    IMAGE_DEEP,
    IMAGE_EMPTY,
    IMAGE_NOT_IMAGE,
    IMAGE_OTHER_FORMAT,
    IMAGE_OVERSIZED,
    IMAGE_ROTATED,
    IMAGE_TRAILING,
    IMAGE_TRUNCATED,
    IMAGE_UNREADABLE,
)
#: What makes an image bad: nothing can be made of it, or not all of it.
BAD = frozenset(rule.code for rule in (IMAGE_DAMAGED, IMAGE_EMPTY, IMAGE_NOT_IMAGE, IMAGE_OVERSIZED, IMAGE_TRUNCATED))

#: The endings of names that images have, and Pillow's names of the formats that they mean.
SUFFIXES = {
    "jpg": "JPEG", "jpeg": "JPEG", "jpe": "JPEG", "jfif": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP",
    "bmp": "BMP", "tif": "TIFF", "tiff": "TIFF", "jp2": "JPEG2000", "avif": "AVIF", "ppm": "PPM", "pgm": "PPM",
}  # fmt: skip
#: Formats whose decoders want all bytes to tell as much as the size.
_WHOLE = frozenset({"AVIF", "TIFF", "JPEG2000"})


def is_image(path: str) -> bool:
    """Whether a file has the name of an image."""
    return path.rpartition(".")[2].lower() in SUFFIXES


@dataclass(frozen=True, slots=True)
class Sight:
    """What looking at an image file gave: `facts` where its header could be read, and what is wrong with it."""

    facts: ImageFacts | None = None
    findings: tuple[Finding, ...] = field(default=())


def look(data: bytes, path: str, depth: Depth, *, whole: bool = True) -> Sight:
    """Look at the bytes of an image file: all of them, or, unless `whole`, those that it begins with.

    From `headers` on its header and its marks are read, from `decode` on all of its pixels are made.
    """
    if not data:
        return Sight(findings=(empty(path),))
    kind = image_format(data)
    if kind is None:
        return Sight(findings=(IMAGE_NOT_IMAGE.at(path, f"it is {describe(data)}"),))
    odd = tuple(_name(path, kind, data))
    if not whole and kind in _WHOLE:
        return Sight(findings=odd)
    seen = jpegs.scan(data, header=not whole) if kind == "JPEG" else None
    fault, end = ((seen.fault, seen.end) if seen else survey(data)) if whole else (None, None)
    try:
        facts = (seen and jpeg_facts(seen)) or (probe if whole else probe_beginning)(data)
    except WrongContent as problem:
        rule = IMAGE_TRUNCATED if fault and fault.cut_off else IMAGE_DAMAGED
        return Sight(findings=(*odd, rule.at(path, str(fault) if fault else problem.message)))
    most = Image.MAX_IMAGE_PIXELS or math.inf
    if facts.width * facts.height > most:
        size = f"{facts.width} x {facts.height} pixels"
        return Sight(facts, (*odd, IMAGE_OVERSIZED.at(path, f"it declares {size}; {most} are the most")))
    if fault is None and depth.reaches(Depth.DECODE) and whole:
        fault = pixel_fault(data, facts)
    return Sight(facts, (*odd, *_manner(path, facts), *ended(path, len(data), end, fault)))


def empty(path: str) -> Finding:
    """That a file has no bytes: all that need not be read for."""
    return IMAGE_EMPTY.at(path, "it has 0 bytes")


def pixel_fault(data: bytes, facts: ImageFacts) -> jpegs.Fault | None:
    """Why an image, whose header was read, does not decode to its last pixel; None when it does."""
    if facts.format == "JPEG":
        return jpegs.strict_fault(data) if ";" not in facts.mode else None
    fault = decode_fault(data)
    return jpegs.Fault(fault, cut_off="truncated" in fault or "end early" in fault) if fault else None


def _name(path: str, kind: str, data: bytes) -> Iterator[Finding]:
    suffix = path.rpartition(".")[2].lower()
    if SUFFIXES.get(suffix, kind) != kind:
        yield IMAGE_OTHER_FORMAT.at(path, f"it is {describe(data)}, and its name ends in .{suffix}", format=kind)


def _manner(path: str, facts: ImageFacts) -> Iterator[Finding]:
    """What is not plain about how an image is stored."""
    channels, _, bits = facts.mode.partition(";")
    if channels == "CMYK":
        yield IMAGE_CMYK.at(path, "its channels are CMYK", mode=facts.mode)
    if (bits.isdigit() and int(bits) > 8) or channels in ("I", "F") or bits.startswith("16"):
        yield IMAGE_DEEP.at(path, f"it has {bits or '32'} bits a channel (mode {facts.mode})", mode=facts.mode)
    if facts.orientation != 1:
        yield IMAGE_ROTATED.at(path, f"its EXIF has the orientation {facts.orientation}", orientation=facts.orientation)


def ended(path: str, size: int, end: int | None, fault: jpegs.Fault | None) -> Iterator[Finding]:
    """What to say of how an image of `size` bytes ends: with a fault, or else at `end`, where that is known."""
    if fault:
        yield (IMAGE_TRUNCATED if fault.cut_off else IMAGE_DAMAGED).at(path, fault.message)
    elif end is not None and size > end:
        more = size - end
        yield IMAGE_TRAILING.at(path, f"{more:,} bytes follow its end at byte {end:,}", bytes=more)
