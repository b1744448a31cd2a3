"""What a worker does with a slice, whichever engine sent it: look that it is fit, work, try again, answer."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import random
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from visprep.engines import local
from visprep.errors import NetworkError, NodeUnfit, VisprepError

#: How often a slice is tried whose work could not reach the network, and the seconds that the first pause has at most.
TRIES, PAUSE = 3, 1.0
#: Packages that what we write depends on, beside visprep's own code.
_PACKAGES = ("visprep", "numpy", "Pillow", "simplejpeg", "pyarrow", "av")
#: Not Python's global generator: what a training draws must not depend on how its data was prepared.
_draws = random.Random()


@dataclass(frozen=True, slots=True)
class Order:
    """What goes with every slice: the work, where the driver runs, and with what versions."""

    work: Callable[[Sequence[Any]], Sequence[Any]]
    directory: str
    versions: tuple[tuple[str, str], ...]
    tries: int = TRIES
    pause: float = PAUSE

    @classmethod
    def of(cls, work: Callable[[Sequence[Any]], Sequence[Any]], tries: int = TRIES, pause: float = PAUSE) -> Order:
        """The order of this driver."""
        return cls(work, os.getcwd(), versions(), tries, pause)  # noqa: PTH109 -- a str is what chdir takes


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a slice: its results, or the exception that ended it."""

    results: Sequence[Any] = ()
    error: BaseException | None = None

    def taken(self) -> Sequence[Any]:
        """The results; the exception is raised."""
        if self.error is not None:
            raise self.error
        return self.results


def answer(order: Order, items: Sequence[Any]) -> Answer:
    """Run an order for some items, in a worker. Nothing is raised, since it would reach the driver in disguise."""
    local.work_alone()
    with contextlib.suppress(OSError):  # a node need not have it, where all places are named in full or on S3
        os.chdir(order.directory)
    try:
        check_versions(order.versions)
        return Answer(_tried(order, items))
    except VisprepError as error:
        return Answer(error=error)
    except Exception as error:
        error.add_note(traceback.format_exc())
        return Answer(error=error)


def _tried(order: Order, items: Sequence[Any]) -> Sequence[Any]:
    for attempt in range(1, order.tries + 1):
        try:
            return order.work(items)
        except NetworkError:
            if attempt == order.tries:
                raise
            time.sleep(_draws.uniform(0, order.pause * 2 ** (attempt - 1)))
    raise AssertionError("a slice is tried once at least")


@functools.cache
def versions() -> tuple[tuple[str, str], ...]:
    """Names and versions of what decides the bytes that we write."""
    found = [("Python", ".".join(platform.python_version_tuple()[:2]))]
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append((name, importlib.metadata.version(name)))
    return tuple(found)


def check_versions(wanted: tuple[tuple[str, str], ...]) -> None:
    """NodeUnfit where this worker has another version of something than the driver, or lacks it."""
    here = dict(versions())
    other = [f"{name} {here.get(name, 'is missing')}, not {version}" for name, version in wanted
             if here.get(name) != version]  # fmt: skip
    if other:
        raise NodeUnfit(
            f"node {socket.gethostname()}: {', '.join(other)}",
            hint="install the same Python, visprep and extras on every node as where the command is run",
        )
