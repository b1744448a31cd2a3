"""Temporary files and directories that the next one sweeps, when whoever made them was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


#: Seconds within which a directory may be made and not be held yet.
_YOUNG = 60


@contextlib.contextmanager
def directory(kind: str) -> Iterator[Path]:
    """A directory `visprep-{kind}-...` that is removed in the end; first, those that killed processes left."""
    _sweep(f"visprep-{kind}-")
    with tempfile.TemporaryDirectory(prefix=f"visprep-{kind}-", ignore_cleanup_errors=True) as made:
        handle = _hold(made)
        try:
            yield Path(made)
        finally:
            if handle is not None:
                os.close(handle)


def _sweep(prefix: str) -> None:
    """Remove what nobody holds: the system lets go of a lock when its process ends, however that is."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        left = [entry.path for entry in found if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False)]
        left = [path for path in left if Path(path).stat().st_mtime < time.time() - _YOUNG]
        for path in left:
            handle = _hold(path)
            if handle is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(handle)


def _hold(path: str) -> int | None:
    """A handle that locks a directory; None when another process has it, or the system has no such locks."""
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
