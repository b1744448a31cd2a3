"""A web server with a small Open Images upstream, and Flickr's redirects beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from visprep.testing import Mirror
from visprep.testing.open_images import COUNTS, PLACEHOLDER, LaidOut, lay_out


@contextlib.contextmanager
def served_upstream(root: Path, counts: Mapping[str, int] = COUNTS) -> Iterator[tuple[Mirror, LaidOut]]:
    """A server of the upstream that is written to `root`, with its dead originals redirected, and the upstream."""
    with Mirror(root) as server:
        upstream = lay_out(root, f"{server.url}/flickr", counts)
        server.redirects |= dict.fromkeys(upstream.dead, f"{server.url}/flickr/{PLACEHOLDER}")
        yield server, upstream
