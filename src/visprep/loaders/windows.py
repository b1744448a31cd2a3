"""Which frames follow each other, and the windows over them: arithmetic alone, without torch and without images."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from visprep.formats.episodes import usual_step


def runs(numbers: Sequence[int], gaps: bool) -> Iterator[tuple[int, int]]:
    """The stretches of frames without a gap, as positions from and up to: all of them with `gaps`.

    `numbers` are in order, each once. A gap is where they go up by more than they usually do in this episode; a
    selection that follows no rule has none.
    """
    step = None if gaps else usual_step(numbers)
    first = 0
    if step is not None:
        for at, (before, after) in enumerate(itertools.pairwise(numbers), 1):
            if after > before + step:
                yield first, at
                first = at
    if first < len(numbers):
        yield first, len(numbers)


class Windows:
    """Windows of `window` frames, every `step`-th of a run, begun at every `stride`-th: whole ones only."""

    def __init__(self, window: int, stride: int, step: int) -> None:
        self.window, self.stride, self.step = window, stride, step
        self._firsts, self._ends, self._of = array("q"), array("q"), array("q")
        self.longest = 0

    def add(self, first: int, last: int, episode: int) -> None:
        """The windows of a run of frames, `first` up to `last`, of an episode."""
        self.longest = max(self.longest, last - first)
        beyond = last - first - (self.window - 1) * self.step
        if beyond > 0:
            self._firsts.append(first)
            self._ends.append(len(self) + (beyond - 1) // self.stride + 1)
            self._of.append(episode)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def at(self, index: int) -> tuple[range, int]:
        """The frames of a window, and its episode."""
        run = int(np.searchsorted(np.frombuffer(self._ends, np.int64), index, "right"))
        before = self._ends[run - 1] if run else 0
        first = self._firsts[run] + (index - before) * self.stride
        return range(first, first + self.window * self.step, self.step), self._of[run]
