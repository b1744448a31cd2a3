"""The states of the random number generators, in a form that `torch.load(weights_only=True)` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def random_states() -> dict[str, Any]:
    """The states of the generators of `random`, numpy, torch, and torch on every GPU: put it into a checkpoint."""
    raise NotImplementedError


def set_random_states(states: Mapping[str, Any]) -> None:
    """Let all generators go on from where they were at `random_states`; UsageError for anything else than its result.

    Where there are fewer GPUs than then, the first ones go on; where there are more, the others stay as they are.
    """
    raise NotImplementedError
