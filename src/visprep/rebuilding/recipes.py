"""What a step takes to be done again, and why it cannot be: all of it is known before anything is downloaded."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from visprep import sources
from visprep.ancestors import EXTENDED, IDS, MADE_FROM, MERGED, REPLACED, Ancestor
from visprep.digests import digest_of
from visprep.errors import BadRecord, VisprepError
from visprep.formats import tasks
from visprep.provenance import Step
from visprep.rebuilding import fields
from visprep.rebuilding.asking import ids_text

__all__ = ["Recipe", "Supply", "differing_versions", "recipes"]

#: How many places may have been made one from another.
_DEEPEST = 50
_FIXES = ("quarantine", "refetch")


@dataclass(frozen=True, slots=True)
class Supply:
    """A place, or several files of one, that a step takes.

    It lies at `given` where somebody said so, or is made again by `recipes`; `why` is set where it is neither.
    """

    ancestor: Ancestor
    given: str | None = None
    recipes: tuple[Recipe, ...] = ()
    why: str | None = None

    @property
    def short(self) -> str:
        """What the place is called, without the directories that it lay in."""
        return self.ancestor.name.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A step, with what it takes from elsewhere by key (`made_from` and so on), and `why` it cannot be repeated.

    One that is `passing` is a split that another one replaces, which tells what moved.
    """

    step: Step
    supplies: Mapping[str, tuple[Supply, ...]] = field(default_factory=dict)
    why: str | None = None
    passing: bool = False

    @property
    def can(self) -> bool:
        """Whether the step can be repeated, though perhaps not all of those that made what it takes."""
        return self.why is None

    def walk(self) -> Iterator[tuple[str | None, Recipe]]:
        """What is to be done, in order: each recipe with the name of the place that it makes, None for the last."""
        for some in self.supplies.values():
            for supply in some:
                for one in supply.recipes:
                    for name, inner in one.walk():
                        yield name or supply.ancestor.name, inner
        yield None, self

    def taken(self) -> Iterator[Supply]:
        """All that is taken from elsewhere, and what that was made from."""
        for _, one in self.walk():
            for some in one.supplies.values():
                yield from some


def recipes(steps: tuple[Step, ...], origins: Mapping[str, str], *, on_disk: bool, deep: int = 0) -> tuple[Recipe, ...]:
    """What it takes to repeat steps; `origins` says where places lie now, by their names.

    BadRecord for what no command of visprep's wrote.
    """
    if deep > _DEEPEST:
        raise BadRecord("dataset.json: places that were made one from another without end", hint="name another one")
    found: list[Recipe] = []
    for step in steps:
        one, before = _recipe(step, origins, on_disk=on_disk, deep=deep)
        passing = recipes(before, origins, on_disk=on_disk, deep=deep + 1) if before else ()
        if all(other.why is None for earlier in passing for _, other in earlier.walk()):
            found += [replace(earlier, passing=True) for earlier in passing]
        found.append(one)
    return tuple(found)


def _recipe(step: Step, origins: Mapping[str, str], *, on_disk: bool, deep: int) -> tuple[Recipe, tuple[Step, ...]]:
    """The recipe of a step, and the split that lay there before, where it is one and that is recorded."""
    try:
        fields.check(step)
        supplies = {key: tuple(_supply(one, origins, deep) for one in found) for key, found in _ancestors(step).items()}
        reasons = (
            *_obstacles(step, origins, on_disk=on_disk),
            *_absent(step),
            *(one.why for some in supplies.values() for one in some if one.why),
        )
        before = _replaced(step)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        words = f"dataset.json: no step that this version of visprep wrote ({type(error).__name__}: {error})"
        raise BadRecord(words, hint="name another one, or take the version that wrote it") from None
    return Recipe(step, supplies, "; ".join(reasons) or None), before


def _replaced(step: Step) -> tuple[Step, ...]:
    """The split that lay there before a split, as far as that is recorded."""
    if step.command != "split":
        return ()
    return tuple(earlier for one in step.origin.get(REPLACED, ()) for earlier in Ancestor.from_json(one).steps)


def _ancestors(step: Step) -> dict[str, tuple[Ancestor, ...]]:
    """The places that a step took, as far as they are recorded; else what their names are."""
    keys = {"convert": (MADE_FROM, MERGED), "split": (MADE_FROM, EXTENDED)}.get(step.command, ())
    found = {key: tuple(map(Ancestor.from_json, step.origin.get(key, ()))) for key in keys}
    if step.command == "convert":
        found[MADE_FROM] = found[MADE_FROM] or (Ancestor(step.source, (step.options.get("file") or "",)),)
        found[MERGED] = found[MERGED] or tuple(Ancestor(name) for name in step.options.get("merge", ()))
    elif step.command == "split":
        inputs = step.origin.get("inputs") or step.source.split(",")
        found[MADE_FROM] = found[MADE_FROM] or tuple(Ancestor(one.rstrip("/").rpartition("/")[2]) for one in inputs)
        extends = step.options.get("extend")
        found[EXTENDED] = found[EXTENDED] or ((Ancestor(extends.rpartition("/")[2]),) if extends else ())
    elif step.command == "upload":
        found[MADE_FROM] = (Ancestor(step.source),)
    return found


def _supply(ancestor: Ancestor, origins: Mapping[str, str], deep: int) -> Supply:
    """Where a place comes from: from where somebody said, made again, or, where nobody knows how, from S3 itself."""
    short = ancestor.name.rstrip("/").rpartition("/")[2]
    if given := origins.get(ancestor.name) or origins.get(short):
        return Supply(ancestor, given)
    if ancestor.steps:
        made = recipes(ancestor.steps, origins, on_disk=True, deep=deep + 1)
        none = not any(one.can for one in made)
        return Supply(ancestor, None, made, f"nothing of {short} can be made again" if none else None)
    if ancestor.name.startswith("s3://"):
        return Supply(ancestor, ancestor.name)
    why = f"how {short} was made is not recorded; say where it lies: --origin {short}=PLACE"
    return Supply(ancestor, None, (), why)


def _obstacles(step: Step, origins: Mapping[str, str], *, on_disk: bool) -> Iterator[str]:
    """Why a step cannot be repeated, whatever it takes from elsewhere."""
    if step.command == "download":
        yield from _of_download(step, origins)
    elif step.command == "edit":
        counts = ", ".join(f"{count:,} {name}" for name, count in step.counts.items())
        yield f"files were edited by hand{f': {counts}' if counts else ''}"
    elif step.command == "fix":
        if step.source not in _FIXES:
            yield f"fix --how {step.source} is unknown to this version of visprep"
        elif not on_disk:
            yield "fix works on a directory, not on S3"
    elif step.command not in ("convert", "split", "upload", "sync"):
        yield f"the command {step.command!r} is unknown to this version of visprep"
    for name in fields.unknown(step):
        yield f"its option {name!r} is unknown to this version of visprep"


def _of_download(step: Step, origins: Mapping[str, str]) -> Iterator[str]:
    if "://" in step.source or step.source.endswith("/"):
        yield f"nothing is recorded of {step.source}"
        return
    try:
        sources.get(step.source)
        if "layout" in step.options:
            tasks.layout(step.options["layout"])
    except VisprepError as problem:
        yield "; ".join(filter(None, (problem.message, problem.hint)))
    if step.origin.get("via") == "fiftyone" and importlib.util.find_spec("fiftyone") is None:
        yield "it needs the extra 'fiftyone', which is not installed"
    if digest := step.options.get("ids"):
        text = ids_text(step, origins)
        if text is None:
            yield f"of the ids that were asked for only a digest is recorded; say where they are: --origin {IDS}=FILE"
        elif digest_of(text.encode()) != digest:
            yield f"the ids in {origins[IDS]} are not those that were asked for" if IDS in origins else "its ids differ"


def _absent(step: Step) -> Iterator[str]:
    """Packages that wrote the files then, and are not installed now."""
    for name in step.versions:
        if name != "python" and _installed(name) is None:
            yield f"it was made with {name}, which is not installed"


def _installed(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def differing_versions(found: tuple[Recipe, ...]) -> tuple[str, ...]:
    """What of the software is another than when the steps were done, each once: it may write other bytes."""
    told: dict[str, None] = {}
    for recipe in found:
        for _, one in recipe.walk():
            for name, then in one.step.versions.items():
                now = _installed(name)
                if now not in (None, then):
                    told[f"{name} {then}, now {now}"] = None
    return tuple(sorted(told))
