"""The layout of virtual try-on, `vton`: triplets of a person, a piece of clothing, and the person wearing it.

    {directory}/initial_image/{stem}_person.png
    {directory}/cloth_image/{stem}_cloth_{anything}.png
    {directory}/try_on_image/{stem}_vton.png

The directory is usually `{difficulty}/female` or `{difficulty}/male`. Each numbers its triplets anew, so that a triplet
is known by its directory and its stem, never by the stem alone. Images are `.png`, `.jpg` or `.jpeg`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from visprep.formats.directories import closing, set_aside
from visprep.manifest import File

#: The directories of the three pictures of a triplet -> what the names of the files in them say, after the stem.
FOLDERS: Mapping[str, str] = MappingProxyType(
    {"initial_image": "person", "cloth_image": "cloth", "try_on_image": "vton"}
)
#: What a path may say of how difficult its triplets are.
DIFFICULTIES = ("easy", "medium", "hard")
_PLAIN = re.compile(r"(.+)_(person|vton)\.(?:png|jpe?g)", re.DOTALL)
_CLOTH = re.compile(r".+_(cloth)_.+\.(?:png|jpe?g)", re.DOTALL)
#: Where a name may have its `_cloth_`: two of them may share a mark.
_BEFORE_CLOTH = re.compile(r"(?=_cloth_.)", re.DOTALL)
#: Characters of a name: no file system takes more, and what is in an archive may have a million.
_LONGEST = 255
#: Nearly a name: in other case, with another suffix, without what follows `_cloth_`.
_NEARLY = re.compile(
    r"(.+?)_(?:person|vton|cloth)(?:_.*)?\.(?:png|jpe?g|jpe|jfif|webp|bmp|gif|tiff?|avif)", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Triplet:
    """One triplet as it was found, complete or not.

    `directory` is that above the three folders, relative to the place, empty for the place itself. `difficulty` is the
    one that the path says, nearest to the files, None where it says none. Each picture may be there once, not at all,
    or several times; `near` are files that may be meant for one and are not named, or not placed, as they should be.
    """

    directory: str
    stem: str
    difficulty: str | None = None
    persons: tuple[File, ...] = ()
    cloths: tuple[File, ...] = ()
    try_ons: tuple[File, ...] = ()
    near: tuple[File, ...] = ()

    @property
    def key(self) -> str:
        """The stable name of the triplet within its place: directory and stem."""
        return f"{self.directory}/{self.stem}" if self.directory else self.stem

    @property
    def pictures(self) -> Mapping[str, tuple[File, ...]]:
        """The files of each of the three folders."""
        return {"initial_image": self.persons, "cloth_image": self.cloths, "try_on_image": self.try_ons}

    @property
    def files(self) -> tuple[File, ...]:
        """All files that are named and placed as they should be: persons, cloths, try-ons."""
        return (*self.persons, *self.cloths, *self.try_ons)

    @property
    def complete(self) -> bool:
        """Whether each of the three pictures is there, at least once."""
        return bool(self.persons and self.cloths and self.try_ons)

    # Of several, loaders take the one that S3 lists last.

    @property
    def person(self) -> File | None:
        """The picture of the person, None where there is none."""
        return self.persons[-1] if self.persons else None

    @property
    def cloth(self) -> File | None:
        """The picture of the piece of clothing, None where there is none."""
        return self.cloths[-1] if self.cloths else None

    @property
    def try_on(self) -> File | None:
        """The picture of the person wearing it, None where there is none."""
        return self.try_ons[-1] if self.try_ons else None

    @property
    def missing(self) -> tuple[str, ...]:
        """The paths of the pictures that are not there, a `*` standing for what nobody can know."""
        suffix = next((file.path.rpartition(".")[2] for file in self.files), "png")
        names = (
            f"{folder}/{self.stem}_{FOLDERS[folder]}{'_*' if folder == 'cloth_image' else ''}.{suffix}"
            for folder, files in self.pictures.items()
            if not files
        )
        return tuple(f"{self.directory}/{name}" if self.directory else name for name in names)


def is_member(path: str) -> bool:
    """Whether a file is named and placed as a picture of a triplet."""
    return _word(path) is not None and not set_aside(path)


def _word(path: str) -> str | None:
    """What the name of a picture says after its stem; None for a file that is none, or lies in another folder."""
    home, _, name = path.rpartition("/")
    folder = home.rpartition("/")[2]
    if folder not in FOLDERS or name.startswith(".") or len(name) > _LONGEST:
        return None
    found = (_CLOTH if folder == "cloth_image" else _PLAIN).fullmatch(name)
    word = found[found.re.groups] if found else None
    return word if word == FOLDERS[folder] else None


def stems_of(path: str) -> tuple[str, ...]:
    """The stems that a picture may have by its name, shortest first; none for a file that is no picture of a triplet.

    That of a cloth may itself have `_cloth_` in it.
    """
    word, name = _word(path), path.rpartition("/")[2]
    if word == "cloth":
        return tuple(name[: found.start()] for found in _BEFORE_CLOTH.finditer(name) if found.start())
    return (name[: name.rindex(f"_{word}.")],) if word else ()


def keys_of(path: str) -> tuple[str, ...]:
    """The keys of the triplets that a picture may be of, by its path."""
    directory = path.rpartition("/")[0].rpartition("/")[0]
    return tuple(f"{directory}/{stem}" if directory else stem for stem in stems_of(path))


def find(
    files: Iterable[File],
    place_name: tuple[str, ...] = (),
    stray: Callable[[File], object] = lambda file: None,
) -> Iterator[Triplet]:
    """The triplets of a place, directory by directory, by stem in each; `stray` is called with each other file.

    `files` come as a store lists them, sorted by the bytes of the path; no more than the directories above the file at
    hand are held. `place_name` is the path of the place itself, in parts, for the difficulty that it may say.
    """
    waiting: dict[str, list[File]] = defaultdict(list)
    for directory, own in closing(files):
        above, _, name = directory.rpartition("/")
        if set_aside(directory):
            for file in own:
                stray(file)
        elif name.casefold() in FOLDERS:
            waiting[above] += own
            own = []
        if directory in waiting:
            yield from _triplets(directory, waiting.pop(directory), own, difficulty_of(directory, place_name), stray)
        elif not set_aside(directory):
            for file in own:
                stray(file)


def difficulty_of(directory: str, place_name: tuple[str, ...] = ()) -> str | None:
    """How difficult the triplets of a directory are, as its path says: the part nearest to them that does."""
    parts = (*place_name[-2:], *directory.split("/"))
    return next((part.casefold() for part in reversed(parts) if part.casefold() in DIFFICULTIES), None)


def _triplets(
    directory: str,
    held: Iterable[File],
    loose: Iterable[File],
    difficulty: str | None,
    stray: Callable[[File], object],
) -> Iterator[Triplet]:
    """The triplets of one directory: `held` lies in its three folders, `loose` beside them."""
    pictures: dict[str, dict[str, list[File]]] = {word: {} for word in FOLDERS.values()}
    rest = list(loose)
    cloths: list[File] = []
    for file in held:
        word = _word(file.path)
        if word is None:
            rest.append(file)
        elif word == "cloth":
            cloths.append(file)
        else:
            pictures[word].setdefault(stems_of(file.path)[0], []).append(file)
    known = pictures["person"].keys() | pictures["vton"].keys()
    for file in cloths:
        pictures["cloth"].setdefault(_stem(file.path, known), []).append(file)
    stems = known | pictures["cloth"].keys()
    near = _near(rest, stems, stray)
    for stem in sorted(stems | near.keys()):
        person, cloth, vton = (tuple(pictures[word].get(stem, ())) for word in FOLDERS.values())
        yield Triplet(directory, stem, difficulty, person, cloth, vton, tuple(near.get(stem, ())))


def _stem(path: str, known: Iterable[str]) -> str:
    """The stem of a cloth: the longest that is known, else the shortest."""
    stems = stems_of(path)
    return next((stem for stem in reversed(stems) if stem in known), stems[0])


def _near(files: Iterable[File], stems: Iterable[str], stray: Callable[[File], object]) -> dict[str, list[File]]:
    """The files that may be meant for a triplet, by its stem."""
    near: dict[str, list[File]] = {}
    spelled = {stem.casefold(): stem for stem in stems}
    for file in files:
        name = file.path.rpartition("/")[2]
        found = _NEARLY.fullmatch(name) if not name.startswith(".") and len(name) <= _LONGEST else None
        if found is None:
            stray(file)
        else:
            near.setdefault(spelled.setdefault(found[1].casefold(), found[1]), []).append(file)
    return near
