"""The generators of Python, numpy and torch, set anew for each batch, so that what a dataset draws can come again.

A training that goes on in the middle of an epoch has new workers. What they would have drawn by then nobody knows; so
each batch has a seed of its own, and its samples are the same whoever makes them, and whenever.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from visprep.loaders.batches import Batch


def set_generators(seed: int) -> None:
    """Begin all three anew; of torch that for the CPU."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


@contextlib.contextmanager
def generators_set(seed: int) -> Iterator[None]:
    """Have them begun anew in a `with`, and afterwards be where they were."""
    python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    set_generators(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)


class SeedBatches:
    """For `worker_init_fn=`: each batch that a worker makes begins with the generators set to the batch's seed.

    `then` is what else is called at the start of a worker.
    """

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then

    def __call__(self, worker: int) -> None:
        """Called in a worker, before it makes its first batch."""
        if self.then:
            self.then(worker)
        info = get_worker_info()
        assert info is not None
        dataset: Any = info.dataset
        together = getattr(dataset, "__getitems__", None)

        def samples(indices: list[int]) -> list[Any]:
            if isinstance(indices, Batch):
                set_generators(indices.seed)
            return together(indices) if together else [dataset[index] for index in indices]

        with contextlib.suppress(AttributeError):  # of a list, say, which draws nothing
            dataset.__getitems__ = samples
