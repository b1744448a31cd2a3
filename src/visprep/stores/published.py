"""Published places: prefixes whose `current.json` names the version that counts. See `versions`.

Whoever opens such a place sees the files of that version, under the paths that they had when they were published, and
goes on seeing these however often the place is published anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

from visprep.errors import AccessDenied, FileMissing, PlaceMissing, VisprepError
from visprep.manifest import DATASET, MANIFEST, File, order
from visprep.settings import S3Settings
from visprep.stores import Store, is_record, one_version, pins, s3_answers
from visprep.stores.s3 import S3Store
from visprep.stores.versions import CURRENT, Listing, Pointer, Version, read
from visprep.wire import Sink, wait

__all__ = [
    "PlaceStore",
    "annotation_url",
    "is_for_loaders",
    "one_version",
    "pointer_of",
    "refuse_published",
    "resolve",
    "url_of",
    "version_of",
]

T = TypeVar("T")

#: Keys of a listing that are held back while it is not clear yet whether `current.json` is among them.
_HELD = 1_000


class PlaceStore(S3Store):
    """`s3://bucket/prefix`, published or not; or what lies below a directory of a published one.

    Which it is shows at the first use: of a place with a manifest of its own, or of which a listing tells, without a
    request; else `current.json` is asked for, once. A published place can only be read.
    """

    def __init__(self, place: str, settings: S3Settings | None = None, *, page_size: int = 1000) -> None:
        super().__init__(place, settings, page_size=page_size)
        #: Bucket and prefix -> the version found there; None: it is not published
        self._pins: dict[tuple[str, str], Version | None] = pins()
        self._asked = self._asked_above = self._writable = False
        self._base = self._within = ""
        self.version: Version | None = None  # as soon as it is known; None for a place that is not published
        self._listing: Listing | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_listing": None, "_pins": {}}

    def list(self, cuts: Sequence[str] = (), *, digests: bool = True) -> Iterator[File]:
        """See `S3Store.list`; of a published place, the files of its version, which are not listed on S3."""
        if not self._asked:
            yield from self._first_listing(cuts, digests)
            return
        wait(self._settle())
        if self._listing is not None:
            yield from self._listed()
        else:
            yield from self._plain_listing(cuts, digests)

    def _listed(self) -> Iterator[File]:
        """The files of the version here; PlaceMissing for a directory of a published place that has none."""
        assert self._listing
        if self._within and self.version and not self._listing.files:
            root = f"s3://{self.bucket}/{self._base}".rstrip("/")
            what = f"there is nothing under {self.place}/ in version {self.version.name}"
            message = f"{what}, which is published at {root}"
            raise PlaceMissing(message, hint=f"visprep ls {root} shows what there is")
        yield from self._listing.files

    def _plain_listing(self, cuts: Sequence[str], digests: bool) -> Iterator[File]:
        try:
            yield from super().list(cuts, digests=digests)
        except PlaceMissing:
            if not wait(self._is_below()):
                raise
            yield from self._listed()

    def _first_listing(self, cuts: Sequence[str], digests: bool) -> Iterator[File]:
        """A listing that shows, by the way, whether the place is published."""
        held: list[File] = []
        listing = self._plain_listing(cuts, digests)
        try:
            for file in listing:
                held.append(file)
                if file.path == CURRENT or len(held) > _HELD:
                    wait(self._settle())
                    break
                if file.path == MANIFEST or file.sort_key > order(CURRENT):
                    break
        except AccessDenied:  # a published place can be read by who may not list it
            self.locate()
            if self._listing is None:
                raise
            yield from self._listed()
            return
        self._asked = True
        if self._listing is not None and not self._within:
            yield from self._listing.files
            return
        yield from held
        yield from listing

    async def stat(self, path: str) -> File:
        """See `S3Store.stat`."""
        await self._settle(path)
        return await self._or_below(path, lambda: S3Store.stat(self, path))

    async def hash(self, path: str, algorithm: str) -> str | None:
        """See `S3Store.hash`."""
        await self._settle(path)
        return await self._or_below(path, lambda: S3Store.hash(self, path, algorithm))

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `S3Store.read`."""
        await self._settle(path)
        return await self._or_below(path, lambda: S3Store.read(self, path, offset, length))

    async def fetch(self, file: File, sink: Sink) -> str | None:
        """See `S3Store.fetch`."""
        await self._settle(file.path)
        return await self._or_below(file.path, lambda: S3Store.fetch(self, file, sink))

    async def _or_below(self, path: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What an attempt gives: a second one where the first shows that this lies below a published place."""
        try:
            found = await attempt()
        except (FileMissing, PlaceMissing, AccessDenied):  # to who may not list, what is not there is forbidden
            if not self._asked:  # the manifest is not there: nothing is known yet
                await self._ask_for_pointer()
                if self.version is None:
                    raise
            elif is_record(path) or path == DATASET or not await self._is_below():
                raise
            return await attempt()
        self._asked = True
        return found

    async def receive(self, file: File, origin: Store) -> File:
        """See `Store.receive`."""
        await self.check_writable()
        return await super().receive(file, origin)

    async def write(self, path: str, data: bytes) -> File:
        """See `Store.write`."""
        await self.check_writable()
        return await super().write(path, data)

    async def delete(self, path: str) -> None:
        """See `Store.delete`."""
        await self.check_writable()
        await super().delete(path)

    async def check_writable(self) -> None:
        """AccessDenied when this is a published place, or lies below one: it is looked at all prefixes above, once.

        Keys below `files/` or `versions/` of such a place are its own, though no version has files under that name.
        """
        if self._writable:
            return
        try:
            await self._settle()
            published = [above for above in self._above() if await self._pinned(above)]
        except PlaceMissing:  # nothing is published in a bucket that is not there: it may be made yet
            return
        if self.version is not None:
            _read_only(self.place, f"s3://{self.bucket}/{self._base}")
        if published:
            _read_only(self.place, f"s3://{self.bucket}/{published[0]}")
        self._writable = True

    def _above(self) -> Iterator[str]:
        """The prefixes above this one, the longest first; the last is the bucket."""
        above = self.prefix
        while above:
            above = above.rpartition("/")[0]
            yield above

    def key(self, path: str) -> str:
        """The whole key of a path; FileMissing when a published place has no such file in its version."""
        if self.version is None:
            return super().key(path)
        if self._listing is None or path not in self._listing.keys:
            raise FileMissing(f"{self.place}: {path!r} is not in version {self.version.name}, which is published there")
        return self._base + self._listing.keys[path]

    async def _settle(self, path: str = "") -> None:
        """Find out whether the place is published, and the files of its version; the manifest itself may tell it."""
        if not self._asked:
            if path == MANIFEST:
                return
            await self._ask_for_pointer()
        if self.version is not None and self._listing is None:
            await self._load(self.version)

    async def _ask_for_pointer(self) -> None:
        found = await self._pinned(self.prefix)
        if not self._asked:  # another job may have been quicker
            self._asked = True
            if found:
                self._base, self.version = self._root, found
        if self.version is not None and self._listing is None:
            await self._load(self.version)

    async def _is_below(self) -> bool:
        """Whether this is a directory of a place that is published further up; asked once."""
        if self.version is not None or self._asked_above:
            return False
        self._asked = self._asked_above = True
        for above in self._above():
            found = await self._pinned(above)
            if found:
                self._base, self.version = f"{above}/" if above else "", found
                self._within = f"{self.prefix[len(self._base) :]}/"
                await self._load(found)
                return True
        return False

    async def _pinned(self, prefix: str) -> Version | None:
        """The version that counts below a prefix, as it was when anybody of ours first asked; None: none."""
        place = self.bucket, prefix
        if place not in self._pins:
            plain = self._plain(prefix)
            pointer, _ = await pointer_of(plain)
            self._known = plain._known
            self._pins.setdefault(place, pointer.version if pointer else None)
        return self._pins[place]

    def objects(self) -> Iterator[tuple[File, File | None]]:
        """Each file of the version, and the object that it lies in if that is as old as the version, or older.

        The object has no digest, and its path is its key. One that was written later may be another one; nothing comes
        of a place that is not published, or that may not be listed.
        """
        if self.version is None or self._listing is None:
            return
        wanted = set(self._listing.keys.values())
        there: dict[str, File] = {}
        with contextlib.suppress(AccessDenied):
            for file in self._plain(self._base.rstrip("/")).list(digests=False):
                if file.path in wanted or file.path == self.version.manifest:
                    there[file.path] = file
        made = there.get(self.version.manifest)
        for file in self._listing.files if made else ():
            have = there.get(self._listing.keys[file.path])
            old = have is not None and have.mtime is not None and have.mtime <= ((made and made.mtime) or 0)
            yield file, have if old else None

    @property
    def annotations(self) -> tuple[str, ...]:
        """The annotation files that loaders read, as soon as it is known that the place is published."""
        return self._listing.annotations if self._listing else ()

    def locate(self) -> None:
        """Find out whether the place is published, or lies below one that is."""
        wait(self._settle())
        if self.version is None:
            wait(self._is_below())

    def _plain(self, prefix: str) -> S3Store:
        """A prefix of the same bucket as it lies on S3."""
        plain = S3Store(f"s3://{self.bucket}/{prefix}", self.settings)
        plain._known = self._connection()  # what was learned of the bucket need not be learned twice
        return plain

    async def _load(self, version: Version) -> None:
        store = self._plain(self._base.rstrip("/"))
        listing = read(await store.read(version.manifest), version, store.place)
        self._listing = listing.below(self._within) if self._within else listing


def _read_only(place: str, published: str) -> NoReturn:
    published = published.rstrip("/")
    what = f"{place} lies below {published}, which" if place != published else place
    raise AccessDenied(
        f"{what} is published: a version of it never changes",
        hint=f"visprep publish PLACE {published} makes the next version",
    )


def version_of(store: Store) -> str | None:
    """The version that a store has of a published place, None for any other, as far as that is known."""
    return store.version.name if isinstance(store, PlaceStore) and store.version is not None else None


def refuse_published(store: Store) -> None:
    """AccessDenied when a place is published, or lies below one that is: then no file of it may change."""
    if isinstance(store, PlaceStore):
        wait(store.check_writable())


def resolve(store: Store) -> Store:
    """The store itself, which knows then whether the place is published, and stays with the version found.

    Stores of other kinds are never published.
    """
    if isinstance(store, PlaceStore):
        wait(store._settle())
    return store


def url_of(store: Store, path: str) -> str:
    """Where a file of a store can be fetched from: `s3://bucket/key`, for ever the same bytes if it is published.

    On disk, the path. The store must have been resolved or listed before.
    """
    if isinstance(store, S3Store):
        return f"s3://{store.bucket}/{store.key(path)}"
    return f"{store.place.rstrip('/')}/{path}"


def is_for_loaders(store: Store, path: str) -> bool:
    """Whether loaders read another file in place of this one, whose images are named by where they lie."""
    return isinstance(store, PlaceStore) and path in store.annotations


def annotation_url(url: str, settings: S3Settings | None = None) -> str:
    """The annotation file that a loader shall read for `s3://bucket/prefix/annotations/x.json`.

    That is the object itself where there is one. Else, below a published place, it is the one of the version that
    counts now, whose images are named `s3://bucket/key`: it never changes. FileMissing when there is neither.
    """
    home, _, name = url.rpartition("/")
    store = PlaceStore(home, settings)
    plain = store._plain(store.prefix)
    try:
        wait(plain.stat(name))
        return url
    except (FileMissing, AccessDenied) as missing:
        told: VisprepError = missing
    store.locate()
    if store.version is None:
        if isinstance(told, FileMissing):
            wait(plain.read(name, 0, 1))  # an answer without a body cannot say that it is the bucket that is missing
        raise told
    path = store.version.path_of(store._within + name)
    found = f"s3://{store.bucket}/{store._base}{path}"
    try:
        wait(store._plain(store._base.rstrip("/")).stat(path))
    except FileMissing:
        assert store._listing is not None
        if name in store._listing.keys:
            words, hint = "has not all its images in the place", "publish it together with them"
        else:
            words, hint = "is not there", f"visprep ls s3://{store.bucket}/{store._base} shows what there is"
        message = f"{url} {words}, in version {store.version.name}, which is published there"
        raise FileMissing(message, hint=hint) from None
    return found


async def pointer_of(store: S3Store, *, sure: bool = False) -> tuple[Pointer | None, str]:
    """What `current.json` of a prefix says, and its ETag; None when the prefix is not published.

    AccessDenied when it may not be read and is there, or `sure` is asked for. To who may not list, S3 says "forbidden"
    of what is not there, too: that counts as not published. PlaceMissing when there is no such bucket.
    """
    try:
        response = await store.ask("s3:GetObject", "GET", CURRENT)
    except FileMissing:
        return None, ""
    except AccessDenied:
        if sure or await _shows_pointer(store):
            raise
        return None, ""
    return Pointer.load(response.body, store.place), response.etag or ""


async def _shows_pointer(store: S3Store) -> bool:
    """Whether a listing shows a `current.json`; no, to who may not list."""
    query = {"list-type": "2", "encoding-type": "url", "max-keys": "1", "prefix": store.key(CURRENT)}
    try:
        response = await store.ask("s3:ListBucket", "GET", query=query)
    except AccessDenied:
        return False
    return any(file.path == store.key(CURRENT) for file in s3_answers.listing(response, "", digests=False).files)
