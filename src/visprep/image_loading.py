"""Reading of an image file what looking at it to a certain depth needs, and looking at it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from visprep.digests import digest_of
from visprep.errors import StoreError, UnsafePath, VisprepError
from visprep.findings import Finding
from visprep.image_glances import bytes_at_least, glance, requests_at_least
from visprep.image_headers import stored_size
from visprep.manifest import File
from visprep.rules import Depth
from visprep.rules.image_files import IMAGE_OVERSIZED, IMAGE_UNREADABLE, empty, look
from visprep.stores import Store
from visprep.traffic import Traffic

#: Bytes that an image may have: RGB of 89 million pixels, the most that Pillow decodes, without any compression.
IMAGE_BYTES = 270_000_000


#: Bytes in which most images tell their size.
_SHORT_HEAD = 4096
# Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def size_at_once(path: str) -> tuple[int, int]:
    """Width and height of an image on this machine, as stored, from its first 4 KB.

    WrongContent when these do not tell, which says nothing of the image: `see` takes the closer look. OSError when it
    cannot be read, or is a link.
    """
    descriptor = os.open(path, _READ | _NO_LINKS)
    try:
        return stored_size(os.read(descriptor, _SHORT_HEAD))
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Seen:
    """What looking at an image gave: width and height as stored, where they are known, and what is wrong with it.

    `read` says that the digest is that of its bytes as they are, and not what was told.
    """

    size: tuple[int, int] | None = None
    orientation: int = 1
    digest: str | None = None
    findings: tuple[Finding, ...] = ()
    read: bool = False

    @property
    def upright(self) -> tuple[int, int] | None:
        """Width and height as they are shown, once the orientation in its EXIF is obeyed."""
        return self.size[::-1] if self.size and self.orientation >= 5 else self.size

    @property
    def bare(self) -> Seen:
        """The same without its findings."""
        return Seen(self.size, self.orientation, self.digest)


def unseen(file: File, error: VisprepError) -> Seen:
    """What to say of an image that could not be looked at."""
    return Seen(findings=(IMAGE_UNREADABLE.at(file.path, error.message, error=error.slug),))


def jobs_to_see(depth: Depth, near: bool) -> int | None:
    """How many images to look at together, None for the default: scanning, unlike decoding, holds the interpreter."""
    return 1 if near and not depth.reaches(Depth.DECODE) else None


def told_by_size(files: Iterable[File], depth: Depth) -> Iterator[Finding]:
    """What `see` finds out without reading anything: which images are empty."""
    return (empty(file.path) for file in files if file.size == 0 and depth.reaches(Depth.SIZES))


def whole(files: Iterable[File]) -> Traffic:
    """What reading all of files takes, one by one."""
    sizes = [file.size or 0 for file in files]
    return Traffic(sum(map(bool, sizes)), 0, sum(sizes))


def reads_seen(files: Iterable[File], depth: Depth, near: bool) -> Traffic:
    """What `see` would read of images; of images elsewhere no less, and more of those that are odd."""
    if not depth.reaches(Depth.HEADERS):
        return Traffic()
    if near or depth.reaches(Depth.DECODE):
        return whole(files)
    found = list(files)
    return Traffic(sum(map(requests_at_least, found)), 0, sum(map(bytes_at_least, found)))


async def see(store: Store, file: File, depth: Depth, *, near: bool, digest: bool = False) -> Seen:
    """Look at an image to `depth`; with the digest of its bytes, if wanted and if all of them are read.

    Nothing is read for `sizes`. For `headers` all of it is read where it is on this machine; elsewhere no more of its
    beginning and of its end than it takes (`image_glances`). What cannot be read is a finding.
    """
    if file.size == 0:
        return Seen(findings=(empty(file.path),))
    if not depth.reaches(Depth.HEADERS):
        return Seen(digest=file.digest)
    if (file.size or 0) > IMAGE_BYTES:
        words = f"it has {file.size:,} bytes; {IMAGE_BYTES:,} are the most"
        return Seen(findings=(IMAGE_OVERSIZED.at(file.path, words),))
    try:
        if near or file.size is None or depth.reaches(Depth.DECODE):
            limit = (
                file.size + 1 if near and file.size is not None else None
            )  # a directory reads sooner what is so long
            data: bytes | None = await store.read(file.path, 0, limit)
            sight = look(data or b"", file.path, depth)
        else:
            sight, data = await glance(store, file)
    except StoreError as problem:
        seen = unseen(file, problem)
        if isinstance(problem, UnsafePath) and problem.hint:  # nobody can see to it that it is read as it is
            seen = Seen(findings=(replace(seen.findings[0], hint=problem.hint),))
        return seen
    hashed = digest and data is not None
    known = digest_of(data) if digest and data is not None else file.digest
    size = sight.facts.size if sight.facts else None
    return Seen(size, sight.facts.orientation if sight.facts else 1, known, sight.findings, hashed)
