"""Growing files of this machine on their way to a place: what is new goes up, as pieces that never change.

What is there already is told by a listing: the pieces of a file follow on each other, so their sizes say how far it
has come. Nothing else is remembered, so a process that was killed is gone on with by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from visprep.digests import digest_of
from visprep.errors import (
    ChangedMeanwhile,
    FileMissing,
    ServerFailed,
    UsageError,
    WouldOverwrite,
    WrongContent,
)
from visprep.manifest import File
from visprep.messages import Patience
from visprep.stores import Store, s3_answers
from visprep.stores.arrivals import disk_errors
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.stores.swapping import put_if
from visprep.wire import wait

#: Bytes of a piece at most, unless one record or line alone has more.
PIECE = 8 * 1024 * 1024
#: How often others may be met at one piece, before it is told.
_MEETINGS = 5

#: How much of some bytes, that begin where a line or record does, can be sent: it ends where one ends. 0: more bytes
#: are needed; -1: they are damaged. The second parameter says that no more will be written.
Cut = Callable[[bytes, bool], int]


class Target:
    """The directory `path` of a place, as a store of its own, which new files are put into but never replaced.

    UsageError where the place is neither a directory nor in S3.
    """

    def __init__(self, store: Store, path: str, patience: Patience | None = None) -> None:
        self.store: S3Store | LocalStore
        if isinstance(store, S3Store):
            self.store = S3Store(f"{store.place}/{path}", store.settings, page_size=store.page_size)
        elif isinstance(store, LocalStore):
            self.store = LocalStore(store.root / path)
        else:
            raise UsageError(f"{store.place}: a run is kept in a directory or in S3")
        self.patience = patience
        self._guarded = True

    def is_at(self, directory: Path) -> bool:
        """Whether this is that directory of this machine itself."""
        return isinstance(self.store, LocalStore) and self.store.root == directory.resolve()

    def sizes(self) -> dict[str, int]:
        """The size of every file there, by its path; nothing where there is none."""
        if isinstance(self.store, S3Store):
            files: Iterable[File] = wait(_listed(self.store), self.patience)
        else:
            files = self.store.list() if self.store.root.is_dir() else ()
        return {file.path: file.size or 0 for file in files if file.path and not file.path.endswith("/")}

    def put_new(self, path: str, data: bytes) -> bool:
        """Write a file that is not there yet; False, and nothing is written, when there is one of other content."""
        store = self.store
        if isinstance(store, S3Store):
            return self._put_new(store, path, data)
        try:
            return wait(store.hash(path, "sha256")) == digest_of(data)
        except FileMissing:
            wait(store.write(path, data))
            return True

    def _put_new(self, store: S3Store, path: str, data: bytes) -> bool:
        if self._guarded:
            try:
                return wait(put_if(store, path, data, "", guarded=True), self.patience) is not None
            except ServerFailed:  # perhaps of a server that knows no conditions: then it takes this without one
                put = wait(put_if(store, path, data, "", guarded=False), self.patience)
                self._guarded = False
                return put is not None
        return wait(put_if(store, path, data, "", guarded=False), self.patience) is not None

    def put(self, path: str, data: bytes) -> None:
        """Write a file, replacing what was there."""
        wait(self.store.write(path, data), self.patience)

    def send(self, path: str, local_dir: Path) -> int:
        """Send the file with this path in a directory whole, replacing what was there: its size."""
        with disk_errors(path), (local_dir / path).open("rb") as file:
            data = file.read(PIECE + 1)
        if len(data) <= PIECE:
            self.put(path, data)
            return len(data)
        local = LocalStore(local_dir)
        for left in reversed(range(_MEETINGS)):
            file_now = wait(local.stat(path))
            try:
                return wait(self.store.receive(File(path, file_now.size), local), self.patience).size or 0
            except (ChangedMeanwhile, WrongContent):  # somebody still writes to it
                if not left:
                    raise
        return 0

    def has(self, path: str, sha256: str) -> bool | None:
        """Whether a file there has this SHA-256 (`sha256:hex`); None when that cannot be learned without reading it."""
        told = wait(self.store.hash(path, "sha256"), self.patience)
        return None if told is None else told == sha256


async def _listed(store: S3Store) -> list[File]:
    """The files below a prefix, page after page: unlike `S3Store.list`, as patiently as who waits for it."""
    root, found, more = f"{store.prefix}/", list[File](), dict[str, str]()
    while True:
        query = {"list-type": "2", "encoding-type": "url", "max-keys": f"{store.page_size}", "prefix": root, **more}
        page = s3_answers.listing(await store.ask("s3:ListBucket", "GET", query=query), root, digests=False)
        found += page.files
        if not page.token:
            return found
        more = {"continuation-token": page.token}


class Growing:
    """One file that is only ever appended to, here, and its pieces at a place: `piece_path(n)` is the nth.

    `repeated` tells from the first bytes of the file how many of them stand at the start of every later piece too.
    """

    def __init__(
        self,
        local: Path,
        target: Target,
        piece_path: Callable[[int], str],
        cut: Cut,
        *,
        repeated: Callable[[bytes], int] = lambda first: 0,
        piece: int = PIECE,
    ) -> None:
        self.local, self._target, self._piece_path = local, target, piece_path
        self._cut, self._repeated, self._piece = cut, repeated, piece
        self._head: bytes | None = None
        #: How many pieces are there, and how many bytes of the file are in them.
        self.count = self.covered = 0
        self._damage: str | None = None

    @property
    def damaged(self) -> bool:
        """Whether it cannot be gone on with what is there."""
        return self._damage is not None

    @property
    def size(self) -> int:
        """Bytes of the file here."""
        with disk_errors(str(self.local)):
            return self.local.stat().st_size

    def look(self, sizes: Mapping[int, int]) -> None:
        """Learn what is there already: the size of every piece, by its number."""
        self.count, self.covered, self._damage = len(sizes), 0, None
        if not sizes:
            return
        if sorted(sizes) != list(range(len(sizes))):
            if self._is_old(sizes):
                self.count, self.covered = max(sizes) + 1, self.size
            else:
                self._damage = "pieces of it are missing there"
            return
        head = len(self._heading())
        last = sizes[self.count - 1] - (head if self.count > 1 else 0)
        self.covered = sum(sizes.values()) - head * (self.count - 1)
        if last < 0 or self.covered > self.size:
            self._damage = "what is there is more than the file has"
        elif self.covered < self.size:
            start = self.covered - last
            here = (self._heading() if self.count > 1 else b"") + self._read(start, last)
            if self._target.has(self._piece_path(self.count - 1), digest_of(here)) is False:
                self._damage = "what is there is not of this file"

    def _is_old(self, sizes: Mapping[int, int]) -> bool:
        """Whether all was sent once, and a rule of the bucket has dropped the first pieces since."""
        first, last = min(sizes), max(sizes)
        heading = self._heading()
        length = sizes[last] - len(heading)
        if len(sizes) != last + 1 - first or not 0 <= length <= self.size:
            return False
        end = heading + self._read(self.size - length, length)
        return self._target.has(self._piece_path(last), digest_of(end)) is True

    def ship(self, whole: bool) -> int:
        """Send what can be sent of what is there at this moment: bytes sent. `whole`: nobody writes to it any more.

        WouldOverwrite when what is there under these names is not of this file.
        """
        sent, met, size = 0, 0, self.size  # a log that speaks of its own sending would have no end
        if size < self.covered:
            self._damage = "the file here is shorter than what was sent"
        while self._damage is None and (data := self._next(size, whole)):
            heading = self._heading() if self.count else b""
            if self._target.put_new(self._piece_path(self.count), heading + data):
                self.count += 1
                self.covered += len(data)
                sent += len(heading) + len(data)
            elif (met := met + 1) < _MEETINGS:
                # Another process sends the same file, or one that was killed did and its last piece came late
                self.look(self._numbered())
            else:
                self._damage = "another process sends it at the same time"
        if self._damage:
            raise WouldOverwrite(
                f"{self._target.store.place}: {self._piece_path(0)} cannot be gone on with: {self._damage}",
                paths=(self._piece_path(0),),
                hint=f"all of it is in {self.local}; move away what is there, and the next start sends it anew",
            )
        return sent

    def end(self, length: int) -> bytes:
        """The last `length` bytes of what is there now."""
        start = max(0, self.covered - length)
        return self._read(start, self.covered - start)

    def _numbered(self) -> dict[int, int]:
        """The sizes of the pieces that are there now, by their numbers."""
        sizes, number = self._target.sizes(), 0
        found = {}
        while (path := self._piece_path(number)) in sizes:
            found[number] = sizes[path]
            number += 1
        return found

    def _next(self, size: int, whole: bool) -> bytes:
        """The bytes of the next piece, from the first `size` of the file; none when there is nothing to send now."""
        length = self._piece
        while data := self._read(self.covered, min(length, max(0, size - self.covered))):
            at_end = self.covered + len(data) >= size
            end = self._cut(data, whole and at_end)
            if end > 0:
                return data[:end]
            if end < 0 or at_end:
                break
            length *= 2  # a record, or line, of more than a piece
        return b""

    def _heading(self) -> bytes:
        if self._head is None:
            first = self._read(0, 4096)
            self._head = first[: self._repeated(first)]
        return self._head

    def _read(self, offset: int, length: int) -> bytes:
        with disk_errors(str(self.local)), self.local.open("rb") as file:
            file.seek(offset)
            return file.read(length)
