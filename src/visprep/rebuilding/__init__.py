"""Making a dataset again from its `dataset.json`: what is recorded, what can be repeated, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Changed", "FileApart", "FileLying", "RebuildResult", "RebuiltStep"]


@dataclass(frozen=True, slots=True)
class RebuiltStep:
    """A step of a `dataset.json`.

    `command` is what was typed, as far as that is recorded. `place` is what the place is called that it made, where
    that is not the dataset itself but one that the dataset was made from. `why` says why it cannot be repeated, None
    where it can.
    """

    command: str
    date: str
    place: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class FileApart:
    """A file that is not as recorded: `change` is `missing`, `extra` or `changed`; sizes in bytes."""

    path: str
    change: str
    recorded: int | None
    rebuilt: int | None


@dataclass(frozen=True, slots=True)
class FileLying:
    """A file of the place that is not as recorded: `change` is `missing`, `extra` or `changed`; sizes in bytes."""

    path: str
    change: str
    recorded: int | None
    lying: int | None


@dataclass(frozen=True, slots=True)
class Changed:
    """What upstream does not have any more, or has otherwise: the step that asked for it, and the error's slug."""

    command: str
    reason: str
    message: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What a rebuild did.

    `dataset` is what was read, `target` the place that was made, None where nothing is kept. `same` says whether the
    list of files, with sizes and digests, is the one that is recorded as `recorded`; `rebuilt` is the digest of the one
    that was made. Both are None where nothing was made. `files` is how many were made. `apart` are files that differ,
    10,000 at most, and `differing` counts them all; both say nothing where only a digest is known of what was recorded:
    then `differing` is None. `changed` is what upstream has changed, `versions` is what differs between then and now of
    the software, by name. `partly`: steps that cannot be repeated were to be left out. `notes` say what else there is
    to know.

    `place` is where the dataset lies whose record it is, None for a copy of its `dataset.json`. With `check`, `lying`
    are files there that are not as recorded, 10,000 at most, and `astray` counts them all: None where none were looked
    at. `unread` counts those of which the size is as recorded, and the bytes are not known without reading them.
    """

    dataset: str
    target: str | None
    recorded: str
    steps: tuple[RebuiltStep, ...]
    same: bool | None = None
    rebuilt: str | None = None
    files: int | None = None
    apart: tuple[FileApart, ...] = ()
    differing: int | None = None
    changed: tuple[Changed, ...] = ()
    versions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    partly: bool = False
    place: str | None = None
    lying: tuple[FileLying, ...] = ()
    astray: int | None = None
    unread: int | None = None

    @property
    def repeatable(self) -> bool:
        """Whether every step can be repeated."""
        return all(step.why is None for step in self.steps)
