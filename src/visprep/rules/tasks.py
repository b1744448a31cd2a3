"""The rules of task directories: what may be wrong with one task, and with all tasks of a place together.

One fault gives one finding: a check stays silent where another has already said what is the matter.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from PIL import Image, ImageChops

from visprep.errors import WrongContent
from visprep.findings import Finding, Level
from visprep.formats.tasks import (
    DOMAIN_SUFFIX,
    FINAL_FRAME,
    FIRST_FRAME,
    FRAMES,
    METADATA_FILES,
    PROMPT,
    Found,
    Layout,
    LoadedTask,
    TaskDirectory,
    json_object,
    visible,
)
from visprep.images import ImageFacts, convert_to_pil_image, decode, describe, image_format, probe
from visprep.rules import Depth, Rule

FRAME_MODE = Rule(
    "frame-mode",
    Level.ERROR,
    Depth.HEADERS,
    "A frame is not a still, opaque, upright image of 8-bit RGB.",
    "Loaders that expect three channels of 8 bits fail on it, or each makes other pixels of it.",
    "convert it to 8-bit RGB: visprep.convert_to_pil_image(path).save(path)",
)
FRAME_NOT_PNG = Rule(
    "frame-not-png",
    Level.ERROR,
    Depth.HEADERS,
    "A file with the name of a PNG frame holds something else.",
    "Readers that go by the name fail; a JPEG in its place has lost pixels already; a web page is a failed download.",
    "fetch the frame again, or convert it: visprep.convert_to_pil_image(path).save(path)",
)
FRAME_SIZE_MISMATCH = Rule(
    "frame-size-mismatch",
    Level.ERROR,
    Depth.HEADERS,
    "First and final frame differ in width or height.",
    "A model that turns the one into the other is trained, or judged, on pictures that do not lie on each other.",
    "bring both frames to one size, or drop the task",
)
FRAME_UNDECODABLE = Rule(
    "frame-undecodable",
    Level.ERROR,
    Depth.HEADERS,
    "A frame is a PNG that does not decode to its last pixel.",
    "It was cut off or damaged on its way; loaders fail on it, or fill it up with black.",
    "fetch the frame again",
)
FRAMES_IDENTICAL = Rule(
    "frames-identical",
    Level.WARNING,
    Depth.HEADERS,
    "First and final frame show the same pixels.",
    "Nothing happens in such a task; most often one frame was copied over the other.",
    "check the task at its origin; ignore this where nothing is meant to happen",
)
METADATA_NOT_JSON = Rule(
    "metadata-not-json",
    Level.ERROR,
    Depth.HEADERS,
    "A metadata file is not a JSON object in UTF-8.",
    "Whoever reads it stops there.",
    "repair the file, or delete it: it is optional",
)
NO_TASKS = Rule(
    "no-tasks",
    Level.ERROR,
    Depth.NAMES,
    "The place holds no task directory.",
    "An empty dataset passes every other check.",
    "name the directory that holds {domain}_task/{task_id}/, or download again",
)
PROMPT_BLANK = Rule(
    "prompt-blank",
    Level.ERROR,
    Depth.HEADERS,
    "A prompt holds nothing that can be seen: white space, byte order mark, zero-width characters.",
    "The task asks for nothing.",
    "write the prompt, or drop the task",
)
PROMPT_EMPTY = Rule(
    "prompt-empty",
    Level.ERROR,
    Depth.SIZES,
    "A prompt file has no bytes.",
    "The task asks for nothing.",
    "write the prompt, or drop the task",
)
PROMPT_ENCODING = Rule(
    "prompt-encoding",
    Level.ERROR,
    Depth.HEADERS,
    "A prompt is not UTF-8.",
    "Readers fail on it, or make other letters of it.",
    "save the file as UTF-8",
)
TASK_FILE_EMPTY = Rule(
    "task-file-empty",
    Level.ERROR,
    Depth.SIZES,
    "A file of a task, other than the prompt, has no bytes.",
    "It was begun and never written; loaders fail on it.",
    "fetch the file again",
)
TASK_FILE_MISSING = Rule(
    "task-file-missing",
    Level.ERROR,
    Depth.NAMES,
    "A task lacks a file that its layout requires.",
    "The task cannot be used.",
    "fetch the task again, or choose a layout that does not require the file (--layout)",
)
TASK_FILE_UNREADABLE = Rule(
    "task-file-unreadable",
    Level.ERROR,
    Depth.HEADERS,
    "A file of a task is listed and cannot be read.",
    "What it holds is not known, and training would stop there.",
    "see to it that the file can be read, then verify again",
)
TASK_ID_REPEATED = Rule(
    "task-id-repeated",
    Level.ERROR,
    Depth.NAMES,
    "Two directories of a domain have the same task id, but for case or the way their letters are composed.",
    "On disks that fold case one overwrites the other; anything counted by id counts wrong.",
    "rename one of them, or delete it",
)
TASK_PATH = Rule(
    "task-path",
    Level.ERROR,
    Depth.NAMES,
    "A directory with the files of a task is not at {domain}_task/{task_id}.",
    "Tools that look for `*_task` directories pass it by.",
    "move it to {domain}_task/{task_id}/",
)
UNEXPECTED_FILE = Rule(
    "unexpected-file",
    Level.WARNING,
    Depth.NAMES,
    "A file has no place in the task layout.",
    "It is uploaded and counted along; most often it is a left-over, or a misspelled name.",
    "delete it, or move it out of the dataset",
)

RULES: tuple[Rule, ...] = tuple(
    sorted((value for value in list(globals().values()) if isinstance(value, Rule)), key=lambda rule: rule.code)
)


def check_place(found: Found, layout: Layout) -> list[Finding]:
    """What is wrong with the tasks of a place taken together, as far as names tell."""
    if not found.directories:
        others = f" (other files: {len(found.strays)})" if found.strays else ""
        return [NO_TASKS.at(".", f"no task is here in the layout {layout.name}{others}")]
    strays = (UNEXPECTED_FILE.at(file.path, f"{file.path} belongs to no task") for file in found.strays)
    return [*_repeated(found), *strays]


def _repeated(found: Found) -> Iterator[Finding]:
    """Ids that a domain has twice. A place inside this one has ids of its own."""
    first: dict[tuple[str, str, str], TaskDirectory] = {}
    for directory in found.directories:
        if directory.domain is None:
            continue
        key = found.place_of(directory), _folded(directory.domain), _folded(directory.id)
        other = first.setdefault(key, directory)
        if other is not directory:
            yield TASK_ID_REPEATED.at(
                directory.path or ".",
                f"the id {directory.id!r} of domain {directory.domain!r} is taken by {other.path or '.'}",
                first=other.path or ".",
            )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check(loaded: LoadedTask, layout: Layout, depth: Depth) -> list[Finding]:
    """What is wrong with one task, looked at to `depth`, to which it must have been loaded."""
    findings = [*_names(loaded.directory, layout)]
    if depth.reaches(Depth.SIZES):
        findings += _empty(loaded, layout)
    if depth.reaches(Depth.HEADERS):
        findings += _unreadable(loaded)
        findings += _prompt(loaded)
        findings += _metadata(loaded)
        findings += _frames(loaded, depth)
    return findings


def _names(directory: TaskDirectory, layout: Layout) -> Iterator[Finding]:
    """What the names of its files, and its own, say against a task directory."""
    if directory.domain is None:
        shown = directory.path or directory.id or "."
        yield TASK_PATH.at(
            directory.path or ".",
            f"the task {shown!r} is not in a directory whose name ends in {DOMAIN_SUFFIX}",
        )
    others = [name for name in directory.files if name not in layout.names]
    missing = [name for name in layout.required if name not in directory.files]
    instead = {name: next((other for other in others if _stands_for(other, name)), None) for name in missing}
    if len(missing) == len(layout.required) and not any(instead.values()):
        yield TASK_FILE_MISSING.at(directory.path or ".", f"none of {', '.join(missing)} is there")
        instead = {}
    for name, other in instead.items():
        found = f"; {other} is there instead" if other else ""
        yield TASK_FILE_MISSING.at(directory.at(name), f"{name} is missing{found}")
    others = [name for name in others if name not in instead.values()]  # those are named already
    for name in others:
        path = directory.files[name].path
        yield UNEXPECTED_FILE.at(path, f"{path} is not among the files of the layout {layout.name}")


def _stands_for(other: str, name: str) -> bool:
    """Whether `other` is `name` in other case, or with another suffix."""
    return other.casefold() == name or PurePosixPath(other.casefold()).stem == PurePosixPath(name).stem


def _empty(loaded: LoadedTask, layout: Layout) -> Iterator[Finding]:
    for name in layout.names:
        if _is_empty(loaded, name):
            rule = PROMPT_EMPTY if name == PROMPT else TASK_FILE_EMPTY
            yield rule.at(loaded.directory.at(name), f"{name} has 0 bytes")


def _is_empty(loaded: LoadedTask, name: str) -> bool:
    """Whether a file has no bytes, as the listing or reading it tells."""
    file = loaded.directory.files.get(name)
    return file is not None and (file.size == 0 or loaded.contents.get(name) == b"")


def _unreadable(loaded: LoadedTask) -> Iterator[Finding]:
    for name, error in loaded.unreadable.items():
        yield TASK_FILE_UNREADABLE.at(loaded.directory.at(name), error.message, error=error.slug)


def _prompt(loaded: LoadedTask) -> Iterator[Finding]:
    data = loaded.contents.get(PROMPT)
    if data:  # an empty one is named already
        yield from check_prompt(data, loaded.directory.at(PROMPT))


def check_prompt(data: bytes, path: str) -> Iterator[Finding]:
    """What is wrong with the bytes of a prompt; one finding at the most."""
    if not data:
        yield PROMPT_EMPTY.at(path, "the prompt has 0 bytes")
        return
    try:
        text = data.decode()
    except UnicodeDecodeError as problem:
        utf16 = "; it begins as UTF-16 does" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ""
        wrong = f"byte {problem.start} (hexadecimal {data[problem.start]:02x}) is not UTF-8{utf16}"
        yield PROMPT_ENCODING.at(path, wrong, byte=problem.start)
        return
    if not visible(text):
        yield PROMPT_BLANK.at(path, f"the prompt is all blank (characters: {len(text)})")


def _metadata(loaded: LoadedTask) -> Iterator[Finding]:
    for name in METADATA_FILES:
        data = loaded.contents.get(name)
        if data:
            try:
                json_object(data)
            except ValueError as problem:
                yield METADATA_NOT_JSON.at(loaded.directory.at(name), f"{name}: {problem}")


def _frames(loaded: LoadedTask, depth: Depth) -> Iterator[Finding]:
    """What is wrong with the frames, each by itself and then as a pair."""
    looks = {name: _Look(data, depth) for name in FRAMES if (data := loaded.contents.get(name))}
    for name, look in looks.items():
        path = loaded.directory.at(name)
        if not look.png:
            yield FRAME_NOT_PNG.at(path, f"{name} is {describe(loaded.contents[name])}")
        if look.fault:
            yield FRAME_UNDECODABLE.at(path, f"{name} does not decode: {look.fault}")
        if look.facts and not look.facts.plain:
            yield FRAME_MODE.at(path, f"{name} is {_manner(look.facts)}, not plain 8-bit RGB", mode=look.facts.mode)
    if len(looks) == len(FRAMES):
        first, final = looks[FIRST_FRAME], looks[FINAL_FRAME]
        if first.facts and final.facts:
            sizes = first.facts.size, final.facts.size
            yield from check_pair(*sizes, loaded.directory.at(FINAL_FRAME), lambda: _identical(loaded, first, final))


class _Look:
    """What looking at a frame to a certain depth tells: facts where its header can be read, pixels where all can."""

    def __init__(self, data: bytes, depth: Depth) -> None:
        self.png = image_format(data) == "PNG"
        self.facts: ImageFacts | None = None
        self.pixels: Image.Image | None = None
        self.fault: str | None = None
        if not self.png:
            return
        try:
            self.facts = probe(data)
            if depth.reaches(Depth.DECODE):
                self.pixels = decode(data)
        except WrongContent as problem:
            self.fault = problem.message


def _manner(facts: ImageFacts) -> str:
    """How an image is stored, as far as it is not plainly."""
    manner = f"mode {facts.mode}"
    if facts.transparency:
        manner += " with transparency"
    if facts.animated:
        manner += f" with {facts.frames} animation frames"
    if facts.orientation != 1:
        manner += f" turned by EXIF orientation {facts.orientation}"
    return manner


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


def _identical(loaded: LoadedTask, first: _Look, final: _Look) -> bool:
    """Whether sound frames show the same pixels, as far as what was read tells."""
    if first.fault or final.fault:
        return False
    if loaded.whole(FIRST_FRAME) and loaded.contents[FIRST_FRAME] == loaded.contents[FINAL_FRAME]:
        return True
    if first.pixels and final.pixels:
        return same_pixels(first.pixels, final.pixels)
    digests = [loaded.directory.files[name].digest for name in FRAMES]
    return digests[0] is not None and digests[0] == digests[1]


def same_pixels(first: Image.Image, final: Image.Image) -> bool:
    """Whether two images of one size look the same as upright 8-bit RGB on white."""
    shown = convert_to_pil_image(first), convert_to_pil_image(final)
    return bool(shown[0] and shown[1] and ImageChops.difference(shown[0], shown[1]).getbbox() is None)
