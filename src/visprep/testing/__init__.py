"""Real servers on loopback, for tests and for the demo: a hub, a mirror, and proxies that make trouble.

None of them needs a network or a package beyond the standard library. Each runs in a thread inside `with`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visprep.testing.hub import LocalHub
    from visprep.testing.mirror import Mirror
    from visprep.testing.proxy import FaultyProxy
    from visprep.testing.s3 import FaultyS3

__all__ = ["FaultyProxy", "FaultyS3", "LocalHub", "Mirror"]

_HOMES = {"FaultyProxy": "proxy", "FaultyS3": "s3", "LocalHub": "hub", "Mirror": "mirror"}


def __getattr__(name: str) -> Any:
    """Each server's module is imported when the server is first asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"visprep.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
