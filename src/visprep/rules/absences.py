"""Which of the files that a manifest misses are told already, as what a record lacks."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable

from visprep.findings import Finding
from visprep.formats import episodes, triplets
from visprep.rules.episodes import EPISODE_GAP
from visprep.rules.triplets import TRIPLET_INCOMPLETE


class Absences:
    """What is told to be missing without the name that it had: frames by number, pictures of triplets by stem."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        gaps: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self._pictures: set[tuple[str, str]] = set()
        for one in findings:
            if one.code == EPISODE_GAP.code:
                first, _, last = one.where["id"].partition("-")
                gaps[one.where["episode"]].append((int(first), int(last or first)))
            elif one.code == TRIPLET_INCOMPLETE.code:
                self._pictures.add((one.path.rpartition("/")[0], one.where["triplet"].rpartition("/")[2]))
        self._gaps = {episode: sorted(numbers) for episode, numbers in gaps.items()}

    def hold(self, path: str) -> bool:
        """Whether a file of that path is one of these."""
        folder = path.rpartition("/")[0]
        if any((folder, stem) in self._pictures for stem in triplets.stems_of(path)):
            return True
        gaps, number = self._gaps.get(folder or "."), episodes.number_of(path)
        if gaps is None or number is None:
            return False
        at = bisect(gaps, number, key=lambda gap: gap[0])
        return at > 0 and number <= gaps[at - 1][1]
