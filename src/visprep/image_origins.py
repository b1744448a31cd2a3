"""Where single images of a place can be had again, as its own record tells."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from visprep import sources
from visprep.errors import UnknownName, UsageError, VisprepError
from visprep.formats import open_images_place
from visprep.formats.open_images_csv import image_name, open_table, read
from visprep.formats.open_images_tables import IMAGES
from visprep.manifest import File
from visprep.own_record import read_dataset
from visprep.provenance import Step
from visprep.settings import S3Settings
from visprep.sources import Archived, Mirror
from visprep.sources.open_images import OpenImages
from visprep.stores import Store, open_store
from visprep.stores.addresses import AddressStore
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore

__all__ = ["image_origins"]


def image_origins(
    store: LocalStore, listing: Sequence[File], mirrors: Sequence[str], s3: S3Settings | None
) -> list[Store]:
    """Those of `mirrors`, else where the files of a place came from, then where their source has them.

    UsageError when nothing tells that.
    """
    tables = open_images_place.layout(listing).splits
    bucket = OpenImages()
    if mirrors:
        return [origin for one in mirrors for origin in _mirror(one, bucket if tables else None, s3)]
    dataset = read_dataset(store)
    for one in reversed(dataset.steps if dataset else ()):
        with contextlib.suppress(UnknownName):  # of a place only the last part of its path is noted
            source: object = sources.get(one.source)
            if isinstance(source, OpenImages):
                return list(_of_bucket(source, one, store, listing, s3))
            if isinstance(source, Archived) and not tables:  # else it is how a directory was called
                known: tuple[Mirror, ...] = source.mirrors
                own = (each.url for each in known if each.loose)
                # Those that it came from may be gone, or have the archives alone
                return [HttpStore(url) for url in dict.fromkeys((*one.origin.get("mirrors", ()), *own))]
    if tables:  # another tool brought them, from the same bucket
        return [HttpStore(bucket.images_url)]
    raise UsageError(
        f"{store.place}: nothing tells where single images of it can be had",
        hint="--mirror names a web address, or a place, with the same layout; or move what is damaged away, and run "
        "the download again, or what else brought it; or use --how quarantine",
    )


def _mirror(url: str, source: OpenImages | None, s3: S3Settings | None) -> Iterator[Store]:
    if not url.startswith("http"):
        yield open_store(url, s3)
        return
    if source is not None:  # what download takes for a mirror has the bucket below it
        yield HttpStore(f"{url.rstrip('/')}/{source.bucket}")
    yield HttpStore(url)


def _of_bucket(
    source: OpenImages, step: Step, store: LocalStore, listing: Sequence[File], s3: S3Settings | None
) -> Iterator[Store]:
    """Where a download of Open Images had its images from, or the bucket that others fill theirs from."""
    if step.options.get("original"):
        yield AddressStore(dict(_addresses(store, listing)), source.placeholder)
        return
    places = [f"{url.rstrip('/')}/{source.bucket}" for url in step.origin.get("mirrors", ())]
    if step.origin.get("via") in ("s3", "http"):
        places = [*step.origin.get("images", ()), *places]
    for place in dict.fromkeys((*places, source.images_url)):
        unsigned = replace(s3 or S3Settings(), no_sign_request=True)
        yield HttpStore(place) if place.startswith("http") else open_store(place, unsigned)


def _addresses(store: LocalStore, listing: Sequence[File]) -> Iterator[tuple[str, str]]:
    """The address of each original, by path, as the rows tell; nothing where these cannot be read."""
    for split in open_images_place.layout(listing).splits.values():
        path = split.tables.get("images")
        if path is None:
            continue
        with contextlib.suppress(VisprepError):
            for batch in read(open_table(store.root / path, IMAGES, path), IMAGES, None, ("OriginalURL",)):
                if "OriginalURL" not in batch.columns.schema.names:
                    break
                for number, url in zip(batch.images.tolist(), batch.texts("OriginalURL"), strict=True):
                    yield f"{split.name}/{image_name(number)}.jpg", url or ""
