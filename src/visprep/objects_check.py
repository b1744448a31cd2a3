"""What size and ETag in a listing tell of the objects of a place on S3, held against its manifest: not one is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from visprep.errors import StoreError
from visprep.findings import Finding
from visprep.manifest import MANIFEST, Change, File, aligned, bare_etag, compare
from visprep.render.text import counted
from visprep.rounds import Eye, Work
from visprep.rules.files import FILE_UNREADABLE
from visprep.rules.objects import ETAGS_UNKNOWN, FILE_REPLACED
from visprep.stores import Store


@dataclass(slots=True)
class Judged:
    """The paths of which the listing tells whether they are as the manifest says; the objects that were replaced.

    `replaced` holds what the manifest says of them and what is there: what they tell of themselves is what their writer
    claims, so they are looked into. `unknown` counts those that nothing is told of. `published` says that they are
    those of a version.
    """

    settled: set[str] = field(default_factory=set)
    replaced: list[tuple[File, File]] = field(default_factory=list)
    unknown: int = 0
    published: bool = False

    @classmethod
    def of(cls, listed: Iterable[File], listing: Iterable[File]) -> Judged:
        """`listed` is the manifest, with its ETags; both are sorted."""
        judged = cls()
        for want, have in aligned(listed, listing):
            if want is None or have is None or have.etag is None:
                continue
            change = compare(want, have)
            other = bare_etag(want.etag or "") != bare_etag(have.etag)
            if change is Change.UNKNOWN and not want.etag:
                judged.unknown += 1
            elif change is Change.CONTENT or (change is Change.UNKNOWN and other):
                judged.replaced.append((want, have))
            else:
                judged.settled.add(want.path)
        return judged

    @classmethod
    def of_version(cls, store: Store) -> Judged:
        """Of a published place, a version of which never changes, and where a file lies is made from its bytes.

        An object of the same size that is as old as the version, or older, is the one that was published.
        """
        from visprep.stores.published import PlaceStore  # here, since places on disk need no wire

        judged = cls()
        for want, have in store.objects() if isinstance(store, PlaceStore) else ():
            judged.published = True
            if have is not None and have.size == want.size:
                judged.settled.add(want.path)
            else:
                judged.replaced.append((want, want))
        return judged

    def notes(self) -> Iterable[Finding]:
        """That the manifest is silent on some."""
        if self.unknown:
            words = f"of {counted(self.unknown, 'object')} it tells no ETag, nor an MD5 that the listing has too"
            yield ETAGS_UNKNOWN.at(MANIFEST, words, count=self.unknown)


async def _replaced(eye: Eye, pair: tuple[File, File]) -> Finding | None:
    """What to say of an object with another ETag, once its headers were asked for: it may say that it is the same."""
    want, have = pair
    where = {"expected": bare_etag(want.etag or want.digest or ""), "actual": bare_etag(have.etag or "")}
    words = f"its ETag is {where['actual']}, the manifest says {where['expected']}"
    told = ""
    with contextlib.suppress(StoreError):
        told = (await eye.store.stat(want.path)).digest or ""
    if told and told == want.digest:
        return None
    if told.startswith("sha256:"):
        words += f"; it tells of itself the digest {told}, the manifest {want.digest}"
    return FILE_REPLACED.at(want.path, words, **where)


async def _written_later(eye: Eye, pair: tuple[File, File]) -> Finding | None:
    """What to say of an object of a published version that is missing, of another size, or written after it."""
    want, _ = pair
    try:
        now = await eye.store.stat(want.path)
    except StoreError as problem:
        return FILE_UNREADABLE.at(want.path, problem.message)
    told = now.digest or ""
    if now.size == want.size and (told == want.digest or not told.startswith("sha256:")):
        return None  # copied there by somebody, it may tell nothing of itself: then it is looked into
    words = f"it has {now.size:,} bytes, and is not what was published" if now.size is not None else "it is another one"
    return FILE_REPLACED.at(want.path, words, expected=want.digest, actual=told or bare_etag(now.etag or ""))


#: What is done for what the manifest says of an object, and what is there.
REPLACED = Work(_replaced, lambda pair: (), lambda pair, error: None, Finding | None)
#: And for what a published version says of one, twice.
WRITTEN_LATER = Work(_written_later, lambda pair: (), lambda pair, error: None, Finding | None)
