"""`leaks`: what is in two parts of a split, or in two places, and should be in one."""

from __future__ import annotations

import itertools
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from visprep import certificates, compared_parts
from visprep.certificates import Certificate, PartState, digest_of_record
from visprep.compared_parts import Compared, Part, Record
from visprep.crossings import Crossing, Looks, crossings
from visprep.engines import Engine, open_engine
from visprep.engines.local import check_count
from visprep.errors import FileMissing, PlaceMissing, StoreError, UsageError, WrongContent
from visprep.findings import Finding, Report
from visprep.fingerprints import Kind
from visprep.manifest import RECORD_DIR, File
from visprep.progress import OnProgress, unheard
from visprep.record_duplicates import RecordDuplicates, duplicate_records
from visprep.rules import leaks as rules
from visprep.rules.image_files import IMAGE_UNREADABLE
from visprep.rules.splits import LEAK_ACROSS_PARTS
from visprep.settings import S3Settings
from visprep.similar import METHOD
from visprep.stores import Store, one_version
from visprep.stores.local import LocalStore

#: By what two records are the same, the strictest first; the last is what split.json says it was grouped by.
KINDS = ("record", "bytes", "pixels", "perceptual", "group")
#: Kinds of records that may be held against each other: every picture of them counts.
_PICTURES = frozenset({"coco", "images", "vton"})
_WORDS = {
    "record": "it is in {side} too",
    "bytes": "its bytes are those of {first} in {side}",
    "pixels": "its pixels are those of {first} in {side}",
    "perceptual": "it looks like {first} in {side}",
}


@dataclass(frozen=True, slots=True)
class PartLooked:
    """A part that was looked at: its records, their images, and how many of these could not be compared."""

    name: str
    records: int
    images: int
    not_compared: int


@dataclass(frozen=True, slots=True)
class LeaksResult:
    """What was found.

    `result` is `no leaks`, `leaks`, `incomplete` where images could not be compared, or not with all that are near to
    them in looks (`crowded` counts these), or a command has not ended at a place, or `not looked` where a certificate
    could not be used. `leaks` counts them by kind. `bytes` is the size of all images. `certificate` is the file that
    was written, `checked` the one that was held against the data. `unwritten` is why the certificate that was asked for
    could not be written, which happened after all was looked at.
    """

    report: Report
    result: str
    parts: tuple[PartLooked, ...] = ()
    leaks: Mapping[str, int] = field(default_factory=dict)
    pairs: int = 0
    bytes: int = 0
    certificate: str | None = None
    checked: str | None = None
    crowded: int = 0
    unwritten: StoreError | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Leaks, images that could not be compared, and what is wrong with a certificate."""
        return self.report.findings

    @property
    def failed(self) -> bool:
        """Whether there are any, or there is no certificate that there should be."""
        return self.report.failed or self.unwritten is not None


@one_version()
def leaks(
    places: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    against: str | os.PathLike[str] | None = None,
    certificate: str | os.PathLike[str] | None = None,
    check: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    s3: S3Settings | None = None,
    say: Callable[[str], None] = lambda _: None,
    progress: OnProgress = unheard,
) -> LeaksResult:
    """Look for records that are in two parts: of one place, of several places each, or of places and `against`.

    The parts of a place are those of its split.json, of its annotation files of several splits, or its directories
    train/, val/, test/. A leak is the same record, the same bytes or pixels, a picture that looks the same, or a group
    that split.json says is whole. All images are read and decoded.

    `certificate` is a file to write: what was looked at, how, and what was found. `check` is such a file: the same is
    looked at again, at `places` or where the certificate says, and what is not as it says is a finding. `engine`
    (`local`, or `ray` with the cluster at `ray_address`) looks at the images.

    Wrong data is in the report. UsageError when there is nothing to compare; WouldOverwrite when `certificate` is
    a file of another kind; FileMissing, PlaceMissing, UnknownContent, NetworkError and CredentialsError are raised.
    """
    check_count("jobs", jobs)
    named = [os.fspath(place) for place in ([places] if isinstance(places, str | os.PathLike) else places)]
    other = None if against is None else os.fspath(against)
    with open_engine(engine, jobs=jobs, ray_address=ray_address) as crew:
        return _found(_Request(named, other, jobs, crew, s3, say, progress), certificate, check)


def _found(
    request: _Request, certificate: str | os.PathLike[str] | None, check: str | os.PathLike[str] | None
) -> LeaksResult:
    if certificate is not None and check is not None:
        raise UsageError("--certificate writes one, --check reads one", hint="do one after the other")
    if check is not None:
        return _checked(request, os.fspath(check))
    if certificate is not None:
        certificates.check_replaceable(certificate)
    look = _Look(request, compared_parts.read(request.given(), request.against, request.s3))
    if certificate is None:
        return look.result()
    try:
        certificates.write(certificate, look.certificate)
    except StoreError as problem:  # hours of looking are not lost for that
        return replace(look.result(), unwritten=problem)
    return look.result(certificate=os.fspath(certificate))


def _checked(request: _Request, file: str) -> LeaksResult:
    """The same look again, and what a certificate says that is no longer so."""
    then, wrong = certificates.read(file)
    if then is None:  # what it says is worth nothing, nor is what would be held against that
        return LeaksResult(Report.of(file, wrong, rules=rules.RULES), "not looked", checked=file)
    named = bool(request.places)
    request.look_again(then)
    try:
        compared = compared_parts.read(request.given(), request.against, request.s3)
    except (FileMissing, PlaceMissing) as problem:
        if not named:
            words = " ".join(
                ["visprep leaks", *["PLACE"] * len(then.places), *["--against PLACE"] * bool(then.against)]
            )
            again = f"{words} --check {shlex.quote(file)}"
            problem.hint = f"where it was made from another directory, name what it is of: {again}"
        raise
    if len(request.places) > 1 or request.against:  # called by their places, which may have moved
        for part, before in zip(compared.parts, then.parts, strict=False):
            part.name = before.name
    look = _Look(request, compared)
    return look.result(tuple(certificates.differences(file, then, look.certificate)), checked=file)


@dataclass(slots=True)
class _Request:
    places: list[str]
    against: str | None
    jobs: int | None
    engine: Engine
    s3: S3Settings | None
    say: Callable[[str], None]
    progress: OnProgress

    def given(self) -> list[str]:
        """The places; UsageError when there is none."""
        if not self.places:
            raise UsageError("no place is named", hint="visprep leaks PLACE; or visprep leaks --check FILE")
        return self.places

    def look_again(self, then: Certificate) -> None:
        """Take the places of a certificate where none were named; UsageError when others were, or another number."""
        if not self.places:
            self.places, self.against = list(then.places), self.against or then.against
        if len(self.places) != len(then.places) or (self.against is None) != (then.against is None):
            words = " ".join([*then.places, *(["--against", then.against] if then.against else [])])
            raise UsageError(f"the certificate is of: {words}", hint="name as many places, or none")


@dataclass(slots=True)
class _Pool:
    """All records of all parts, under one numbering: what `duplicate_records` looks at."""

    kind: str
    records: list[Record]

    def images(self) -> Iterator[tuple[int, Store, File]]:
        """Number of the record, store, file."""
        for number, record in enumerate(self.records):
            for store, file in record.pictures:
                yield number, store, file


class _Look:
    """One look at some parts."""

    def __init__(self, request: _Request, compared: Compared) -> None:
        self.request, self.compared, self.parts = request, compared, compared.parts
        self.records = [record for part in self.parts for record in part.records.values()]
        self.part_of = [part for part in self.parts for _ in part.records]
        stores = {id(store): compared_parts.name_of(store) for one in self.records for store, _ in one.pictures}
        seen = ((stores[id(store)], file) for one in self.records for store, file in one.pictures)
        pictures = {(place, file.path): file.size or 0 for place, file in seen}
        self.bytes = sum(pictures.values())
        if any(not isinstance(store, LocalStore) for one in self.records for store, _ in one.pictures[:1]):
            request.say(f"reading {len(pictures):,} images of {self.bytes:,} bytes")
        self.seen = duplicate_records(
            _Pool(_kind(self.parts), self.records), len(self.records), holder=self._holder(),
            jobs=request.jobs, engine=request.engine, progress=request.progress,
        )  # fmt: skip
        self.unread = list(self._unread(self.seen))
        self.leaks = list(self._leaks(self.seen))
        self.certificate = self._certificate()

    def result(
        self, wrong: Sequence[Finding] = (), certificate: str | None = None, checked: str | None = None
    ) -> LeaksResult:
        """All that was found, and what is wrong with a certificate."""
        made = self.certificate
        against = f" against {self.request.against}" if self.request.against else ""
        images = sum(part.images for part in made.parts)
        report = Report.of(
            f"{', '.join(self.request.places)}{against}",
            (*wrong, *self.compared.unfinished, *self.compared.faults, *self.unread, *self._crowded(), *self.leaks),
            checked={"parts": len(self.parts), "records": len(self.records), "images": images},
            rules=(*rules.RULES, LEAK_ACROSS_PARTS),
        )
        looked = tuple(PartLooked(part.name, len(part.members), part.images, part.not_compared) for part in made.parts)
        pairs = made.compared["pairs"]
        return LeaksResult(
            report, made.result, looked, made.leaks, pairs, self.bytes, certificate, checked, self.seen.crowded
        )

    def _holder(self) -> Store | None:
        """The first directory that was named and has a record: it remembers what was learned of images elsewhere."""
        named = [*self.request.places, *([self.request.against] if self.request.against else [])]
        return next((LocalStore(place) for place in named if (Path(place) / RECORD_DIR).is_dir()), None)

    def _unread(self, seen: RecordDuplicates) -> Iterator[Finding]:
        for one in seen.unread:
            part, record = self.part_of[one.record], self.records[one.record]
            path = record.path if len(record.pictures) == 1 else f"{record.path} ({one.file.path})"
            rule = rules.IMAGE_NOT_COMPARED if isinstance(one.error, WrongContent) else IMAGE_UNREADABLE
            yield rule.at(path, one.error.message, part=part.name, error=one.error.slug)

    def _crowded(self) -> Iterator[Finding]:
        if count := self.seen.crowded:
            place = next(iter(self.request.places))
            yield rules.IMAGES_CROWDED.at(place, rules.in_words(count), count=count)

    def _leaks(self, seen: RecordDuplicates) -> Iterator[Finding]:
        looks = [(pair.first, pair.second, pair.distance) for pair in seen.pairs if pair.kind is Kind.PERCEPTUAL]
        kinds = {
            "record": [record.identity for record in self.records],
            "bytes": seen.bytes.tolist(),
            "pixels": seen.pixels.tolist(),
            "perceptual": Looks(seen.looks.tolist(), seen.pixels.tolist(), looks),
            "group": [record.value for record in self.records],
        }
        homes = [part.home for part in self.part_of]
        for crossing in crossings(homes, kinds):
            yield self._leak(crossing)

    def _leak(self, crossing: Crossing) -> Finding:
        first, second = self.records[crossing.first], self.records[crossing.second]
        names = [self.part_of[number].name for number in (crossing.first, crossing.second)]
        rule = rules.LEAK_ACROSS_PLACES if self.request.against else LEAK_ACROSS_PARTS
        if crossing.kind == "group":
            words = f"{self.compared.grouped_by} {second.value!r} is that of {first.path} in {names[0]}"
        elif crossing.distance is None:
            words = f"it looks like pictures that look like {first.path} in {names[0]}"
        else:
            words = _WORDS[crossing.kind].format(first=first.path, side=names[0])
        distance = None if crossing.distance is None else round(crossing.distance, 3)
        where = {"parts": names, "kind": crossing.kind, "distance": distance, "first": first.path}
        return rule.at(second.path, words, **where)

    def _certificate(self) -> Certificate:
        failed = Counter(one.record for one in self.seen.unread)
        states, at = [], 0
        for part in self.parts:
            numbers = range(at, at := at + len(part.records))
            members = {
                key: digest_of_record(self.seen.digests[number])
                for key, number in zip(part.records, numbers, strict=True)
            }
            absent = sum(not record.pictures for record in part.records.values())
            images = absent + sum(len(record.pictures) for record in part.records.values())
            not_compared = absent + sum(failed[number] for number in numbers)
            states.append(PartState.of(part.name, part.kind, images, not_compared, members))
        found = Counter(str(one.where["kind"]) for one in self.leaks)
        pairs, uncompared = 0, []
        for (one, state), (other, its) in itertools.combinations(zip(self.parts, states, strict=True), 2):
            if one.apart(other):
                pairs += state.images * its.images
            else:
                uncompared.append((one.name, other.name))
        return Certificate(
            tuple(self.request.places),
            self.request.against,
            METHOD,
            tuple(states),
            {
                "pairs": pairs,
                "thumbnails": self.seen.compared,
                "crowded": self.seen.crowded,
                "unfinished": len(self.compared.unfinished),
            },
            {kind: found[kind] for kind in KINDS},
            tuple(uncompared),
        )


def _kind(parts: Sequence[Part]) -> str:
    """The kind of all records; UsageError when they cannot be held against each other."""
    kinds = {part.kind for part in parts if part.records}
    if kinds <= _PICTURES and len(kinds) > 1:
        return "images"
    if len(kinds) > 1:
        named = ", ".join(f"{part.name} ({part.kind})" for part in parts)
        raise UsageError(f"these hold records of different kinds: {named}", hint="name places of one kind")
    return kinds.pop() if kinds else "images"
