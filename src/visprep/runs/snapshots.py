"""A training's state as it is at one moment, held as the very bytes of the `.pt` file that it becomes.

The file has the format of `torch.save`, and what is pickled in it is byte for byte the same; only the storages of
tensors are copied here into memory that is there already, and checksums are computed later, in whatever thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import mmap
import os
import pickle
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch.storage import TypedStorage

from visprep.digests import fast_zlib
from visprep.errors import UsageError
from visprep.runs import torch_zip

#: That of `torch.save`; newer ones have opcodes that `weights_only` does not take.
_PROTOCOL = 2
#: Storages up to this size, in bytes, are copied by a call that costs less.
_SMALL = 64 * 1024
#: Memory is asked for in multiples of it.
_GRAIN = 1024 * 1024
#: What states were pickled with, and `torch.load(weights_only=True)` took: types, classes and functions.
_taken: set[Any] = set()
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType)
_PLAIN = "it takes tensors, numbers, text, bytes, None, and dicts, lists, tuples and sets of them"


class Snapshot:
    """One set of buffers for the state of a training, used again by every `take`.

    It holds as many bytes as the file has: every storage once, also of tensors that share one, and no second copy
    while the file is written. Memory that was asked for stays until the Snapshot goes. Tensors of any device are in
    the file as CPU tensors.
    """

    def __init__(self, *, zip64_from: int = torch_zip.LIMIT) -> None:
        self._zip64_from = zip64_from
        self._memory: mmap.mmap | None = None
        self._pid = 0
        self._layout: torch_zip.Layout | None = None
        self._readers = 0
        self._sealed = False
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of the file; 0 before the first `take`."""
        return self._layout.size if self._layout else 0

    def take(self, state: Any) -> None:
        """Copy `state`, all of it, before this returns.

        UsageError, with the path inside `state`, for what `torch.load(weights_only=True)` would refuse, for storages
        that are seen as two types (as `torch.save`), and while the file of an earlier `take` is read. After an error
        the Snapshot is as it was.
        """
        with self._lock:
            if self._readers:
                raise UsageError("a snapshot was to be taken while the one before is still being written")
            pickled = _pickled(state)
            records = [("archive/data.pkl", len(pickled.data)), ("archive/byteorder", len(sys.byteorder))]
            records += [(f"archive/data/{key}", one.nbytes()) for key, one in enumerate(pickled.storages)]
            layout = torch_zip.Layout([*records, ("archive/version", 2)], self._zip64_from)
            self._layout = None  # an interrupt in the middle leaves none, rather than half of one
            memory = self._room_for(layout.size)
            first, order, *rest, version = layout.records
            for record, data in ((first, pickled.data), (order, sys.byteorder.encode()), (version, b"3\n")):
                memory[record.start : record.start + record.size] = data
            for record, storage in zip(rest, pickled.storages, strict=True):
                _copy(storage, memory, record.start)
            self._layout, self._sealed = layout, False

    def _room_for(self, size: int) -> mmap.mmap:
        # Shared with forked workers, which never look at it: a private one would be copied while they live
        if self._memory is None or len(self._memory) < size or self._pid != os.getpid():
            self._memory = None
            self._memory = mmap.mmap(-1, -(-size // _GRAIN) * _GRAIN)
            self._pid = os.getpid()
        return self._memory

    @contextlib.contextmanager
    def reading(self) -> Iterator[memoryview]:
        """The bytes of the whole file, in a `with`; any number of threads may read them at the same time.

        UsageError before the first `take`.
        """
        with self._lock:
            if self._layout is None or self._memory is None:
                raise UsageError("a snapshot was to be written before one was taken")
            whole = memoryview(self._memory)[: self._layout.size]
            if not self._sealed:
                self._seal(whole, self._layout)
            self._readers += 1
        try:
            with whole, whole.toreadonly() as image:
                yield image
        finally:
            with self._lock:
                self._readers -= 1

    def _seal(self, whole: memoryview, layout: torch_zip.Layout) -> None:
        checksums = [fast_zlib.crc32(whole[one.start : one.start + one.size]) for one in layout.records]

        def put(at: int, data: bytes) -> None:
            whole[at : at + len(data)] = data

        layout.write(put, checksums)
        self._sealed = True


def _copy(storage: torch.UntypedStorage, memory: mmap.mmap, at: int) -> None:
    size = storage.nbytes()
    if not size:
        return
    target = torch.frombuffer(memory, dtype=torch.uint8, count=size, offset=at)
    if size <= _SMALL and storage.device.type == "cpu":
        ctypes.memmove(target.data_ptr(), storage.data_ptr(), size)
        return
    source = torch.empty(0, dtype=torch.uint8, device=storage.device)
    target.copy_(source.set_(storage, 0, (size,), (1,)))


class _Pickled:
    """What stands in a file as `data.pkl`, and the storages that it refers to by their numbers."""

    def __init__(self, state: Any) -> None:
        buffer = io.BytesIO()
        pickler = _Pickler(buffer)
        pickler.dump(state)
        self.data = buffer.getvalue()
        self.storages = pickler.storages
        self.seen = pickler.seen


class _Pickler(pickle.Pickler):
    """As `torch.save` has one; it notes which types, classes and functions it came by."""

    def __init__(self, target: io.BytesIO) -> None:
        super().__init__(target, _PROTOCOL)
        self.storages: list[torch.UntypedStorage] = []
        self.seen: set[Any] = set()
        self._numbers: dict[int, int] = {}
        self._types: dict[tuple[torch.device, int], torch.dtype] = {}

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, TypedStorage):
            told: Any = obj  # what torch.save itself asks, which has no types
            kind = getattr(torch, told._pickle_storage_type())
            return self._refer(told._untyped_storage, told.dtype, kind, told._size())
        if isinstance(obj, torch.UntypedStorage):
            return self._refer(obj, torch.uint8, torch.UntypedStorage, obj.nbytes())
        return None

    def _refer(self, storage: torch.UntypedStorage, dtype: torch.dtype, kind: Any, count: int) -> Any:
        where = storage.data_ptr()
        if where and self._types.setdefault((storage.device, where), dtype) != dtype:
            raise UsageError("tensors of two types that share their memory cannot be saved", hint="clone one")
        number = self._numbers.setdefault(storage._cdata, len(self.storages))
        if number == len(self.storages):
            self.storages.append(storage)
        return "storage", kind, str(number), "cpu", count

    def reducer_override(self, obj: Any) -> Any:
        self.seen.add(obj if isinstance(obj, _NAMED) else type(obj))
        return NotImplemented


def _pickled(state: Any) -> _Pickled:
    try:
        try:
            return _checked(state)
        except RecursionError:
            raise
        except Exception as error:
            path, value, reason = _refused(state, "state", error, set())
    except RecursionError:
        raise UsageError("state is nested too deeply to be saved", hint="save it as flatter dicts or lists") from None
    if isinstance(reason, UsageError):
        raise UsageError(f"{path}: {reason.message}", hint=reason.hint) from None
    kind = type(value)
    told = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    raise UsageError(
        f"{path} is of the type {told}, which torch.load(weights_only=True) does not take",
        hint=_advice(value),
    ) from reason


def _checked(state: Any) -> _Pickled:
    """`state` pickled; any exception when it cannot be, or could not be loaded."""
    pickled = _Pickled(state)
    new = pickled.seen - _taken
    if new:
        _load_without_data(pickled.data)
        _taken.update(new)
    return pickled


def _load_without_data(data: bytes) -> None:
    layout = torch_zip.Layout(
        [("archive/data.pkl", len(data)), ("archive/byteorder", len(sys.byteorder)), ("archive/version", 2)]
    )
    image = bytearray(layout.size)

    def put(at: int, what: bytes) -> None:
        image[at : at + len(what)] = what

    layout.write(put, [0, 0, 0])
    for record, what in zip(layout.records, (data, sys.byteorder.encode(), b"3\n"), strict=True):
        put(record.start, what)
    with torch.serialization.skip_data():
        torch.load(io.BytesIO(image), map_location="cpu", weights_only=True)


def _refused(value: Any, path: str, error: Exception, above: set[int]) -> tuple[str, Any, Exception]:
    """Where in `value`, of which `error` tells that it is refused, the smallest part is that is."""
    inside: Iterator[tuple[str, Any]] = iter(())
    if id(value) not in above:
        if isinstance(value, dict):
            inside = ((f"{path}[{key!r}]", one) for key, part in value.items() for one in (key, part))
        elif isinstance(value, (list, tuple)):
            inside = ((f"{path}[{at}]", part) for at, part in enumerate(value))
        elif isinstance(value, (set, frozenset)):
            inside = ((path, part) for part in value)
    for where, part in inside:
        try:
            _checked(part)
        except Exception as reason:
            return _refused(part, where, reason, above | {id(value)})
    return path, value, error


def _advice(value: Any) -> str:
    if type(value).__module__.partition(".")[0] == "numpy":
        return "save torch.from_numpy(...) of an array, and float(...) or .item() of a number"
    if hasattr(value, "state_dict"):
        return "save its state_dict()"
    return _PLAIN
