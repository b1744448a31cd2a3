"""The thread that brings images in one process, and those that read a disk or call a client, which only can wait."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import quote

from visprep import wire
from visprep.digests import is_digest_of
from visprep.errors import AccessDenied, BadPlace, DiskError, FileMissing, VisprepError, WrongContent
from visprep.loaders.clients import Client
from visprep.manifest import File
from visprep.messages import Patience
from visprep.settings import S3Settings
from visprep.stores.addresses import AddressStore
from visprep.stores.memory import MemorySink
from visprep.stores.s3 import S3Store
from visprep.window import Window

#: Threads that read the disk or call a client.
_WAITING = 16


class Errand:
    """One image that is wanted."""

    __slots__ = ("future", "size", "url", "version")

    def __init__(self, url: str, size: int | None, version: str | None) -> None:
        self.url, self.size, self.version = url, size, version
        self.future: Future[bytes] = Future()

    def done(self, outcome: bytes | BaseException) -> None:
        """Hand over what came of it, unless nobody wants it any more."""
        with contextlib.suppress(Exception):  # cancelled, or done
            if isinstance(outcome, BaseException):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)


class Courier:
    """All that brings images in one process."""

    def __init__(self, access: S3Settings | Client, in_flight: int, patience: Patience | None) -> None:
        self._access, self._in_flight, self._patience = access, in_flight, patience
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: list[threading.Thread] = []
        self._errands: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self._slow: queue.SimpleQueue[tuple[Errand, Callable[[], bytes]] | None] = queue.SimpleQueue()
        self._under_way: set[Errand] = set()
        self._stores: dict[str, S3Store] = {}
        self._ended = False

    def submit(self, url: str, size: int | None, version: str | None) -> Future[bytes]:
        """See `Fetcher.submit`."""
        errand = Errand(url, size, version)
        if url.startswith("s3://") and not isinstance(self._access, Client) or url.startswith(("http://", "https://")):
            self._errands.put(errand)
            if self._thread is None or not self._thread.is_alive():
                self._start()
        else:
            self._slow.put((errand, self._call_for(errand)))
            if len(self._waiting) < _WAITING:
                self._start_waiting()
        return errand.future

    def end(self, wait: bool) -> None:
        """End the threads; with `wait`, be there when it has happened."""
        self._ended = True
        self._errands.put(None)
        threads = [*self._waiting, *([self._thread] if self._thread else [])]
        for _ in self._waiting:
            self._slow.put(None)
        if wait:
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join(2.0)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="visprep-fetch", daemon=True)
                self._thread.start()

    def _start_waiting(self) -> None:
        with self._lock:
            if len(self._waiting) < _WAITING:
                thread = threading.Thread(target=self._wait_for, name="visprep-fetch-slow", daemon=True)
                self._waiting.append(thread)
                thread.start()

    def _wait_for(self) -> None:
        while (slow := self._slow.get()) is not None and not self._ended:
            errand, call = slow
            if errand.future.set_running_or_notify_cancel():
                try:
                    errand.done(_held_against(call(), errand.url, errand.size, errand.version, None))
                except BaseException as problem:
                    errand.done(problem)

    def _call_for(self, errand: Errand) -> Callable[[], bytes]:
        if errand.url.startswith("s3://"):
            assert isinstance(self._access, Client)
            client, (bucket, key) = self._access, parted(errand.url)
            return lambda: client.get(bucket, key)
        return lambda: _read(errand.url)

    def _work(self) -> None:
        try:
            while not self._ended and (errand := self._errands.get()) is not None:
                for key, outcome in wire.run(
                    self._jobs(errand), Window(self._in_flight, self._in_flight + 1), None, self._patience
                ):
                    if key is not None:
                        self._under_way.discard(key)
                        key.done(outcome)
        except BaseException as problem:
            self._fail(problem)
        else:
            self._fail(None)

    def _fail(self, problem: BaseException | None) -> None:
        """Nobody waits for a thread that has ended."""
        left = list(self._under_way)
        self._under_way.clear()
        with contextlib.suppress(queue.Empty):
            while True:
                errand = self._errands.get_nowait()
                if errand:
                    left.append(errand)
        for errand in left:
            if problem is None:
                errand.future.cancel()
            errand.done(problem or VisprepError("the fetcher was closed"))

    def _jobs(self, first: Errand) -> Iterator[tuple[Errand | None, Any] | None]:
        yield None, self._glance()
        errand: Errand | None = first
        while True:
            if errand is not None and errand.future.set_running_or_notify_cancel():
                self._under_way.add(errand)
                yield errand, self._fetched(errand)
            try:
                errand = self._errands.get_nowait()
                if errand is None:
                    self._ended = True
                    return
            except queue.Empty:
                errand = None
                if not self._under_way:
                    return
                yield None

    async def _glance(self) -> None:
        while self._under_way and not self._ended:
            await wire.until(lambda: self._ended or not self._under_way or not self._errands.empty())

    async def _fetched(self, errand: Errand) -> bytes:
        sink, told = MemorySink(), None
        if errand.url.startswith("s3://"):
            bucket, key = parted(errand.url)
            assert isinstance(self._access, S3Settings)
            store = self._stores.get(bucket)
            if store is None:
                store = self._stores[bucket] = S3Store(f"s3://{bucket}", self._access)
            told = await store.fetch(File(key, errand.size), sink)
        else:
            shown = errand.url.partition("?")[0]
            url = quote(errand.url, safe="/%:@!$&'()*+,;=~?#[]")
            await AddressStore({shown: url}).fetch(File(shown, errand.size), sink)
        return _held_against(sink.getvalue(), errand.url, errand.size, errand.version, told)


def parted(url: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`; BadPlace when it lacks one of them."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise BadPlace(f"{url!r} names no object", hint="write s3://bucket/key")
    return bucket, key


def _held_against(data: bytes, url: str, size: int | None, version: str | None, told: str | None) -> bytes:
    if size is not None and len(data) != size:
        raise WrongContent(f"{url}: {len(data)} bytes arrived, {size} were promised")
    for digest in (version, told):
        if digest and digest.startswith("sha256:") and not is_digest_of(digest, data):
            raise WrongContent(f"{url}: its SHA-256 is not the one that was promised")
    return data


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FileMissing(f"{os.fspath(path)}: no such file") from None
    except PermissionError:
        raise AccessDenied(f"{os.fspath(path)}: not ours to read") from None
    except (OSError, ValueError) as problem:
        raise DiskError(f"{os.fspath(path)}: {problem}") from None
