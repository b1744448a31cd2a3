"""COCO datasets as records: images by their file names, and parts that are annotation files of the very same bytes."""

from __future__ import annotations

from collections.abc import Sequence

from visprep.recordsets import RecordSet
from visprep.settings import S3Settings


def read(places: Sequence[str], s3: S3Settings | None = None) -> RecordSet:
    """The images of one or several annotation files."""
    raise NotImplementedError
