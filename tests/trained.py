"""What a training of `scripts/train_vqvae.py` left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def state(path: str | Path, **more: Any) -> Any:
    from visprep.runs import load_checkpoint

    return load_checkpoint(path, **more)


def same(one: Any, other: Any) -> bool:
    """Whether two states are the same to the bit."""
    import torch

    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def measured(experiment: str) -> dict[int, dict[str, float]]:
    """What was measured at each step; time apart."""
    files = Path(f"runs/logs/{experiment}").glob("metrics_*.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return {line["step"]: {name: line[name] for name in ("loss", "perplexity")} for line in lines}


def latest(experiment: str, place: str | Path = "runs") -> str:
    return f"{place}/checkpoints/{experiment}/checkpoint_latest.pt"
