"""What is asked of a split, as far as nothing need be known of the records."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visprep import wire
from visprep.coco_file import opened
from visprep.engines.local import check_count
from visprep.errors import BadPlace, FileMissing, PlaceMissing, UsageError
from visprep.manifest import DATASET
from visprep.partition import Method, Parts, check_method, parse_parts
from visprep.recordsets import HOW
from visprep.settings import S3Settings
from visprep.split_file import SPLIT, Split, load
from visprep.verify_request import one_of

_NAME = re.compile(r"[^\W.][\w.-]{0,99}")
#: Files of ours beside the directories of parts, which may lie where names are taken without their case.
_TAKEN = frozenset({SPLIT, DATASET})
_PARTS = "for example --parts train=0.8,val=0.1,test=0.1, or --parts train=10000,val=2000"


@dataclass(frozen=True)
class Wish:
    """What is asked of a split; `extends` is one whose records stay where they are."""

    parts: Parts
    seed: int = 0
    method: Method | None = None
    extends: Split | None = None
    stratify: bool = False
    group_by: str | None = None
    near_duplicates: bool = False
    clean: bool = False
    drop_empty: bool = False
    jobs: int | None = None

    @property
    def drawn(self) -> Method:
        """How parts are drawn, whether somebody said so or not."""
        return self.method or self.parts.method

    @property
    def stratified(self) -> bool:
        """Whether classes are spread evenly: only who looks at all records can do that."""
        return self.stratify and self.drawn is Method.EXACT


def places_of(place: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    """The places and files that are to be split, by name; UsageError when there is none, BadPlace for an empty one."""
    if not (found := [os.fspath(one) for one in ([place] if isinstance(place, (str, os.PathLike)) else place)]):
        raise UsageError("there is nothing to split", hint="name a COCO JSON file, or a place")
    if not all(found):
        raise BadPlace("'' names no place", hint="name a COCO JSON file, a directory, or s3://bucket/prefix")
    return found


def wish_of(
    *,
    parts: str | None,
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
) -> Wish:
    """What the options of `split` ask for; its errors as far as nothing need be known of the records."""
    check_count("jobs", jobs)
    one_of("way to write parts", how, HOW)
    if not parts or not isinstance(parts, str):
        raise UsageError("--parts says into what to split" if not parts else f"{parts!r} is no text", hint=_PARTS)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise UsageError(f"--seed {seed!r}: a whole number", hint="leave it out for 0")
    if group_by is not None and not (isinstance(group_by, str) and group_by):
        raise UsageError(f"--group-by {group_by!r}: the name of a field", hint="leave it out where nothing is grouped")
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(f"--name {name[:80]!r} cannot begin the name of a file", hint="letters, digits, '_', '-', '.'")
    asked = parse_parts(parts)
    if taken := next((part for part in asked.names if part.casefold() in _TAKEN), None):
        raise UsageError(f"--parts {taken}: a file of visprep's has that name in the output", hint="name it otherwise")
    chosen = Method(one_of("method", method, tuple(Method))) if method is not None else None
    check_method(asked, chosen)
    return Wish(
        asked, seed, chosen, _extended(extend, s3), stratify, group_by, near_duplicates, clean, drop_empty, jobs,
    )  # fmt: skip


def _extended(extend: str | os.PathLike[str] | None, s3: S3Settings | None) -> Split | None:
    if extend is None:
        return None
    path = os.fspath(extend)
    if "://" in path:
        path = path if path.lower().endswith(".json") else f"{path.rstrip('/')}/{SPLIT}"
    elif Path(path).is_dir():
        path = str(Path(path, SPLIT))
    file = opened(path, s3)
    try:
        return load(wire.wait(file.store.read(file.name)), path)
    except (FileMissing, PlaceMissing):
        raise FileMissing(f"{path}: no such file", hint="--extend names the split.json of an earlier split") from None
