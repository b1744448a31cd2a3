"""A process that outlives whoever started a cluster of its own, and ends what is left of that: run as a script.

Ray's processes look after each other, but take a minute until all of them have noticed that the driver was killed.
A guard that is killed is followed by another. Where its driver was killed at the same time, the guard of the next
cluster on this machine does its work.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

#: Where clusters of our own have their directories, and how these begin: short, since the names of sockets are.
HOME, PREFIX = Path("/tmp"), "visprep-ray-"  # noqa: S108
#: A file of each that driver and guard hold locked: where nobody does, both have ended, whatever became of their ids.
LOCK = "owner.lock"
#: What processes of a cluster have in their environment, with the directory: who else looks into that is not ended.
MARK = "VISPREP_CLUSTER"
_TITLE = b"ray::"
#: Seconds that processes have to end in order, and seconds until one that was killed is followed by another.
_GRACE, _PAUSE = 1.0, 0.2
#: Seconds after which a directory without a lock is nobody's: between the two, `own` takes no time.
_OLD = 3600


class Guard:
    """What a driver knows of the guard of its cluster, which lies in `directory`."""

    def __init__(self) -> None:
        self.directory, self._lock = own()
        self._turn, self._over = threading.Lock(), threading.Event()
        self._process = self._start()
        threading.Thread(target=self._keep, name="visprep-guard", daemon=True).start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", __file__, self.directory],
            stdin=subprocess.PIPE, start_new_session=True, pass_fds=[self._lock],
        )  # fmt: skip

    def _keep(self) -> None:
        """Have a guard for as long as the cluster lasts."""
        while self._process.wait() and not self._over.wait(_PAUSE):
            with self._turn:
                if not self._over.is_set():
                    self._process.communicate()  # to close the line to it
                    with contextlib.suppress(OSError):  # tried again
                        self._process = self._start()

    def end(self) -> None:
        """Let it do its work, now that the cluster is over; when it was killed just then, do it here."""
        with self._turn:
            self._over.set()
        self._process.communicate()
        if self._process.returncode:
            clear(self.directory)
        os.close(self._lock)


def own(home: Path = HOME) -> tuple[str, int]:
    """A new directory for a cluster, and the descriptor of its lock."""
    import fcntl

    directory = tempfile.mkdtemp(prefix=PREFIX, dir=home)
    unnamed = Path(directory, "new")  # nobody finds the lock free before it is ours
    lock = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unnamed.rename(Path(directory, LOCK))
    return directory, lock


def guard(directory: str) -> None:
    """Wait until our standard input ends; then clear `directory`, that of a cluster."""
    sweep()
    with contextlib.suppress(OSError):
        sys.stdin.buffer.read()
    clear(directory)


def sweep(home: Path = HOME) -> None:
    """Clear the directories of clusters of this user whose driver and guard have both ended, and left them."""
    import fcntl

    for directory in home.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it has no lock, or somebody has it
            facts = directory.lstat()
            if directory.is_symlink() or facts.st_uid != os.getuid():
                continue
            if not (directory / LOCK).exists() and time.time() - facts.st_mtime > _OLD:
                clear(str(directory))  # a process of Ray's that ended late made it anew
                continue
            lock = os.open(directory / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                clear(str(directory))
            finally:
                os.close(lock)


def clear(directory: str) -> None:
    """End all processes of a cluster that use its directory, and remove that; the lock last, so that it is found."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        until = time.monotonic() + _GRACE
        while (left := list(_users(directory))) and time.monotonic() < until:
            for process in left:
                with contextlib.suppress(OSError):
                    os.kill(process, number)
            time.sleep(0.05)
    with contextlib.suppress(OSError):
        for one in Path(directory).iterdir():
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one, ignore_errors=True)
            elif one.name != LOCK:
                one.unlink()
        if {one.name for one in Path(directory).iterdir()} <= {LOCK}:  # else the next sweep does the rest
            shutil.rmtree(directory, ignore_errors=True)


def _users(directory: str) -> Iterator[int]:
    inside, mark = os.fsencode(f"{directory}/"), os.fsencode(f"{MARK}={directory}")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            # Those that Ray gives a title have that where their environment was
            if command.startswith(_TITLE) or mark in (process / "environ").read_bytes().split(b"\0"):
                files = (process / "fd").iterdir()
                if inside in command or any(os.fsencode(one.readlink()).startswith(inside) for one in files):
                    yield int(process.name)


if __name__ == "__main__":
    guard(sys.argv[1])
