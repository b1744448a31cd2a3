"""Which of many images are the same, in a time that grows nearly linearly with their number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from visprep.fingerprints import Kind

Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images that are the same, by number; `distance` is that of their thumbnails in gray levels, 0.0 for copies.

    Not all pairs are told: of a class of copies each with the first of them (`first < second`), and of the firsts those
    that look alike. So there are fewer pairs than images where all are copies, and the components are the same.
    """

    first: int
    second: int
    kind: Kind
    distance: float = 0.0


@dataclass(frozen=True, slots=True)
class Classes:
    """Of each image the number of the first image that it is the same as; by bytes, by pixels, by looks.

    Each is coarser than the one before: images that share `bytes` share `pixels`, and images that share `pixels` share
    `looks`. `looks` are the connected components: with a ~ b and b ~ c all three share it.
    """

    bytes: Ints
    pixels: Ints
    looks: Ints
    pairs: tuple[Pair, ...]


def classes(prints: npt.NDArray[Any], *, perceptual: bool = True) -> Classes:
    """The classes of images by their fingerprints (rows of `fingerprints.ROW`, none for images without one)."""
    raise NotImplementedError
