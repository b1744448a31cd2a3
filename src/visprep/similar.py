"""Which of many images are the same, in a time that grows nearly linearly with their number.

Two images look alike when all of this holds of their thumbnails (luma of 16 x 16, in gray levels of 256):

- they differ by at most 6 in the mean square, and by at most 31 in any cell;
- that mean square is at most a quarter of the detail of either: of what is left of it when the smooth surface of second
  degree that fits best is taken away;
- the 35 lowest coefficients of the cosine transform beside the mean differ by at most 2 each;
- the chroma differs by at most 6 in the mean square, unless one of the two is gray.

So frames of one scene look alike until something moves that covers about an eighth of their width and height and stands
out by 110 gray levels; a puzzle or a form that differs from another in one small figure looks like it.

An image with a detail below 4 is never compared so: one color, gradients, a few thin lines on white. Of such,
thumbnails tell nothing, and only bytes and pixels count.

Where the numbers come from: of 38 photographs of COCO, no two differ by less than 37 in the mean square, and their
detail is 20 and more. JPEG and WebP of quality 40 move a thumbnail by 0.8 at most, resizing to 0.25..2 with a good
filter by 0.8, with the nearest pixel, the worst filter, by 4.6, by 0.21 of the detail, and a coefficient by 1.8.

The search is exact for that definition, but for crowds. The lowest twelve coefficients are a point; the space is cut
into cubes of six times the allowed difference, and every image is put into all cubes that the box of the allowed
difference around its point meets (some six): two that look alike share a cube at least, and no others are
compared. Cubes with more than 32 images are cut further, by the next coefficients. (A grid for a join by distance:
Boehm, Braunmueller, Krebs and Kriegel, Epsilon Grid Order, SIGMOD 2001. Low coefficients of the cosine transform as
what stays when an image is encoded again: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions,
2010.) More than 500 that no cut parts are a crowd: all are compared with up to 32 leaders in turn, each of them like no
leader before it; whoever is like none is compared with neighbors only, and counted in `crowded`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from visprep.fingerprints import SIDE, VERSION, Kind, Rows

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]

#: What two that look alike may differ by: mean square and largest of the cells, share of the detail, mean square of
#: the chroma, each of the low coefficients. Detail that is enough to be compared. Chroma of what counts as gray.
RMS, CELL, SHARE, CHROMA, COEFFICIENT = 6.0, 31, 0.25, 6.0, 2.0
DETAIL, GRAY = 4.0, 2.0
#: The same as plain data, for those who note by what images were compared; `version` changes with the meaning.
METHOD: Mapping[str, int | float] = {
    "version": VERSION,
    "thumbnail_side": SIDE,
    "rms": RMS,
    "cell": CELL,
    "share_of_detail": SHARE,
    "chroma_rms": CHROMA,
    "coefficient": COEFFICIENT,
    "least_detail": DETAIL,
    "gray_chroma_rms": GRAY,
}
#: Coefficients that a cube is made of: of the first grid, and of those that cut its full cubes further.
_LEVELS = (12, 18, 24, 36)
#: By how much each coefficient may differ: the first, the mean, as far as the mean square lets it. The side of a cube.
_ALLOWED = np.array([RMS] + [COEFFICIENT] * (_LEVELS[-1] - 1), np.float32)
_CUBE = 6 * _ALLOWED
#: Standard deviation of the images of a cube from which on it is cut along a coefficient.
_APART = _CUBE / 4
#: Half of the side of an image's box, and a little more, since coefficients of a difference are rounded otherwise.
_MARGIN = _ALLOWED / 2 + np.float32(0.01)
#: Images that a cube may hold not to be cut; that the smallest cubes may hold to be compared each with each.
_FULL, _CROWD = 32, 500
#: Leaders of a crowd, and neighbors on either side that each is compared with, in so many orders.
_LEADERS, _NEIGHBORS, _ORDERS = 32, 8, 8
#: Rows, and pairs, that are worked on at once.
_BLOCK = 16_384


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images that are the same, by number; `distance` is that of their thumbnails in gray levels, 0.0 for copies.

    Not all pairs are told: of a class of copies each with the first of them (`first < second`), and of the firsts that
    look alike as few as tie them together, the nearest ones. So there are always fewer pairs than images.
    """

    first: int
    second: int
    kind: Kind
    distance: float = 0.0


@dataclass(frozen=True, slots=True)
class Classes:
    """Of each image the number of the first image that it is the same as; by bytes, by pixels, by looks.

    Each is coarser than the one before: images that share `bytes` share `pixels`, and images that share `pixels` share
    `looks`. `looks` are the connected components: with a ~ b and b ~ c all three share it. `crowded` counts images that
    were compared with some only of those that they might look like; `compared` is how many pairs of thumbnails were.
    """

    bytes: Ints
    pixels: Ints
    looks: Ints
    pairs: tuple[Pair, ...]
    crowded: int = 0
    compared: int = 0


def classes(prints: Rows, *, perceptual: bool = True, full: int = _FULL) -> Classes:
    """The classes of images by their fingerprints, rows of `fingerprints.ROW`; who is not `there` is alone.

    A cube with more than `full` images is cut: that decides how long the search takes, and not what it finds.
    """
    numbers = np.arange(len(prints))
    by_bytes = _first_of(prints["bytes"][:, :16], np.flatnonzero(prints["there"]), len(prints))
    firsts = np.flatnonzero((by_bytes == numbers) & prints["there"])
    by_pixels = _first_of(prints["pixels"], firsts, len(prints))[by_bytes]
    pairs = [Pair(int(by_bytes[one]), int(one), Kind.BYTES) for one in np.flatnonzero(by_bytes != numbers)]
    other = np.flatnonzero((by_bytes == numbers) & (by_pixels != numbers))
    pairs += [Pair(int(by_pixels[one]), int(one), Kind.PIXELS) for one in other]
    if not perceptual:
        return Classes(by_bytes, by_pixels, by_pixels, tuple(pairs))
    search = _Search(prints, np.flatnonzero((by_pixels == numbers) & prints["there"]), full)
    joined = Components(len(prints))
    alike = [pair for pair in search.pairs() if joined.join(pair.first, pair.second)]
    return Classes(by_bytes, by_pixels, joined.firsts()[by_pixels], (*pairs, *alike), search.crowded, search.compared)


def _first_of(digests: npt.NDArray[np.uint8], which: Ints, count: int) -> Ints:
    """Of each of `count` the number of the first with the same digest of 16 bytes; only `which` are looked at."""
    first = np.arange(count)
    halves = np.ascontiguousarray(digests[which]).view("<u8")
    order = np.lexsort((halves[:, 0], halves[:, 1]))  # stable, so that of equal ones the first comes first
    ordered = halves[order]
    new = np.ones(len(which), np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first[which[order]] = which[order[np.flatnonzero(new)]][np.cumsum(new) - 1]
    return first


class Components:
    """Connected components, by the smallest number in each."""

    def __init__(self, count: int) -> None:
        """`count` that are alone."""
        self._up = list(range(count))

    def _top(self, one: int) -> int:
        up = self._up
        while up[one] != one:
            up[one] = one = up[up[one]]
        return one

    def join(self, one: int, other: int) -> bool:
        """Tie two together; whether they were not tied before."""
        one, other = self._top(one), self._top(other)
        self._up[max(one, other)] = min(one, other)
        return one != other

    def firsts(self) -> Ints:
        """Of each the smallest number of its component."""
        return np.fromiter(map(self._top, range(len(self._up))), np.intp, len(self._up))


def _cosines() -> Floats:
    """The 36 lowest coefficients of the cosine transform, a row for each, so that squares sum up to the mean square."""
    places = np.arange(SIDE)
    waves = np.cos(np.pi * places[:, None] * (places[None] + 0.5) / SIDE) / SIDE
    waves[1:] *= np.sqrt(2)
    order = sorted(((u, v) for u in places for v in places), key=lambda place: (sum(place), max(place), place))
    return np.stack([np.outer(waves[u], waves[v]).ravel() for u, v in order[: _LEVELS[-1]]]).astype(np.float32)


def _surfaces() -> Floats:
    """Six orthonormal columns that span the surfaces of second degree."""
    axis = np.linspace(-1, 1, SIDE)
    x, y = (one.ravel() for one in np.meshgrid(axis, axis))
    columns = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    return np.linalg.qr(columns)[0].astype(np.float32)


_COSINES = _cosines()
_SURFACES = _surfaces()


def details(luma: npt.NDArray[np.uint8]) -> Floats:
    """Of each thumbnail, a row, how much is in it, in gray levels: the mean square beside a smooth surface."""
    found = np.empty(len(luma), np.float32)
    for at in range(0, len(luma), _BLOCK):
        cells = luma[at : at + _BLOCK].astype(np.float32)
        cells -= (cells @ _SURFACES) @ _SURFACES.T
        found[at : at + _BLOCK] = np.sqrt((cells * cells).mean(axis=1))
    return found


class _Search:
    """The search for images that look alike among `which` of all."""

    def __init__(self, prints: Rows, which: Ints, full: int) -> None:
        self._full = full
        detail = details(prints["luma"])[which]
        enough = detail >= DETAIL
        #: The numbers of those that are compared, their thumbnails, and what is known of each
        self._numbers = which[enough]
        self._prints = prints
        few = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)[2::4, 2::4].ravel()
        self._few = np.stack([prints["luma"][self._numbers, cell] for cell in few], axis=1)
        self._detail = detail[enough]
        self.compared = 0
        self._crowded = np.zeros(len(self._numbers), np.bool_)

    def _luma(self, which: Any) -> npt.NDArray[np.uint8]:
        """Thumbnails of images; all of them at once would be another quarter of a gigabyte for a million."""
        cells: npt.NDArray[np.uint8] = self._prints["luma"][self._numbers[which]]
        return cells

    @property
    def crowded(self) -> int:
        """Images that were compared with some only of those that they might look like, so far."""
        return int(self._crowded.sum())

    def pairs(self) -> Iterator[Pair]:
        """Pairs that look alike, the nearest first; not all where many do."""
        found = list(self._found())
        if not found:
            return
        one, other, distance = (np.concatenate(parts) for parts in zip(*found, strict=True))
        low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other)
        once = np.unique(low * len(self._numbers) + high, return_index=True)[1]  # many share several cubes
        first, second, distance = self._numbers[low[once]], self._numbers[high[once]], distance[once]
        for at in np.lexsort((second, first, distance)):
            yield Pair(int(first[at]), int(second[at]), Kind.PERCEPTUAL, round(float(distance[at]), 2))

    def _found(self) -> Iterator[tuple[Ints, Ints, Floats]]:
        ids = np.arange(len(self._numbers), dtype=np.int32)
        keys = np.zeros(len(ids), np.uint64)
        done = 0
        for level in _LEVELS:
            ids, keys = self._cubes(ids, keys, done, level)
            done = level
            lengths, starts = _runs(keys)
            full = np.repeat(lengths > self._full, lengths)
            yield from self._each_with_each(ids[~full], keys[~full])
            ids, keys = ids[full], keys[full]
        lengths, starts = _runs(keys)
        small = np.repeat(lengths <= _CROWD, lengths)
        yield from self._each_with_each(ids[small], keys[small])
        ids, keys = ids[~small], keys[~small]
        lengths, starts = _runs(keys)
        seen: set[bytes] = set()
        for length, start in zip(lengths.tolist(), starts.tolist(), strict=True):
            members = np.sort(ids[start : start + length])
            if (name := members.tobytes()) not in seen:  # at the edge of cubes the same crowd is in several
                seen.add(name)
                yield from self._crowd(members)

    def _cubes(self, ids: Any, keys: Any, start: int, end: int) -> Any:
        """Put images into the cubes that their boxes meet, sorted by cube; `keys` are the cubes that they are in.

        A cube is not cut where its images are so near each other that most would be on both sides, or all on one.
        """
        lengths, starts = _runs(keys)
        home = np.repeat(np.arange(len(starts), dtype=np.int32), lengths)
        which, row = np.unique(ids, return_inverse=True)
        row = row.astype(np.int32)
        points = self._points(which, _COSINES[start:end].T)
        cut = np.ones((len(starts), end - start), np.bool_)
        if start and len(starts):
            means, squares = (np.add.reduceat(points[row] ** power, starts) / lengths[:, None] for power in (1, 2))
            cut = squares - means**2 > _APART[start:end] ** 2
        for axis in range(end - start):
            point, parted = points[row, axis], cut[home, axis]
            margin, cube = _MARGIN[start + axis], _CUBE[start + axis]
            low, high = (np.floor((point + side) / cube) * parted for side in (-margin, margin))
            both = np.flatnonzero(low != high)
            keys = np.concatenate([_mixed(keys, low), _mixed(keys[both], high[both])])
            ids, row, home = (np.concatenate([one, one[both]]) for one in (ids, row, home))
        order = np.lexsort((ids, keys))
        return ids[order], keys[order]

    def _points(self, which: Ints, waves: Floats) -> Floats:
        """Low coefficients of images."""
        points = np.empty((len(which), waves.shape[1]), np.float32)
        for at in range(0, len(which), _BLOCK):
            points[at : at + _BLOCK] = self._luma(which[at : at + _BLOCK]).astype(np.float32) @ waves
        return points

    def _each_with_each(self, ids: Any, keys: Any) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Compare all that share a cube."""
        few = self._few[ids]  # in the order of the cubes, since memory is what this waits for
        at, step = np.arange(len(keys)), 1
        while len(at):
            at = at[at + step < len(keys)]
            at = at[keys[at] == keys[at + step]]
            for start in range(0, len(at), _BLOCK):
                here = at[start : start + _BLOCK]
                self.compared += len(here)
                apart = np.maximum(few[here], few[here + step]) - np.minimum(few[here], few[here + step])
                # most are told apart by a few cells: 224 are the bits that a difference of 31 and less has not
                far = (apart & np.uint8(255 - CELL)).view("<u8")
                likely = here[(far[:, 0] | far[:, 1]) == 0]
                yield from self._compared(ids[likely], ids[likely + step])
            step += 1

    def _crowd(self, members: Any) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Compare so many that are so near that each with each would be too much."""
        free = np.ones(len(members), np.bool_)
        for _ in range(_LEADERS):
            if not free.any():
                return
            leader = int(np.argmax(free))
            free[leader] = False
            self.compared += len(members)
            for ones, others, distance in self._compared(np.full(len(members), members[leader]), members):
                free[np.searchsorted(members, others)] = False
                yield ones, others, distance
        rest = members[free]
        if not len(rest):
            return
        self._crowded[rest] = True
        spread = self._luma(rest).astype(np.float32).var(axis=0)
        for cell in np.argsort(-spread, kind="stable")[:_ORDERS]:
            line = rest[np.argsort(self._luma(rest)[:, cell], kind="stable")]
            for step in range(1, min(_NEIGHBORS + 1, len(line))):
                self.compared += len(line) - step
                yield from self._compared(line[:-step], line[step:])

    def _compared(self, ones: Any, others: Any) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Of candidates those that look alike, with their distance."""
        for at in range(0, len(ones), _BLOCK):
            one, other = ones[at : at + _BLOCK], others[at : at + _BLOCK]
            distance = self._distance(one, other)
            alike = (distance <= RMS) & (one != other)
            if alike.any():
                yield one[alike], other[alike], distance[alike]

    def _distance(self, one: Any, other: Any) -> Floats:
        """The mean square of the difference of thumbnails; infinite where two do not look alike."""
        cells = self._luma(one).astype(np.float32) - self._luma(other)
        distance = np.sqrt(np.einsum("ij,ij->i", cells, cells) / cells.shape[1])
        alike = distance <= np.minimum(RMS, SHARE * np.minimum(self._detail[one], self._detail[other]))
        near = np.flatnonzero(alike)
        cells, one, other = cells[near], one[near], other[near]
        same = (np.abs(cells).max(axis=1, initial=0) <= CELL) & self._same_chroma(one, other)
        alike[near] = same & (np.abs(cells @ _COSINES.T) <= _ALLOWED).all(axis=1)
        return np.where(alike, distance, np.float32(np.inf))

    def _same_chroma(self, one: Any, other: Any) -> npt.NDArray[np.bool_]:
        first, second = (self._prints["chroma"][self._numbers[side]].astype(np.float32) - 128 for side in (one, other))
        gray = np.minimum((first * first).mean(axis=1), (second * second).mean(axis=1)) <= GRAY**2
        apart = first - second
        same: npt.NDArray[np.bool_] = gray | ((apart * apart).mean(axis=1) <= CHROMA**2)
        return same


def _mixed(keys: npt.NDArray[np.uint64], values: Floats) -> npt.NDArray[np.uint64]:
    """Keys, each with one more value worked into it (the finalizer of splitmix64: Steele and others, 2014)."""
    mixed = keys * np.uint64(0x9E3779B97F4A7C15) + (values.astype(np.int64) + 0x8000).astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _runs(keys: npt.NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Lengths and starts of the runs of equal keys."""
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(keys)), np.bool_), keys[1:] != keys[:-1]]))
    return np.diff(np.append(starts, len(keys))), starts
