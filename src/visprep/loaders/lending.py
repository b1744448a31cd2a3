"""Memory in which a worker's batches reach the parent: shared, and used again once the parent has let go of them.

torch makes new shared memory for every batch. That the system has to find and clear its pages cost more than a third of
what the decoding did; here it is paid once, for as many batches as are on their way or in use at the same time.

Nothing but a whole `parcel` goes out in such memory. Of anything else, as of a part of it, torch makes a copy.

Memory that somebody may see of whom nobody hears is not used again: that which a fork took with it, and that which
torch moved a tensor out of (`share_memory_`, or a queue to another process), where numpy's arrays stay behind.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import threading
import weakref
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.multiprocessing.reductions import StorageWeakRef, reduce_tensor
from torch.utils.data import get_worker_info

#: Bytes from which it is worth it.
_LEAST = 64 * 1024
#: Tensors of one worker in such memory at a time; whoever keeps more of them gets the others in torch's own.
_MOST = 32
#: Of those that were let go of, so many are kept for the next batches: what was held for once is not needed again.
_SPARE = 8
#: Bytes before the batch, for the numbers, so that it begins where processors like it.
_HEAD = 64
#: The one is written by the worker alone, the other by the parent alone; nobody has to lock them.
_SENT, _RETURNED = 0, 1
#: 1 when it is not to be used again, whoever says so.
_SPENT = 2
_NUMBERS = 3


class _Block:
    """Memory for one batch, shared with whoever gets its descriptor."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.descriptor = os.memfd_create("visprep-batch")
        try:
            if _few_left(self.descriptor):
                raise OSError(errno.EMFILE, "descriptors are needed for more than batches")
            os.ftruncate(self.descriptor, _HEAD + room)
            self._memory = mmap.mmap(self.descriptor, _HEAD + room)
        except BaseException:
            os.close(self.descriptor)
            raise
        self.counts = np.frombuffer(self._memory, np.int64, _NUMBERS)
        self._lent: weakref.ref[npt.NDArray[np.uint8]] | None = None
        self._storage: StorageWeakRef | None = None

    @property
    def seen(self) -> bool:
        """Whether anything in this process may see it; a storage that torch moved away may have left arrays here."""
        there = self._lent is not None and self._lent() is not None
        return there or (self._storage is not None and not self._storage.expired())  # type: ignore[no-untyped-call]

    @property
    def free(self) -> bool:
        """Whether nobody can see it, in this process or the parent."""
        return not self.seen and self.counts[_SENT] == self.counts[_RETURNED] and not self.counts[_SPENT]

    @property
    def spent(self) -> bool:
        """Whether it is of no more use here."""
        return bool(self.counts[_SPENT]) and not self.seen

    def lend(self, size: int) -> torch.Tensor:
        """So many bytes; they are in use as long as any tensor or array sees them."""
        array = np.frombuffer(self._memory, np.uint8, size, _HEAD)
        tensor = torch.from_numpy(array)
        self._lent, self._storage = weakref.ref(array), StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        return tensor

    def sees(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor lies here."""
        lent = self._lent() if self._lent else None
        return lent is not None and lent.ctypes.data == tensor.untyped_storage().data_ptr()

    def close(self) -> None:
        """Give back the descriptor; the memory goes with the object."""
        os.close(self.descriptor)


def _few_left(descriptor: int) -> bool:
    """Whether half of the descriptors that there may be are gone; they are given out from below."""
    import resource  # not there on Windows

    return 2 * descriptor >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 0


_blocks: list[_Block] = []
_lock = threading.Lock()


def lend(shape: tuple[int, ...], kind: torch.dtype) -> torch.Tensor | None:
    """An empty tensor whose memory becomes a parcel; None where that does not pay, or cannot be: not in a worker."""
    size = math.prod(shape) * kind.itemsize
    if size < _LEAST or get_worker_info() is None or not hasattr(os, "memfd_create"):
        return None
    with _lock:
        block = _free(size)
        return None if block is None else block.lend(size).view(kind).view(shape)


def _free(size: int) -> _Block | None:
    """The smallest free block that has the room, else a new one."""
    for block in [block for block in _blocks if block.spent]:
        _drop(block)
    free = [block for block in _blocks if block.free]
    for block in free[_SPARE:]:
        _drop(block)
    del free[_SPARE:]
    if fitting := [block for block in free if block.room >= size]:
        return min(fitting, key=lambda block: block.room)
    if free:  # or those that became too small would stay for ever
        _drop(free[0])
    if len(_blocks) >= _MOST:
        return None
    try:
        _blocks.append(_Block(size))
    except OSError:
        return None
    return _blocks[-1]


def _drop(block: _Block) -> None:
    _blocks.remove(block)
    block.close()


class _Parcel(torch.Tensor):
    """A tensor that is sent on its way to the parent without a copy; in the parent it is a tensor as any other."""

    block: _Block
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


def parcel(tensor: torch.Tensor) -> torch.Tensor:
    """A batch as it should leave the worker: nothing but its memory changes hands, if that was lent."""
    with _lock:
        block = next((block for block in _blocks if block.sees(tensor)), None)
    if block is None:
        return tensor
    packed = tensor.as_subclass(_Parcel)
    packed.block = block
    return packed


def _send(packed: _Parcel) -> Any:
    block, size = packed.block, packed.untyped_storage().nbytes()
    if not block.sees(packed):  # something else in the batch was a part of it, and torch has moved both
        return reduce_tensor(packed.as_subclass(torch.Tensor))  # type: ignore[no-untyped-call]
    from multiprocessing.reduction import DupFd  # not there on Windows, which never gets here

    block.counts[_SENT] += 1
    place = (packed.storage_offset(), tuple(packed.shape), packed.stride())
    return _receive, (DupFd(block.descriptor), size, packed.dtype, place)


def _receive(sent: Any, size: int, kind: torch.dtype, place: tuple[int, Any, Any]) -> torch.Tensor:
    descriptor = sent.detach()
    try:
        memory = mmap.mmap(descriptor, _HEAD + size)
    finally:
        os.close(descriptor)
    array = np.frombuffer(memory, np.uint8, size, _HEAD)
    tensor = torch.from_numpy(array)
    storage = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
    # It is held by the tensor's storage, and so ends when the last tensor or array does that sees any of it
    forks = _forks_begun if _forks_begun == _forks_over else None
    weakref.finalize(array, _give_back, np.frombuffer(memory, np.int64, _NUMBERS), storage, forks).atexit = False
    for moved in list(_moved):
        if moved.expired():  # type: ignore[no-untyped-call]
            _moved.pop(moved, None)
    offset, shape, strides = place
    return tensor.view(kind).as_strided(shape, strides, offset)


#: Storages that torch moved out of such memory -> what holds that memory, which numpy's arrays of them still see.
_moved: dict[StorageWeakRef, npt.NDArray[np.int64]] = {}
#: Forks of this process; whatever is there at one goes on being seen by the child.
_forks_begun = _forks_over = 0


def _give_back(counts: npt.NDArray[np.int64], storage: StorageWeakRef, forks: int | None) -> None:
    if not storage.expired():  # type: ignore[no-untyped-call]
        _moved[storage] = counts
        counts[_SPENT] = 1
    elif forks != _forks_begun:
        counts[_SPENT] = 1
    else:
        counts[_RETURNED] += 1


def _before_fork() -> None:
    global _forks_begun
    _forks_begun += 1
    _spend()


def _after_fork() -> None:
    global _forks_over
    _forks_over += 1
    _spend()  # what another thread has lent meanwhile


def _spend() -> None:
    for block in list(_blocks):
        block.counts[_SPENT] = 1


def _after_fork_in_child() -> None:
    global _forks_over, _lock
    _forks_over, _lock = _forks_begun, threading.Lock()
    for block in _blocks:
        block.close()
    _blocks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
ForkingPickler.register(_Parcel, _send)
