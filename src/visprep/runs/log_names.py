"""How the files of a log are named: those of every start of a training, their pieces, and what is made of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from visprep.manifest import File

Kind = Literal["training", "metrics"]

#: What people look at: the last lines while a training runs, all at its end.
LATEST, METRICS = "training_latest.log", "metrics.jsonl"
_SUFFIX: dict[Kind, str] = {"training": ".log", "metrics": ".jsonl"}
_NAME = re.compile(r"(training|metrics)_([^_/]+)(?:_(\d{6,}))?(\.log|\.jsonl)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A file that holds a part of a log: `number` None is all that one start of a training logged."""

    kind: Kind
    start: str
    number: int | None
    file: File


def log_name(kind: Kind, start: str) -> str:
    """The name of all that one start of a training logs."""
    return f"{kind}_{start}{_SUFFIX[kind]}"


def piece_name(kind: Kind, start: str, number: int) -> str:
    """The name of one piece of it."""
    return f"{kind}_{start}_{number:06d}{_SUFFIX[kind]}"


def parse(file: File) -> LogPiece | None:
    """What a file of the directory of logs is by its name, None when it is something else."""
    found = _NAME.fullmatch(file.path)
    if not found or found[2] == "latest":
        return None
    kind: Kind = "training" if found[1] == "training" else "metrics"
    return LogPiece(kind, found[2], int(found[3]) if found[3] else None, file) if found[4] == _SUFFIX[kind] else None


def by_start(files: Iterable[File], kind: Kind) -> dict[str, list[LogPiece]]:
    """The files of each start of a training, the starts and their pieces in order; a whole log before its pieces."""
    found: dict[str, list[LogPiece]] = defaultdict(list)
    for file in files:
        piece = parse(file)
        if piece and piece.kind == kind:
            found[piece.start].append(piece)
    return {
        start: sorted(found[start], key=lambda piece: -1 if piece.number is None else piece.number)
        for start in sorted(found)
    }


def in_order(files: Iterable[File], kind: Kind = "training") -> list[LogPiece]:
    """Of the files of the directory of logs, those that make up the whole log, in the order to be read."""
    chosen: list[LogPiece] = []
    for pieces in by_start(files, kind).values():
        chosen += pieces[:1] if pieces[0].number is None else pieces
    return chosen
