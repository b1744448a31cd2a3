"""The run store: checkpoints, logs and TensorBoard of a training, in S3 or a directory, safe against crashes.

Everything is loaded at first use; what needs PyTorch raises MissingExtra where it is not installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from visprep.errors import MissingExtra

if TYPE_CHECKING:
    from visprep.runs.checkpoints import Checkpoint, RunIndex
    from visprep.runs.layout import RunLayout
    from visprep.runs.loading import load_checkpoint
    from visprep.runs.random_states import random_states, set_random_states
    from visprep.runs.run_store import RunStore
    from visprep.runs.telling import RunWarning

#: public name -> the module that defines it
_HOMES = {
    "Checkpoint": "checkpoints",
    "RunIndex": "checkpoints",
    "RunLayout": "layout",
    "RunStore": "run_store",
    "RunWarning": "telling",
    "load_checkpoint": "loading",
    "random_states": "random_states",
    "set_random_states": "random_states",
}

__all__ = [
    "Checkpoint",
    "RunIndex",
    "RunLayout",
    "RunStore",
    "RunWarning",
    "load_checkpoint",
    "random_states",
    "set_random_states",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'visprep.runs' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"visprep.runs.{_HOMES[name]}")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "torch":
            raise
        raise MissingExtra(f"visprep.runs.{name}", "torch") from None
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
