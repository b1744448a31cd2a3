"""The states of the random number generators, in a form that `torch.load(weights_only=True)` takes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from visprep.errors import UsageError


def random_states() -> dict[str, Any]:
    """The states of the generators of `random`, numpy, torch, and torch on every GPU: put it into a checkpoint.

    Those are the global ones. A `torch.Generator` or `numpy.random.Generator` of your own has a state of its own.
    """
    legacy: Any = np.random.get_state(legacy=True)
    name, keys, position, has_gauss, cached = legacy
    return {
        "python": random.getstate(),
        "numpy": (str(name), torch.tensor(keys.tolist()), int(position), int(has_gauss), float(cached)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Let all generators go on from where they were at `random_states`; UsageError for anything else than its result.

    Where there are fewer GPUs than then, the first ones go on; where there are more, the others stay as they are.
    """
    before = random_states()
    try:
        _set(states)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        _set(before)
        raise UsageError(
            "these are no states of random number generators, or of another version of Python, numpy or PyTorch",
            hint="give what random_states() returned, as it came out of the checkpoint",
        ) from error


def _set(states: Mapping[str, Any]) -> None:
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys.tolist(), np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"].cpu())
    if torch.cuda.is_available():
        for number, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state.cpu(), number)
