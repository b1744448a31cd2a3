"""The digests of files as they are now, for a manifest to be held against."""

from __future__ import annotations

from visprep.digests import DigestSink
from visprep.errors import StoreError, VisprepError
from visprep.findings import Finding
from visprep.manifest import File
from visprep.rounds import Eye, Work
from visprep.rules import files as file_rules

_Read = tuple[str | None, list[Finding]]


async def _digest(eye: Eye, file: File) -> _Read:
    hashing = DigestSink()
    try:
        await eye.store.fetch(file, hashing)
    except StoreError as error:
        return _lost(file, error)
    return hashing.digest, []


def _lost(file: File, error: VisprepError) -> _Read:
    return None, [file_rules.FILE_UNREADABLE.at(file.path, error.message)]


#: Gives the sha256 of the bytes of a file, or why they cannot be read.
DIGESTS = Work(_digest, lambda file: (file,), _lost, _Read)
