"""Reading of a task what looking at it to a certain depth needs, and no more; what cannot be read is noted."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from visprep import image_ends, pngs, video
from visprep.errors import StoreError, WrongContent
from visprep.formats.directories import linked
from visprep.formats.tasks import CLIPS, FRAMES, METADATA_FILES, PROMPT, VIDEOS, Found, TaskDirectory
from visprep.images import HEAD_BYTES, image_format
from visprep.manifest import File
from visprep.stores import Store
from visprep.stores.local import LocalStore

#: Bytes that are read of a prompt or of metadata: what is longer was not written to be read.
TEXT_BYTES = 1_000_000
#: Bytes that a frame may have: RGB of 89 million pixels, the most that Pillow decodes, without any compression.
FRAME_BYTES = 270_000_000
#: Bytes of a video that is not on disk, and so held in memory.
VIDEO_BYTES = 1_000_000_000
#: Bytes of a frame elsewhere that are read with one request; of a longer one, those that are read in turn.
_SHORT, _STEPS = 4 * 1024, (256, 4 * 1024, 8 * 1024)


@dataclass(frozen=True, slots=True)
class LoadedTask:
    """A task directory with as much of its content as was asked for.

    `contents` holds the bytes that were read, by name; perhaps only the beginning of the file (see `whole`). `told`
    holds the digests that the place told of frames that were not read to their end, though they are short. `videos`
    holds for each video its bytes, or where it lies on disk. `unreadable` holds the error of each file that could not
    be read. `links` names the files that are symbolic links. `cut` says of frames what their last bytes tell against
    them, where their pixels were not looked at.
    """

    directory: TaskDirectory
    contents: Mapping[str, bytes] = field(default_factory=dict)
    unreadable: Mapping[str, StoreError] = field(default_factory=dict)
    head_bytes: int | None = None
    videos: Mapping[str, bytes | Path] = field(default_factory=dict)
    links: frozenset[str] = frozenset()
    told: Mapping[str, str] = field(default_factory=dict)
    cut: Mapping[str, str] = field(default_factory=dict)

    def whole(self, name: str) -> bool:
        """Whether the content of a file was read to its end."""
        limit = self.head_bytes if name in FRAMES else TEXT_BYTES + 1
        short = name not in self.told and (limit is None or len(self.contents.get(name, b"")) < limit)
        return name in self.contents and short


async def load(store: Store, directory: TaskDirectory, depth: str, *, near: bool = True) -> LoadedTask:
    """Read of a task what looking at it to `depth` (a `rules.Depth`) needs.

    Nothing for `names` and `sizes`; for `headers` prompt, metadata, and of each frame the first 64 KB and the end; no
    more than it takes where the place is not `near` and tells digests that duplicates are known by, and no end of what
    lies in an archive. Beyond: whole frames and, where videos can be decoded, videos. A video on
    disk stays there, any other is held in memory. Of a prompt or metadata no more than `TEXT_BYTES` and one are read; a
    frame above `FRAME_BYTES`, and a video above `VIDEO_BYTES` that is not on disk, is refused. A file that cannot be
    read is noted; NetworkError and CredentialsError are raised.
    """
    if depth in ("names", "sizes"):
        return LoadedTask(directory)
    head = HEAD_BYTES if depth == "headers" else None
    contents: dict[str, bytes] = {}
    videos: dict[str, bytes | Path] = {}
    unreadable: dict[str, StoreError] = {}
    told: dict[str, str] = {}
    cut: dict[str, str] = {}
    shown = () if head or not video.available() else (*VIDEOS, *CLIPS)
    for name in (*FRAMES, PROMPT, *METADATA_FILES, *shown):
        file = directory.files.get(name)
        if file is None or file.size == 0:
            continue
        try:
            if name in shown:
                videos[name] = await _video(store, file)
            elif name in FRAMES and head and not near and file.digest and file.size:
                contents[name] = await _beginning(store, file, file.size, head)
                if len(contents[name]) < min(file.size, head):
                    told[name] = file.digest
            else:
                contents[name] = await _content(store, file, name, head)
            ends = name in FRAMES and head and (not near or isinstance(store, LocalStore))
            if ends and (fault := await _fault_at_end(store, file, contents[name])):
                cut[name] = fault
        except StoreError as error:
            unreadable[name] = error
    return LoadedTask(directory, contents, unreadable, head, videos, _links(store, directory), told, cut)


async def _content(store: Store, file: File, name: str, head: int | None) -> bytes:
    if name not in FRAMES:
        return await store.read(file.path, 0, TEXT_BYTES + 1)
    if head is None and (file.size or 0) > FRAME_BYTES:
        raise WrongContent(f"{file.path}: {file.size:,} bytes are more than any frame takes")
    return await store.read(file.path, 0, head)


async def _beginning(store: Store, file: File, size: int, head: int) -> bytes:
    """The first bytes of a frame elsewhere: few of a PNG, to where its pixels begin, which is as much as they tell.

    All up to `head` of what is something else, or so small for its size in pixels that it may be of one color.
    """
    if size <= _SHORT:
        return await store.read(file.path, 0, head)
    data = b""
    for step in _STEPS:
        if len(data) < min(step, size):
            data += await store.read(file.path, len(data), min(step, size) - len(data))
        if image_format(data) != "PNG":
            break
        if b"IDAT" in data[24:]:
            width, height = struct.unpack_from(">II", data, 16)
            if not may_be_one_color(size, width, height):
                return data
            break
    more = min(size, head) - len(data)
    return data + await store.read(file.path, len(data), more) if more > 0 else data


async def _fault_at_end(store: Store, file: File, head: bytes) -> str | None:
    """What the end of a PNG tells against it, given its first bytes; None of other files, or where it says nothing."""
    size = len(head) if file.size is None else file.size
    if image_format(head) != "PNG":
        return None

    async def read(start: int, end: int) -> bytes:
        part = head[start:end] if end <= len(head) else await store.read(file.path, start, end - start)
        if len(part) != end - start:
            raise WrongContent(f"{file.path} ends within its first {end} bytes")
        return part

    # Its last bytes may be among those that were read
    end = await image_ends.png_end(read, size, min(len(head), max(0, size - image_ends.FIRST)))
    if isinstance(end, image_ends.Unclear):  # of many small chunks: all of them tell
        fault, _ = pngs.survey(head + await store.read(file.path, len(head), FRAME_BYTES))
    else:
        fault = end.fault
    return fault.message if fault else None


def may_be_one_color(size: int, width: int, height: int) -> bool:
    """Whether so few bytes of an image may stand for pixels of one color."""
    return size < 200 + width * height // 64


async def _video(store: Store, file: File) -> bytes | Path:
    if isinstance(store, LocalStore):
        await store.read(file.path, 0, 1)  # refuses what cannot be read, and a link that leaves the place
        return store.root / file.path
    if (file.size or 0) > VIDEO_BYTES:
        raise WrongContent(f"{file.path}: {file.size:,} bytes are too many to look into where it is")
    return await store.read(file.path)


def with_links(store: Store, found: Found) -> Found:
    """What was found at a place, with those of its strays named that are symbolic links to directories."""
    return replace(found, linked=linked(store, found.strays))


def _links(store: Store, directory: TaskDirectory) -> frozenset[str]:
    """The names of those files that are symbolic links; other places than directories have none."""
    if not isinstance(store, LocalStore):
        return frozenset()
    return frozenset(name for name, file in directory.files.items() if (store.root / file.path).is_symlink())
