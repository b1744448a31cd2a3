"""Tasks as samples of a WebDataset: tar files `{split}-{n:06d}.tar` whose bytes depend on the tasks alone."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial
from typing import IO

from visprep import wire
from visprep.convert_output import writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.errors import ChangedMeanwhile
from visprep.formats.task_members import fields_of, key_of
from visprep.manifest import File
from visprep.stores import Store
from visprep.task_shards import LARGE, Shard, batches, put, result, shards, step, tasks_of

__all__ = ["convert"]

#: Bytes of a large file that are held at a time.
_PIECE = 8_000_000


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`."""
    losses = Losses(wish.to)
    asked = step(origin, wish, "tasks")
    with writing(target, asked, wish) as output:
        found = shards(tasks_of(origin, losses, output), wish)
        files = {f"{one.split}-{one.number:06d}.tar": (one, partial(_write, origin.store, one)) for one in found}
        put(output, origin, files)
        output.put(losses, lossless=wish.lossless)
    return result(origin, wish, "tasks", output, losses)


def _write(store: Store, shard: Shard, out: IO[bytes]) -> None:
    """The samples of one file: members in order of path, without time, owner or any other trace of a machine.

    The error of a file that cannot be read, or that changed meanwhile.
    """
    for some in batches(store, shard.tasks, LARGE):
        for task, contents in some:
            key = key_of(task.path)
            for name, field in fields_of(task.found.files).items():
                if name in contents:
                    data = contents[name]
                    out.write(b"".join((_header(f"{key}.{field}", len(data)), data, _padding(len(data)))))
                else:
                    out.writelines(_pieces(store, f"{key}.{field}", task.found.files[name]))
    out.write(bytes(2 * tarfile.BLOCKSIZE))
    out.write(bytes(-out.tell() % tarfile.RECORDSIZE))


def _pieces(store: Store, member: str, file: File) -> Iterator[bytes]:
    size = file.size or 0
    yield _header(member, size)
    for at in range(0, size, _PIECE):
        wanted = min(_PIECE, size - at)
        data = wire.wait(store.read(file.path, at, wanted))
        if len(data) != wanted:
            raise ChangedMeanwhile(f"{file.path} changed while it was read", hint="run the same command again")
        yield data
    yield _padding(size)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
