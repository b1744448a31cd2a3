"""Frames of recorded episodes straight from S3 or disk: one by one, in pairs, or in windows."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from visprep.errors import UnknownContent, UsageError
from visprep.formats.episodes import Episode, find
from visprep.garbage_collection import rarely
from visprep.loaders.dataset import ImageDataset
from visprep.loaders.fetch import ImageFile
from visprep.loaders.file_table import FileTable, Texts
from visprep.loaders.in_python import told_in_python
from visprep.loaders.prefixes import Listing, Prefix, listings, missing, origins
from visprep.loaders.transforming import transformed
from visprep.loaders.warned import Doubts, warn
from visprep.loaders.windows import Windows, runs

if TYPE_CHECKING:
    pass

#: The greatest number that a tensor holds.
_GREATEST = 2**63 - 1


class FrameDataset(ImageDataset):
    """The frames of `{game}/{episode}/frame_{number}.png`, as a dataset of PyTorch.

    A sample is `(image, info)`, with a `window` above 1 `(images, info)`, a tuple of as many images in order: RGB
    images, or what `transform` makes of each. `info` is a dict: `game` and `episode` (its path below the prefix) as
    text, and `numbers`, a tensor with the numbers of the frames.

    A window is `window` frames of one episode, every `step`-th in the order of their numbers; the first begins at the
    first frame, the next `stride` frames later. What is left at the end is no window. With `gaps="break"` none goes
    across a gap, and windows are counted anew after it; a gap is where the numbers go up by more than they usually do
    in the episode, so that every tenth frame has none. With `gaps="ignore"` what is left moves together. Of several
    frames with one number, the last by name is taken.

    `prefix` (or several) is looked through to any depth; it is `s3://bucket/prefix`, a prefix in `s3_bucket` (else in
    S3_BUCKET_NAME), or a directory on disk. `joint_transform` is called with all images of a sample, and gives as many;
    then `transform` with each one. With `from_manifest` nothing is listed: the manifest that visprep wrote tells what
    there is. Other keywords are those of `ImageDataset`.

    UsageError for values that make no sense; PlaceMissing when there is nothing under the prefix; UnknownContent when
    there is no frame, or no episode is long enough for a window.
    """

    @told_in_python
    def __init__(
        self,
        prefix: Prefix | Sequence[Prefix] = "pokemon_frames",
        s3_bucket: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        *,
        window: int = 1,
        stride: int = 1,
        step: int = 1,
        gaps: Literal["break", "ignore"] = "break",
        joint_transform: Callable[..., Any] | None = None,
        from_manifest: bool = False,
        **keywords: Any,
    ) -> None:
        if gaps not in ("break", "ignore"):
            raise UsageError(f"gaps={gaps!r}", hint="it is one of: break, ignore")
        windows = Windows(_count("window", window), _count("stride", stride), _count("step", step))
        super().__init__(**keywords)
        places = listings(
            prefix,
            s3_bucket,
            s3_client=keywords.get("s3_client"),
            settings=keywords.get("settings"),
            from_manifest=from_manifest,
        )
        self.transform, self.joint_transform = transform, joint_transform
        found = _Found(places, windows, gaps == "ignore")
        self.origins = origins(places)
        self._table, self._numbers, self._windows = found.table, found.numbers, windows
        self._games, self._episodes = Texts(found.games), Texts(found.episodes)

    @property
    def episodes(self) -> int:
        """How many episodes were found."""
        return len(self._episodes)

    @property
    def frames(self) -> int:
        """How many frames were found, of which windows are made."""
        return len(self._table)

    def __len__(self) -> int:
        return len(self._windows)

    def files_of(self, index: int) -> Sequence[ImageFile]:
        """The images of the frames of a window."""
        return [self._table[number] for number in self._windows.at(index)[0]]

    def first_transform(self) -> Any:
        """`transform`, unless `joint_transform` comes before it."""
        return None if self.joint_transform is not None else self.transform

    def sample_of(self, index: int, images: list[Any]) -> tuple[Any, dict[str, Any]]:
        """The images of a sample, and where they are from."""
        frames, episode = self._windows.at(index)
        numbers = torch.tensor([self._numbers[number] for number in frames], dtype=torch.int64)
        info = {"game": self._games[episode], "episode": self._episodes[episode], "numbers": numbers}
        made = transformed(images, self.joint_transform, self.transform)
        return (made if len(images) > 1 else made[0]), info


class _Found:
    """The episodes under some prefixes, and the windows over their frames."""

    def __init__(self, places: Sequence[Listing], windows: Windows, gaps: bool) -> None:
        self.games: list[str] = []
        self.episodes: list[str] = []
        self.numbers = array("q")
        self._windows, self._gaps = windows, gaps
        self._repeated = Doubts("frames whose number is there twice")
        self._near = Doubts("files that are nearly named as frames")
        with rarely():
            self.table = FileTable(self._images(places))
        nothing = missing(places)
        looked = ", ".join(one.place for one in places[:6])
        if not self.numbers:
            near = f"; {self._near.words[0]}" if self._near.words else ""
            hint = "name the directory that holds {game}/{episode}/frame_{number}.png, or one further up"
            raise UnknownContent(f"there is no frame under {looked}{near}", hint=hint)
        if not len(windows):
            needed = (windows.window - 1) * windows.step + 1
            longest = f"the longest stretch{'' if gaps else ' without a gap'} has {windows.longest}"
            hint = f"looked under {looked}; make window or step smaller" + ("" if gaps else ", or gaps='ignore'")
            raise UnknownContent(f"a window takes {needed} frames in a row, and {longest}", hint=hint)
        for place in nothing:
            warn(f"There is nothing under {place.rstrip('/')}/")
        self._near.tell()
        self._repeated.tell()

    def _images(self, places: Sequence[Listing]) -> Iterator[ImageFile]:
        seen: set[str] = set()  # a prefix may lie within another
        for place in places:
            for episode in find(place.files(), place.parts):
                name = f"{place.place}/{episode.path}"
                if name not in seen:
                    seen.add(name)
                    yield from self._of(place, episode)

    def _of(self, place: Listing, episode: Episode) -> Iterator[ImageFile]:
        for file in episode.near:
            self._near.add(_nearly, place, file.path)
        if not episode.frames:
            return
        last = dict(zip(episode.numbers, episode.frames, strict=True))  # of one number, the last stays
        if len(last) < len(episode.numbers):
            for before, after, file in zip(episode.numbers, episode.numbers[1:], episode.frames, strict=False):
                if before == after:
                    self._repeated.add(_passed_by, place, file.path)
        numbers = list(last)
        if numbers[-1] > _GREATEST:
            raise UnknownContent(
                f"{place.place}/{last[numbers[-1]].path}: its number is greater than {_GREATEST}",
                hint="number the frames of the episode anew",
            )
        first = len(self.numbers)
        for begin, end in runs(numbers, self._gaps):
            self._windows.add(first + begin, first + end, len(self.episodes))
        self.numbers.extend(numbers)
        self.games.append(episode.game or "")
        self.episodes.append(episode.path or (place.parts[-1] if place.parts else "."))
        yield from (place.image(file) for file in last.values())


def _nearly(place: Listing, path: str) -> str:
    return f"{place.place}/{path} is not named as frames are, and passed by"


def _passed_by(place: Listing, path: str) -> str:
    return f"{place.place}/{path} is passed by: another frame has its number"


def _count(name: str, value: object) -> int:
    """A number of frames; UsageError when it is none."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise UsageError(f"{name}={value!r}", hint="it is a number of frames: 1 or more")
    return number
