"""Single images by their own addresses: where they lie so, or the archive that holds them cannot be read in parts.

Mostly nothing but the directory of that archive tells a checksum of an image. Where it could be read, what comes is
held against it; where it could not, the images are counted as unchecked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

from visprep import wire
from visprep.engines import Engine, slices
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    FileMissing,
    NetworkError,
    SourceError,
    VisprepError,
    WouldOverwrite,
    WrongContent,
)
from visprep.extraction import Extraction, Part, as_file
from visprep.fetched_images import Came, Wish, bring, bring_all
from visprep.manifest import File
from visprep.mirrors import Mirrors, is_of_mirror
from visprep.own_record import CACHE
from visprep.stores import Store
from visprep.stores.addresses import AddressStore
from visprep.stores.local import LocalStore
from visprep.wire import RangesIgnored

#: What an image of COCO has, about, in bytes, where nothing tells its size beforehand.
_ABOUT = 165_000
#: Images that go to a worker together, and about how many bytes of them.
_SLICE, _SLICE_BYTES = 256, 64 * 1024 * 1024


class Singles:
    """Images that are `wanted` one by one, from one of the `origins`. `heard` is told of bytes as they come.

    `problems` says of those that no origin gave what the last one that was asked had against it. `about` is what an
    image has in bytes, where nothing tells its size. With an `engine` that spreads, workers fetch them. A
    road that fetches otherwise has `fetch` of its own: what it brings goes into the store of its path, and is told to
    `arrived`.
    """

    def __init__(
        self,
        extraction: Extraction,
        origins: Iterable[Store],
        jobs: int | None,
        heard: Callable[[str, int], None],
        about: int = _ABOUT,
        engine: Engine | None = None,
    ) -> None:
        self._extraction, self._jobs, self._heard, self._about = extraction, jobs, heard, about
        self._origins, self._engine = tuple(origins), engine
        target = extraction.target
        self._aside = LocalStore(target.root / CACHE / "singles") if isinstance(target, LocalStore) else None
        self.wanted: dict[str, File] = {}
        self.problems: dict[str, VisprepError] = {}
        #: Width and height of those that were seen on their way, which is so where no directory is the target.
        self.sizes: dict[str, tuple[int, int]] = {}
        self._came_unchecked = 0
        self._doubtful: set[str] = set()

    @property
    def directory(self) -> LocalStore:
        """The target, for a road that leads to a directory only."""
        assert isinstance(self._extraction.target, LocalStore)  # see `Road.to_any_place`
        return self._extraction.target

    @property
    def unchecked(self) -> int:
        """How many came, or are still wanted, that no checksum is known of."""
        return self._came_unchecked + sum(file.digest is None for file in self.wanted.values())

    @property
    def bytes(self) -> int:
        """How much is wanted, as far as that is known beforehand."""
        return sum(self._about if file.size is None else file.size for file in self.wanted.values())

    @property
    def to_come(self) -> int:
        """How many bytes will come for what is wanted, as far as that is known beforehand."""
        return self.bytes

    def can_do(self, problem: VisprepError, mirrors: Mirrors) -> bool:
        """Whether single images may stand in for an archive that failed so: not where another archive lies there."""
        faults = (*mirrors.problems, problem)
        return (
            (isinstance(problem, SourceError) or is_of_mirror(problem))
            and any(isinstance(one, FileMissing | AccessDenied | RangesIgnored) for one in faults)
            and not any(isinstance(one, WrongContent | ChangedMeanwhile) for one in faults)
        )

    def want(self, files: Iterable[File]) -> None:
        """Ask for those that are not there yet; WouldOverwrite when somebody else's file is there.

        A killed command had no time to note some that it wrote: what may be such a file is fetched again and compared.
        """
        extraction = self._extraction
        for file in sorted(files, key=lambda file: file.sort_key):
            path = file.path
            known = extraction.change.known(path)
            if known and extraction.ours_is_there(path):
                extraction.files[path] = known
                extraction.kept += 1
                continue
            if extraction.lies_there(path) and not extraction.may_replace:
                if known or not extraction.change.resumed:
                    raise WouldOverwrite.of(extraction.target.place, [path])
                self._doubtful.add(path)
            self.wanted[path] = file

    def take_over(self, part: Part) -> None:
        """Ask for what is missing of an archive whose directory could be read."""
        self.wanted |= {one.path: as_file(one) for one in part.missing}
        self._extraction.checked[part.archive.name] = "crc32"

    def fetch(self) -> dict[str, VisprepError]:
        """Fetch what is wanted, from the next origin what one does not give; those that none gives, and why.

        WouldOverwrite when a file that is there is not the one that an origin gives.
        """
        gone: VisprepError = FileMissing("there is no address where it could be")
        for origin in self._origins:
            if self.wanted:
                gone = self._fetch(self.wanted.values(), origin) or gone
        return self.left(gone)

    def store(self, path: str) -> LocalStore:
        """Where a file goes first in a directory: the place, or aside while something else may lie there."""
        return self._aside if self._aside and path in self._doubtful else self.directory

    def arrived(self, file: File) -> None:
        """Remember a file that is wanted no more; WouldOverwrite when another one is there, which is not ours."""
        target = self._extraction.target
        self.problems.pop(file.path, None)
        doubtful = self._aside and file.path in self._doubtful
        if doubtful and wire.wait(target.hash(file.path, "sha256")) != file.digest:
            raise WouldOverwrite.of(target.place, [file.path])
        self._came_unchecked += self.wanted.pop(file.path).digest is None
        self._extraction.note(file)

    def left(self, gone: VisprepError) -> dict[str, VisprepError]:
        """What did not come, and why: by `problems`, else `gone`; it is wanted no more."""
        left = {path: self.problems.get(path, gone) for path in self.wanted}
        self.wanted.clear()
        return left

    def _fetch(self, files: Iterable[File], origin: Store) -> NetworkError | None:
        """Fetch these from one origin, as far as it gives them; why it could not be asked any more, where it is so."""
        address = origin.address if isinstance(origin, AddressStore) else lambda _: None
        wishes = [
            Wish(file, file.size or self._about, file.path in self._doubtful, address(file.path))
            for file in list(files)
        ]
        try:
            for came in self._come(wishes, origin):
                if isinstance(came.outcome, File):
                    if came.size:
                        self.sizes[came.path] = came.size
                    self.arrived(came.outcome)
                elif isinstance(came.outcome, WouldOverwrite):
                    raise came.outcome
                else:
                    self.problems[came.path] = came.outcome
        except NetworkError as problem:  # an origin that is gone is asked for no more of them
            return problem
        return None

    def _come(self, wishes: list[Wish], origin: Store) -> Iterator[Came]:
        """What came of wishes, as it does."""
        target, engine = self._extraction.target, self._engine
        if engine is None or not engine.spreads:
            yield from bring(
                wishes, origin, target, self._aside, self._jobs, lambda count: self._heard("images", count)
            )
            return
        engine.check(target)
        given = origin.of({}) if isinstance(origin, AddressStore) else origin
        work = functools.partial(bring_all, origin=given, target=target, aside=self._aside)
        cut = slices(wishes, _SLICE, _SLICE_BYTES, lambda wish: wish.weight)
        for some in engine.map(work, cut, lost=lambda wish, error: Came(wish.file.path, error)):
            self._heard("images", sum(came.outcome.size or 0 for came in some if isinstance(came.outcome, File)))
            yield from some
