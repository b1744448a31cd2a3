"""Public names of a package, each loaded from its module when it is first used: importing the package costs nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from visprep.errors import MissingExtra


def lazy_names(package: str, homes: Mapping[str, str], names: dict[str, Any]) -> Callable[[str], Any]:
    """A package's `__getattr__`: `homes` tells the module of each name, `names` are its globals.

    A name of a package that needs torch is MissingExtra where torch is not installed.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{homes[name]}")
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "torch":
                raise
            raise MissingExtra(f"{package}.{name}", "torch") from None
        value = getattr(module, name)
        names[name] = value
        return value

    return find
