"""Tasks as samples of a WebDataset: tar files `{split}-{n:06d}.tar` whose bytes depend on the tasks alone."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from visprep import provenance, wire
from visprep.convert_output import writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.copy_ends import name_of
from visprep.errors import ChangedMeanwhile
from visprep.formats.task_members import fields_of, key_of
from visprep.manifest import File
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.task_shards import LARGE, Shard, batches, result, shards, tasks_of

__all__ = ["convert"]

#: Bytes of a large file that are held at a time.
_PIECE = 8_000_000


def convert(origin: Origin, target: LocalStore, wish: Wish) -> ConvertResult:
    """See `visprep.convert`."""
    losses = Losses(wish.to)
    step = provenance.step("convert", name_of(origin.store), options={"from": "tasks", **wish.options})
    with writing(target, step, jobs=wish.jobs, progress=wish.progress) as output:
        for shard in shards(tasks_of(origin, losses, output), wish):
            output.shard(f"{shard.split}-{shard.number:06d}.tar", _Samples(origin.store, shard))
        output.put(losses, lossless=wish.lossless)
    return result(origin, target, wish, "tasks", output, losses)


@dataclass(frozen=True, slots=True)
class _Samples:
    """The samples of one tar file: members in order of path, without time, owner or any other trace of a machine."""

    store: Store
    shard: Shard

    def write(self, path: Path) -> None:
        """See `Document`; the error of a file that cannot be read, or that changed meanwhile."""
        with path.open("wb", buffering=1024 * 1024) as out:
            for some in batches(self.store, self.shard.tasks, LARGE):
                for task, contents in some:
                    key = key_of(task.path)
                    for name, field in fields_of(task.found.files).items():
                        if name in contents:
                            data = contents[name]
                            out.writelines((_header(f"{key}.{field}", len(data)), data, _padding(len(data))))
                        else:
                            out.writelines(self._pieces(f"{key}.{field}", task.found.files[name]))
            out.write(bytes(2 * tarfile.BLOCKSIZE))
            out.write(bytes(-out.tell() % tarfile.RECORDSIZE))

    def _pieces(self, member: str, file: File) -> Iterator[bytes]:
        size = file.size or 0
        yield _header(member, size)
        for at in range(0, size + 1, _PIECE):  # and what comes after its end, where it grew
            wanted = min(_PIECE, size - at)
            data = wire.wait(self.store.read(file.path, at, wanted)) if wanted else b""
            if len(data) != wanted:
                raise ChangedMeanwhile(f"{file.path} changed while it was read", hint="run the command again")
            yield data
        yield _padding(size)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
