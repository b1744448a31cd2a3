"""Where the images of a dataset lie: `s3://bucket/prefix/`, `prefix/` or a directory; and what is listed there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from visprep.errors import AccessDenied, BadPlace, FileMissing, PlaceMissing, UsageError
from visprep.loaders.called import CalledClient
from visprep.loaders.clients import understand
from visprep.loaders.fetch import ImageFile
from visprep.looking import parts_of
from visprep.manifest import File
from visprep.own_record import Listed
from visprep.settings import S3Settings
from visprep.stores import Store, is_archive, open_store
from visprep.stores.published import one_version, url_of, version_of
from visprep.stores.s3 import S3Store

Prefix = str | os.PathLike[str]


class Listing:
    """What lies under a prefix; nothing is listed before `files` is called.

    `place` is the prefix as a place, `parts` its own path, in parts. After `files`, `missing` is why there is nothing.
    """

    def __init__(self, place: str, access: S3Settings | CalledClient, from_manifest: bool) -> None:
        self.store = open_store(place, access if isinstance(access, S3Settings) else None)
        self.place = self.store.place
        self.parts = parts_of(self.place, self.store)
        self.missing: PlaceMissing | None = None
        self._access, self._from_manifest = access, from_manifest

    def files(self) -> Iterator[File]:
        """The files, sorted by the bytes of the path; none where there is nothing."""
        try:
            yield from self._files()
        except PlaceMissing as error:
            self.missing = error

    def image(self, file: File) -> ImageFile:
        """Where the bytes of a file are, once it has been listed."""
        return ImageFile(url_of(self.store, file.path), file.size, file.digest or file.etag)

    def _files(self) -> Iterator[File]:
        store = self.store
        if self._from_manifest:
            promised = _promised(store)
            if promised is None:
                hint = "leave out from_manifest=True, and it is listed"
                raise FileMissing(f"{store.place}: visprep wrote no manifest there, nor above", hint=hint)
            yield from promised
        elif isinstance(self._access, CalledClient) and isinstance(store, S3Store):
            files = self._access.list(store.bucket, f"{store.prefix}/" if store.prefix else "")
            found = sorted(files, key=lambda file: file.sort_key)
            if not found:
                raise PlaceMissing(f"there is nothing under {store.place}/", hint="check the name")
            yield from found
        else:
            some = False
            try:
                for file in store.list():
                    some = True
                    yield file
            except AccessDenied:
                promised = _promised(store) if isinstance(store, S3Store) and not some else None
                if promised is None:
                    raise
                yield from promised


def place_of(prefix: Prefix, bucket: str | None = None) -> str:
    """The place that a prefix names.

    `s3://bucket/prefix` is on S3, and `s3:///prefix` in `bucket`. A path object, and text that begins with `/`, `./`,
    `../` or `~`, is a directory. Other text is a prefix in `bucket`, else in S3_BUCKET_NAME, else a directory if there
    is one. UsageError when it can be none of them.
    """
    if isinstance(prefix, os.PathLike):
        return _directory(os.fspath(prefix))
    if not isinstance(prefix, str) or not prefix:
        raise UsageError(f"{prefix!r} is no prefix", hint="write s3://bucket/prefix/, prefix/, or a directory")
    if bucket is not None and ("/" in bucket or not bucket):
        raise UsageError(f"s3_bucket={bucket!r} is no name of a bucket", hint="write the name alone, without s3://")
    if prefix.startswith("s3://"):
        return f"s3://{bucket}{prefix[5:]}" if bucket and prefix.startswith("s3:///") else prefix
    if prefix.startswith(("/", "./", "../", "~")) or prefix in (".", ".."):
        return _directory(prefix)
    if bucket:
        return f"s3://{bucket}/{prefix}"
    try:
        return S3Store(f"s3:///{prefix}").place
    except BadPlace:
        if Path(prefix).is_dir():
            return _directory(prefix)
        raise UsageError(
            f"{prefix!r}: no bucket is named, and there is no such directory",
            hint="write s3://bucket/prefix/, give s3_bucket=, or set S3_BUCKET_NAME",
        ) from None


def _directory(path: str) -> str:
    full = str(Path(path).expanduser().absolute())
    if is_archive(full):
        raise UsageError(f"{path} is an archive", hint="images are read one by one: unpack it first")
    return full


def listings(
    prefixes: Prefix | Sequence[Prefix],
    bucket: str | None = None,
    *,
    s3_client: Any = None,
    settings: S3Settings | None = None,
    from_manifest: bool = False,
) -> list[Listing]:
    """What lies under each of some prefixes, of one version of what is published.

    With `from_manifest` nothing is listed: the manifest that visprep wrote at the prefix, or above it, says what there
    is (FileMissing when there is none). So it does where S3 does not let us list.
    """
    named = [prefixes] if isinstance(prefixes, (str, os.PathLike)) else list(prefixes)
    if not named:
        raise UsageError("no prefix is given", hint="s3_prefixes is a list, as in ['s3://bucket/prefix/']")
    access = understand(s3_client, settings)
    places = dict.fromkeys(place_of(prefix, bucket) for prefix in named)
    with one_version():
        return [Listing(place, access, from_manifest) for place in places]


def missing(found: Sequence[Listing]) -> list[str]:
    """The places with nothing below them, once all were listed; PlaceMissing when there is no other."""
    nothing = [one for one in found if one.missing]
    if len(nothing) == len(found):
        assert nothing[0].missing
        raise nothing[0].missing
    return [one.place for one in nothing]


def origins(found: Sequence[Listing]) -> tuple[tuple[str, str | None], ...]:
    """The places with something below them, once all were listed, each with its version where it is published."""
    return tuple((one.place, version_of(one.store)) for one in found if not one.missing)


def _promised(store: Store) -> Iterator[File] | None:
    """What a manifest says of a place: its own, else the nearest one above; None where there is none."""
    home, below = store.place.rstrip("/"), ""
    while True:
        above = store if not below else open_store(home, getattr(store, "settings", None))
        try:
            listed = Listed.read(above)
        except AccessDenied:
            listed = None
        if getattr(above, "version", None) is not None:  # published: the store knows where each file is
            return store.list()
        if listed is not None:
            files = (file for file in listed.files if file.path.startswith(below))
            return (replace(file, path=file.path[len(below) :]) for file in files)
        home, _, name = home.rpartition("/")
        if not home or home in ("s3:", "s3:/"):
            return None
        below = f"{name}/{below}"
