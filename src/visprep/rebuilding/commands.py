"""The steps of a rebuild as commands that could be typed one after the other, with a name for each place in between."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from visprep._status import command_of
from visprep.ancestors import Ancestor
from visprep.provenance import Step
from visprep.rebuilding import RebuiltStep
from visprep.rebuilding.recipes import Recipe, Supply
from visprep.settings import S3Settings
from visprep.stores import open_store

__all__ = ["Commands", "command"]


def command(
    step: Step,
    output: str = "PLACE",
    before: str | None = None,
    taken: Mapping[str, Sequence[str]] | None = None,
    s3: S3Settings | None = None,
) -> str:
    """What was typed, as far as that is recorded; `before` is what a copy is of, `taken` as `command_of` has it."""
    if step.command == "edit":
        return "edit by hand"
    if step.command == "sync":
        globs = [word for name in ("include", "exclude") for glob in step.options.get(name, ())
                 for word in (f"--{name}", glob)]  # fmt: skip
        return shlex.join(["visprep", "sync", before or _lying(step.source), output, *globs])
    return command_of(step, open_store(output, s3), s3 or S3Settings(), taken)


class Commands:
    """The commands of one rebuild, whose dataset is made at `output`; `s3` is how buckets are reached."""

    def __init__(self, output: str, s3: S3Settings | None) -> None:
        self._output, self._s3 = output, s3
        self._made: list[tuple[Ancestor, str]] = []
        self._names = {output}

    def steps(self, found: Sequence[Recipe]) -> Iterator[RebuiltStep]:
        """All steps in the order in which they are done."""
        return self._of(found, self._output, None)

    def _of(self, found: Sequence[Recipe], output: str, name: str | None) -> Iterator[RebuiltStep]:
        places = self._places(found, output)
        for recipe, before, place in zip(found, [None, *places], places, strict=False):
            for some in recipe.supplies.values():
                for supply in some:
                    yield from self._of(supply.recipes, self._place(supply), supply.ancestor.name)
            taken = {key: [one for supply in some for one in self._paths(supply)]
                     for key, some in recipe.supplies.items()}  # fmt: skip
            typed = command(recipe.step, place, before, taken, self._s3)
            yield RebuiltStep(typed, recipe.step.date, name, recipe.why)

    def _places(self, found: Sequence[Recipe], output: str) -> list[str]:
        """Where each step leaves what it made: what is copied in part lay elsewhere before."""
        places = [output]
        for one in reversed(found[1:]):
            places.append(self._new(_short(one.step.source)) if one.step.command == "sync" else places[-1])
        return places[::-1]

    def _paths(self, supply: Supply) -> Iterator[str]:
        place = self._place(supply)
        return (f"{place.rstrip('/')}/{path}" if path else place for path in supply.ancestor.paths)

    def _place(self, supply: Supply) -> str:
        """Where a place lies, or what it is to be called that is made; one that is taken twice is the same."""
        if supply.given is not None:
            return supply.given
        if not supply.recipes:
            return _lying(supply.ancestor.name)
        one = supply.ancestor
        for other, name in self._made:
            if (one.name, one.files, one.steps) == (other.name, other.files, other.steps):
                return name
        self._made.append((one, self._new(supply.short)))
        return self._made[-1][1]

    def _new(self, wanted: str) -> str:
        """A name that no other place has."""
        name, number = wanted, 2
        while name in self._names:
            name, number = f"{wanted}-{number}", number + 1
        self._names.add(name)
        return name


def _short(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2] or "place"


def _lying(name: str) -> str:
    """Where something lies of which only the name is recorded: the way to it is one machine's."""
    return name if "://" in name else f"path/to/{name}"
