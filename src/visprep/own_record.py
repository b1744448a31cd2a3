"""What visprep wrote about a place: its manifest, its steps, the marker of a command under way, and the journal."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import IO, Any

from visprep import wire
from visprep.digests import digest_of
from visprep.errors import BadRecord, DiskError, FileMissing, PlaceMissing
from visprep.manifest import DATASET, MANIFEST, RECORD_DIR, File, Manifest, pack_file, read_lines, unpack_file
from visprep.noted_pieces import Pieces
from visprep.provenance import Dataset, Step
from visprep.spool import Spool
from visprep.stores import Store
from visprep.stores.local import LocalStore

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows has no flock: there two commands on one place are the user's care
    fcntl = None

MARKER = f"{RECORD_DIR}/in-progress"
JOURNAL = f"{RECORD_DIR}/journal.jsonl"
CACHE = f"{RECORD_DIR}/cache"
#: How the files in the cache begin that remember digests; only they outlive a command.
REMEMBERED = "verified"
#: Bytes of a manifest that are held in memory while it is read, and bytes of a marker that are read at once.
_HELD = 8 * 1024 * 1024
_PIECE = 1024 * 1024


def behind_link(store: LocalStore, path: str) -> bool:
    """Whether a directory of ours is reached through a link: what lies there may be somebody's."""
    folder = store.root / path
    return os.path.realpath(folder) != str(folder)


def read_record(store: Store, path: str, offset: int = 0, length: int | None = None) -> bytes | None:
    """A file of visprep's own record of a place, or a part of it; None when it has none."""
    try:
        return wire.wait(store.read(path, offset, length))
    except (FileMissing, PlaceMissing):
        return None
    except DiskError as error:
        if isinstance(store, LocalStore) and not store.root.is_dir():
            return None  # a file where the place should be has no record, and must stay
        raise DiskError(f"{store.place}/{error.message}", hint=error.hint) from None


def read_manifest(store: Store) -> Manifest | None:
    """The manifest of a place, None when it has none; BadRecord when it is damaged."""
    listed = Listed.read(store)
    return None if listed is None else listed.manifest()


@dataclass(frozen=True, slots=True)
class Listed:
    """What the manifest of a place says: its files in order, with their ETags, and the digest of `dataset.json`."""

    files: Spool[File]
    dataset: str | None

    @classmethod
    def read(cls, store: Store) -> Listed | None:
        """None when the place has no manifest; BadRecord when it is damaged."""
        with tempfile.SpooledTemporaryFile(_HELD) as body:
            try:
                wire.wait(store.fetch(File(MANIFEST), _Body(body)))
            except (FileMissing, PlaceMissing):
                return None
            except DiskError as error:
                raise DiskError(f"{store.place}/{error.message}", hint=error.hint) from None
            body.seek(0)
            dataset, files = read_lines(body, f"{store.place}: {MANIFEST}")
            spool = Spool(pack_file, unpack_file)
            for file in files:
                spool.append(file)
            return cls(spool, dataset)

    def manifest(self) -> Manifest:
        """The same with all files in memory, without ETags."""
        return Manifest(tuple(File(file.path, file.size, file.digest) for file in self.files), self.dataset)


def read_dataset(store: Store, listed: Listed | None = None) -> Dataset | None:
    """The steps of a place, None when it has no `dataset.json`; BadRecord when it is damaged or someone else's.

    With `listed`, the manifest, it must also be the one that the manifest tells the digest of.
    """
    data = read_record(store, DATASET)
    if data is not None and listed and listed.dataset and digest_of(data) != listed.dataset:
        hint = "run the same command again; if it happens again, upload the place again from where it is whole"
        raise BadRecord(f"{store.place}: {DATASET} is not the one that the manifest was written with", hint=hint)
    return None if data is None else Dataset.load(data, store.place)


def unfinished(store: Store) -> str | None:
    """The command that was begun and not ended at a place, in words; None when there is none."""
    marker = read_attempts(store)
    if marker is None:
        return None
    begun = marker[0][-1] if marker[0] else None
    return f"'{begun.command} {begun.source}'" if begun else "a command"


def has_fetched(store: Store) -> bool:
    """Whether upstream's files lie in the cache of a place, for a command that has not ended."""
    cache = store.root / CACHE if isinstance(store, LocalStore) else None
    return cache is not None and cache.is_dir() and any(not one.name.startswith(REMEMBERED) for one in cache.iterdir())


def fetching(store: Store) -> bool:
    """Whether a command was stopped that had fetched for a new place, and had not written its first file there.

    A place with a manifest is complete, whatever was fetched since for a command that did not begin.
    """
    return has_fetched(store) and read_record(store, MARKER) is None and read_record(store, MANIFEST) is None


def read_marker(store: Store) -> tuple[Step | None, Spool[File]] | None:
    """The last step begun and not ended at a place, and the files that it finished; None when there is no marker.

    The step is None when the marker does not tell. Lines torn by a kill are passed over.
    """
    marker = read_attempts(store)
    if marker and store.place.startswith("s3://"):
        for file in Pieces(store).read():
            marker[1].append(file)
    return marker and (marker[0][-1] if marker[0] else None, marker[1])


def read_attempts(store: Store) -> tuple[list[Step], Spool[File]] | None:
    """All steps begun at a place since one ended, as far as the marker tells, and the files that it names itself.

    On S3 it names none: `noted_pieces` does.
    """
    begun: list[Step] = []
    done = Spool(pack_file, unpack_file)
    # On S3 it is one line; on disk it has one for each file, and may grow while it is read
    length = _PIECE if isinstance(store, LocalStore) else None
    rest, offset = b"", 0
    while (data := read_record(store, MARKER, offset, length)) is not None:
        offset += len(data)
        *lines, rest = (rest + data).split(b"\n")
        ended = length is None or len(data) < length
        for line in (*lines, rest) if ended else lines:
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                entry: Any = json.loads(line)
                if "step" in entry:
                    begun.append(Step.from_json(entry["step"]))
                else:
                    done.append(File(entry["path"], entry["size"], entry["digest"]))
        if ended:
            return begun, done
    return None


def latest(finished: Spool[File]) -> Iterator[File]:
    """The files that a marker, or a command after it, told, in order of path; what was told last of each."""
    last: File | None = None
    for file in finished.sorted(lambda file: file.sort_key):
        if last is not None and last.path != file.path:
            yield last
        last = file
    if last is not None:
        yield last


def read_journal(store: Store) -> list[dict[str, str]]:
    """What failed at a place, a line each: date, command, source, path, reason (a slug) and message."""
    entries = []
    for line in (read_record(store, JOURNAL) or b"").splitlines():
        with contextlib.suppress(ValueError, RecursionError):  # a line torn by a kill
            entry: Any = json.loads(line)
            if isinstance(entry, dict):
                entries.append({str(key): str(value) for key, value in entry.items()})
    return entries


def locked(store: Store) -> bool | None:
    """Whether a command is changing a place now; None where nobody can tell: on S3, and on disks without locks.

    To find out, the lock is shared for an instant; OSError when the directory cannot be opened.
    """
    if not isinstance(store, LocalStore) or fcntl is None:
        return None
    directory = os.open(store.root, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(directory)
    return False


class _Body:
    """The sink for a manifest that may be long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @property
    def position(self) -> int:
        return self._file.tell()

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
