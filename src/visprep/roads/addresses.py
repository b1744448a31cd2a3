"""Images one by one from addresses: the bucket, its face on the web, or where their authors put them."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from visprep.formats.open_images_csv import Wanted, read
from visprep.formats.open_images_tables import IMAGES
from visprep.manifest import File
from visprep.roads import ABOUT, BucketOptions, Site
from visprep.settings import S3Settings
from visprep.single_images import Singles
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages
from visprep.stores import Store
from visprep.stores.addresses import AddressStore
from visprep.stores.http import HttpStore

__all__ = ["Bucket", "Originals", "Web"]


class Web:
    """The face of the bucket on the web, or the mirrors of it."""

    to_any_place = True

    def __init__(self, source: OpenImages, options: BucketOptions) -> None:
        self.source, self.options = source, options

    @property
    def places(self) -> list[str] | str:
        """See `Road.places`."""
        return [store.place for store in self._stores()]

    def check(self, selection: Selection) -> None:
        """See `Road.check`: all can come."""

    def files(self, site: Site) -> Iterator[File]:
        """See `Road.files`: nothing is known of them."""
        return map(File, site.choice.paths)

    def open(self, site: Site) -> Singles:
        """See `Road.open`."""
        return Singles(site.extraction, self._stores(), self.options.jobs, site.heard, ABOUT, site.engine)

    def _stores(self) -> Sequence[Store]:
        urls = [f"{mirror.url.rstrip('/')}/{self.source.bucket}" for mirror in self.options.mirrors]
        return [HttpStore(url) for url in urls or [self.source.images_url]]


class Bucket(Web):
    """The bucket, unsigned: everyone may read it."""

    def _stores(self) -> Sequence[Store]:
        from visprep.stores.s3 import S3Store  # here, since most commands ask no bucket

        settings = replace(self.options.s3 or S3Settings(), no_sign_request=True)
        return [S3Store(f"s3://{self.source.bucket}", settings)]


class Originals(Web):
    """Where the authors put them: each has its own address, and the MD5 of that time."""

    @property
    def places(self) -> list[str] | str:
        """See `Road.places`."""
        return "as each says"

    def files(self, site: Site) -> Iterator[File]:
        """See `Road.files`."""
        for path, _, size, digest in self._told(site):
            yield File(path, size, digest)

    def open(self, site: Site) -> Singles:
        """See `Road.open`."""
        addresses = {path: url for path, url, _, _ in self._told(site)}
        store = AddressStore(addresses, self.source.placeholder)
        return Singles(site.extraction, [store], self.options.jobs, site.heard, ABOUT, site.engine)

    def _told(self, site: Site) -> Iterator[tuple[str, str, int | None, str | None]]:
        """Path, address, size and digest of each original, as upstream's table tells them."""
        columns = ("OriginalURL", "OriginalSize", "OriginalMD5")
        for split, ids in site.choice.images.items():
            table = self.source.table("images", split)
            for batch in read(site.tables.open(table.path, IMAGES), IMAGES, Wanted((split,), ids), columns):
                for row in batch.columns.to_pylist():
                    size = row.get("OriginalSize")
                    yield (
                        f"{split}/{row['ImageID'].decode()}.jpg",
                        row.get("OriginalURL") or "",
                        None if size is None else int(size),
                        _md5(row.get("OriginalMD5") or ""),
                    )


def _md5(text: str) -> str | None:
    """`md5:hex` of what upstream writes in base64; None where it writes nothing, or something else."""
    with contextlib.suppress(binascii.Error, ValueError):
        digest = base64.b64decode(text, validate=True)
        if len(digest) == 16:
            return f"md5:{digest.hex()}"
    return None
