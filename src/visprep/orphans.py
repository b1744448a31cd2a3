"""The end of worker processes whose parent was killed, and can tell them nothing any more."""

from __future__ import annotations

import multiprocessing
import os
import threading

#: The process that watches its parent already; a fork of it must begin anew.
_watching = 0


def end_with_parent() -> None:
    """Let this process end when its parent has ended, where it is a worker (a daemonic process); else nothing.

    torch lets a worker look every 5 seconds whether its parent is another. That of one which a fork server made is the
    server, which waits for it.
    """
    global _watching
    if _watching == os.getpid():
        return
    _watching = os.getpid()
    if multiprocessing.parent_process() is not None and multiprocessing.current_process().daemon:
        threading.Thread(target=_wait, name="visprep-parent", daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # sys.exit would end this thread alone
