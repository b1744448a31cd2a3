"""`split`: records into parts that do not leak, the same for the same seed, and that grow without moving anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from visprep.findings import Finding, Level
from visprep.progress import OnProgress, unheard
from visprep.settings import S3Settings
from visprep.split_file import Split


@dataclass(frozen=True, slots=True)
class SplitResult:
    """What a split did.

    `split` is what its split.json says. `written` are the files that were written, `kept` those that were there as they
    should be, `removed` those of an earlier split of ours that this one does not make. `findings` are what is wrong
    with the split: with an error among them, `failed`.
    """

    output: str
    split: Split
    written: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether one of the findings is an error."""
        return any(one.level is Level.ERROR for one in self.findings)


def split(
    place: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    output: str | os.PathLike[str] | None = None,
    parts: str,
    seed: int = 0,
    method: str | None = None,
    extend: str | os.PathLike[str] | None = None,
    stratify: bool = False,
    group_by: str | None = None,
    near_duplicates: bool = False,
    clean: bool = False,
    drop_empty: bool = False,
    name: str | None = None,
    how: str = "ids",
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> SplitResult:
    """Split records into parts, and write these to `output`, with a split.json that tells all about it."""
    raise NotImplementedError
