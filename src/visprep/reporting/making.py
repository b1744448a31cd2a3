"""Items of a page, made of the records that were chosen: their pictures, texts and videos read, their shapes drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from visprep.errors import StoreError
from visprep.fingerprints import Rows
from visprep.image_loading import IMAGE_BYTES
from visprep.page.payload import Item, Picture, Shape, Text, Video
from visprep.progress import OnProgress
from visprep.reporting import Draft, Sight, Subject, videos
from visprep.reporting.pictures import Thumbnail, thumbnail
from visprep.reporting.reading import Wish, read_all
from visprep.reporting.sampling import in_turn

#: Bytes of a text that are read, and characters of a prompt or metadata that are shown.
_TEXT, _SHOWN = 64_000, 4_000
#: Videos that are looked into. Characters of a text where there is no room for more.
_VIDEOS, _CUT = 60, 100
#: What an unknown picture is taken to measure.
_UNKNOWN = (4, 3)


@dataclass
class Made:
    """Items without their pictures: `thumbnails` are these, those of each item in turn.

    `prints` are fingerprints with the number of the record that each is of.
    """

    items: list[Item] = field(default_factory=list)
    thumbnails: list[Thumbnail] = field(default_factory=list)
    prints: list[tuple[int, Rows]] = field(default_factory=list)

    def shown(self, sources: Sequence[str]) -> tuple[Item, ...]:
        """The items with their pictures, whose addresses are those of the thumbnails."""
        left = iter(zip(self.thumbnails, sources, strict=True))
        return tuple(
            replace(item, pictures=tuple(_filled(one, *next(left)) for one in item.pictures)) for item in self.items
        )


def _filled(picture: Picture, small: Thumbnail, source: str) -> Picture:
    note = picture.note if source or not small.jpeg else "there is no room for it on this page"
    return replace(picture, src=source, note=note)


def make(subject: Subject, numbers: Sequence[int], printed: bool, jobs: int | None, progress: OnProgress) -> Made:
    """The items of some records; `printed` asks for fingerprints of the pictures that tell records."""
    drafts = list(subject.drafts(numbers))
    watched = set(_watched(drafts))
    targets: list[tuple[int, str, int]] = []
    wishes: list[Wish] = []
    for at, draft in enumerate(drafts):
        for number, sight in enumerate(draft.sights):
            if sight.file is not None:
                targets.append((at, "sight", number))
                seen = partial(thumbnail, stated=sight.stated, printed=printed and sight.telling)
                wishes.append(Wish(sight.store, sight.file, IMAGE_BYTES, seen))
        for label, file in draft.texts.items():
            targets.append((at, label, 0))
            wishes.append(Wish(draft.store, file, _TEXT, _text))
        if draft.video is not None and at in watched:
            targets.append((at, "video", 0))
            name = draft.video.path.rpartition("/")[2]
            wishes.append(
                Wish(draft.store, draft.video, videos.READ, partial(videos.playable, name=name, size=draft.video.size))
            )
    read: dict[tuple[int, str, int], Any] = {}
    for number, outcome in read_all(wishes, jobs, progress, "Reading what is shown"):
        read[targets[number]] = outcome
    made, rooms = Made(), Rooms()
    for at, draft in enumerate(drafts):
        _add(made, rooms, subject, draft, _Got(read, at))
    return made


@dataclass
class Rooms:
    """What is left for all items together: shapes, and characters of videos, outlines and texts."""

    videos: int = 6_000_000
    outlines: int = 5_000_000
    texts: int = 3_000_000
    shapes: int = 40_000


@dataclass(frozen=True, slots=True)
class _Got:
    """What was read of one draft."""

    read: Mapping[tuple[int, str, int], Any]
    at: int

    def get(self, what: str, number: int = 0) -> Any:
        return self.read.get((self.at, what, number))


def _add(made: Made, rooms: Rooms, subject: Subject, draft: Draft, got: _Got) -> None:
    pictures, sizes = [], []
    for number, sight in enumerate(draft.sights):
        found = got.get("sight", number)
        note = _note(sight, found)
        small = found if isinstance(found, Thumbnail) else Thumbnail()
        size = small.size or sight.stated
        sizes.append(size)
        pictures.append(Picture(sight.label, "", *(size or _UNKNOWN), note=note if not small.jpeg else ""))
        made.thumbnails.append(small)
        if small.row is not None:
            made.prints.append((draft.number, small.row))
    shapes, words = subject.shapes(draft.number, sizes)
    drawn = tuple(within(shapes, rooms))
    if len(drawn) < len(shapes):
        words = [*words, Text("shapes", f"{len(drawn):,} of {len(shapes):,} have room on this page")]
    texts = [Text(label, _words(got.get(label))) for label in draft.texts]
    made.items.append(
        Item(
            draft.name,
            draft.group,
            draft.kind,
            tuple(pictures),
            drawn,
            tuple(cut((*texts, *words, *draft.known), rooms)),
            draft.tags,
            _video(draft, got.get("video"), rooms),
            classes=draft.classes,
        )
    )


def _note(sight: Sight, found: Any) -> str:
    """Why a picture cannot be seen, where it cannot."""
    if isinstance(found, StoreError):
        return found.message
    return sight.note if found is None else str(found.note)


def within(shapes: Sequence[Shape], rooms: Rooms) -> Iterator[Shape]:
    """The shapes for which there is room: outlines give way to boxes."""
    for shape in shapes[: rooms.shapes]:
        if shape.kind == "outline":
            if len(shape.d) > rooms.outlines:
                continue
            rooms.outlines -= len(shape.d)
        rooms.shapes -= 1
        yield shape


def cut(texts: Sequence[Text], rooms: Rooms) -> Iterator[Text]:
    """The texts, of which a few words are left where there is no room."""
    for text in texts:
        kept = text if len(text.value) <= max(rooms.texts, _CUT) else Text(text.label, f"{text.value[:_CUT]} ...")
        rooms.texts -= len(kept.value)
        yield kept


def _watched(drafts: Sequence[Draft]) -> list[int]:
    """The drafts whose videos are looked into: some of each group."""
    groups: dict[str, list[int]] = {}
    for at, draft in enumerate(drafts):
        if draft.video is not None:
            groups.setdefault(draft.group, []).append(at)
    return in_turn(list(groups.values()), _VIDEOS)


def _video(draft: Draft, found: Any, rooms: Rooms) -> Video | None:
    if draft.video is None:
        return None
    name = draft.video.path.rpartition("/")[2]
    if isinstance(found, StoreError):
        return Video("", note=found.message)
    if not isinstance(found, Video) or len(found.src) > rooms.videos:
        return Video("", note=f"{name}: there is no room for more videos on this page")
    rooms.videos -= len(found.src)
    return found


def _text(data: bytes) -> str:
    text = data.decode("utf-8", "replace").strip()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _words(found: Any) -> str:
    return found if isinstance(found, str) else f"it cannot be read: {getattr(found, 'message', 'it is not there')}"
