"""Temporary directories, one way for all of them: the next that is made sweeps those whose makers were killed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from visprep.errors import DiskError, DiskFull

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


#: How the names of those begin that are held by a lock as long as their makers live, and of those that are just made.
_HELD, _NEW = "visprep-held-", "visprep-new-"
#: Seconds after which one that was just made, and never got its other name, is nobody's.
_YOUNG = 60


@contextlib.contextmanager
def directory(kind: str) -> Iterator[Path]:
    """A directory `visprep-held-{kind}-...` that is removed in the end; first, those that killed processes left.

    DiskError when none can be made.
    """
    _sweep()
    try:
        home, handle = _made(kind)
    except OSError as error:
        full = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else DiskError
        why = f"no temporary directory can be made: {error.strerror}"
        raise full(why, hint="free some space, or set TMPDIR") from error
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def way_out(folder: Path, otherwise: str | None) -> str | None:
    """What to do when a directory is full: of a temporary one, TMPDIR says where it is; `otherwise` of another."""
    ours = any(part.startswith(_HELD) for part in folder.parts)
    return "free some space, set TMPDIR to a directory that has room, or ask for less" if ours else otherwise


def _made(kind: str) -> tuple[Path, int | None]:
    """A directory, and the handle that holds it: it has its name only when it is held, so that nobody sweeps it."""
    new = Path(tempfile.mkdtemp(prefix=_NEW))
    handle = hold(new)
    return new.rename(new.with_name(f"{_HELD}{kind}-{new.name.removeprefix(_NEW)}")), handle


def _sweep() -> None:
    """Remove what nobody holds: the system lets go of a lock when its process ends, however that is."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        left = [Path(entry.path) for entry in found if entry.name.startswith((_HELD, _NEW))]
        for path in left:
            with contextlib.suppress(OSError):
                _drop(path)


def _drop(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        return
    if path.name.startswith(_NEW):
        if path.stat().st_mtime < time.time() - _YOUNG:
            path.rmdir()
        return
    handle = hold(path)
    if handle is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def hold(path: Path) -> int | None:
    """A handle that locks a file or directory; None when another has it, or the system has no such locks."""
    if fcntl is None:
        return None
    handle = None
    try:
        handle = os.open(path, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if handle is not None:
            os.close(handle)
        return None
    return handle
