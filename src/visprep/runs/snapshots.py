"""A training's state as it is at one moment, held as the very bytes of the `.pt` file that it becomes."""

from __future__ import annotations

from typing import Any


class Snapshot:
    """One set of buffers for the state of a training, used again by every `take`.

    It holds as many bytes as the file has: all tensors once, storages that are shared once, and no second copy while
    the file is written. Tensors of any device are there as CPU tensors.
    """

    #: Bytes of the file.
    size: int

    def take(self, state: Any) -> None:
        """Copy `state`, all of it, before this returns.

        UsageError, with the path inside `state`, for what `torch.load(weights_only=True)` would refuse, and while the
        file of an earlier `take` is being written.
        """
        raise NotImplementedError

    def image(self) -> memoryview:
        """The bytes of the whole file; they stay as they are until the next `take`. May be asked for in any thread."""
        raise NotImplementedError
