"""Checkpoints on their way back: read in parallel ranges, checked, and only then unpickled."""

from __future__ import annotations

import os
from typing import Any

from visprep.settings import S3Settings
from visprep.stores import Store
from visprep.wire import Patience


def load_checkpoint(
    place: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    map_location: Any = None,
    weights_only: bool = True,
    s3: S3Settings | None = None,
    patience: Patience | None = None,
) -> Any:
    """What was saved in a `.pt` file: a path, or `s3://bucket/prefix/name.pt`; from anyone, not only from visprep.

    With `sha256` (hex), WrongContent for another content; without, by the CRC-32s in the file, which `torch.load` does
    not compare. UsageError for what only loads with `weights_only=False`, and for a device that is not here; else
    StoreError, NetworkError or CredentialsError.
    """
    raise NotImplementedError


def read_checkpoint(
    store: Store,
    path: str,
    *,
    sha256: str | None = None,
    map_location: Any = None,
    weights_only: bool = True,
    patience: Patience | None = None,
) -> Any:
    """`load_checkpoint` of a file of a store."""
    raise NotImplementedError
