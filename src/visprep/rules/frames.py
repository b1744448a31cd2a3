"""The rules of frames: what may be wrong with a first or final frame, and between the two."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from PIL import Image, ImageChops

from visprep.errors import WrongContent
from visprep.findings import Finding, Level
from visprep.formats.task_loading import LoadedTask
from visprep.formats.tasks import FINAL_FRAME, FIRST_FRAME, FRAMES
from visprep.image_headers import orientation_of
from visprep.images import ImageFacts, convert_to_pil_image, decode, describe, image_format, probe
from visprep.rules import Depth, Rule

_CONVERT = "convert it to 8-bit RGB: visprep.convert_to_pil_image(path).save(path)"

FRAME_ALPHA = Rule(
    "frame-alpha",
    Level.ERROR,
    Depth.HEADERS,
    "A frame has see-through pixels: an alpha channel, or a color or palette entry that counts as transparent.",
    "Each reader lays it on another background, or hands on a fourth channel that models do not take.",
    f"{_CONVERT}, which lays it on white",
    bad="first_frame.png is RGBA, be all its pixels opaque.",
    near="RGB with text, a color profile and a resolution beside the pixels.",
)
FRAME_ANIMATED = Rule(
    "frame-animated",
    Level.ERROR,
    Depth.HEADERS,
    "A frame is an animated PNG.",
    "Some readers take the first of its pictures, some the default one, some fail.",
    f"{_CONVERT}, which keeps the first picture",
    bad="first_frame.png is an APNG of two pictures.",
    near="An APNG that announces one picture.",
)
FRAME_BIT_DEPTH = Rule(
    "frame-bit-depth",
    Level.ERROR,
    Depth.HEADERS,
    "A frame has 16 bits a channel.",
    "Readers that expect 8 clip it to white, or take every second byte for a pixel.",
    f"{_CONVERT}, which scales it",
    bad="first_frame.png is RGB with 16 bits a channel.",
    near="8 bits with a chunk that says that 5 of them mean something (sBIT).",
)
FRAME_MODE = Rule(
    "frame-mode",
    Level.ERROR,
    Depth.HEADERS,
    "A frame is gray, black and white, or has a palette, where RGB should be.",
    "Loaders that expect three channels fail on it, or take indices of a palette for brightness.",
    _CONVERT,
    bad="first_frame.png is gray, mode L.",
    near="RGB with a suggested palette (PLTE) in it.",
)
FRAME_NOT_PNG = Rule(
    "frame-not-png",
    Level.ERROR,
    Depth.HEADERS,
    "A file with the name of a PNG frame holds something else.",
    "Readers that go by the name fail; a JPEG in its place has lost pixels already; a web page is a failed download.",
    "fetch the frame again, or convert it: visprep.convert_to_pil_image(path).save(path)",
    bad="first_frame.png is a JPEG that was renamed.",
    near="A PNG with bytes of something else after its end.",
)
FRAME_ROTATED = Rule(
    "frame-rotated",
    Level.ERROR,
    Depth.HEADERS,
    "A frame is to be turned or mirrored before it is shown, as the orientation in its EXIF or XMP says.",
    "Viewers turn it and most loaders do not, so that people and models see different pictures.",
    f"{_CONVERT}, which turns it",
    bad="first_frame.png has the EXIF orientation 6, as a phone held upright writes it.",
    near="EXIF that says orientation 1: upright.",
)
FRAME_SIZE_MISMATCH = Rule(
    "frame-size-mismatch",
    Level.ERROR,
    Depth.HEADERS,
    "First and final frame differ in width or height.",
    "A model that turns the one into the other is trained, or judged, on pictures that do not lie on each other.",
    "bring both frames to one size, or drop the task",
    bad="first_frame.png has 1280 x 704 pixels, final_frame.png 1280 x 720.",
    near="Both frames have another size than those of all other tasks.",
)
FRAME_UNDECODABLE = Rule(
    "frame-undecodable",
    Level.ERROR,
    Depth.HEADERS,
    "A frame is a PNG that does not decode to its last pixel.",
    "It was cut off or damaged on its way; loaders fail on it, or fill it up with black.",
    "fetch the frame again",
    bad="The last 100 bytes of final_frame.png are missing.",
    near="A thousand zeros follow the end of the picture.",
)
FRAMES_IDENTICAL = Rule(
    "frames-identical",
    Level.WARNING,
    Depth.HEADERS,
    "First and final frame show the same pixels.",
    "Nothing happens in such a task; most often one frame was copied over the other.",
    "check the task at its origin; ignore this where nothing is meant to happen",
    bad="final_frame.png is a copy of first_frame.png.",
    near="They differ in one bit of one pixel.",
)

RULES: tuple[Rule, ...] = (
    FRAME_ALPHA,
    FRAME_ANIMATED,
    FRAME_BIT_DEPTH,
    FRAME_MODE,
    FRAME_NOT_PNG,
    FRAME_ROTATED,
    FRAME_SIZE_MISMATCH,
    FRAME_UNDECODABLE,
    FRAMES_IDENTICAL,
)


class Look:
    """What looking at a frame to a certain depth tells: facts where its header can be read, a sample where all can.

    Pixels are let go once they were made, unless they are to be kept: two frames at once cost half as much again as one
    after the other, since memory that is given back must be cleared before it is given out again.
    """

    def __init__(self, data: bytes, depth: Depth, *, keep: bool = False) -> None:
        self.png = image_format(data) == "PNG"
        self.facts: ImageFacts | None = None
        self.sample: bytes | None = None
        self.fault: str | None = None
        self._data = data
        self._kept: Image.Image | None = None
        if not self.png:
            return
        try:
            facts = probe(data)
            if facts.width * facts.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # nothing it declares is believed
                raise WrongContent(f"it declares more than {Image.MAX_IMAGE_PIXELS} pixels")
            self.facts = facts
            if depth.reaches(Depth.DECODE):
                image = decode(data)
                self.sample = _sample(image)
                self._kept = image if keep else None
        except WrongContent as problem:
            self.fault = problem.message

    @property
    def pixels(self) -> Image.Image | None:
        """The picture of a sound frame, made again where it was not kept; None when it was not looked at so closely."""
        return self._kept or (decode(self._data) if self.sample else None)


def looks(loaded: LoadedTask, depth: Depth) -> dict[str, Look]:
    """Each frame of a task that has content, looked at to `depth`, by name; with pixels, where videos ask for them."""
    keep = bool(loaded.videos)
    return {name: Look(data, depth, keep=keep) for name in FRAMES if (data := loaded.contents.get(name))}


def check(loaded: LoadedTask, looks: Mapping[str, Look]) -> Iterator[Finding]:
    """What is wrong with the frames of a task, each by itself and then as a pair."""
    for name, look in looks.items():
        path = loaded.directory.at(name)
        if not look.png:
            yield FRAME_NOT_PNG.at(path, f"{name} is {describe(loaded.contents[name])}")
        if fault := look.fault or loaded.cut.get(name):
            yield FRAME_UNDECODABLE.at(path, f"{name} does not decode: {fault}")
        if look.facts:
            yield from _manner(name, path, look.facts)
    if len(looks) == len(FRAMES):
        first, final = looks[FIRST_FRAME], looks[FINAL_FRAME]
        if first.facts and final.facts:
            sizes = first.facts.size, final.facts.size
            yield from check_pair(*sizes, loaded.directory.at(FINAL_FRAME), lambda: _identical(loaded, first, final))


def _manner(name: str, path: str, facts: ImageFacts) -> Iterator[Finding]:
    """What is not plain about how an image is stored."""
    channels, _, bits = facts.mode.partition(";")
    see_through = "A" in channels or facts.transparency
    if channels != "RGB" and not see_through and bits != "16":  # else that is named, and one remedy is for all
        yield FRAME_MODE.at(path, f"{name} has mode {facts.mode}, not RGB", mode=facts.mode)
    if see_through:
        seen = "an alpha channel" if "A" in channels else "a transparent color"
        yield FRAME_ALPHA.at(path, f"{name} has {seen} (mode {facts.mode})", mode=facts.mode)
    if bits == "16":
        yield FRAME_BIT_DEPTH.at(path, f"{name} has 16 bits a channel (mode {facts.mode})", mode=facts.mode)
    if facts.animated:
        yield FRAME_ANIMATED.at(path, f"{name} is an animation of {facts.frames} pictures", pictures=facts.frames)
    if facts.orientation != 1:
        wrong = f"{name} has the orientation {facts.orientation}, in its EXIF or XMP"
        yield FRAME_ROTATED.at(path, wrong, orientation=facts.orientation)


def check_pair(
    first: tuple[int, int], final: tuple[int, int], path: str, identical: Callable[[], bool]
) -> Iterator[Finding]:
    """What is wrong between two frames, given their width and height; one finding at the most.

    `identical` is asked only when the sizes agree. `path` is that of the final frame.
    """
    if first != final:
        wrong = "{} is {} x {} pixels, {} is {} x {}".format(FIRST_FRAME, *first, FINAL_FRAME, *final)
        yield FRAME_SIZE_MISMATCH.at(path, wrong, first=list(first), final=list(final))
    elif identical():
        yield FRAMES_IDENTICAL.at(path, f"{FIRST_FRAME} and {FINAL_FRAME} show the same picture")


def _identical(loaded: LoadedTask, first: Look, final: Look) -> bool:
    """Whether sound frames show the same pixels, as far as what was read tells."""
    if first.fault or final.fault:
        return False
    if loaded.whole(FIRST_FRAME) and loaded.contents[FIRST_FRAME] == loaded.contents[FINAL_FRAME]:
        return True
    if first.sample and final.sample:
        return first.sample == final.sample and same_pixels(first.pixels, final.pixels)
    digests = [loaded.directory.files[name].digest for name in FRAMES]
    return digests[0] is not None and digests[0] == digests[1]


def same_pixels(first: Image.Image | None, final: Image.Image | None) -> bool:
    """Whether two images of one size are there, and look the same as upright 8-bit RGB on white."""
    shown = [image and _shown(image) for image in (first, final)]
    return bool(shown[0] and shown[1] and ImageChops.difference(shown[0], shown[1]).getbbox() is None)


#: Pixels a side of the sample that tells most pictures apart before all of their pixels are looked at.
_SAMPLE = 128


def _sample(image: Image.Image) -> bytes:
    shown = _shown(image) or image
    return shown.resize((_SAMPLE, _SAMPLE), Image.Resampling.NEAREST).tobytes()


def _shown(image: Image.Image) -> Image.Image | None:
    """The image as upright RGB on white; itself where it is that already, since a copy costs as much as a decode."""
    plain = image.mode == "RGB" and not image.has_transparency_data and orientation_of(image) == 1
    return image if plain else convert_to_pil_image(image)
