"""`report`: one page of HTML that shows a dataset to people, with nothing to fetch from anywhere."""

from __future__ import annotations

import importlib.metadata
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from visprep import coco_file, garbage_collection, page, provenance, whole_files
from visprep._stats import EXPECTED, PIXELS, stats
from visprep._verify import verify
from visprep.engines.local import check_count
from visprep.errors import BadRecord, MissingExtra, StoreError, UnknownContent, UsageError
from visprep.findings import Report
from visprep.manifest import MANIFEST, File
from visprep.own_record import read_dataset, read_record
from visprep.page.payload import FindingsSummary, Payload
from visprep.progress import OnProgress, unheard
from visprep.provenance import Dataset
from visprep.recordsets.coco import CocoRecords
from visprep.render.text import counted, listed
from visprep.reporting import Subject, alike, facts, page_file, page_findings, sampling
from visprep.reporting.alike import Compared
from visprep.reporting.labels import LabeledSubject
from visprep.reporting.making import Made, make
from visprep.reporting.page_findings import Told
from visprep.reporting.pictures import addresses
from visprep.reporting.subjects import Records, read_subject
from visprep.rules import Depth, coco
from visprep.settings import S3Settings
from visprep.statistics import SplitStats, Stats
from visprep.stores import Store, data_files, one_version, open_store
from visprep.transfer import on_this_machine
from visprep.verify_request import one_of

#: Bytes that a page may have, and of these, at the least, those of its pictures.
_ROOM, _PICTURES = 19_000_000, 4_000_000

#: Records that a page shows at the most: of more, pictures would be too small to be seen.
_MOST = 5_000
#: Labels and prompts that are read of a place elsewhere.
_FEW = 5_000


@dataclass(frozen=True, slots=True)
class ReportResult:
    """A page that was made: the file, its size in bytes, and what it shows.

    `shown` of `records` are on it; `findings` counts those of all records, by level; `pairs` those that are the same.
    """

    place: str
    output: str
    bytes: int
    kind: str
    records: int
    shown: int
    pairs: int
    findings: Mapping[str, int] = field(default_factory=dict)


@one_version()
@garbage_collection.rarely()
def report(
    place: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str],
    sample: int = 500,
    seed: int = 0,
    findings: str | os.PathLike[str] | None = None,
    depth: str | None = None,
    layout: str | None = None,
    overwrite: bool = False,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> ReportResult:
    """Show a place on one page of HTML, the file `output`, which needs nothing but itself.

    On it are the facts, charts of what `stats` counts, what verify finds, and `sample` records (`seed` draws others):
    some with each kind of finding first, then some of every class in every split. Their pictures are at most 320 pixels
    a side, and smaller where the page would have more than 20 MB. Of other records nothing is read but what verify and
    stats read: on a disk the headers of images, on S3, unless the place has a manifest, the listing and the annotation
    files alone. `depth` is that of verify; `findings` is a JSON report that verify wrote, in place of another look.

    The page is written whole or not at all, in place of an older page; WouldOverwrite for any other file, unless
    `overwrite`. `place` may be a COCO JSON file, too, and WrongContent is raised when it cannot be read. UnknownContent
    is where there are no records and no manifest, PlaceMissing, NetworkError and CredentialsError as they come; what
    else is wrong with the data is on the page.
    """
    check_count("jobs", jobs)
    check_count("sample", sample, 0)
    if sample > _MOST:
        raise UsageError(f"--sample {sample}: a page shows {_MOST:,} at the most", hint="choose fewer")
    if depth is not None and findings is not None:
        raise UsageError("--findings is in place of a look, and --depth says how close one is", hint="leave out one")
    if depth is not None:
        one_of("depth", depth, tuple(Depth))
    page_file.check_replaceable(output, overwrite)
    look = _Look(os.fspath(place), layout, jobs, s3, progress)
    look.verify(os.fspath(findings) if findings is not None else None, depth)
    payload, shown, pairs = look.payload(sample, seed)
    page_file.check_replaceable(output, overwrite)  # something may lie there by now
    size = whole_files.write(output, page.render(payload))
    counts = look.report.counts if look.report else {}
    return ReportResult(look.place, os.fspath(output), size, payload.kind, look.count, shown, pairs, counts)


class _Look:
    """One look at a place, for a page."""

    def __init__(
        self, place: str, layout: str | None, jobs: int | None, s3: S3Settings | None, progress: OnProgress
    ) -> None:
        self.place, self.layout, self.jobs, self.s3, self.progress = place, layout, jobs, s3, progress
        self.single = coco_file.is_one(place)
        self.store: Store = open_store("." if self.single else place, s3)
        self.near = "://" not in place and (self.single or on_this_machine(self.store))
        self.listing: list[File] = [] if self.single else list(data_files(self.store))
        self.report: Report | None = None
        self.how_verified = ""
        self.records = Records(None, None)

    def verify(self, findings: str | None, depth: str | None) -> None:
        """Take the findings of a file, or look for them; then read the records."""
        if findings is not None:
            self.report = page_findings.read(findings)
            other = f", of {self.report.place}" if _bare(self.report.place) != _bare(self.place) else ""
            self.how_verified = f"taken from {Path(findings).name}{other}"
        else:
            try:
                self.report = self._verified(depth)
                self.how_verified = f"at depth {self.report.depth}"
            except UnknownContent:  # plain images, or nothing
                pass
        try:
            format = self.report.format if self.report else None
            self.records = read_subject(self.place, self.store, self.listing, format, self.layout, self.s3)
        except UnknownContent:
            if self.report is None or findings is not None:
                raise UnknownContent(f"{self.place}: nothing here that visprep can show", hint=EXPECTED) from None
        if self.single and self.records.subject is None:  # a page of its findings would say less than verify does
            raise coco_file.unread(self.place, self.records.why[0].removeprefix(f"{self.place}: "))
        if findings is None and depth is None:
            self._read_again()

    def _read_again(self) -> None:
        """Hold the annotation files of a bucket against their rules, of which the listing told nothing: they are here.

        See `recordsets.coco_files`, which brings them.
        """
        report, found = self.report, self.records.set
        if report is None or report.depth != Depth.SIZES or not isinstance(found, CocoRecords):
            return
        more = [one for file in found.files for one in coco.check(file.file.index.file, file.file.path).findings]
        told_already = {one.fingerprint for one in report.findings}
        new = [one for one in more if one.fingerprint not in told_already]
        findings = sorted((*report.findings, *new), key=lambda one: one.sort_key)
        self.report = replace(report, findings=tuple(findings))
        self.how_verified = "images by the listing alone, annotation files in full"

    def _verified(self, depth: str | None) -> Report:
        if self.single:
            return verify(self.place, s3=self.s3, progress=self.progress)
        if depth is None:
            vouched = self.near or read_record(self.store, MANIFEST, 0, 1) is not None
            depth = (Depth.HEADERS if vouched else Depth.SIZES).value
        layout = self.layout or "template"
        return verify(self.place, depth=depth, layout=layout, jobs=self.jobs, s3=self.s3, progress=self.progress)

    @property
    def count(self) -> int:
        """How many records there are."""
        return self.records.subject.count if self.records.subject else 0

    @property
    def _unit(self) -> str:
        return self.records.subject.unit if self.records.subject else "files"

    @property
    def _every(self) -> bool:
        """Whether the pictures of all records are compared."""
        return self.near and self.count <= alike.FEW

    def payload(self, sample: int, seed: int) -> tuple[Payload, int, int]:
        """What is on the page, how many items, and how many pairs were found."""
        subject = self.records.subject
        known = Told.of(self.report, subject)
        numbers, same, made = self._chosen(subject, known, sample, seed)
        items = {number: at for at, number in enumerate(numbers)}
        pairs = alike.pairs(same.pairs, items)
        here = facts.Here(self.count, len(numbers), self._every)
        pairs_told = facts.alike(len(same.pairs), len(pairs), same.records, here, self._unit)
        (summary, about), codes = known.rows(items), known.of_items(items)
        made.items = [
            replace(item, findings=tuple(about.get(at, ())), codes=codes.get(at, {}))
            for at, item in enumerate(made.items)
        ]
        stats, dataset = self._stats(), self._dataset()
        bare = Payload(
            title=_name(self.place),
            place=self.place,
            kind=facts.kind_in_words(stats.kind),
            facts=(*facts.facts(stats, dataset, self._said(summary, stats), self.records.why), *pairs_told),
            steps=tuple(facts.steps(dataset)),
            charts=tuple(facts.charts(stats)),
            tables=tuple(facts.tables(stats)),
            findings=summary,
            items=tuple(made.items),
            pairs=pairs,
            total=self.count,
            how=self._how(len(numbers), seed),
            summary=self._summary(stats, summary),
            footer=_footer(),
            titles={"items": stats.unit.capitalize(), "group": subject.grouped_by} if subject else {},
        )
        taken = sum(len(piece.encode()) for piece in page.render(bare))
        room = max(_ROOM - taken, _PICTURES)
        return replace(bare, items=made.shown(addresses(made.thumbnails, room))), len(numbers), len(same.pairs)

    def _chosen(
        self, subject: Subject | None, known: Told, sample: int, seed: int
    ) -> tuple[tuple[int, ...], Compared, Made]:
        """The records that are shown, those that are the same as others, and the items."""
        if subject is None or self.records.set is None or not subject.count:
            return (), Compared(), Made()
        every = self._every
        found = alike.of_all(self.records.set, subject.count, self.jobs, self.progress) if every else Compared()
        same = [number for pair in found.pairs for number in (pair.first, pair.second)]
        first: Sequence[Sequence[int]] = [*known.by_code(), same]
        having = np.asarray(self.records.set.having, np.int64).reshape(-1, 2)
        numbers = sampling.choose(subject.names, subject.groups, having, sample, seed, first)
        made = make(subject, numbers, not every, self.jobs, self.progress)
        return numbers, found if every else alike.of_shown(made.prints, self.records.set.kind), made

    def _stats(self) -> Stats:
        """What there is; where that cannot be counted, or would read too much of a bucket, the number of records."""
        subject = self.records.subject
        note = ""
        try:
            if self.near or self.count <= _FEW or (not isinstance(subject, LabeledSubject) and not self._prompts):
                pixels = PIXELS if self.near else "none"
                return stats(
                    self.place, layout=self.layout, pixels=pixels, jobs=self.jobs, s3=self.s3, progress=self.progress
                )
            note = "labels and prompts are not counted: a page does not read all of a bucket, visprep stats does"
        except (StoreError, UnknownContent, MissingExtra) as problem:
            note = problem.message
        size = sum(file.size or 0 for file in self.listing)
        kind = (self.report.format if self.report else None) or ("images" if subject else "files")
        splits = tuple(SplitStats(*one) for one in sorted(Counter(subject.groups if subject else ()).items()))
        return Stats(self.place, kind, len(self.listing), size, self._unit, self.count, splits=splits, notes=(note,))

    @property
    def _prompts(self) -> bool:
        return self.records.set is not None and self.records.set.kind == "tasks"

    def _dataset(self) -> Dataset | None:
        try:
            return None if self.single else read_dataset(self.store)
        except BadRecord:  # of somebody else, or damaged, which verify says
            return None

    def _said(self, summary: FindingsSummary, stats: Stats) -> str:
        if self.report is None:
            return ""
        said = ", ".join(counted(count, level) for level, count in summary.counts.items() if count)
        checked = {what: count for what, count in self.report.checked.items() if count}
        if (every := checked.get("annotations", 0)) > (stats.annotations or every):  # captions are no objects
            checked = {f"{what} in all files" if what == "annotations" else what: n for what, n in checked.items()}
        looked = listed(checked)
        return f"{said or 'no findings'} ({self.how_verified}{f'; {looked}' if looked else ''})"

    def _how(self, shown: int, seed: int) -> str:
        """Which of the records are on the page, as the end of a sentence."""
        if shown == self.count:
            return ""
        return f"some with each kind of finding first, then some of every class in every split (seed {seed})."

    def _summary(self, stats: Stats, summary: FindingsSummary) -> str:
        parts = [f"{self.count:,} {stats.unit}" if self.records.subject else counted(stats.files, "file")]
        if len(stats.classes) > 1:
            parts.append(f"{len(stats.classes):,} {facts.classes_of(stats)}")
        if self.report is not None:
            told_of = [counted(count, level) for level, count in summary.counts.items() if count]
            parts.append(" and ".join(told_of) or "no findings")
        return ", ".join(parts)


def _name(place: str) -> str:
    """What a place is called: the last part of its path."""
    bare = place.rstrip("/")
    return (bare.rpartition("/")[2] if "://" in place else Path(place).resolve().name) or place


def _bare(place: str) -> str:
    """A place by which it can be compared with another."""
    return place.rstrip("/") if "://" in place else os.path.realpath(place)


def _footer() -> str:
    date = provenance.step("report", "").date
    return f"Made by visprep report {importlib.metadata.version('visprep')} on {date}."
