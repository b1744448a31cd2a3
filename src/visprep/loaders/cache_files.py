"""The files of a cache: an entry is one file that proves itself, put in place by a rename, so never half there."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import stat
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from visprep.descriptors import BINARY, write_all
from visprep.digests import fast_zlib

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None

#: What an entry begins with: a mark, the checksum, the length of the data, and the name of the entry.
_HEADER = struct.Struct("<4sIQ16s")
_MARK = b"vpc1"
#: What an entry takes on disk beside its data, in bytes.
OVERHEAD = _HEADER.size
_ENTRY = re.compile(r"[0-9a-f]{30}")
_OWN = re.compile(r"visprep-cache-(\d+)-(\d+)-")
#: A temporary file as old as this, in seconds, is nobody's, whatever process it names.
_ABANDONED = 86_400
_ALIVE = "alive"


def lock(handle: int, *, shared: bool = False, wait: bool = True) -> None:
    """Lock an open file against other processes; OSError when it cannot. Nothing where the system has no flock."""
    if fcntl is not None:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def unlock(handle: int) -> None:
    """Let go of a lock, if there is one."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_UN)


class CorruptEntryError(Exception):
    """The file is not the entry that its name says."""


def name_of(url: str, size: int | None, version: str | None) -> bytes:
    """The name of an image's entry: 16 bytes, others where the image is known to be another."""
    return hashlib.blake2b(f"{url}\0{size}\0{version}".encode(errors="surrogateescape"), digest_size=16).digest()


def path_of(directory: str, name: bytes) -> str:
    """The file of an entry: one of 256 directories, then the rest of the name."""
    text = name.hex()
    return f"{directory}/{text[:2]}/{text[2:]}"


def read_entry(path: str, name: bytes) -> bytes:
    """The data of an entry, proven. FileNotFoundError when there is none, CorruptEntryError when it is not whole."""
    handle = os.open(path, os.O_RDONLY | BINARY)
    try:
        found = os.fstat(handle)
        length = found.st_size - _HEADER.size
        if length < 0 or not stat.S_ISREG(found.st_mode):
            raise CorruptEntryError
        header = os.read(handle, _HEADER.size)
        data = os.read(handle, length) if length else b""
    finally:
        os.close(handle)
    if header != _header(name, data) or len(data) != length:
        raise CorruptEntryError
    return data


def write_temporary(directory: str, name: bytes, data: bytes, nth: int) -> str:
    """Write an entry beside its place; the path of that file, to be renamed to `path_of`. OSError when it cannot."""
    path = f"{directory}/writing/{os.getpid()}-{start_time(os.getpid())}-{nth}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY
    try:
        handle = os.open(path, flags, 0o666)
    except FileNotFoundError:
        Path(path).parent.mkdir(exist_ok=True)
        handle = os.open(path, flags, 0o666)
    try:
        write_all(handle, (_header(name, data), data))
    except BaseException:
        os.close(handle)
        with contextlib.suppress(OSError):
            Path(path).unlink()
        raise
    os.close(handle)
    return path


def _header(name: bytes, data: bytes) -> bytes:
    checksum = fast_zlib.crc32(data, fast_zlib.crc32(name))
    return _HEADER.pack(_MARK, checksum, len(data), name)


def entries(directory: str) -> Iterator[tuple[bytes, int, int]]:
    """Every entry of a cache, as its directory tells: name, bytes on disk, time of writing in ns."""
    for first in range(256):
        with contextlib.suppress(OSError), os.scandir(f"{directory}/{first:02x}") as found:
            for entry in found:
                if _ENTRY.fullmatch(entry.name):
                    with contextlib.suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode) and status.st_size:
                            yield bytes.fromhex(f"{first:02x}{entry.name}"), status.st_size, status.st_mtime_ns


def sweep_temporary(directory: str) -> None:
    """Remove what processes that are no more were writing."""
    with contextlib.suppress(OSError), os.scandir(f"{directory}/writing") as found:
        for entry in found:
            pid, start, *_ = [*entry.name.split("-"), "", ""]
            if not (pid.isdigit() and start.isdigit()):
                continue
            with contextlib.suppress(OSError):
                abandoned = time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED
                if abandoned or not is_alive(int(pid), int(start)):
                    Path(entry.path).unlink()


def start_time(pid: int) -> int:
    """When a process began, in ticks since the machine did; 0 when it is not there, or the system does not tell."""
    if pid == os.getpid() and pid in _started:
        return _started[pid]
    try:
        # The name of the program stands in brackets and may hold anything
        ticks = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
    if pid == os.getpid():
        _started.clear()
        _started[pid] = ticks
    return ticks


_started: dict[int, int] = {}


def is_alive(pid: int, start: int) -> bool:
    """Whether this very process runs, not another that got its number later."""
    if pid <= 0:  # a damaged file says so; to the system it would be a whole group of processes
        return False
    if os.name == "nt":  # there `os.kill` asks nothing, it ends the process; what is old is swept all the same
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no process, or a number that none can have
        return False
    except OSError:
        pass
    return start in (0, start_time(pid))


def make_own() -> tuple[str, int]:
    """A fresh directory of this process among the temporary files, and a handle that keeps it from being swept."""
    pid = os.getpid()
    directory = tempfile.mkdtemp(prefix=f"visprep-cache-{pid}-{start_time(pid)}-")
    handle = os.open(f"{directory}/{_ALIVE}", os.O_RDWR | os.O_CREAT, 0o600)
    lock(handle, shared=True)
    return directory, handle


def sweep_own() -> None:
    """Remove the directories that `make_own` made in processes that are no more, with all their children."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        left = [(entry, told) for entry in found if (told := _OWN.match(entry.name))]
        for entry, told in left:
            if entry.is_dir(follow_symlinks=False) and not is_alive(int(told[1]), int(told[2])) and _unheld(entry.path):
                shutil.rmtree(entry.path, ignore_errors=True)


def _unheld(directory: str) -> bool:
    """Whether no process holds a directory: one in another container has a number that says nothing here."""
    try:
        handle = os.open(f"{directory}/{_ALIVE}", os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        lock(handle, wait=False)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(handle)


#: Numbers for temporary files: `next` is atomic between the threads of a process, a fork changes the process's part.
numbers = itertools.count()
