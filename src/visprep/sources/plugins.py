"""Sources of other packages: each says in its metadata, under the entry-point group `visprep.sources`, what it brings.

Reading that metadata imports nothing of theirs; a package is imported when one of its sources is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from visprep.errors import SourceError, VisprepError

GROUP = "visprep.sources"
#: What can be typed as a source, and is taken neither for a place nor for a family such as `hf:`.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
# What every source has, as `visprep.sources.Source` declares it.
_FACTS: Mapping[str, Any] = MappingProxyType(
    {
        **dict.fromkeys(("name", "title", "license", "home"), str),
        **dict.fromkeys(("splits", "default_splits", "configs"), tuple),
        "counts": Mapping,
        **dict.fromkeys(("resolve", "records"), Callable),
    }
)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One source of another package: its name, the package and its version, and where its class is."""

    name: str
    package: str
    version: str
    entry: EntryPoint

    def load(self) -> Any:
        """The source, made by calling its class; SourceError, naming the package, when there is none to be had."""
        if not _NAME.fullmatch(self.name):
            raise self.unusable("a source's name is made of lower-case letters, digits, '.', '_' and '-'")
        try:
            source = self.entry.load()()
            wrong = [fact for fact, kind in _FACTS.items() if not isinstance(getattr(source, fact, None), kind)]
        except VisprepError:
            raise
        # Whatever a stranger's module does when it is imported, the other sources must not suffer for it.
        except (Exception, SystemExit) as error:
            raise self.unusable(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        if wrong:
            facts = ", ".join(f"{fact} (a {_FACTS[fact].__name__.lower()})" for fact in wrong)
            raise self.unusable(f"{self.entry.value} is no source; it lacks {facts}")
        if source.name != self.name:
            raise self.unusable(f"it is registered under this name and calls itself {source.name!r}")
        return source

    def unusable(self, why: str) -> SourceError:
        """An error that says why this source cannot be had, and whose it is."""
        return SourceError(
            f"the source {self.name!r} of the package {self.package} {self.version} cannot be used: {why}",
            hint=f"install another version of {self.package}, or uninstall it",
        )

    def failed(self, error: BaseException) -> SourceError:
        """An error that says what went wrong in this source while it was at work, and whose it is."""
        return SourceError(
            f"the source {self.name!r} of the package {self.package} {self.version} failed: "
            f"{type(error).__name__}: {' '.join(str(error).split())}",
            hint=f"tell the makers of {self.package}, or install another version of it",
        )


def found() -> tuple[Plugin, ...]:
    """What the installed packages bring, by name and package."""
    plugins = [
        Plugin(entry.name, str(entry.dist.name), str(entry.dist.version), entry)
        for entry in entry_points(group=GROUP)
        if entry.dist is not None
    ]
    return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.package)))


def find(name: str) -> Plugin | None:
    """The plug-in's source of that name, None when there is none; SourceError when several packages bring one."""
    named = [plugin for plugin in found() if plugin.name == name]
    if len(named) > 1:
        packages = " and ".join(f"{plugin.package} {plugin.version}" for plugin in named)
        raise SourceError(
            f"the source {name!r} is brought by several packages: {packages}",
            hint=f"uninstall all but one: pip uninstall {named[-1].package}",
        )
    return named[0] if named else None
