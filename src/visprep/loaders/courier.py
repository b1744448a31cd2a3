"""The threads that bring images in one process: one over the network, some that read a disk or call a client."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from concurrent.futures import Future
from pathlib import Path

from visprep.errors import AccessDenied, DiskError, FileMissing, UsageError
from visprep.loaders.called import CalledClient
from visprep.loaders.clients import Stores
from visprep.loaders.lanes import Ended, Errand, Lanes, is_web
from visprep.messages import Patience
from visprep.settings import S3Settings

#: Threads that read the disk or call a client, at most.
_READERS = 16
#: Seconds in which a thread that is told to end does so, but for one that a disk or a foreign client holds.
_PARTING = 2.0


class Courier:
    """All that brings images in one process. Threads begin when there is something to do."""

    def __init__(self, access: S3Settings | CalledClient, in_flight: int, patience: Patience | None) -> None:
        self._access, self._in_flight, self._patience = access, in_flight, patience
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._readers: list[threading.Thread] = []
        self._most_readers = min(in_flight, _READERS)
        if isinstance(access, CalledClient):
            self._most_readers = min(self._most_readers, access.most)
            access.after_fork()
        self._far: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self._near: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self._ended = False

    def submit(self, url: str, size: int | None, version: str | None) -> Future[bytes]:
        """See `Fetcher.submit`."""
        errand = Errand(url, size, version)
        if is_web(url) or (url.startswith("s3://") and isinstance(self._access, S3Settings)):
            self._far.put(errand)
            if self._thread is None:
                self._begin_far()
        else:
            self._near.put(errand)
            if len(self._readers) < self._most_readers:
                self._begin_near()
        if self._ended:  # it has just been ended by another thread, which may have looked before we put ours there
            _forget(self._far)
            _forget(self._near)
        return errand.future

    def end(self, wait: bool) -> None:
        """End the threads, and cancel what did not come yet; with `wait`, return when they have ended."""
        self._ended = True
        _forget(self._far)
        _forget(self._near)
        with self._lock:
            threads = [*self._readers, *([self._thread] if self._thread else [])]
        self._far.put(None)
        for _ in threads:
            self._near.put(None)
        if wait:
            for thread in threads:
                if thread.is_alive() and thread is not threading.current_thread():
                    thread.join(_PARTING)

    def _begin_far(self) -> None:
        with self._lock:
            if not self._ended and self._thread is None:
                self._thread = threading.Thread(target=self._bring, name="visprep-fetch", daemon=True)
                self._thread.start()

    def _begin_near(self) -> None:
        with self._lock:
            if not self._ended and len(self._readers) < self._most_readers:
                thread = threading.Thread(target=self._read, name="visprep-read", daemon=True)
                self._readers.append(thread)
                thread.start()

    def _bring(self) -> None:
        settings = self._access if isinstance(self._access, S3Settings) else S3Settings()
        while not self._ended:
            lanes = Lanes(self._far, Stores(settings), self._in_flight, self._patience, lambda: self._ended)
            problem: BaseException = UsageError(
                "the fetcher was closed before the image came", hint="close it after the last batch"
            )
            try:
                lanes.serve()
            except Ended:
                pass
            except BaseException as bug:  # whoever waits shall hear of it; the next may have better luck
                problem = bug
            for errand in lanes.under_way:
                errand.end(problem)
        _forget(self._far)

    def _read(self) -> None:
        while (errand := self._near.get()) is not None:
            if errand.begin():
                try:
                    outcome: bytes | BaseException = self._bytes(errand)
                except BaseException as problem:
                    outcome = problem
                errand.end(outcome)
                del outcome
            del errand

    def _bytes(self, errand: Errand) -> bytes:
        if errand.url.startswith("s3://") and isinstance(self._access, CalledClient):
            return self._access.get(*errand.object)
        return _read_file(errand.url)


def _forget(errands: queue.SimpleQueue[Errand | None]) -> None:
    """Cancel what waits in a queue, and leave only the words that there is no more."""
    ends = 0
    with contextlib.suppress(queue.Empty):
        while True:
            errand = errands.get_nowait()
            if errand is None:
                ends += 1
            else:
                errand.future.cancel()
    for _ in range(ends):
        errands.put(None)


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FileMissing(f"{os.fspath(path)}: no such file") from None
    except PermissionError:
        raise AccessDenied(f"{os.fspath(path)}: permission denied", hint="check the owner and permissions") from None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise DiskError(f"{os.fspath(path)}: {problem}") from None
