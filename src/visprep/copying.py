"""How a place is copied, and what a copy did, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from visprep import plan_files
from visprep.engines import Engine
from visprep.plans import Compare

#: Bytes of a file, on average, from which it is its bytes that take time; of smaller ones it is the request for each.
_TELLING = 2**16


def measure(files: int, size: int, *, large: bool) -> tuple[int, str]:
    """By what a copy tells how far it is: all of it, and whether in "bytes" or in "files"."""
    return (size, "bytes") if large or size > files * _TELLING else (files, "files")


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy did: files and bytes moved, how many files were there already, and how many were deleted.

    With `planned` it is what is to be done, and `too_many_deletes` says that it would be refused. `markers` are keys of
    the origin that end in `/` and hold nothing, as some tools make them for directories: they are not files and are not
    copied. `asked` counts files that no listing tells enough of, so that each cost a request. `unfinished` are files of
    the origin, a hundred at most, that were left out since they are named like visprep's unfinished ones. `new_bucket`
    is the bucket that is to be made first.
    """

    origin: str
    target: str
    moved: int
    kept: int
    bytes: int
    deleted: int = 0
    markers: int = 0
    asked: int = 0
    planned: bool = False
    too_many_deletes: bool = False
    unfinished: tuple[str, ...] = ()
    new_bucket: str | None = None


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How a place is copied.

    Without `may_replace`, a file at the target that visprep did not write, or that changed since, stops the copy.
    `provenance` makes a record of the target also where neither side has one. `admits` says which paths are meant.
    `confirm` is asked, with the number of files, before any is deleted. `noted` is what a plan notes of S3. With
    `create_bucket`, the target's bucket need not be there for a plan. `engine` and `ray_address` are those of
    `open_engine`.
    """

    may_replace: bool = True
    provenance: bool = True
    delete: bool = False
    max_delete: int | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    by: Compare = Compare.content
    jobs: int | None = None
    bandwidth: float | None = None
    dry_run: bool = False
    plan: Path | None = None
    apply: plan_files.Header | None = None
    confirm: Callable[[int], bool] | None = None
    noted: Mapping[str, Any] = field(default_factory=dict)
    create_bucket: bool = False
    engine: str | Engine = "local"
    ray_address: str | None = None

    def admits(self, path: str) -> bool:
        """Whether a path is meant: by `include` (empty: all) and not by `exclude`; in globs `*` matches `/` too."""
        if not self.include and not self.exclude:
            return True
        included = not self.include or any(fnmatchcase(path, glob) for glob in self.include)
        return included and not any(fnmatchcase(path, glob) for glob in self.exclude)

    @property
    def planning(self) -> bool:
        """Whether it is only found out what would be done."""
        return self.dry_run or self.plan is not None

    @property
    def shaping(self) -> dict[str, Any]:
        """The options that decide what is done, as a plan notes them."""
        named = {"delete": self.delete, "max_delete": self.max_delete, "compare": self.by.value}
        return {**named, "include": list(self.include), "exclude": list(self.exclude), **self.noted}

    def shaped(self, told: Mapping[str, Any]) -> CopyOptions:
        """The same options with those that a plan notes."""
        return replace(
            self,
            delete=bool(told["delete"]),
            max_delete=told["max_delete"],
            by=Compare(told["compare"]),
            include=tuple(told["include"]),
            exclude=tuple(told["exclude"]),
            noted={name: value for name, value in told.items() if name not in self.shaping},
        )

    @property
    def partial(self) -> dict[str, list[str]]:
        """The options by which the target gets less than the origin has, for the record."""
        given = {"include": list(self.include), "exclude": list(self.exclude)}
        return {name: globs for name, globs in given.items() if globs}

    @property
    def asked(self) -> dict[str, Any]:
        """The options that a copy that was broken off is to be gone on with, for the marker."""
        told: dict[str, Any] = {"delete": self.delete or None, "max-delete": self.max_delete}
        told["compare"] = None if self.by is Compare.content else self.by.value
        return {**self.partial, **{name: value for name, value in told.items() if value is not None}}
