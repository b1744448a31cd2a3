"""The journal of a place: what failed there, and why, a line each, until a command ends well."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import IO

from visprep import temporary, wire
from visprep.errors import VisprepError
from visprep.manifest import RECORD_DIR, File
from visprep.own_record import JOURNAL, MARKER, read_record
from visprep.provenance import Step
from visprep.spool import Spool
from visprep.stores import Store
from visprep.stores.arrivals import part_name
from visprep.stores.local import LocalStore


class Failures(Spool[tuple[str, VisprepError]]):
    """Paths, and why each failed; packed soon, since an error holds on to all that its traceback knows."""

    def __init__(self) -> None:
        super().__init__(_pack, _unpack, in_memory=0, block=100)


def _pack(failure: tuple[str, VisprepError]) -> bytes:
    import pickle  # here, since mostly nothing fails, and it takes a while to load

    return pickle.dumps(failure)


def _unpack(packed: bytes) -> tuple[str, VisprepError]:
    import pickle

    failure: tuple[str, VisprepError] = pickle.loads(packed)  # noqa: S301 -- our own bytes
    return failure


def write_journal(store: Store, step: Step, failures: Iterable[tuple[str, VisprepError]]) -> None:
    """Note what failed and why at a place.

    On S3 only while a change is under way there, which removes it in the end: nothing is left where no record is kept.
    """
    # What failed is told in any case, and that must not be lost
    with contextlib.suppress(VisprepError, OSError):
        if isinstance(store, LocalStore):
            _write_on_disk(store, step, failures)
        elif read_record(store, MARKER, 0, 1) is not None:
            with temporary.directory("journal") as folder, LocalStore(folder).errors(JOURNAL):
                draft = folder / JOURNAL
                draft.parent.mkdir()
                with draft.open("wb") as lines:
                    _dump(lines, step, failures)
                wire.wait(store.receive(File(JOURNAL, draft.stat().st_size), LocalStore(folder)))


def _write_on_disk(store: LocalStore, step: Step, failures: Iterable[tuple[str, VisprepError]]) -> None:
    path = store.root / JOURNAL
    part = path.with_name(part_name(path.name, File(JOURNAL)))
    try:
        with store.errors(JOURNAL):
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as lines:
                _dump(lines, step, failures)
            part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _dump(lines: IO[bytes], step: Step, failures: Iterable[tuple[str, VisprepError]]) -> None:
    for failed, error in failures:
        told = {"date": step.date, "command": step.command, "source": step.source, "path": failed}
        told |= {"reason": error.slug, "message": error.message}
        lines.write(json.dumps(told).encode() + b"\n")


@contextlib.contextmanager
def journal(store: Store, step: Step) -> Iterator[Failures]:
    """A list for what fails, with its path; it is written to the journal at the end, however the block ends."""
    failures = Failures()
    try:
        yield failures
    finally:
        if failures:
            write_journal(store, step, failures)


def forget_journal(store: Store) -> None:
    """Remove the list of what failed there before, since nothing did this time."""
    if isinstance(store, LocalStore) and (store.root / JOURNAL).exists():
        wire.wait(store.delete(JOURNAL))
        with contextlib.suppress(OSError):
            (store.root / RECORD_DIR).rmdir()  # only when it is empty
