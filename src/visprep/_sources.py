"""`sources`: the datasets that can be downloaded."""

from __future__ import annotations

from visprep import sources
from visprep.sources import SourceSummary


def list_sources() -> list[SourceSummary]:
    """Every source with its splits, configs, license, and the records of each split where they are known."""
    summaries = []
    for name in sources.BUILTIN:
        source = sources.get(name)
        summaries.append(
            SourceSummary(
                source.name, source.title, source.license, source.home, source.splits, source.configs, source.counts
            )
        )
    return summaries
