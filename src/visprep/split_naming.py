"""What the places that are split are called in split.json: as they were named, also where they lie elsewhere now.

A split that is made again takes its records from a directory that will be gone, and must come to the same bytes.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping

_NAMES: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("names", default={})  # noqa: B039


@contextlib.contextmanager
def calling(names: Mapping[str, str]) -> Iterator[None]:
    """Within it, a place that is a key here is called by its value, and so is what lies in it."""
    token = _NAMES.set(names)
    try:
        yield
    finally:
        _NAMES.reset(token)


def called(place: str) -> str:
    """What a place, or a file, is called in what a split writes."""
    names = _NAMES.get()
    if place in names:
        return names[place]
    for home, name in names.items():
        inside = f"{home.rstrip('/')}/"
        if place.startswith(inside):
            return f"{name.rstrip('/')}/{place.removeprefix(inside)}"
    return place
