"""A change of a place, from before its first byte to after its last: begun by a marker, ended by a manifest.

`.visprep/in-progress` is written before anything else and removed after the manifest, so a place is complete exactly
when it has a manifest and no marker. On disk the marker also notes every finished file, on S3 `noted_pieces` do: a
command that was killed knows, when it is run again, what is done and which files are its own. One command at a time
may change a directory; S3 has no such lock.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

from visprep import wire
from visprep.descriptors import BINARY
from visprep.errors import (
    BadRecord,
    DiskError,
    FileMissing,
    PlaceBusy,
    PlaceIncomplete,
    PlaceMissing,
    UnsafePath,
    VisprepError,
    WouldOverwrite,
)
from visprep.manifest import DATASET, RECORD_DIR, File, Manifest, entry_line, pack_file, unpack_file
from visprep.manifest_draft import Draft
from visprep.noted_pieces import Pieces
from visprep.own_record import (
    CACHE,
    JOURNAL,
    MARKER,
    REMEMBERED,
    Listed,
    behind_link,
    has_fetched,
    latest,
    read_attempts,
    read_dataset,
)
from visprep.provenance import Dataset, Step
from visprep.quarantine import Quarantine
from visprep.spool import Spool
from visprep.stores import Store, data_files
from visprep.stores.local import LocalStore

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows has no flock: there two commands on one place are the user's care
    fcntl = None

#: How often a directory is locked that is another one by then.
_TRIES = 100
#: Notes that are written to the marker at once: what is lost of them by a kill is compared again.
_NOTES = 32


class PlaceChange:
    """A change under way; made by `begin`.

    `record` is what the manifest says, `notes` are the files that an unfinished command, and then this one, has
    finished. Files in either were written by visprep. `begun` is the step of the unfinished command, where it is known;
    `attempts` are all steps that were begun since one ended, it last.
    """

    def __init__(self, store: Store, step: Step, *, overwrite: bool = False) -> None:
        self.store = store
        self.record = self._own_manifest(overwrite)
        self._pieces = Pieces(store) if store.place.startswith("s3://") else None
        if self._pieces:
            from visprep.stores.published import refuse_published  # here, since places on disk need no wire for it

            refuse_published(store)
        self.dataset = self._own_dataset(step, overwrite)
        self.notes = Spool(pack_file, unpack_file)
        self.begun: Step | None = None
        self.attempts: tuple[Step, ...] = ()
        self.step, self.resumed = self._resume(step)
        self.marked = False
        self._marker: int | None = None
        self._unwritten: list[bytes] = []

    def check_bucket(self) -> None:
        """PlaceMissing where the place is in a bucket that there is not: before anything is fetched for it."""
        if not isinstance(self.store, LocalStore):
            with contextlib.suppress(FileMissing):  # nor need the marker be there
                wire.wait(self.store.read(MARKER, 0, 1))

    @functools.cached_property
    def manifest(self) -> Manifest | None:
        """The manifest, all of it in memory."""
        return self.record.manifest() if self.record else None

    @functools.cached_property
    def listed(self) -> dict[str, File]:
        """The files of the manifest by path, all of them in memory."""
        return {file.path: file for file in self.record.files} if self.record else {}

    @functools.cached_property
    def noted(self) -> dict[str, File]:
        """The files of `notes` by path, all of them in memory."""
        return {file.path: file for file in self.notes}

    def finished(self) -> Iterator[File]:
        """The files of `notes` in order of path, each once."""
        return latest(self.notes)

    def known(self, path: str) -> File | None:
        """The file that visprep wrote at `path`, None when it wrote none."""
        return self.noted.get(path) or self.listed.get(path)

    def _own_manifest(self, overwrite: bool) -> Listed | None:
        try:
            return Listed.read(self.store)
        except BadRecord:
            if overwrite:
                return None
            raise

    def _own_dataset(self, step: Step, overwrite: bool) -> Dataset | None:
        try:
            return read_dataset(self.store)
        except BadRecord as error:
            if overwrite:
                return None
            hint = f"{error.hint}, or --overwrite" if step.command == "download" else error.hint
            raise WouldOverwrite(error.message, paths=(DATASET,), hint=hint) from None

    def _resume(self, step: Step) -> tuple[Step, bool]:
        marker = read_attempts(self.store)
        how = None if marker and marker[0] else self._fixing()
        if how and (step.command, step.source) not in (("fix", how), ("fix", "quarantine")):  # as --undo says, too
            raise self.unfinished(Step("fix", how))
        if marker is None:
            return step, False
        self.attempts, self.notes = tuple(marker[0]), marker[1]
        for file in self._pieces.read() if self._pieces else ():
            self.notes.append(file)
        begun = self.begun = self.attempts[-1] if self.attempts else None
        idle = isinstance(self.store, LocalStore) and not self.notes  # a command that ended before it wrote anything
        fixing = begun is not None and begun.command == "fix"  # what that one did is noted elsewhere
        if begun is not None and (fixing or not idle) and (begun.command, begun.source) != (step.command, step.source):
            raise self.unfinished(begun)
        if begun is not None and begun.same_request(step):
            return replace(step, date=begun.date), True  # a resumed command ends in the bytes of an undisturbed one
        return step, True

    def _fixing(self) -> str | None:
        """How a `fix` goes about it that was begun and not ended, by what it notes before it has a marker."""
        with contextlib.suppress(BadRecord, UnsafePath):  # of another version, or damaged: then `fix` says so
            return Quarantine(self.store).broken_off if isinstance(self.store, LocalStore) else None
        return None

    def unfinished(self, begun: Step) -> PlaceIncomplete:
        """The error about a command that was begun here, is not this one, and has not ended."""
        hint = f"finish it with the same command, or remove {MARKER} there if it will never be finished"
        if begun.command == "fix":
            again = f"visprep fix {shlex.quote(self.store.place)}"
            hint = f"finish it with {again} --how {begun.source}, or take it back with {again} --undo"
        return PlaceIncomplete(
            f"{self.store.place}: an unfinished '{begun.command} {begun.source}' lies here", hint=hint
        )

    def downloads(self) -> Iterator[Step]:
        """The steps that brought a source here; not those of places, which a slash ends: they may hold anything."""
        steps = self.dataset.steps if self.dataset else ()
        return (one for one in steps if one.command in ("download", "convert") and not one.source.endswith("/"))

    def refuse(self, others: Iterable[str], hint: str | None = None) -> None:
        """WouldOverwrite when there are other datasets in the place, whose names are given; `hint` as a download's."""
        if names := sorted(set(others)):
            raise WouldOverwrite(
                f"{self.store.place}: another dataset lies here, {', '.join(names)}",
                hint=hint or "choose another --output, or put both into one directory with --overwrite",
            )

    @property
    def repeats(self) -> bool:
        """Whether the last step here asked for the very same."""
        return bool(self.dataset and self.dataset.steps and self.dataset.steps[-1].same_request(self.step))

    def mark(self) -> None:
        """Say that the place is being changed: to be called before the first file is touched, and no earlier."""
        self.marked = True
        header = json.dumps({"format_version": 1, "step": asdict(self.step)}).encode() + b"\n"
        if not isinstance(self.store, LocalStore):
            wire.wait(self.store.write(MARKER, header))
            return
        path = self.store.root / MARKER
        with self.store.errors(MARKER):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._marker = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | BINARY, 0o666)
            size = os.fstat(self._marker).st_size
            lead = b"\n" if size and _last_byte(path) != b"\n" else b""  # a line torn by a kill ends here
            try:
                os.write(self._marker, lead + header)
            except OSError:
                if not size:  # a marker that says nothing is worse than none, and nothing has been touched yet
                    path.unlink(missing_ok=True)
                raise

    def note(self, file: File) -> None:
        """Remember that `file` is finished, so that a later run need not do it again."""
        self.notes.append(file)
        if "noted" in self.__dict__:
            self.noted[file.path] = file
        if self._pieces and self.marked:
            self._pieces.add(file)
        elif self._marker is not None:
            self._unwritten.append(entry_line(file))
            if len(self._unwritten) == _NOTES:
                self.store_notes()

    def store_notes(self) -> None:
        """Write down what was noted and is not written yet: it outlives a kill from then on."""
        if self._pieces:
            self._pieces.store()
        if self._marker is not None and self._unwritten:
            with _disk(self.store, MARKER):
                os.write(self._marker, b"".join(self._unwritten))
        self._unwritten.clear()

    def clear(self, paths: Iterable[str]) -> None:
        """Remove files that an unfinished command of ours left, and the directories that are empty then."""
        for _, error in self.remove(path for path in paths if path not in self.listed):
            raise error

    def remove(self, paths: Iterable[str]) -> Iterator[tuple[str, VisprepError]]:
        """Remove files, and the directories that are empty then; what could not be removed, and why."""
        deletes = ((path, self.store.delete(path)) for path in paths)
        for path, outcome in wire.run(deletes):
            if isinstance(outcome, VisprepError):
                yield path, outcome
            elif isinstance(self.store, LocalStore):
                for folder in list((self.store.root / path).relative_to(self.store.root).parents)[:-1]:
                    with contextlib.suppress(OSError):
                        (self.store.root / folder).rmdir()

    def commit(self, files: Iterable[File], steps: tuple[Step, ...]) -> None:
        """End the change with these files, in any order, as what the place holds."""
        self.finish(Draft.of(self.store, sorted(files, key=lambda file: file.sort_key)), steps)

    def finish(self, draft: Draft, steps: tuple[Step, ...]) -> None:
        """End the change: `dataset.json`, then the manifest, then the marker goes."""
        written = wire.wait(self.store.write(DATASET, Dataset(steps, draft.digest).dump()))
        draft.write(written.digest)
        if isinstance(self.store, LocalStore):
            self.close()  # a file that is open comes back on some network drives after it was deleted
            self.store.sweep()
            drop_cache(self.store)
        if isinstance(self.store, LocalStore) or self.resumed:  # only one that did not end leaves any on S3
            wire.wait(self.store.delete(JOURNAL))
        if self._pieces:
            self._pieces.remove()
        wire.wait(self.store.delete(MARKER))

    def close(self) -> None:
        """Let go of the marker; without a commit it stays."""
        if self._pieces:
            with contextlib.suppress(VisprepError):  # as below
                self._pieces.store()
        if self._marker is not None:
            try:
                self.store_notes()
            finally:
                with contextlib.suppress(OSError):  # what was not stored of the notes is looked at again
                    os.close(self._marker)
                self._marker = None


def drop_cache(store: LocalStore) -> None:
    """Empty the cache of a place, but for what is remembered of its files."""
    with contextlib.suppress(OSError):
        for entry in list((store.root / CACHE).iterdir()):
            if not entry.name.startswith(REMEMBERED):
                shutil.rmtree(entry, ignore_errors=True)
                entry.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (store.root / CACHE).rmdir()  # only when it is empty


@contextlib.contextmanager
def begin(store: Store, step: Step, *, overwrite: bool = False) -> Iterator[PlaceChange]:
    """A change of `store` by `step`; nothing is written before `mark`, and without `commit` it stays unfinished.

    WouldOverwrite when a `dataset.json` of someone else is in the way, PlaceIncomplete when another command was
    begun there and not ended. UnsafePath when a link leads from the cache, which is emptied, to files that may be
    somebody's.
    """
    if isinstance(store, LocalStore) and behind_link(store, CACHE) and has_fetched(store):
        words = f"{store.place}: {CACHE} is a link, or in one, and files lie there that need not be ours"
        raise UnsafePath(words, hint="remove the link, since what lies in the cache goes when a command ends")
    with _alone(store):
        change = PlaceChange(store, step, overwrite=overwrite)
        try:
            yield change
        finally:
            change.close()


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Keep every other command from changing a place on disk meanwhile: PlaceBusy when one is at it.

    The lock is the kernel's, on the directory itself: it needs no file and ends with the process, however that ends.
    A directory that is made for it goes again when nothing came into it.
    """
    if not isinstance(store, LocalStore) or fcntl is None:
        yield
        return
    made = [folder for folder in (store.root, *store.root.parents) if not folder.exists()]
    directory = _locked(store)
    try:
        yield
    finally:
        if directory is not None:
            for folder in (store.root / RECORD_DIR, *made):
                with contextlib.suppress(OSError):
                    folder.rmdir()  # only when it is empty
            os.close(directory)


def _locked(store: LocalStore) -> int | None:
    """A descriptor that holds the lock on the directory, None where the file system has no locks."""
    assert fcntl is not None
    for _ in range(_TRIES):
        with store.errors(store.place):
            try:
                store.root.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise DiskError(
                    f"{store.place}: not a directory, or in a file", hint="name another directory"
                ) from None
            directory = os.open(store.root, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(directory)
            raise PlaceBusy(
                f"{store.place}: another visprep is changing it now", hint="wait until it has ended"
            ) from None
        except OSError:  # some network file systems have no locks: there it is the user's care
            os.close(directory)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(directory), store.root.stat()):
                return directory
        os.close(directory)  # whoever held it before removed the empty directory: there is a new one to lock
    return None  # what is opened is never what is there: no file system on which a lock says anything


def present_files(store: Store) -> list[File]:
    """The data files of a place but for `dataset.json`; none when there is no such place yet."""
    try:
        return [file for file in data_files(store) if file.path != DATASET]
    except PlaceMissing:
        return []


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read()


def _disk(store: Store, path: str) -> contextlib.AbstractContextManager[None]:
    return store.errors(path) if isinstance(store, LocalStore) else contextlib.nullcontext()
