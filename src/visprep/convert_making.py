"""How planned files become files of a place, some at a time: links, copies, files made small and large.

Nothing here holds a listing or a plan, so that the same can be done for a slice of the files by another process.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from visprep import temporary, wire
from visprep.digests import digest_of
from visprep.errors import DiskFull, VisprepError
from visprep.hard_links import NoLinks, links
from visprep.manifest import File
from visprep.own_record import CACHE
from visprep.planned import Made, Planned, Shard
from visprep.renamed import Renamed, RenamedStore
from visprep.stores import Store
from visprep.stores.local import LocalStore

__all__ = [
    "COPIED",
    "LINKED",
    "MADE",
    "Outcome",
    "check_temporary",
    "copied",
    "digest_when_made",
    "draft_of",
    "is_costly",
    "made",
    "made_apart",
    "spreads",
    "weight",
]

#: How a planned file came about.
LINKED, COPIED, MADE = "linked", "copied", "made"
#: What came of a planned file, and how.
Outcome: TypeAlias = "tuple[File | VisprepError, str]"

_Where: TypeAlias = Callable[[LocalStore, str], Path]

#: What a costly file and a shard count for at least, in bytes that are copied.
_COSTLY, _SHARD = 1_000_000, 4_000_000
#: Bytes of made files that wait to be sent.
_HELD = 32_000_000
#: Drafts of at least so many bytes are in the temporary directory one at a time, in each process.
_LARGE = 64_000_000
_one_large = threading.Lock()


def made(target: Store, linking: bool, some: Sequence[Planned]) -> list[Outcome]:
    """What comes of each of these files, in their order. With `linking`, other names of files where there can be some.

    A large file of a directory is drafted only (`draft_of`): whoever asked puts it in its place.
    """
    if isinstance(target, LocalStore):
        return _in_directory(target, linking, some, draft_of)
    return [outcome for _, outcome in sorted(_on_s3(target, some), key=lambda found: found[0])]


def made_apart(target: Store, linking: bool, some: Sequence[Planned]) -> list[Outcome]:
    """The same by a worker, with drafts of its own: another one may still be at it, on a node that is lost to us."""
    if not isinstance(target, LocalStore):
        return made(target, linking, some)
    mark = uuid.uuid4().hex

    def aside(target: LocalStore, path: str) -> Path:
        return draft_of(target, f"{mark}/{path}")

    outcomes = _in_directory(target, linking, some, aside)
    for one, (outcome, _) in zip(some, outcomes, strict=True):
        if isinstance(one, Shard) and isinstance(outcome, File):
            with target.errors(one.path):
                draft_of(target, one.path).parent.mkdir(parents=True, exist_ok=True)
                aside(target, one.path).replace(draft_of(target, one.path))
    return outcomes


def spreads(one: Planned) -> bool:
    """Whether a file is worth to be made by another process: cheap ones are not, and need what cannot be sent there."""
    return not isinstance(one, Made) or one.costly


def is_costly(one: Planned) -> bool:
    """Whether making a file takes a processor for long: images are decoded, and made small."""
    return isinstance(one, Made) and one.costly


def weight(one: Planned) -> int:
    """About how much work a file is, as if it was to copy so many bytes."""
    if isinstance(one, Renamed):
        return one.origin.size or 0
    return max(_SHARD, one.size) if isinstance(one, Shard) else _COSTLY


def draft_of(target: LocalStore, path: str) -> Path:
    """Where the draft of a large file of a directory is."""
    return target.root / CACHE / "shards" / path


def check_temporary(need: int) -> None:
    """DiskFull when there is no room for a draft of so many bytes."""
    home = tempfile.gettempdir()
    if need > (free := LocalStore(home).free()):
        words = f"{home}: {need:,} bytes are needed for the draft of a file, {free:,} are free"
        raise DiskFull(words, hint="free some space, set TMPDIR, or ask for smaller files with --shard-size")


def digest_when_made(one: Made | Shard) -> str:
    """The digest that a file would have if it was made now."""
    if isinstance(one, Made):
        return digest_of(one.produce())
    with _drafted(one) as (_, file):
        assert file.digest
        return file.digest


def _in_directory(target: LocalStore, linking: bool, some: Sequence[Planned], where: _Where) -> list[Outcome]:
    found: dict[str, Outcome] = {one.path: _kept(target, one, where) for one in some if not isinstance(one, Renamed)}
    names = [one for one in some if isinstance(one, Renamed)]
    near = [one for one in names if linking and isinstance(one.store, LocalStore)]
    with contextlib.suppress(NoLinks):  # no more of one file, or another file system below
        found |= {path: (what, LINKED) for path, what in links(target, near)}
    copies = {one.path: one for one in names if one.path not in found}
    jobs = ((path, copied(target, one)) for path, one in copies.items())
    found |= {path: (what, COPIED) for path, what in wire.run(jobs)}
    return [found[one.path] for one in some]


def _kept(target: LocalStore, one: Made | Shard, where: _Where) -> Outcome:
    try:
        if isinstance(one, Made):
            data = one.produce()
            file = File(one.path, len(data), digest_of(data))
            target.keep(file, [data])  # at once: a job for each would cost more than its file
            return file, MADE
        draft = where(target, one.path)
        with target.errors(one.path):
            draft.parent.mkdir(parents=True, exist_ok=True)
            return _written(one, draft), MADE
    except VisprepError as error:
        if isinstance(one, Shard):  # what there is of it is of no use, and in the way of what shall go on
            with contextlib.suppress(OSError):
                where(target, one.path).unlink()
        return error, MADE


def _written(one: Shard, draft: Path) -> File:
    one.document.write(draft)
    with draft.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return File(one.path, draft.stat().st_size, digest)


def _on_s3(target: Store, some: Sequence[Planned]) -> Iterator[tuple[int, Outcome]]:
    """What comes of files on their way to S3, by number; as many at a time as may be held at once."""
    jobs: dict[tuple[int, str], wire.Job[File]] = {}
    held = 0

    def sent() -> Iterator[tuple[int, Outcome]]:
        yield from ((number, (what, how)) for (number, how), what in wire.run(jobs.items()))
        jobs.clear()

    for number, one in enumerate(some):
        try:
            if isinstance(one, Renamed):
                jobs[number, COPIED] = copied(target, one)
            elif isinstance(one, Made):
                data = one.produce()
                jobs[number, MADE] = target.write(one.path, data)
                held += len(data)
            else:
                with _drafted(one) as (folder, file):
                    yield number, (wire.wait(target.receive(file, folder)), MADE)
        except VisprepError as error:
            yield number, (error, MADE)
        if held > _HELD:
            yield from sent()
            held = 0
    yield from sent()


@contextlib.contextmanager
def _drafted(one: Shard) -> Iterator[tuple[LocalStore, File]]:
    """The draft of a large file, in a temporary directory that goes again."""
    waiting = _one_large if one.size >= _LARGE else contextlib.nullcontext()
    with waiting, temporary.directory("convert") as home:
        folder = LocalStore(home)
        with folder.errors(one.path):
            (home / one.path).parent.mkdir(parents=True, exist_ok=True)
            file = _written(one, home / one.path)
        yield folder, file


async def copied(target: Store, one: Renamed) -> File:
    """A copy: on S3 made by the server where the file is there too and its digest is known, else with its bytes."""
    if one.store.place.startswith("s3://") and target.place.startswith("s3://"):
        from visprep.stores import s3_copies  # here, since most conversions need none of it

        found = await s3_copies.brought(target, one.path, one.store, one.origin)
        if found is not None:
            return found
    return await target.receive(one.file, RenamedStore({one.path: one}))  # type: ignore[arg-type]
