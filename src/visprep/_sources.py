"""`sources`: the datasets that can be downloaded."""

from __future__ import annotations

from visprep import sources
from visprep.errors import VisprepError
from visprep.sources import Source, SourceSummary, plugins
from visprep.sources.plugins import Plugin


def list_sources() -> list[SourceSummary]:
    """Every source with its splits, configs, license, and the records of each split where they are known.

    visprep's own come first, then those of other packages. One that cannot be used is listed all the same, with the
    reason in `problem`.
    """
    own = [_summary(sources.get(name), "visprep") for name in sources.BUILTIN]
    return [*own, *map(_of_plugin, plugins.found())]


def _of_plugin(plugin: Plugin) -> SourceSummary:
    try:
        if plugin.name in sources.BUILTIN:
            raise plugin.unusable("the package visprep has a source of that name itself, which is used")
        plugins.find(plugin.name)  # which speaks up when several packages bring it
        return _summary(plugin.load(), plugin.package)
    except VisprepError as error:
        return SourceSummary(plugin.name, error.message, "-", "-", (), package=plugin.package, problem=error.message)


def _summary(source: Source, package: str) -> SourceSummary:
    return SourceSummary(
        source.name,
        source.title,
        source.license,
        source.home,
        tuple(source.splits),
        tuple(source.configs),
        dict(source.counts),
        package,
    )
