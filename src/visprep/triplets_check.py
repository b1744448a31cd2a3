"""Triplets for virtual try-on at a place: what is wrong with each, and what lies between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from visprep.errors import VisprepError
from visprep.findings import Finding
from visprep.formats import triplets
from visprep.formats.directories import linked, places
from visprep.formats.triplets import Triplet
from visprep.image_loading import jobs_to_see, told_by_size, unseen
from visprep.looking import Looking
from visprep.manifest import File
from visprep.rounds import Eye, Work
from visprep.rules import Depth, image_files, strays
from visprep.rules import triplets as rules
from visprep.selection import Scope
from visprep.traffic import Traffic


def recognize(look: Looking) -> TripletsCheck | None:
    """The check of a place with a picture of a triplet: one that is named and placed as one."""
    return TripletsCheck(look) if any(triplets.is_member(file.path) for file in look.listing) else None


class TripletsCheck:
    """One look at the triplets of a place."""

    #: A triplet is no directory, see `widened`
    homes: Iterable[str] = ()

    def __init__(self, look: Looking) -> None:
        self.look, self.depth = look, look.depth
        self.strays: list[File] = []
        self.found = list(triplets.find(look.listing, look.place_name, self.strays.append))

    def widened(self, changed: frozenset[str]) -> Iterable[str]:
        """The paths of all pictures of the triplets of which one changed, or is gone; the missing ones too."""
        touched = {one.key for one in triplets.find(sorted(map(File, changed), key=lambda file: file.sort_key))}
        below = Scope(changed, ())
        for triplet in self.found:
            paths = [file.path for file in (*triplet.files, *triplet.near)]
            if triplet.key in touched or any(map(below.holds, paths)):
                yield from (*paths, *triplet.missing)

    def records(self, scope: Scope) -> Mapping[str, int]:
        """How many triplets are looked at, complete or not, and how many pictures."""
        held = self._held(scope)
        return {"triplets": len(held), "images": sum(len(triplet.files) for triplet in held)}

    def findings(self, scope: Scope) -> Iterator[Finding]:
        """What is wrong with the names of all, and with the pictures of those that the scope holds."""
        if not self.found:
            yield rules.NO_TRIPLETS.at(".", "no picture of a triplet is here")
        yield from strays.check(
            self.strays, "belongs to no triplet", linked(self.look.store, self.strays), places(self.look.listing)
        )
        for triplet in self.found:
            yield from rules.check_names(triplet)
        held = self._held(scope)
        if not self.depth.reaches(Depth.HEADERS):
            yield from told_by_size((file for triplet in held for file in _images(triplet)), self.depth)
            return
        jobs = jobs_to_see(self.depth, self.look.near)
        for findings in self.look.rounds.over(
            "Looking at triplets", held, _SEEING, "triplets", total=len(held), jobs=jobs
        ):
            yield from findings

    def reads(self, scope: Scope) -> Traffic:
        """What would be read."""
        images = (file for triplet in self._held(scope) for file in _images(triplet))
        return self.look.reads(images)

    def _held(self, scope: Scope) -> list[Triplet]:
        if scope.whole:
            return self.found
        return [one for one in self.found if any(scope.holds(file.path) for file in (*one.files, *one.near))]


def _images(triplet: Triplet) -> Iterator[File]:
    yield from triplet.files
    yield from (file for file in triplet.near if image_files.is_image(file.path))


async def _seen(eye: Eye, triplet: Triplet) -> list[Finding]:
    findings: list[Finding] = []
    sizes: dict[str, tuple[int, int]] = {}
    for file in _images(triplet):
        sight = await eye.see(file)
        findings += sight.findings
        if sight.upright:
            sizes[file.path] = sight.upright
    return [*findings, *rules.check_sizes(triplet, sizes)]


def _lost(triplet: Triplet, error: VisprepError) -> list[Finding]:
    return [finding for file in _images(triplet) for finding in unseen(file, error).findings]


_SEEING = Work(_seen, _images, _lost, list[Finding])
