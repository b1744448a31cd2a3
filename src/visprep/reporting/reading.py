"""Reading what a page needs: many files at once, on this machine in threads, elsewhere in one thread over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from visprep import wire
from visprep.engines.local import map_ordered
from visprep.errors import StoreError
from visprep.manifest import File
from visprep.progress import OnProgress, Pulse
from visprep.stores import Store
from visprep.transfer import on_this_machine


@dataclass(frozen=True, slots=True)
class Wish:
    """A file that is wanted, no more than its first `most` bytes, and what is made of these."""

    store: Store
    file: File
    most: int
    make: Callable[[bytes], Any]


def read_all(
    wishes: Sequence[Wish], jobs: int | None, progress: OnProgress, stage: str
) -> Iterator[tuple[int, Any | StoreError]]:
    """The number of each wish, with what was made of it or why it could not be read, in any order.

    NetworkError and CredentialsError are raised.
    """
    pulse = Pulse(progress)
    for done, one in enumerate(_outcomes(wishes, jobs), 1):
        pulse(stage, done, len(wishes), "files", last=done == len(wishes))
        yield one


def _outcomes(wishes: Sequence[Wish], jobs: int | None) -> Iterator[tuple[int, Any | StoreError]]:
    if all(on_this_machine(store) for store in {id(one.store): one.store for one in wishes}.values()):
        yield from enumerate(map_ordered(_made, wishes, jobs))
        return
    reading = ((number, one.store.read(one.file.path, 0, one.most)) for number, one in enumerate(wishes))
    for number, outcome in wire.run(reading, jobs or wire.IN_FLIGHT):
        if isinstance(outcome, bytes):
            yield number, wishes[number].make(outcome)
        elif isinstance(outcome, StoreError):
            yield number, outcome
        else:
            raise outcome


def _made(wish: Wish) -> Any | StoreError:
    try:
        return wish.make(wire.wait(wish.store.read(wish.file.path, 0, wish.most)))
    except StoreError as problem:
        return problem
