"""The command line: parse, call the library function of the same name, show, exit. Nothing is decided here."""

from __future__ import annotations

from typing import Any

from visprep.cli.running import main

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    """`app`, the application with all its verbs, which takes long to make."""
    if name != "app":
        raise AttributeError(f"module 'visprep.cli' has no attribute {name!r}")
    from visprep.cli.application import application

    globals()["app"] = made = application()
    return made
