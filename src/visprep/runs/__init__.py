"""The run store: checkpoints, logs and TensorBoard of a training, in S3 or a directory, safe against crashes.

Everything is loaded at first use; what needs PyTorch raises MissingExtra where it is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from visprep.lazy_names import lazy_names

if TYPE_CHECKING:
    from visprep.runs._list import RunSummary, list_runs
    from visprep.runs._logs import logs
    from visprep.runs._pull import pull
    from visprep.runs._push import push
    from visprep.runs._show import RunShown, show
    from visprep.runs._tensorboard import EventsPulled, tensorboard
    from visprep.runs.carrying import Carried
    from visprep.runs.checkpoints import Checkpoint, RunIndex
    from visprep.runs.layout import RunLayout
    from visprep.runs.loading import load_checkpoint
    from visprep.runs.origins import trained_on
    from visprep.runs.rng_states import random_states, set_random_states
    from visprep.runs.run_store import RunStore
    from visprep.runs.snapshots import Snapshot
    from visprep.runs.telling import RunWarning

#: public name -> the module that defines it
_HOMES = {
    "Carried": "carrying",
    "Checkpoint": "checkpoints",
    "EventsPulled": "_tensorboard",
    "RunIndex": "checkpoints",
    "RunLayout": "layout",
    "RunShown": "_show",
    "RunStore": "run_store",
    "RunSummary": "_list",
    "RunWarning": "telling",
    "Snapshot": "snapshots",
    "list_runs": "_list",
    "load_checkpoint": "loading",
    "logs": "_logs",
    "pull": "_pull",
    "push": "_push",
    "random_states": "rng_states",
    "set_random_states": "rng_states",
    "show": "_show",
    "tensorboard": "_tensorboard",
    "trained_on": "origins",
}

__all__ = [
    "Carried",
    "Checkpoint",
    "EventsPulled",
    "RunIndex",
    "RunLayout",
    "RunShown",
    "RunStore",
    "RunSummary",
    "RunWarning",
    "Snapshot",
    "list_runs",
    "load_checkpoint",
    "logs",
    "pull",
    "push",
    "random_states",
    "set_random_states",
    "show",
    "tensorboard",
    "trained_on",
]


__getattr__ = lazy_names(__name__, _HOMES, globals())


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
