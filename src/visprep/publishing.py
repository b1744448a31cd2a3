"""Publishing a version of a place: its files first, what loaders read next, and last the pointer to it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from visprep import editions, loader_annotations, provenance, temporary
from visprep.editions import Edition
from visprep.errors import FileMissing, Incomplete, PlaceBusy, PlaceMissing, VisprepError, WouldOverwrite, WrongContent
from visprep.journal import Failures
from visprep.manifest import File
from visprep.plans import Action, Operation
from visprep.progress import OnProgress, Pulse
from visprep.settings import S3Settings
from visprep.stores import Store, s3_uploads
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore
from visprep.stores.published import pointer_of
from visprep.stores.s3 import S3Store
from visprep.stores.swapping import knows_conditions, swap
from visprep.stores.versions import CURRENT, FILES, VERSIONS, Listing, Pointer, Version, read
from visprep.transfer import LARGE, apply
from visprep.wire import wait

#: Keys that publish makes: a hash in the name, a version's directory.
_OURS = re.compile(
    rf"{FILES}/(?:.*/)?[^/]*\.[0-9a-f]{{16}}(?:\.[^/.]*)?|{VERSIONS}/[0-9TZ]+-[0-9a-f]{{8}}/.+", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What was done at a published place; with `dry_run`, what would be.

    `action` is `published`, `unchanged`, `rolled back` or `pruned`; `version` counts now, `previous` did before. Of
    the `files` of the version, with `bytes`, `sent` were not there, or not any more. `annotations` are the paths of
    annotation files that loaders can read, `without_images` of those whose images are not in the place. `deleted` are
    versions, and `deleted_files` and `deleted_bytes` all that went with them. Unless `guarded`, the server does not
    know conditional writes: of two that publish at the same moment, one may be lost unseen.
    """

    target: str
    action: str
    version: str
    place: str | None = None
    previous: str | None = None
    files: int = 0
    bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    annotations: tuple[str, ...] = ()
    without_images: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    deleted_files: int = 0
    deleted_bytes: int = 0
    guarded: bool = True
    dry_run: bool = False


@dataclass
class Prefix:
    """What lies below the prefix: its pointer with the ETag, and every other key with its file."""

    store: S3Store
    pointer: Pointer | None = None
    etag: str = ""
    files: dict[str, File] = field(default_factory=dict)

    @classmethod
    def look(cls, store: S3Store) -> Prefix:
        """Look first at the pointer, then at all keys: WouldOverwrite when `publish` did not make them all."""
        found = cls(store, *wait(pointer_of(store)))
        foreign = []
        with contextlib.suppress(PlaceMissing):
            for file in store.list(digests=False):
                if _OURS.fullmatch(file.path):
                    found.files[file.path] = file
                elif file.path == CURRENT and found.pointer:
                    continue
                elif file.size or not file.path.endswith("/"):  # S3's console marks directories so
                    foreign.append(file.path)
        if found.pointer is None and foreign == [CURRENT] and wait(pointer_of(store))[0]:
            foreign = []  # the first version came meanwhile; the swap will tell
        if foreign:
            hint = "publish to a prefix of its own"
            raise WouldOverwrite.of(store.place, foreign, hint)
        return found

    def listing(self, version: Version) -> Listing:
        """The manifest of a version."""
        return read(wait(self.store.read(version.manifest)), version, self.store.place)


def await_pointer(store: S3Store) -> tuple[Pointer | None, str]:
    """See `pointer_of`, for who does not wait himself, and must know: AccessDenied when it may not be read."""
    return wait(pointer_of(store, sure=True))


class _Keyed(S3Store):
    """The prefix with paths as keys lead to: `a/b.jpg` lies at `files/a/b.0123456789abcdef.jpg`."""

    def __init__(self, place: str, settings: S3Settings, keys: Mapping[str, str]) -> None:
        super().__init__(place, settings)
        self._keys = keys

    def key(self, path: str) -> str:
        """See `S3Store.key`."""
        return super().key(self._keys[path])


def publish(origin: Store, target: S3Store, *, dry_run: bool, jobs: int | None, progress: OnProgress) -> PublishResult:
    """Publish a place as it is now; nothing changes where its files are published already.

    Incomplete when some files could not be sent, ChangedMeanwhile when somebody else published: the version before
    counts on.
    """
    pulse = Pulse(progress)
    prefix = Prefix.look(target)
    if prefix.pointer and prefix.pointer.pruning:
        raise PlaceBusy(
            f"{target.place}: a prune is under way there, or was broken off",
            hint=f"wait for it, or end it: visprep publish --prune {target.place}",
        )
    edition = editions.edition(origin, jobs, pulse)
    if not edition.files:
        raise PlaceMissing(f"{origin.place}: there is nothing to publish", hint="check the path")
    for key in edition.keys.values():
        target.key(key)  # UnsafePath before anything is sent
    there = {path: file.size or 0 for path, file in prefix.files.items()}
    sending = tuple(editions.missing(edition, there))
    before = prefix.pointer.version if prefix.pointer else None
    old = None
    with contextlib.suppress(FileMissing, WrongContent):  # of a version that nobody can read, a new one is made
        old = prefix.listing(before) if before else None
    result = PublishResult(
        target.place,
        "published",
        before.name if before else "",
        origin.place,
        files=len(edition.files),
        bytes=edition.size,
        sent=len(sending),
        sent_bytes=sum(file.size or 0 for file in sending),
        dry_run=dry_run,
    )
    with temporary.directory("publish") as folder:
        made, without = _annotations(origin, edition, target, folder)
        result = replace(result, annotations=made, without_images=without)
        same = before and old and edition.same_as(old) and old.annotations == made
        if same and before and all(before.path_of(path) in prefix.files for path in made):
            result = replace(result, action="unchanged", version=before.name)
        manifest = edition.manifest(made)
        date = provenance.step("publish", target.place).date
        name = editions.version_name(date, manifest)
        if dry_run:
            return result
        _send(origin, target, edition, sending, jobs, pulse)
        if result.action == "unchanged":
            return result
        version = Version(name, f"{VERSIONS}/{name}/manifest.jsonl", editions.hex_of(manifest), date)
        _send_annotations(folder, target, version, made, jobs)
    wait(target.write(version.manifest, manifest))
    guarded = wait(knows_conditions(target, version))
    wait(swap(target, _next(prefix.pointer, version), prefix.etag, guarded=guarded))
    return replace(result, version=name, previous=before.name if before else None, guarded=guarded)


def _next(pointer: Pointer | None, version: Version) -> Pointer:
    """The pointer to a new version."""
    if pointer is None:
        return Pointer(version)
    was = replace(pointer.version, until=editions.now())
    history, withdrawn = (
        tuple(one for one in some if one.name != version.name) for some in ((was, *pointer.history), pointer.withdrawn)
    )
    return replace(pointer, version=version, history=history, withdrawn=withdrawn)


def _annotations(
    origin: Store, edition: Edition, target: S3Store, folder: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the annotation files for loaders; the paths of those written, and of those without any image here."""
    made: list[str] = []
    without: list[str] = []
    for file in loader_annotations.annotation_files(origin, edition.files):
        path = file.file.path
        written = loader_annotations.write(
            file, lambda path: f"s3://{target.bucket}/{target.key(edition.keys[path])}", folder / path
        )
        (made if written else without).append(path)
    return tuple(made), tuple(without)


def _send(
    origin: Store, target: S3Store, edition: Edition, sending: Iterable[File], jobs: int | None, pulse: Pulse
) -> None:
    """Send files to where they lie; Incomplete when some failed, and all others are there then."""
    keyed = _Keyed(target.place, target.settings, edition.keys)
    sending = tuple(sending)
    made = MemoryStore(files=edition.made)
    failures = Failures()
    done = 0
    if sending:
        pulse("Publishing", 0, len(sending), last=True)
    for store, files in (
        (origin, [file for file in sending if file.path not in edition.made]),
        (made, [file for file in sending if file.path in edition.made]),
    ):
        for path, outcome in apply(_creating(files), store, keyed, jobs=jobs):
            done += 1
            if isinstance(outcome, VisprepError):
                failures.append((path, outcome))
            pulse("Publishing", done, len(sending), last=done == len(sending))
    if failures:
        raise Incomplete.of(failures, len(edition.files))
    with contextlib.suppress(VisprepError):  # not everyone may, and nothing depends on it
        s3_uploads.abort_stale(keyed, [file.path for file in sending if (file.size or 0) > LARGE])


def _send_annotations(folder: Path, target: S3Store, version: Version, paths: Iterable[str], jobs: int | None) -> None:
    files = [File(path, (folder / path).stat().st_size) for path in paths]
    keyed = _Keyed(target.place, target.settings, {path: version.path_of(path) for path in paths})
    failures = Failures()
    for path, outcome in apply(_creating(files), LocalStore(folder), keyed, jobs=jobs):
        if isinstance(outcome, VisprepError):
            failures.append((path, outcome))
    if failures:
        raise Incomplete.of(failures, len(files))


def _creating(files: Iterable[File]) -> Iterator[Operation]:
    return (Operation(Action.CREATE, file, "not there yet") for file in files)
