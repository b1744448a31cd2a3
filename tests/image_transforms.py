"""The transforms that the guides use: torchvision's where it imports, else the same few in a few lines.

No extra brings torchvision, since its package may replace a PyTorch for the CPU by one of several GB.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image


def torchvision() -> Any:
    """The package, None where it does not import; one built for CUDA wants its operators declared."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        for operator in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, operator):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
        import torchvision.transforms.v2

        torchvision.declared = library
    except (ImportError, RuntimeError):
        return None
    return torchvision


class Compose:
    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image


class Resize:
    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.resize(self.size[::-1], Image.Resampling.BILINEAR)


class ToTensor:
    def __call__(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


class Normalize:
    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return (image - self.mean) / self.std


class FlipTogether:
    """Flips all images or none."""

    def __call__(self, *images: Image.Image) -> tuple[Image.Image, ...]:
        flip = random.random() < 0.5
        return tuple(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image for image in images)


_OURS = SimpleNamespace(Compose=Compose, Resize=Resize, ToTensor=ToTensor, Normalize=Normalize)
_THEIRS = torchvision()
transforms: Any = _THEIRS.transforms if _THEIRS else _OURS
