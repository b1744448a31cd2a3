"""Episodes at a place: what is wrong with each, and what lies between them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from visprep.findings import Finding
from visprep.formats import episodes
from visprep.formats.directories import linked, places
from visprep.formats.episodes import Episode
from visprep.image_loading import jobs_to_see, told_by_size
from visprep.looking import Looking
from visprep.manifest import File
from visprep.rounds import SEEING
from visprep.rules import Depth, strays
from visprep.rules import episodes as rules
from visprep.selection import Scope
from visprep.traffic import Traffic


def recognize(look: Looking) -> EpisodesCheck | None:
    """The check of a place with a frame: a file that is named as one."""
    return EpisodesCheck(look) if any(episodes.is_member(file.path) for file in look.listing) else None


class EpisodesCheck:
    """One look at the episodes of a place."""

    def __init__(self, look: Looking) -> None:
        self.look, self.depth = look, look.depth
        self.strays: list[File] = []
        self.found = list(episodes.find(look.listing, look.place_name, self.strays.append))

    @property
    def homes(self) -> Iterable[str]:
        """The directories of the episodes."""
        return (episode.path for episode in self.found)

    def widened(self, changed: frozenset[str]) -> Iterable[str]:
        """Nothing: an episode is a directory."""
        return ()

    def records(self, scope: Scope) -> Mapping[str, int]:
        """How many episodes are looked at, and how many frames they have."""
        held = self._held(scope)
        return {"episodes": len(held), "frames": sum(len(episode.frames) for episode in held)}

    def findings(self, scope: Scope) -> Iterator[Finding]:
        """What is wrong with the names of all, and with the frames of those that the scope holds."""
        if not self.found:
            yield rules.NO_FRAMES.at(".", "no frame is here")
        yield from strays.check(
            self.strays, "belongs to no episode", linked(self.look.store, self.strays), places(self.look.listing)
        )
        for episode in self.found:
            yield from rules.check_names(episode)
        held = self._held(scope)
        if self.depth.reaches(Depth.HEADERS):
            yield from self._looked_into(held)
        else:
            yield from told_by_size((file for one in held for file in (*one.frames, *one.near)), self.depth)

    def _looked_into(self, held: list[Episode]) -> Iterator[Finding]:
        """What is wrong with frames, and with their sizes; no more is held than the sizes of one episode."""
        files = (file for episode in held for file in (*episode.frames, *episode.near))
        total = sum(len(episode.frames) + len(episode.near) for episode in held)
        jobs = jobs_to_see(self.depth, self.look.near)
        sights = self.look.rounds.over("Looking at frames", files, SEEING, "frames", total=total, jobs=jobs)
        games: defaultdict[str, Counter[rules.Size]] = defaultdict(Counter)
        for episode in held:
            sizes: list[rules.Size | None] = []
            for _ in range(len(episode.frames) + len(episode.near)):
                sight = next(sights)
                yield from sight.findings
                sizes.append(sight.upright)
            sizes = sizes[: len(episode.frames)]
            yield from rules.check_sizes(episode, sizes)
            if known := Counter(filter(None, sizes)):
                games[episode.home][known.most_common(1)[0][0]] += 1
        yield from rules.check_games(games)

    def reads(self, scope: Scope) -> Traffic:
        """What would be read."""
        files = (file for episode in self._held(scope) for file in (*episode.frames, *episode.near))
        return self.look.reads(files)

    def _held(self, scope: Scope) -> list[Episode]:
        return self.found if scope.whole else [episode for episode in self.found if scope.holds(episode.path)]
