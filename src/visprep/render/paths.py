"""Where the files of a report are, as seen from the working directory: that is how a CI finds them in its checkout."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


class Paths:
    """The files of one place.

    Below the working directory their paths are relative to it; elsewhere they are absolute, or URLs.
    """

    def __init__(self, place: str) -> None:
        self.remote = "://" in place
        below = None if self.remote else _below_here(place)
        self._below = below is not None
        # not resolved: a place keeps the name by which it was called
        self._root = below or (place.rstrip("/") if self.remote else os.path.abspath(place))  # noqa: PTH100

    def path(self, path: str) -> str:
        """The path or URL of a file; of the place itself for `.`."""
        if path in ("", "."):
            return self._root
        return path if self._root == "." else f"{self._root}/{path}"

    def uri(self, path: str) -> str:
        """The same as a URI (RFC 3986): relative below the working directory, else absolute."""
        if self.remote:
            scheme, _, rest = self.path(path).partition("://")
            return f"{scheme}://{_quoted(rest)}"
        located = self.path(path)
        return _quoted(located) if self._below else f"file://{_quoted(located)}"


def _quoted(path: str) -> str:
    return quote(os.fsencode(path), safe="/")


def _below_here(place: str) -> str | None:
    """The place relative to the working directory, None when it is not below it."""
    for candidate in (place, os.path.realpath(place)):  # by its links first: so it is called in the checkout
        relative = os.path.relpath(candidate)
        if Path(relative).parts[:1] != (os.pardir,):
            return relative
    return None
