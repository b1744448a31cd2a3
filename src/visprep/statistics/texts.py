"""Prompts and captions in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from visprep.statistics import Histogram, PromptStats
from visprep.statistics.histograms import common, lengths

#: Texts that come more than once and are told, and characters of each.
_FREQUENT, _SHOWN = 10, 500


def text_stats(unit: str, texts: Sequence[str]) -> tuple[PromptStats, Histogram]:
    """The summary of some texts, at least one, and how long they are; texts are shown to their 500th character."""
    bare = [text.strip() for text in texts]
    sizes = np.sort(np.fromiter(map(len, bare), np.int64, len(bare)))
    each = Counter(bare)
    again: dict[str, int] = {}
    for text, count in each.items():
        if count > 1:
            again[text[:_SHOWN]] = again.get(text[:_SHOWN], 0) + count
    shortest, median, longest = (int(sizes[at]) for at in (0, len(sizes) // 2, -1))
    summary = PromptStats(unit, len(bare), len(each), shortest, median, longest, common(again, _FREQUENT))
    return summary, lengths(unit, sizes)
