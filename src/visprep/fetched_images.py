"""Images on their way from an origin to a place, some or many at a time: into a directory, or through memory to S3.

What goes to S3 never touches the disk. It is held in memory until it is whole, and looked at there: so what is no image
is not written, and nobody need read an image again for its width and height.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from visprep import wire
from visprep.digests import Digester, algorithm_of
from visprep.errors import VisprepError, WouldOverwrite, WrongContent
from visprep.image_headers import stored_size
from visprep.image_loading import IMAGE_BYTES
from visprep.manifest import File
from visprep.request_window import Window
from visprep.rules import Depth
from visprep.rules.image_files import look
from visprep.stores import Store
from visprep.stores.addresses import AddressStore
from visprep.stores.arrivals import agreeing, as_told
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemorySink
from visprep.transfer import surviving

__all__ = ["Came", "Wish", "bring", "bring_all"]

#: Bytes of images that are in memory at once, as far as their sizes are known; one that is larger goes in parts.
_HELD = 64 * 1024 * 1024
_LARGEST = 32 * 1024 * 1024
#: Images on their way to S3 at once: at first, and at most.
_AT_FIRST, _AT_MOST = 64, 256
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Wish:
    """An image that is wanted, of about `weight` bytes. A `doubtful` one may be there already, of nobody knows whom.

    With an `address` it lies there, whatever the origin is.
    """

    file: File
    weight: int
    doubtful: bool = False
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a wish: the file as it was written, or why not; and its width and height, where they were seen."""

    path: str
    outcome: File | VisprepError
    size: tuple[int, int] | None = None


def bring_all(wishes: Sequence[Wish], *, origin: Store, target: Store, aside: Store | None) -> list[Came]:
    """What `bring` gives of some images, as a list: what a worker does."""
    if isinstance(origin, AddressStore):
        origin = origin.of({wish.file.path: wish.address or "" for wish in wishes})
    return list(bring(wishes, origin, target, aside, None))


def bring(
    wishes: Iterable[Wish],
    origin: Store,
    target: Store,
    aside: Store | None,
    jobs: int | None,
    on_bytes: Callable[[int], None] | None = None,
) -> Iterator[Came]:
    """Bring images to the target, what is doubtful to `aside` where there is one; what came of each, as it ends.

    Of a doubtful one that nothing is aside for, what lies at the target is compared with what the origin gives. An
    origin that is gone is a NetworkError, which ends it all. `on_bytes` is told of bytes as they come.
    """
    sizes: dict[str, tuple[int, int]] = {}
    if isinstance(target, LocalStore):
        places = ((wish.file, aside if wish.doubtful and aside else target) for wish in wishes)
        received = ((file.path, place.receive(file, origin)) for file, place in places)
        outcomes: Iterator[tuple[str, File | VisprepError]] = wire.run(received, jobs or wire.IN_FLIGHT, on_bytes)
    else:
        written = ((wish, _through_memory(wish, origin, target, sizes, on_bytes)) for wish in wishes)
        window = Window(jobs or _AT_FIRST, jobs or _AT_MOST, _HELD)
        ended = wire.run(written, window, weigh=lambda wish: wish.weight)
        outcomes = ((wish.file.path, outcome) for wish, outcome in ended)
    for path, outcome in surviving(outcomes):
        yield Came(path, outcome, sizes.pop(path, None))


async def _through_memory(
    wish: Wish,
    origin: Store,
    target: Store,
    sizes: dict[str, tuple[int, int]],
    on_bytes: Callable[[int], None] | None,
) -> File:
    file = wish.file
    if (file.size or 0) > _LARGEST and not wish.doubtful:
        received = await target.receive(file, origin)
        if on_bytes:
            on_bytes(received.size or 0)
        return received
    sink = _Bounded(file.path)
    told = await origin.fetch(file, sink)
    data = sink.getvalue()
    if on_bytes:
        on_bytes(len(data))
    digester = Digester(*dict.fromkeys(("sha256", algorithm_of(file.digest or "sha256:"))))
    digester.update(data)
    came = as_told(agreeing(file, len(data), digester.digest), file, told)
    if wish.doubtful:
        return await _same(came, target)
    size = _size(data, file.path)
    if isinstance(size, str):
        raise WrongContent(f"{file.path}: {size}; it was not written", hint="run the same command again")
    sizes[file.path] = size
    return await target.write(file.path, data)


class _Bounded(MemorySink):
    """A body in memory that may be no longer than an image."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def write(self, data: bytes) -> None:
        """See `Sink`; WrongContent when it is too long."""
        super().write(data)
        if self.position > IMAGE_BYTES:
            raise WrongContent(f"{self._path}: more than {IMAGE_BYTES:,} bytes came, which no image has")


async def _same(came: File, target: Store) -> File:
    """The file at the target; WouldOverwrite when it is not the one that came."""
    if await target.hash(came.path, "sha256") != came.digest:
        raise WouldOverwrite.of(target.place, [came.path])
    there = await target.stat(came.path)
    return File(came.path, came.size, came.digest, etag=there.etag)


def _size(data: bytes, path: str) -> tuple[int, int] | str:
    """Width and height of an image, as stored, or what is wrong with it."""
    with contextlib.suppress(WrongContent):
        return stored_size(data[:_HEAD])
    sight = look(data, path, Depth.HEADERS)
    if sight.facts:
        return sight.facts.size
    return sight.findings[0].message if sight.findings else "its size is not told"
