"""Logs and metrics on their way to a place: new whole lines go up as pieces, and are put together at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from visprep.manifest import File
from visprep.stores import Store

Kind = Literal["training", "metrics"]


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A file that holds a part of a log: `number` None is all that one start of a training logged."""

    kind: Kind
    start: str
    number: int | None
    file: File


def in_order(files: Iterable[File], kind: Kind = "training") -> list[LogPiece]:
    """Of the files below `logs/{experiment}`, those that make up the whole log, in the order to be read."""
    raise NotImplementedError


class LogShipper:
    """Sends `training_{start}.log` and `metrics_{start}.jsonl` of a directory to `path` of a place, each byte once.

    `training_latest.log` and `metrics.jsonl` there hold the last `tail` bytes of lines, and all at the end.
    """

    def __init__(
        self, local_dir: Path, store: Store, path: str, *, tail: int = 8192, piece: int = 8 * 1024 * 1024
    ) -> None:
        raise NotImplementedError

    def ship(self, *, whole: bool = False) -> int:
        """Send all whole lines that are not there yet; the bytes that were sent.

        With `whole`, also a last line without an end, and then `training_latest.log` and `metrics.jsonl` whole.
        Raises StoreError, NetworkError or CredentialsError; calling it again goes on where it ended.
        """
        raise NotImplementedError
