"""Checkpoints on their way back: read in parallel ranges, checked, and only then unpickled."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from visprep import temporary
from visprep.digests import algorithm_of, fast_zlib
from visprep.errors import BadPlace, ChangedMeanwhile, FileMissing, UsageError, WrongContent
from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.stores import Store, ranges
from visprep.stores.arrivals import agreeing, disk_errors, fill
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.wire import Patience, RangesIgnored, wait

_PIECE = 1024 * 1024
#: So often a file is read anew that is replaced by another while it is read: `checkpoint_latest.pt` may well be.
_ATTEMPTS = 3
#: How a `.pt` file begins that was made before they were zip files, or with `_use_new_zipfile_serialization=False`.
_BEFORE_ZIP = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_DEVICE = ("deserialize object on", "device not recognized", "restore data location")
_AGAIN = "load an earlier checkpoint, or copy this one anew from where it came"


def load_checkpoint(
    place: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    map_location: Any = None,
    weights_only: bool = True,
    s3: S3Settings | None = None,
    patience: Patience | None = None,
) -> Any:
    """What was saved in a `.pt` file: a path, or `s3://bucket/prefix/name.pt`; by anyone, not only by visprep.

    With `sha256` (hex), WrongContent for another content; without, where the CRC-32s in the file are wrong, which
    `torch.load` does not compare. UsageError for what only loads with `weights_only=False`, and for a device that is
    not here; BadPlace for what names no file; else StoreError, NetworkError or CredentialsError.

    A file from S3 comes to the directory for temporary files (TMPDIR), and is gone from there when it is loaded.
    """
    text = os.fspath(place)
    folder, _, name = text.rpartition("/")
    if not name or "\0" in text or (text.startswith("s3://") and folder in ("s3:/", "s3://")):
        raise BadPlace(f"{text!r} names no file", hint="name a checkpoint: a path, or s3://bucket/prefix/name.pt")
    if text.startswith("s3://"):
        store: Store = S3Store(folder, s3)
    elif "://" in text:
        raise BadPlace(f"{text!r}: checkpoints are files, or s3://bucket/prefix/name.pt")
    else:
        path = Path(os.path.realpath(text))  # a link may lead anywhere, when somebody named it
        store, name = LocalStore(path.parent), path.name
    return read_checkpoint(
        store, name, sha256=sha256, map_location=map_location, weights_only=weights_only, patience=patience
    )


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
    digest = f"sha256:{sha256.removeprefix('sha256:')}" if sha256 else None
    name = f"{store.place}/{path}"
    if isinstance(store, LocalStore):
        try:
            wait(store.stat(path))
        except FileMissing:
            raise FileMissing(f"{name}: no such file", hint="check the path; `visprep runs list` shows runs") from None
        if digest and wait(store.hash(path, "sha256")) != digest:
            raise WrongContent(f"{name}: its SHA-256 is not that of the checkpoint that was saved", hint=_AGAIN)
        return _load(store.real(path), name, digest is not None, map_location, weights_only)
    with _room() as room:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                checked = wait(_bring(store, path, digest, room), patience)
                break
            except ChangedMeanwhile:
                if attempt == _ATTEMPTS:
                    raise
        return _load(room, name, checked, map_location, weights_only)


@contextlib.contextmanager
def _room() -> Iterator[Path]:
    """A file that goes with this process, whatever ends it, where the system can; TMPDIR says where it lies."""
    if os.name == "nt":  # there nobody else may open what is to go when it is closed
        with temporary.directory("load") as folder:
            (folder / "room.pt").touch()
            yield folder / "room.pt"
        return
    with disk_errors(tempfile.gettempdir()), tempfile.NamedTemporaryFile(suffix=".pt") as room:  # noqa: SIM117
        with contextlib.ExitStack() as ending:
            same = Path(f"/proc/self/fd/{room.fileno()}")
            if same.exists():
                Path(room.name).unlink()
                ending.callback(Path(room.name).touch)  # for who wants to remove it once more
                yield same
            else:
                yield Path(room.name)


async def _bring(store: Store, path: str, digest: str | None, room: Path) -> bool:
    """Bring a file into an empty one; whether its SHA-256 was known, and so compared."""
    with disk_errors(path):
        os.truncate(room, 0)
    there = await store.stat(path)
    if digest is None and algorithm_of(there.digest or "") == "sha256":
        digest = there.digest
    wanted = File(path, there.size, digest, etag=there.etag)
    ranged = await ranges.pinned(wanted, store)
    if ranged and isinstance(store, ranges.Ranged):
        with contextlib.suppress(RangesIgnored):
            digests, _ = await ranges.fill(room, ranged, store, disk_errors)
            agreeing(wanted, there.size or 0, digests.__getitem__)
            return digest is not None
    await fill(room, wanted, store)
    return digest is not None


def _load(file: Path, name: str, checked: bool, map_location: Any, weights_only: bool) -> Any:
    with disk_errors(name):
        if not _is_checkpoint(file):
            raise WrongContent(f"{name} is no checkpoint of PyTorch, or only the beginning of one", hint=_AGAIN)
    if not checked:
        compare_checksums(file, name)
    try:
        return torch.load(file, map_location=map_location, weights_only=weights_only)
    except pickle.UnpicklingError as error:
        if not weights_only:
            raise WrongContent(f"{name} cannot be unpickled: {_first_line(error)}", hint=_AGAIN) from error
        raise UsageError(
            f"{name} holds more than tensors and plain values: {_strangers(file)}",
            hint="weights_only=False loads it, and runs whatever code is in it: only if you trust who made it",
        ) from error
    except RuntimeError as error:
        if any(words in str(error) for words in _DEVICE):
            hint = "load it with map_location='cpu'"
            raise UsageError(f"{name} was saved on a device that is not here", hint=hint) from error
        raise WrongContent(f"{name} cannot be loaded: {_first_line(error)}", hint=_AGAIN) from error
    except (EOFError, LookupError) as error:
        raise WrongContent(f"{name} cannot be loaded: it is damaged", hint=_AGAIN) from error


def _is_checkpoint(file: Path) -> bool:
    with file.open("rb") as opened:
        if opened.read(len(_BEFORE_ZIP)) == _BEFORE_ZIP:
            return True
        try:
            with zipfile.ZipFile(opened) as whole:
                return any(name.endswith("/data.pkl") for name in whole.namelist())
        except (zipfile.BadZipFile, ValueError, struct.error):
            return False


def compare_checksums(file: Path, name: str) -> None:
    """WrongContent where the bytes of a record are not those that its CRC-32 was computed of.

    That is what a `.pt` file brings of its own for being checked; older ones, which are no zip, bring nothing.
    """
    with disk_errors(name), file.open("rb") as opened, contextlib.suppress(zipfile.BadZipFile):
        with zipfile.ZipFile(opened) as whole:
            # PyTorch can be told to write no checksums
            records = [one for one in whole.infolist() if one.CRC and one.compress_type == zipfile.ZIP_STORED]
        for record in records:
            opened.seek(record.header_offset)
            head = opened.read(30)
            opened.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), os.SEEK_CUR)
            checksum, left = 0, record.file_size
            while left and (piece := opened.read(min(left, _PIECE))):
                checksum, left = fast_zlib.crc32(piece, checksum), left - len(piece)
            if left or checksum != record.CRC:
                raise WrongContent(f"{name} is damaged: {record.filename} is not what was saved", hint=_AGAIN)


def _strangers(file: Path) -> str:
    """What a checkpoint needs that `weights_only` does not allow, by name."""
    names: list[str] = []
    with contextlib.suppress(Exception):
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    return ", ".join(names[:3]) or "objects"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
