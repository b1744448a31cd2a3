"""Tasks on their way into large files: which go into which, and their bytes, a few tasks at a time."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from visprep import provenance, wire
from visprep.changes import present_files
from visprep.convert_output import Output
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.copy_ends import name_of
from visprep.errors import ChangedMeanwhile, UnsafePath, VisprepError, WouldOverwrite, WrongContent
from visprep.formats import tasks
from visprep.formats.directories import part_of
from visprep.formats.tasks import DOMAIN_SUFFIX, TaskDirectory
from visprep.looking import parts_of
from visprep.manifest import File
from visprep.provenance import Step
from visprep.stores import Store
from visprep.stores.local import LocalStore

__all__ = ["LARGE", "Shard", "Task", "batches", "put", "result", "shards", "step", "tasks_of"]

#: What a shard holds at most, where nobody says otherwise: bytes, and tasks.
_SIZE, _COUNT = 500_000_000, 10_000
#: Tasks that are held at a time: their bytes, and how many; so large are row groups, too.
_HELD, _TOGETHER = 32_000_000, 100
#: Files from this size on are not read whole by those who can do without.
LARGE = 8_000_000
#: The split of tasks that lie in no directory that is called like one.
_WHOLE = "train"


@dataclass(frozen=True, slots=True)
class Task:
    """A task: its directory as it is found, and `path`, as it is called from the top of a place."""

    path: str
    found: TaskDirectory

    @property
    def split(self) -> str:
        """The split that its path says."""
        return part_of(self.path) or _WHOLE

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size or 0 for file in self.found.files.values())


class Writing(Protocol):
    """Writes a file from its beginning to its end."""

    def __call__(self, out: IO[bytes]) -> object:
        """Errors of the files that are read for it."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A file that is made again when what it is made of has changed."""

    writing: Writing

    def write(self, path: Path) -> None:
        """See `Document`."""
        with path.open("wb", buffering=1024 * 1024) as out:
            self.writing(out)

    def digest(self) -> str:
        """`sha256:hex` of the bytes that `write` would write."""
        out = _Hashing()
        self.writing(out)  # type: ignore[arg-type]  # of a file it has what is asked of one that is written
        return f"sha256:{out.hash.hexdigest()}"


class _Hashing(io.RawIOBase):
    """A file of which only the digest is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.hash, self._length = hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.hash.update(view)
        self._length += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._length


@dataclass(frozen=True, slots=True)
class Shard:
    """The tasks of one file: the `number`th from 0 of the `of` of a split."""

    split: str
    number: int
    of: int
    tasks: Sequence[Task]

    @property
    def size(self) -> int:
        """Bytes of the files of its tasks."""
        return sum(task.size for task in self.tasks)


def tasks_of(origin: Origin, losses: Losses, output: Output, largest: int | None = None) -> list[Task]:
    """The tasks of a place, in order of path; files that belong to none are lost, and tasks that cannot be are told.

    `largest` is how many bytes a task may have.
    """
    store = origin.store
    found = tasks.find(origin.listing, parts_of(origin.given, store))
    for stray in found.strays:
        losses.lost("files", stray.path, f"{stray.path}, which is of no task,")
    for path in origin.empty:
        losses.lost("directories", path, f"{path}, in which is nothing,")
    good = []
    for one in found.directories:
        task = Task(_path(one), one)
        try:
            _check(task, largest)
        except VisprepError as error:
            output.failed(one.path or ".", error)
        else:
            good.append(task)
            _lose_links(store, one, losses)
    return good


def _lose_links(store: Store, one: TaskDirectory, losses: Losses) -> None:
    """Tell what is a symbolic link: what is written is the file that it leads to."""
    if not isinstance(store, LocalStore):
        return
    for file in one.files.values():
        if os.path.islink(f"{store.root}/{file.path}"):  # noqa: PTH114 -- a Path for each would take longer than to ask
            losses.lost("links", file.path, f"{file.path}, which will be a file of its own,")


def _path(one: TaskDirectory) -> str:
    # A place that is a domain, or a task, says by its own path what the paths below do not
    home = f"{one.domain}{DOMAIN_SUFFIX}/" if one.domain is not None else ""
    return one.path if "/" in one.path else f"{home}{one.path or one.id}"


def _check(task: Task, largest: int | None) -> None:
    for name in (task.path, *task.found.files):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UnsafePath(f"{name!r}: a name that is not UTF-8", hint="rename it") from None
    if largest is not None and task.size > largest:
        raise WrongContent(f"{task.path}: {task.size:,} bytes are more than a row holds", hint="--to webdataset")


def shards(found: Iterable[Task], wish: Wish) -> list[Shard]:
    """The shards of some tasks: one after the other until the next task would be too much."""
    most, many = (wish.shard_size or 0) * 1_000_000 or _SIZE, wish.shard_tasks or _COUNT
    splits: dict[str, list[list[Task]]] = {}
    sizes: dict[str, int] = {}
    for task in found:
        split = splits.setdefault(task.split, [])
        if not split or len(split[-1]) >= many or sizes[task.split] + task.size > most:
            split.append([])
            sizes[task.split] = 0
        split[-1].append(task)
        sizes[task.split] += task.size
    return [
        Shard(split, number, len(held), one)
        for split, held in sorted(splits.items())
        for number, one in enumerate(held)
    ]


def batches(
    store: Store, found: Iterable[Task], large: int | None = None
) -> Iterator[list[tuple[Task, dict[str, bytes]]]]:
    """Tasks with the bytes of their files, some at a time; files from `large` bytes on are left out."""

    def whole(task: Task) -> dict[str, File]:
        files = task.found.files.items()
        return {name: file for name, file in sorted(files) if large is None or (file.size or 0) < large}

    held: list[tuple[Task, dict[str, File]]] = []
    size = 0
    for task in found:
        files = whole(task)
        own = sum(file.size or 0 for file in files.values())
        if held and (size + own > _HELD or len(held) == _TOGETHER):
            yield _read(store, held)
            held, size = [], 0
        held.append((task, files))
        size += own
    if held:
        yield _read(store, held)


def _read(store: Store, held: Sequence[tuple[Task, dict[str, File]]]) -> list[tuple[Task, dict[str, bytes]]]:
    contents: list[dict[str, bytes]] = [dict.fromkeys(files, b"") for _, files in held]
    wanted = ((number, name, file) for number, (_, files) in enumerate(held) for name, file in files.items())
    if isinstance(store, LocalStore):
        for number, name, file in wanted:
            contents[number][name] = _same(file, store.read_small(file))
    else:
        jobs = (((number, name, file), store.read(file.path)) for number, name, file in wanted)
        for (number, name, file), outcome in wire.run(jobs, wire.IN_FLIGHT):
            if isinstance(outcome, VisprepError):
                raise outcome
            contents[number][name] = _same(file, outcome)
    return [(task, one) for (task, _), one in zip(held, contents, strict=True)]


def _same(file: File, data: bytes) -> bytes:
    if file.size is not None and len(data) != file.size:
        raise ChangedMeanwhile(f"{file.path} changed while it was read", hint="run the same command again")
    return data


def put(output: Output, origin: Origin, files: Mapping[str, tuple[Shard, Writing]]) -> None:
    """Have all shards of a place written, by path. Where the origin is near, they are made again when it has changed.

    What is far is not read twice: there its listing is a part of the request (see `step`). WouldOverwrite when other
    shards lie there: whoever reads the place would read these, too.
    """
    suffixes = {path.rpartition(".")[2] for path in files}
    others = [
        one.path
        for one in present_files(output.target)
        if one.path.rpartition(".")[2] in suffixes and one.path not in files
    ]
    if others:
        hint = "take them away, or choose another --output"
        raise WouldOverwrite.of(output.target.place, others, hint)
    for path, (shard, writing) in files.items():
        whole = Whole(writing)
        output.shard(path, whole, whole.digest if isinstance(origin.store, LocalStore) else None, shard.size)


def step(origin: Origin, wish: Wish, kind: str, *packages: str) -> Step:
    """The step of a conversion of tasks."""
    options: dict[str, object] = {"from": kind, **wish.options, **({"file": origin.file} if origin.file else {})}
    if kind in ("tasks", "videos") and not isinstance(origin.store, LocalStore):
        told = hashlib.sha256()
        for file in origin.listing:
            told.update(json.dumps([file.path, file.size, file.etag]).encode() + b"\n")
        options["listing"] = f"sha256:{told.hexdigest()}"
    return provenance.step("convert", name_of(origin.store), packages=packages, options=options)


def result(origin: Origin, wish: Wish, kind: str, output: Output, losses: Losses, *notes: str) -> ConvertResult:
    """What came of a conversion of tasks."""
    return output.result(origin.given, wish.to, kind, losses, notes=notes)
