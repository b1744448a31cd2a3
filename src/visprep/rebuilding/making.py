"""Carrying out recipes: the verbs once more, with what they were told then."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visprep._convert import convert
from visprep._copy import copy_place
from visprep._download import download
from visprep._fix import fix
from visprep._split import split
from visprep._sync import sync
from visprep.ancestors import EXTENDED, IDS, MADE_FROM, MERGED
from visprep.copying import CopyOptions
from visprep.errors import VisprepError
from visprep.own_record import read_dataset
from visprep.progress import OnProgress
from visprep.provenance import Step
from visprep.rebuilding.asking import checksums_text, ids_text, write
from visprep.rebuilding.recipes import Recipe, Supply
from visprep.settings import S3Settings
from visprep.split_naming import calling
from visprep.stores import archive_ending, open_store

__all__ = ["Making", "Stopped"]

_UNFIT = re.compile(r'[\x00-\x1f<>:"/\\|?*]')


class Stopped(Exception):
    """A step ended in an error: the step, and the error as its cause."""

    def __init__(self, step: Step, problem: VisprepError) -> None:
        super().__init__(problem.message)
        self.step, self.problem = step, problem


@dataclass
class Making:
    """One rebuild: `folder` says where places lie meanwhile that others are made from, and is asked when one is needed.

    `origins` are those of `recipes`. `mirror` is used in place of those that are recorded. `notes` gain what is to be
    said in the end.
    """

    folder: Callable[[], Path]
    origins: Mapping[str, str]
    mirror: str | None
    jobs: int | None
    s3: S3Settings | None
    progress: OnProgress
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    _made: set[str] = field(default_factory=set)

    def make(self, found: Iterable[Recipe], target: str) -> None:
        """Do the steps of a place, those that can be done, so that it lies at `target`; Stopped when one fails.

        A step of `sync` made a place that had only some of the files: what came before it lies elsewhere, then.
        """
        steps = [one for one in found if one.can]
        filters = [at for at, one in enumerate(steps) if one.step.command == "sync"]
        where = self._room("all", steps) if filters else target
        begin = 0 if filters else self._done(steps, target)
        for at, one in enumerate(steps[begin:], begin):
            to = target if one.step.command == "sync" and at == filters[-1] else where
            if one.step.command == "sync" and to == where:
                to = self._room("some", steps[: at + 1])
            try:
                self._do(one, where, to)
            except VisprepError as problem:
                raise Stopped(one.step, problem) from problem
            where = to

    def _done(self, steps: list[Recipe], target: str) -> int:
        """How many steps need not be done, since the target's record has them; the last one looks at what is there."""
        dataset = read_dataset(open_store(target, self.s3))
        before = dataset.steps if dataset else ()
        same = 0
        for one, step in zip(steps, before, strict=False):
            if not step.same_request(one.step):
                break
            same += 1
        return min(same, len(steps) - 1)

    def _do(self, recipe: Recipe, where: str, target: str) -> None:
        step = recipe.step
        taken = {key: self._taken(some) for key, some in recipe.supplies.items()}
        self.say(f"{step.command} {step.source.rstrip('/')}: to {target}")
        if step.command == "download":
            self._download(step, target)
        elif step.command == "fix":
            fix(target, how=step.source, jobs=self.jobs, s3=self.s3, progress=self.progress)
        elif step.command == "sync":
            self._copy(step, where, target)
        elif step.command == "upload":
            self._upload(step, taken[MADE_FROM][0], target)
        elif step.command == "convert":
            self._convert(step, taken, target)
        else:
            self._split(step, taken, target)

    def _copy(self, step: Step, origin: str, target: str) -> None:
        include, exclude = _globs(step)
        sync(origin, target, include=include, exclude=exclude, jobs=self.jobs, s3=self.s3, progress=self.progress)

    def _upload(self, step: Step, origin: str, target: str) -> None:
        """Copy a place that has no record, as `upload` does: the copy gets one, also on disk."""
        include, exclude = _globs(step)
        options = CopyOptions(include=include, exclude=exclude, jobs=self.jobs)
        copy_place(open_store(origin, self.s3), open_store(target, self.s3), "upload", options, self.progress)

    def _download(self, step: Step, target: str) -> None:
        options = _options(step, IDS)
        if (text := ids_text(step, self.origins)) is not None and step.options.get(IDS):
            options[IDS] = self._file("ids.txt", text.replace(" ", "\n"))
        if (sums := checksums_text(step)) is not None:
            options["checksums"] = self._file("SHA256SUMS", sums)
        mirror = self.mirror or step.origin.get("mirrors") or None
        download(
            step.source, target, split=step.splits, revision=step.revision if "layout" in options else None,
            mirror=mirror if "layout" not in options else None, via=step.origin.get("via"),
            jobs=self.jobs, s3=self.s3, progress=self.progress, **options,
        )  # fmt: skip

    def _convert(self, step: Step, taken: Mapping[str, list[str]], target: str) -> None:
        options = _options(step, "from", "file", "listing", "merge", "classes")
        if lines := step.options.get("classes"):
            options["classes"] = self._file("classes.txt", "".join(f"{line}\n" for line in lines))
        convert(
            taken[MADE_FROM][0], output=target, merge=taken[MERGED],
            jobs=self.jobs, s3=self.s3, progress=self.progress, **options,
        )  # fmt: skip

    def _split(self, step: Step, taken: Mapping[str, list[str]], target: str) -> None:
        options = _options(step, "extend")
        places, extended = taken[MADE_FROM], taken[EXTENDED]
        names = dict(zip(places, step.origin.get("inputs", ()), strict=False))
        if extended:
            options["extend"] = extended[0]
            names[extended[0]] = step.options["extend"]
        with calling(names):
            split(places, output=target, jobs=self.jobs, s3=self.s3, progress=self.progress, **options)

    def _taken(self, supplies: Iterable[Supply]) -> list[str]:
        """Where all lies that a step takes, and is made before where that is needed."""
        return [
            f"{place.rstrip('/')}/{path}" if path else place
            for supply in supplies
            for place in [self._place(supply)]
            for path in supply.ancestor.paths
        ]

    def _place(self, supply: Supply) -> str:
        if supply.given is not None:
            return supply.given
        ancestor = supply.ancestor
        place = self._room(ancestor.name, supply.recipes)
        if place not in self._made:
            self.make(supply.recipes, place)
            made = read_dataset(open_store(place))
            if made and made.files != ancestor.files:
                self.notes.append(f"{ancestor.name}: what was made again is not what was taken then")
            self._made.add(place)
        return place

    def _room(self, name: str, steps: Iterable[Recipe]) -> str:
        """Where a place lies that these steps make: each time the same, so that it is gone on with."""
        told = json.dumps([one.step.plain for one in steps], sort_keys=True).encode()
        room = hashlib.sha256(told).hexdigest()[:12]
        short = name.rstrip("/").replace("\\", "/").rpartition("/")[2]
        short = _UNFIT.sub("_", short.removesuffix(archive_ending(short))).strip(". ") or "place"
        return os.fspath(self.folder() / room / short)

    def _file(self, name: str, text: str) -> str:
        return write(self.folder() / "asked", name, text)


def _options(step: Step, *left_out: str) -> dict[str, Any]:
    """The options of a step by the names that Python has for them."""
    return {name.replace("-", "_"): value for name, value in step.options.items() if name not in left_out}


def _globs(step: Step) -> tuple[tuple[str, ...], tuple[str, ...]]:
    include, exclude = (tuple(step.options.get(name, ())) for name in ("include", "exclude"))
    return include, exclude
