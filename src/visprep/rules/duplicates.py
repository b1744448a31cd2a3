"""The rules of duplicates: what two tasks of a place have in common that they should not.

Not everything that comes twice is a fault. Benchmarks ask the same question of many pictures: of ten visual puzzles of
VideoThinkBench, one of each kind, four share their prompt, across domains. They also ask several questions of one
picture, and many puzzles end alike. So these are worth a warning, and no others:

- two tasks with the same first frame and the same prompt: the same question;
- a picture that is a frame in two domains, unless it is all of one color, as an empty canvas is.

Frames are the same when their files are, to the byte: copies, which are what goes wrong. Pictures that were encoded
again are not found here. Of every task some digests are kept, and nothing else, so memory does not grow with frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from visprep.errors import WrongContent
from visprep.findings import Finding, Level
from visprep.formats.task_loading import LoadedTask, may_be_one_color
from visprep.formats.tasks import FINAL_FRAME, FIRST_FRAME, PROMPT, TaskDirectory, tidy_prompt
from visprep.images import decode, image_format, probe
from visprep.rules import Depth, Rule
from visprep.rules.ids import identity

FRAME_SHARED = Rule(
    "frame-shared",
    Level.WARNING,
    Depth.HEADERS,
    "The same picture is a frame of tasks in two domains.",
    "One task may have the frame of another; and where domains are kept apart to measure what carries over, it leaks.",
    "check both tasks at their origin",
    bad="The first frame of a maze is that of a chess task, too.",
    near="Two domains whose tasks begin with the same empty white canvas.",
)
TASK_DUPLICATED = Rule(
    "task-duplicated",
    Level.WARNING,
    Depth.HEADERS,
    "Two tasks have the same first frame and the same prompt.",
    "The question counts twice; parted into training and test it leaks; with two final frames it has two answers.",
    "delete one of them, or check both at their origin",
    bad="maze_task/t0 was copied to maze_task/t1.",
    near="The same prompt with another first frame, or the same first frame with another prompt.",
)

RULES: tuple[Rule, ...] = (FRAME_SHARED, TASK_DUPLICATED)


@dataclass(frozen=True, slots=True)
class Prints:
    """Digests by which a task is recognized; None where the file was not read whole, or says too little."""

    question: bytes | None = None
    first: bytes | None = None
    final: bytes | None = None


def prints(loaded: LoadedTask) -> Prints:
    """The digests of a task, of the frames that were read whole."""
    first, final = (_digest(loaded, name) for name in (FIRST_FRAME, FINAL_FRAME))
    prompt = loaded.contents.get(PROMPT) if loaded.whole(PROMPT) else None
    question = _short(first + _prompt(prompt)) if first and prompt else None
    return Prints(
        question,
        None if _one_color(loaded, FIRST_FRAME) else first,
        None if _one_color(loaded, FINAL_FRAME) else final,
    )


def _prompt(data: bytes) -> bytes:
    """A prompt as it is compared: line ends and blanks around it do not count."""
    try:
        return tidy_prompt(data.decode()).encode()
    except UnicodeDecodeError:
        return data


def _digest(loaded: LoadedTask, name: str) -> bytes | None:
    data = loaded.contents.get(name)
    if not data or not image_format(data):
        return None
    told = loaded.told.get(name)
    size = loaded.directory.files[name].size or 0
    if told and loaded.head_bytes and size < loaded.head_bytes:  # as if its bytes had been read
        return _short(told.encode())
    return _short(data) if loaded.whole(name) else None


def _short(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def _one_color(loaded: LoadedTask, name: str) -> bool:
    """Whether an image is all of one color. Only one that takes hardly any bytes is decoded to find out."""
    data = loaded.contents.get(name)
    if data is None or image_format(data) is None or name in loaded.told:  # of what may be, no more than that is read
        return False
    try:
        facts = probe(data)
        return may_be_one_color(len(data), facts.width, facts.height) and _uniform(decode(data))
    except WrongContent:  # the frame rules say so
        return False


def _uniform(image: Image.Image) -> bool:
    """Whether all pixels are equal; asked by extremes, since colors of 16 bits or of floats cannot be counted."""
    ends: Any = image.getextrema()
    bands = ends if isinstance(ends[0], tuple) else (ends,)
    return all(low == high for low, high in bands)


class Comparison:
    """Remembers the tasks of one place, and says of each what it has in common with one before it."""

    def __init__(self) -> None:
        self._questions: dict[bytes, tuple[TaskDirectory, bytes | None]] = {}
        self._pictures: dict[bytes, TaskDirectory] = {}

    def add(self, directory: TaskDirectory, seen: Prints) -> Iterator[Finding]:
        """What a task has in common with those that were added before; one finding at the most."""
        shared = [
            (name, self._pictures.setdefault(digest, directory))
            for name, digest in ((FIRST_FRAME, seen.first), (FINAL_FRAME, seen.final))
            if digest
        ]
        if seen.question:
            other, final = self._questions.setdefault(seen.question, (directory, seen.final))
            if self._apart(directory, other):
                answers = ", and another final frame" if final and seen.final and final != seen.final else ""
                message = f"first frame and prompt are those of {other.path or '.'}{answers}"
                yield TASK_DUPLICATED.at(directory.path or ".", message, first=other.path or ".")
                return
        for name, other in shared:
            if self._apart(directory, other) and None is not other.domain != directory.domain is not None:
                message = f"{name} is a frame of {other.path or '.'} too, in domain {other.domain!r}"
                yield FRAME_SHARED.at(directory.at(name), message, first=other.path or ".")
                return

    def _apart(self, directory: TaskDirectory, other: TaskDirectory) -> bool:
        """Whether these are two tasks; those that share even their id are named as that."""
        return directory is not other and identity(directory) != identity(other)
