"""Images on their way here: whoever needs one submits it and gets a future, and one thread of the process brings it.

That thread drives `wire`, so hundreds of requests cost no thread each. All of it belongs to one process: in the child
of a fork, and in one that got a `Fetcher` by pickling, a thread of its own begins at the first `submit`.
"""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from visprep.loaders.called import CalledClient
from visprep.loaders.clients import understand
from visprep.loaders.courier import Courier
from visprep.messages import Patience
from visprep.settings import S3Settings


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where the bytes of an image are: `s3://bucket/key`, an address that begins with http(s)://, or a path on disk.

    `size` is in bytes; `version` is a digest (`sha256:hex`) or an ETag; both where they are known.
    """

    url: str
    size: int | None = None
    version: str | None = None


class Fetcher:
    """Brings images, `in_flight` at once. It can be pickled, and used on both sides of a fork.

    With `client`, a boto3 client, S3 is reached as that client reaches it: see `clients`. `patience` says how long
    and how often to ask. UsageError when both settings and a client are given.
    """

    def __init__(
        self,
        settings: S3Settings | None = None,
        *,
        client: Any = None,
        in_flight: int = 64,
        patience: Patience | None = None,
    ) -> None:
        self._access: S3Settings | CalledClient = understand(client, settings)
        self._in_flight, self._patience = in_flight, patience
        self._couriers: dict[int, Courier] = {}
        self._begin()

    @property
    def settings(self) -> S3Settings | None:
        """How S3 is reached, for stores; None when it is by calling the client that was given."""
        return self._access if isinstance(self._access, S3Settings) else None

    def _begin(self) -> None:
        # Nothing here takes a lock that another thread might have held when the process forked
        self._couriers = {}
        self._finalizer = weakref.finalize(self, _end, self._couriers)

    def submit(self, file: ImageFile) -> Future[bytes]:
        """The bytes of an image, to come; the future fails with a VisprepError. A closed fetcher begins anew."""
        courier = self._couriers.get(os.getpid())
        if courier is None:
            fresh = Courier(self._access, self._in_flight, self._patience)
            courier = self._couriers.setdefault(os.getpid(), fresh)
        return courier.submit(file.url, file.size, file.version)

    def close(self) -> None:
        """End the thread of this process and its connections; what is still on its way is cancelled."""
        courier = self._couriers.pop(os.getpid(), None)
        if courier:
            courier.end(wait=True)

    def __getstate__(self) -> dict[str, Any]:
        return {"_access": self._access, "_in_flight": self._in_flight, "_patience": self._patience}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()


def _end(couriers: dict[int, Courier]) -> None:
    """The end of a fetcher that nobody closed: by the garbage collector, in any thread, or of the process."""
    courier = couriers.pop(os.getpid(), None)
    if courier:
        courier.end(wait=threading.current_thread() is threading.main_thread())
