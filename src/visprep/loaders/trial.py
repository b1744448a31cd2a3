"""A short training on the processor, from images that lie elsewhere: what the demo shows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from visprep.loaders.coco import CocoS3Dataset
from visprep.loaders.collating import collate_tensors
from visprep.settings import S3Settings

__all__ = ["Trial", "train"]

_SIDE = 32


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it: how many images there are, how often all were seen, and the loss of the first and last time."""

    images: int
    epochs: int
    first: float
    last: float


def train(
    annotation_file: str | os.PathLike[str], settings: S3Settings | None = None, *, epochs: int = 12, seed: int = 0
) -> Trial:
    """Train a network of some thousand weights to tell which categories are in an image; the same each time.

    The errors of `CocoS3Dataset`, for a bad image, too.
    """
    dataset = CocoS3Dataset(annotation_file, _tensor, "raise", settings=settings)
    ids = [one["id"] for one in dataset.get_categories()]
    losses = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten(),
            nn.LazyLinear(len(ids)),
        )  # fmt: skip
        network(torch.zeros(1, 3, _SIDE, _SIDE))  # its last layer learns its size
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)
        wrong = nn.BCEWithLogitsLoss()
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=4, shuffle=True, collate_fn=collate_tensors)
        for _ in range(epochs):
            total = 0.0
            for images, found in loader:
                there = [{one["category_id"] for one in each["annotations"]} for each in found]
                wanted = torch.tensor([[float(id_ in each) for id_ in ids] for each in there])
                loss = wrong(network(images), wanted)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(images)
            losses.append(total / len(dataset))
    dataset.close()
    return Trial(len(dataset), epochs, losses[0], losses[-1])


def _tensor(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(image.resize((_SIDE, _SIDE)))).permute(2, 0, 1).float() / 255
