"""Tasks, triplets, episodes and plain images, as what can be shown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from visprep.findings import Finding
from visprep.formats.episodes import number_of
from visprep.formats.tasks import CLIPS, FRAMES, METADATA_FILES, PROMPT, VIDEOS
from visprep.manifest import File
from visprep.page.payload import Shape, Text
from visprep.recordsets.directories import DirectoryRecords, Record
from visprep.reporting import Draft, Sight, Size

#: Frames of an episode that are shown.
FRAMES_SHOWN = 8
_WORDS = {"first_frame.png": "first frame", "final_frame.png": "final frame"}
_FOLDERS = {"initial_image": "person", "cloth_image": "cloth", "try_on_image": "try-on"}


@dataclass(frozen=True, slots=True)
class DirectoryKind:
    """What records of a kind are called, in the plural, and what their classes are; how one is drafted."""

    unit: str
    label: str
    draft: Callable[[DirectorySubject, int], Draft]


class DirectorySubject:
    """See `Subject`: records that are files of a directory."""

    def __init__(self, records: DirectoryRecords, kind: DirectoryKind) -> None:
        self.records, self.unit, self._draft = records, kind.unit, kind.draft
        #: Whether groups are parts, or classes
        self.parted = any(records.parts)
        self.grouped_by = "Split" if self.parted else kind.label

    @property
    def count(self) -> int:
        """See `Subject`."""
        return len(self.records.records)

    @property
    def names(self) -> Sequence[str]:
        """See `Subject`."""
        return self.records.keys

    @cached_property
    def groups(self) -> Sequence[str]:
        """See `Subject`: the part where there are parts, else the class."""
        if self.parted:
            return [part or "" for part in self.records.parts]
        return [one.label or "" for one in self.records.records]

    @cached_property
    def _owners(self) -> Mapping[str, int]:
        """The record of each file, directory and key."""
        owners: dict[str, int] = {}
        for number, one in enumerate(self.records.records):
            owners.update((file.path, number) for file in one.files)
            owners[one.key] = number
            if one.path is not None:
                owners[one.path or "."] = number
        return owners

    def owner(self, finding: Finding) -> int | None:
        """See `Subject`: by what it names, else the nearest directory above its path."""
        for name in ("triplet", "episode"):
            if finding.where.get(name) in self._owners:
                return self._owners[finding.where[name]]
        path = finding.path
        while path:
            if path in self._owners:
                return self._owners[path]
            path = path.rpartition("/")[0]
        return self._owners.get(".")

    def drafts(self, numbers: Sequence[int]) -> Iterable[Draft]:
        """See `Subject`."""
        return (self._draft(self, number) for number in numbers)

    def shapes(self, number: int, sizes: Sequence[Size | None]) -> tuple[list[Shape], list[Text]]:
        """See `Subject`: nothing."""
        return [], []


def _classes(subject: DirectorySubject, one: Record) -> tuple[str, ...]:
    """The class of a record, where its group does not say it."""
    return (one.label,) if one.label is not None and subject.parted else ()


def image_of(subject: DirectorySubject, number: int) -> Draft:
    """An image by itself."""
    one = subject.records.records[number]
    sight = Sight("", one.place.store, one.files[0], telling=True)
    return Draft(
        number, one.key, subject.groups[number], "image", one.place.store, (sight,), classes=_classes(subject, one)
    )


def task_of(subject: DirectorySubject, number: int) -> Draft:
    """A task: its frames, its prompt and other texts, its video."""
    one = subject.records.records[number]
    files = {file.path.rpartition("/")[2]: file for file in one.files}
    store = one.place.store
    sights = tuple(
        Sight(_WORDS[name], store, files.get(name), "it is not there", telling=name == FRAMES[0]) for name in FRAMES
    )
    texts = {"prompt": PROMPT, "goal": "goal.txt", **{name: name for name in METADATA_FILES}}
    video = next((files[name] for name in (*VIDEOS[::-1], *CLIPS) if name in files), None)
    return Draft(
        number, one.key, subject.groups[number], "task", store, sights,
        texts={label: files[name] for label, name in texts.items() if name in files},
        video=video, classes=_classes(subject, one), tags=() if PROMPT in files else ("no prompt",),
    )  # fmt: skip


def triplet_of(subject: DirectorySubject, number: int) -> Draft:
    """A triplet: the person, the cloth, the person wearing it."""
    one = subject.records.records[number]
    store = one.place.store
    lying: dict[str, File] = {file.path.rpartition("/")[0].rpartition("/")[2]: file for file in one.files}
    sights = tuple(
        Sight(words, store, lying.get(folder), "it is not there", telling=folder != "cloth_image")
        for folder, words in _FOLDERS.items()
    )
    return Draft(number, one.key, subject.groups[number], "triplet", store, sights, classes=_classes(subject, one))


def episode_of(subject: DirectorySubject, number: int) -> Draft:
    """An episode: some of its frames, the first and the last among them, in order."""
    one = subject.records.records[number]
    shown = tuple(spread(one.files, FRAMES_SHOWN))
    sights = tuple(Sight(f"frame {number_of(file.path)}", one.place.store, file) for file in shown)
    known = (Text("frames", f"{len(one.files):,} frames, of which {len(shown)} are shown"),)
    return Draft(
        number,
        one.key,
        subject.groups[number],
        "episode",
        one.place.store,
        sights,
        known=known,
        classes=_classes(subject, one),
    )


def spread(files: Sequence[File], most: int) -> Iterator[File]:
    """At most so many of some files, evenly spread from the first to the last."""
    if len(files) <= most:
        yield from files
        return
    for at in range(most):
        yield files[round(at * (len(files) - 1) / (most - 1))]


#: By the kind of records.
KINDS: Mapping[str, DirectoryKind] = {
    "tasks": DirectoryKind("tasks", "Domain", task_of),
    "vton": DirectoryKind("triplets", "Group", triplet_of),
    "frames": DirectoryKind("episodes", "Game", episode_of),
    "images": DirectoryKind("images", "Directory", image_of),
}
