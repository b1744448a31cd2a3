"""Triplets of virtual try-on straight from S3 or disk, mixed by how difficult they are."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from visprep.errors import UnknownContent
from visprep.formats.triplets import DIFFICULTIES, FOLDERS, Triplet, find
from visprep.garbage_collection import rarely
from visprep.loaders.dataset import ImageDataset
from visprep.loaders.fetch import ImageFile
from visprep.loaders.file_table import FileTable, Texts
from visprep.loaders.in_python import told_in_python
from visprep.loaders.prefixes import Listing, Prefix, listings, missing, origins
from visprep.loaders.transforming import transformed
from visprep.loaders.triplet_choice import MIXTURES, Weights, checked, checked_total, choose, mixture
from visprep.loaders.warned import Doubts, warn
from visprep.manifest import File

if TYPE_CHECKING:
    pass

#: What triplets are whose path does not say how difficult they are.
_UNSAID = "easy"


class S3VTONDataset(ImageDataset):
    """Triplets of a person, a piece of clothing, and the person wearing it, as a dataset of PyTorch.

    A sample is a dict: `initial_image`, `cloth_image` and `try_on_image` (RGB images, or what `transform` makes of
    them), `difficulty` (`easy`, `medium` or `hard`) and `stem`.

    `s3_prefixes` are looked through to any depth; each is `s3://bucket/prefix/`, a prefix in `s3_bucket` (else in
    S3_BUCKET_NAME), or a directory on disk. Triplets are known by directory and stem, and are as difficult as the
    nearest part of their path says; where none does, easy. An incomplete one is left out, and a DatasetWarning names
    the file that is missing. Of several cloths with one stem, the last by name is taken.

    `difficulty_weights` are shares that sum to 1; without them every triplet comes once. The number of samples is that
    of all complete triplets under the prefixes, of any difficulty, unless `total` says another; the shares are whole
    numbers by the largest remainder. Triplets are repeated, with a DatasetWarning, where there are too few. Which are
    drawn, and their order, depends on their names and `seed` alone.

    `joint_transform` is called with the three images, in the order above, and gives three; then `transform` with each
    one. With `from_manifest` nothing is listed: the manifest that visprep wrote tells what there is. Other keywords are
    those of `ImageDataset`.

    UsageError for weights, totals and prefixes that make no sense; PlaceMissing when there is nothing under any prefix;
    UnknownContent when there is no triplet, or none of a difficulty that has a weight.
    """

    @told_in_python
    def __init__(
        self,
        s3_prefixes: Prefix | Sequence[Prefix],
        transform: Callable[[Any], Any] | None = None,
        s3_bucket: str | None = None,
        difficulty_weights: Weights | None = None,
        *,
        total: int | None = None,
        seed: int = 0,
        joint_transform: Callable[..., Sequence[Any]] | None = None,
        from_manifest: bool = False,
        **keywords: Any,
    ) -> None:
        weights = None if difficulty_weights is None else checked(difficulty_weights)
        total = None if total is None else checked_total(total)
        super().__init__(seed=seed, **keywords)
        places = listings(
            s3_prefixes,
            s3_bucket,
            s3_client=keywords.get("s3_client"),
            settings=keywords.get("settings"),
            from_manifest=from_manifest,
        )
        self.transform, self.joint_transform = transform, joint_transform
        #: The weights in use; None where every triplet comes once.
        self.difficulty_weights = weights
        found = _Found(places, frozenset(DIFFICULTIES if weights is None else weights))
        self.origins = origins(places)
        #: How many complete triplets there are of each difficulty.
        self.available: dict[str, int] = found.available
        self._table, self._stems, self._difficulties = found.files, found.stems, found.difficulties
        self._draws = found.draw(weights, total, seed)

    @property
    def counts(self) -> dict[str, int]:
        """How many samples there are of each difficulty."""
        counts = np.bincount(self._difficulties[self._draws], minlength=len(DIFFICULTIES)).tolist()
        return dict(zip(DIFFICULTIES, counts, strict=True))

    def __len__(self) -> int:
        return len(self._draws)

    def files_of(self, index: int) -> Sequence[ImageFile]:
        """The images of a person, the cloth, and the person wearing it."""
        first = 3 * int(self._draws[index])
        return [self._table[number] for number in range(first, first + 3)]

    def first_transform(self) -> Any:
        """`transform`, unless `joint_transform` comes before it."""
        return None if self.joint_transform is not None else self.transform

    def sample_of(self, index: int, images: list[Any]) -> dict[str, Any]:
        """The dict of a sample."""
        triplet = int(self._draws[index])
        three = transformed(images, self.joint_transform, self.transform)
        return {
            **dict(zip(FOLDERS, three, strict=True)),
            "difficulty": DIFFICULTIES[self._difficulties[triplet]],
            "stem": self._stems[triplet],
        }


class _Mixture(S3VTONDataset):
    """A dataset with the weights of a mixture."""

    _name: str

    def __init__(
        self,
        s3_prefixes: Prefix | Sequence[Prefix],
        transform: Callable[[Any], Any] | None = None,
        s3_bucket: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(s3_prefixes, transform, s3_bucket, MIXTURES[self._name], **keywords)


class S3VTONDatasetEasy(_Mixture):
    """`S3VTONDataset` with easy triplets only."""

    _name = "easy"


class S3VTONDatasetMedium(_Mixture):
    """`S3VTONDataset` with 30 % easy and 70 % medium triplets."""

    _name = "medium"


class S3VTONDatasetHard(_Mixture):
    """`S3VTONDataset` with 25 % easy, 25 % medium and 50 % hard triplets."""

    _name = "hard"


_MIXTURES: Mapping[str, type[_Mixture]] = {
    one._name: one for one in (S3VTONDatasetEasy, S3VTONDatasetMedium, S3VTONDatasetHard)
}


def get_vton_dataset(
    difficulty: str = "easy",
    s3_prefixes: Prefix | Sequence[Prefix] = (),
    transform: Callable[[Any], Any] | None = None,
    s3_bucket: str | None = None,
    **keywords: Any,
) -> S3VTONDataset:
    """The dataset of a difficulty, `easy`, `medium` or `hard`; arguments as of `S3VTONDataset`, without the weights.

    UnknownDifficulty, which is a ValueError, for any other.
    """
    mixture(difficulty)
    return _MIXTURES[difficulty](s3_prefixes, transform, s3_bucket, **keywords)


class _Found:
    """The complete triplets under some prefixes; of those that are not `wanted`, only how many there are."""

    def __init__(self, places: Sequence[Listing], wanted: frozenset[str]) -> None:
        self._places, self._wanted = places, wanted
        self._names: list[str] = []
        self._marks, stems = array("B"), list[str]()
        counts: Counter[str] = Counter()
        self._incomplete = Doubts("incomplete triplets")
        self._ambiguous = Doubts("stems with several pictures of a kind")
        with rarely():
            self.files = FileTable(self._images(stems, counts))
        self.stems = Texts(stems)
        self.difficulties = np.frombuffer(self._marks, np.uint8)
        self.available = {name: counts[name] for name in DIFFICULTIES}
        self._nothing = missing(places)

    def _images(self, stems: list[str], counts: Counter[str]) -> Iterator[ImageFile]:
        seen: set[str] = set()  # a prefix may lie within another
        for place in self._places:
            for triplet in find(place.files(), place.parts):
                name = f"{place.place}/{triplet.key}"
                if name in seen:
                    continue
                seen.add(name)
                if not triplet.complete:
                    self._incomplete.add(_lacking, place, triplet)
                    continue
                difficulty = triplet.difficulty or _UNSAID
                counts[difficulty] += 1
                if difficulty not in self._wanted:
                    continue
                self._names.append(name)
                self._marks.append(DIFFICULTIES.index(difficulty))
                stems.append(triplet.stem)
                yield from (place.image(file) for file in _pictures(triplet))
                if len(triplet.files) > 3:
                    self._ambiguous.add(_ambiguity, place, triplet)

    def draw(self, weights: Weights | None, total: int | None, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The number of the triplet of each sample."""
        if not sum(self.available.values()):
            raise UnknownContent("No samples available: there is no complete triplet", hint=self._looked())
        members: dict[str, list[int]] = {name: [] for name in DIFFICULTIES}
        for number in sorted(range(len(self._names)), key=self._names.__getitem__):
            members[DIFFICULTIES[self._marks[number]]].append(number)
        everything = sum(self.available.values()) if total is None else total
        keys = {name: _short(self._names[number] for number in numbers) for name, numbers in members.items()}
        try:
            drawn, shortages = choose(keys, weights, everything, seed)
        except UnknownContent as error:
            raise UnknownContent(error.message, hint=self._looked()) from None
        for place in self._nothing:
            warn(f"There is nothing under {place.rstrip('/')}/")
        self._incomplete.tell()
        self._ambiguous.tell()
        for shortage in shortages:
            warn(shortage.words)
        return np.fromiter((members[name][number] for name, number in drawn), np.int64, len(drawn))

    def _looked(self) -> str:
        """Where was looked, and what was found there."""
        places = ", ".join(one.place for one in self._places[:6])
        more = f" and {len(self._places) - 6} more" if len(self._places) > 6 else ""
        found = ", ".join(f"{count:,} {name}" for name, count in self.available.items() if count) or "none"
        words = self._incomplete.words
        incomplete = f", and {self._incomplete.count:,} incomplete ({words[0]})" if words else ""
        return (
            f"looked under {places}{more}; triplets found: {found}{incomplete}; a triplet is as difficult as its path "
            "says, which has /easy/, /medium/ or /hard/ in it"
        )


def _pictures(triplet: Triplet) -> tuple[File, ...]:
    return tuple(files[-1] for files in triplet.pictures.values())


def _lacking(place: Listing, triplet: Triplet) -> str:
    paths = " and ".join(f"{place.place}/{path}" for path in triplet.missing)
    near = ", ".join(file.path.rpartition("/")[2] for file in triplet.near)
    words = f"Incomplete triplet for stem {triplet.stem!r}: {paths} {'are' if ' and ' in paths else 'is'} not there"
    return f"{words}; {near} may be meant for it" if near else words


def _ambiguity(place: Listing, triplet: Triplet) -> str:
    kinds = (files for files in triplet.pictures.values() if len(files) > 1)
    names = "; of ".join(", ".join(file.path.rpartition("/")[2] for file in files) for files in kinds)
    where = f"{place.place}/{triplet.directory}".rstrip("/")
    return f"Stem {triplet.stem!r} has several pictures of a kind: of {names} the last is taken, in {where}"


def _short(names: Iterator[str]) -> list[str]:
    """Keys of triplets that are the same wherever the dataset lies: the end of each name, told apart by a number."""
    times: Counter[str] = Counter()
    keys = []
    for name in names:
        end = "/".join(name.rsplit("/", 3)[1:])
        keys.append(f"{end}\0{times[end]}")
        times[end] += 1
    return keys
