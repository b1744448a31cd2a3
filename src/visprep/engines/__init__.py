"""Engines: how a list of work is run. `local` is this machine, in threads or processes, `ray` a cluster.

On Ray, a unit of work is what the local road does, for a slice of the list. A verb whose engine `spreads` cuts its list
into slices of some seconds of work, hands them to `engine.map`, and takes the outcomes back in order into the very code
that takes them from this process: so what comes out is the same bytes. What is done is remembered by the driver.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from visprep.engines.local import Local, check_count
from visprep.errors import UnknownName, UsageError, WorkerLost, did_you_mean

if TYPE_CHECKING:
    from visprep.stores import Store

A = TypeVar("A")
B = TypeVar("B")

#: Engines by name, as `--engine` takes them.
NAMES = ("local", "ray")
_ADDRESS = re.compile(r"[^/\s]+:\d{1,5}")


class Engine(Protocol):
    """Runs a list of work.

    `jobs` is how much is done at once: on `local` what `--jobs` of the verb means, else the CPUs used at most; None: as
    many as there are. Where `spreads` is False, a verb takes its own road in this process, and needs no `map`.
    """

    name: str
    jobs: int | None
    spreads: bool

    def map(
        self,
        work: Callable[[Sequence[A]], Sequence[B]],
        slices: Iterable[Sequence[A]],
        *,
        lost: Callable[[A, WorkerLost], B],
        meanwhile: Callable[[], None] | None = None,
    ) -> Iterator[Sequence[B]]:
        """`work(slice)` for each of `slices`, in their order; some are under way at once, and no more are drawn.

        `work` is a function of a module, or a `functools.partial` of one: it is pickled, and so are items and results,
        which are small: paths, sizes, digests, never contents. It may be run twice for the same items, since workers
        and nodes die; so it must leave the same when it is. It gives a result for each item.

        An exception of `work` is raised where its results would have come; a NetworkError only after it was tried
        again. A slice that kills its worker is run again, each item by itself. The item that kills then too has the
        result `lost(item, error)`, all others have their own. `meanwhile` is called some times a second while a result
        is waited for.
        """
        ...

    def check(self, *stores: Store) -> None:
        """NodeUnfit unless every worker has this visprep and Python, and sees the same of these places as we do."""
        ...

    def close(self) -> None:
        """End what is under way, and all processes that are the engine's own."""
        ...


def check_address(address: str | None, name: str = "--ray-address") -> None:
    """UsageError for an address of a Ray cluster that is not HOST:PORT; `name` is what it was given by."""
    if address is None or address == "auto":
        return
    if not (_ADDRESS.fullmatch(address) and int(address.rpartition(":")[2]) < 65536):
        hint = "run visprep on a node of the cluster, with HOST:PORT"
        raise UsageError(f"{name} {address or repr(address)}: not HOST:PORT", hint=hint)


@contextlib.contextmanager
def open_engine(
    engine: str | Engine = "local", *, jobs: int | None = None, ray_address: str | None = None
) -> Iterator[Engine]:
    """The engine of that name, closed at the end; an `Engine` as it is, which stays open.

    `ray` joins the cluster at `ray_address`, without one it starts one of its own on this machine for the time being.
    All that a process has under way at once is in one cluster. UsageError for an address
    without `ray`; UnknownName, MissingExtra, Unreachable and NodeUnfit are raised.
    """
    if ray_address and engine != "ray":
        raise UsageError(f"--ray-address {ray_address} needs --engine ray", hint="without a cluster leave it out")
    if not isinstance(engine, str):
        yield engine
        return
    check_count("jobs", jobs)
    if engine not in NAMES:
        raise UnknownName(f"there is no engine {engine!r}", hint=did_you_mean(engine, NAMES))
    opened: Engine
    if engine == "local":
        opened = Local(jobs)
    else:
        from visprep.engines.ray import Ray

        opened = Ray(jobs, ray_address)
    try:
        yield opened
    finally:
        opened.close()


def crew_for(engine: Engine | None, much: bool) -> Engine | None:
    """Who takes slices of a list: an engine that spreads, or this machine's crew if it is `much` work; else None."""
    if engine is None or engine.spreads:
        return engine
    return engine.crew() if much and isinstance(engine, Local) else None


def slices(
    items: Iterable[A], most: int = 256, most_bytes: int | None = None, size: Callable[[A], int] = lambda _: 0
) -> Iterator[list[A]]:
    """`items` in their order, cut into lists of at most `most` items and `most_bytes` bytes; a larger item is alone."""
    held: list[A] = []
    weight = 0
    for item in items:
        more = size(item)
        if held and (len(held) >= most or (most_bytes is not None and weight + more > most_bytes)):
            yield held
            held, weight = [], 0
        held.append(item)
        weight += more
    if held:
        yield held
