"""A change of a place, from before its first byte to after its last: begun by a marker, ended by a manifest.

`.visprep/in-progress` is written before anything else and removed after the manifest, so a place is complete exactly
when it has a manifest and no marker. On disk the marker also notes every finished file: a command that was killed
knows, when it is run again, what is done and which files are its own. One command at a time may change a place.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from visprep import wire
from visprep.errors import (
    BadRecord,
    DiskError,
    FileMissing,
    PlaceBusy,
    PlaceIncomplete,
    PlaceMissing,
    StoreError,
    VisprepError,
    WouldOverwrite,
)
from visprep.manifest import DATASET, MANIFEST, RECORD_DIR, File, Manifest
from visprep.provenance import Dataset, Step
from visprep.stores import Store
from visprep.stores.local import LocalStore

try:
    import fcntl
except ImportError:  # Windows has no flock: there two commands on one place are the user's care
    fcntl = None  # type: ignore[assignment]

MARKER = f"{RECORD_DIR}/in-progress"
JOURNAL = f"{RECORD_DIR}/journal.jsonl"
CACHE = f"{RECORD_DIR}/cache"


def read_record(store: Store, path: str) -> bytes | None:
    """A file of visprep's own record of a place, None when it has none."""
    try:
        return wire.wait(store.read(path))
    except (FileMissing, PlaceMissing):
        return None
    except DiskError as error:
        raise DiskError(f"{store.place}/{error.message}", hint=error.hint) from None


def read_manifest(store: Store) -> Manifest | None:
    """The manifest of a place, None when it has none; BadRecord when it is damaged."""
    data = read_record(store, MANIFEST)
    return None if data is None else Manifest.load(data, name=f"{store.place}: {MANIFEST}")


def read_dataset(store: Store) -> Dataset | None:
    """The steps of a place, None when it has no `dataset.json`; BadRecord when it is damaged or someone else's."""
    data = read_record(store, DATASET)
    return None if data is None else Dataset.load(data, store.place)


def unfinished(store: Store) -> Step | None:
    """The step that was begun and not ended at a place."""
    data = read_record(store, MARKER)
    return None if data is None else _parse_marker(data, store.place)[0]


class PlaceChange:
    """A change under way; made by `begin`. `known` maps the path of every file that visprep wrote here to it."""

    def __init__(self, store: Store, step: Step, *, overwrite: bool = False) -> None:
        self.store = store
        self.manifest = read_manifest(store)
        self.dataset = self._own_dataset(overwrite)
        self.known = {file.path: file for file in self.manifest.files} if self.manifest else {}
        self.step, self.resumed = self._resume(step)
        self._notes: int | None = None

    def _own_dataset(self, overwrite: bool) -> Dataset | None:
        try:
            return read_dataset(self.store)
        except BadRecord as error:
            if overwrite:
                return None
            raise WouldOverwrite(error.message, paths=(DATASET,), hint=f"{error.hint}, or --overwrite") from None

    def _resume(self, step: Step) -> tuple[Step, bool]:
        data = read_record(self.store, MARKER)
        if data is None:
            return step, False
        begun, done = _parse_marker(data, self.store.place)
        if begun is not None and (begun.command, begun.source) != (step.command, step.source):
            raise PlaceIncomplete(
                f"{self.store.place}: an unfinished '{begun.command} {begun.source}' lies here",
                hint=f"finish it with the same command, or remove {MARKER} there if it will never be finished",
            )
        self.known |= done
        if begun is not None and begun.same_request(step):
            return replace(step, date=begun.date), True  # a resumed command ends in the bytes of an undisturbed one
        return step, True

    @property
    def repeats(self) -> bool:
        """Whether the last step here asked for the very same."""
        return bool(self.dataset and self.dataset.steps and self.dataset.steps[-1].same_request(self.step))

    def mark(self) -> None:
        """Say that the place is being changed; PlaceBusy when another command says so at this moment."""
        header = json.dumps({"format_version": 1, "step": asdict(self.step)}).encode() + b"\n"
        if not isinstance(self.store, LocalStore):
            wire.wait(self.store.write(MARKER, header))
            return
        path = self.store.root / MARKER
        with self.store.errors(MARKER):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                if fcntl:
                    fcntl.flock(self._notes, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PlaceBusy(
                    f"{self.store.place}: another visprep is changing it now", hint="wait until it has ended"
                ) from None
            size = os.fstat(self._notes).st_size
            lead = b"\n" if size and path.read_bytes()[-1:] != b"\n" else b""  # a line torn by a kill ends here
            os.write(self._notes, lead + header)

    def note(self, file: File) -> None:
        """Remember that `file` is finished, so that a later run need not do it again."""
        self.known[file.path] = file
        if self._notes is not None:
            line = json.dumps({"path": file.path, "size": file.size, "digest": file.digest})
            with _disk(self.store, MARKER):
                os.write(self._notes, line.encode() + b"\n")

    def commit(self, files: Iterable[File], steps: tuple[Step, ...]) -> Manifest:
        """End the change: `dataset.json`, then the manifest, then the marker goes."""
        bare = Manifest.of(file for file in files if file.path != DATASET)
        written = wire.wait(self.store.write(DATASET, Dataset(steps, bare.digest).dump()))
        manifest = Manifest(bare.files, written.digest)
        wire.wait(self.store.write(MANIFEST, manifest.dump()))
        if isinstance(self.store, LocalStore):
            if self.resumed:
                self.store.sweep()
            wire.wait(self.store.delete(JOURNAL))
        wire.wait(self.store.delete(MARKER))
        return manifest

    def abandon(self) -> None:
        """End a change that wrote nothing: the place is as it was before, unless an earlier run left something."""
        if self.resumed:
            return
        wire.wait(self.store.delete(MARKER))
        if isinstance(self.store, LocalStore):
            for folder in (self.store.root / RECORD_DIR, self.store.root):
                with contextlib.suppress(OSError):
                    folder.rmdir()  # only when it is empty

    def close(self) -> None:
        """Give the place free for other commands, whether this one has ended it or not."""
        if self._notes is not None:
            os.close(self._notes)
            self._notes = None


@contextlib.contextmanager
def begin(store: Store, step: Step, *, overwrite: bool = False) -> Iterator[PlaceChange]:
    """A change of `store` by `step`; nothing is written before `mark`, and without `commit` it stays unfinished.

    WouldOverwrite when a `dataset.json` of someone else is in the way, PlaceIncomplete when another command was
    begun there and not ended.
    """
    change = PlaceChange(store, step, overwrite=overwrite)
    try:
        yield change
    finally:
        change.close()


def write_journal(store: Store, step: Step, failures: Iterable[tuple[str, VisprepError]]) -> None:
    """Note what failed and why under a place on disk; elsewhere it is told, not kept."""
    if isinstance(store, LocalStore):
        lines = [
            json.dumps(
                {"date": step.date, "command": step.command, "source": step.source, "path": path}
                | {"reason": error.slug, "message": error.message}
            )
            for path, error in failures
        ]
        with contextlib.suppress(StoreError):  # what failed is told in any case, and that must not be lost
            wire.wait(store.write(JOURNAL, "".join(f"{line}\n" for line in lines).encode()))


def forget_journal(store: Store) -> None:
    """Remove the list of what failed there before, since nothing did this time."""
    if isinstance(store, LocalStore) and (store.root / JOURNAL).exists():
        wire.wait(store.delete(JOURNAL))


def _parse_marker(data: bytes, place: str) -> tuple[Step | None, dict[str, File]]:
    """The last step begun and the files finished; lines torn by a kill are passed over."""
    begun: Step | None = None
    done: dict[str, File] = {}
    for line in data.splitlines():
        try:
            entry: Any = json.loads(line)
            if "step" in entry:
                begun = Step.from_json(entry["step"])
            else:
                done[entry["path"]] = File(entry["path"], entry["size"], entry["digest"])
        except (ValueError, TypeError, KeyError):
            continue
    return begun, done


def _disk(store: Store, path: str) -> contextlib.AbstractContextManager[None]:
    return store.errors(path) if isinstance(store, LocalStore) else contextlib.nullcontext()


def journal_path(store: Store) -> Path | None:
    """Where failures at this place are written down, None for a place that is not on disk."""
    return Path(store.place) / JOURNAL if isinstance(store, LocalStore) else None
