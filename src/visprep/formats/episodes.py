"""The layout of frame sequences, `frames`: the frames of an episode, numbered, in a directory of their own.

    {game}/{episode}/frame_{number}.png

Numbers are of any width and order as numbers do: `frame_2` comes before `frame_10`. Images are `.png`, `.jpg` or
`.jpeg`. Directories above that of the game are free.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from visprep.formats.directories import closing, set_aside
from visprep.manifest import File

#: Of any length that a disk or S3 has names for; Python makes no number of more than 4,300 digits.
_NUMBER = "([0-9]{1,4000})"
_FRAME = re.compile(rf"frame_{_NUMBER}\.(?:png|jpe?g)")
#: Nearly a name: in other case, with another suffix, with another mark or none before the number.
_NEARLY = re.compile(rf"frame[ _.-]{{0,3}}{_NUMBER}\.(?:png|jpe?g|jpe|jfif|webp|bmp|gif|tiff?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode: the directory of its frames, and these in the order of their numbers.

    `path` is relative to the place, empty for the place itself; `game` is the name of the directory above, None where
    there is none. `numbers` has the number of each of `frames`. `near` are files that may be meant for frames and are
    not named as they should be; an episode may have nothing else.
    """

    path: str
    game: str | None = None
    frames: tuple[File, ...] = ()
    numbers: tuple[int, ...] = ()
    near: tuple[File, ...] = ()

    @property
    def key(self) -> str:
        """The stable name of the episode within its place: its path, `.` for the place itself."""
        return self.path or "."

    @property
    def home(self) -> str:
        """The path of the directory above, that of the game: `.` where it is the place, or beyond."""
        return self.path.rpartition("/")[0] or "."


def number_of(path: str) -> int | None:
    """The number of a frame by its name; None for a file that is not named as a frame."""
    found = _FRAME.fullmatch(path.rpartition("/")[2])
    return int(found[1]) if found else None


def usual_step(numbers: Sequence[int]) -> int | None:
    """By how much the numbers of an episode count up; `numbers` are in order, each once.

    None where they are a selection, with most numbers left out and no rule in what is left: then nothing is a gap.
    """
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    step = min(steps, default=1)
    if len(steps) < 2 or any(one % step for one in steps):  # two frames make no rule
        step = 1
    missing = (numbers[-1] - numbers[0]) // step + 1 - len(numbers) if numbers else 0
    if missing >= len(numbers) and 2 * steps.count(step) < len(steps):
        step, often = Counter(steps).most_common(1)[0]
        if 4 * often < 3 * len(steps):
            return None  # else a few are out of step
    return step


def nearly_number_of(path: str) -> int | None:
    """The number of a file that is nearly named as a frame, or is; None for any other."""
    found = _NEARLY.fullmatch(path.rpartition("/")[2])
    return int(found[1]) if found else None


def is_member(path: str) -> bool:
    """Whether a file is named as a frame, and not set aside."""
    return number_of(path) is not None and not set_aside(path)


def find(
    files: Iterable[File],
    place_name: tuple[str, ...] = (),
    stray: Callable[[File], object] = lambda file: None,
) -> Iterator[Episode]:
    """The episodes of a place, deeper ones first, else in order of path; `stray` is called with each other file.

    `files` come as a store lists them, sorted by the bytes of the path; no more than the directories above the file at
    hand are held. `place_name` is the path of the place itself, in parts, for a game that it may be called after.
    """
    for directory, own in closing(files):
        frames: list[tuple[int, File]] = []
        near: list[File] = []
        aside = set_aside(directory)
        for file in own:
            number = None if aside else number_of(file.path)
            if number is not None:
                frames.append((number, file))
            elif not aside and nearly_number_of(file.path) is not None:
                near.append(file)
            else:
                stray(file)
        if frames or near:
            frames.sort(key=lambda frame: frame[0])  # stable: frames of one number stay in order of path
            full = (*place_name, *directory.split("/")) if directory else place_name
            yield Episode(
                directory,
                full[-2] if len(full) > 1 else None,
                tuple(file for _, file in frames),
                tuple(number for number, _ in frames),
                tuple(near),
            )
