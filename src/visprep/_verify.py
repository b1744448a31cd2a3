"""`verify`: whether a place holds what it should, and whether that is any good."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property

from visprep import (
    baselines,
    coco_check,
    coco_file,
    episodes_check,
    garbage_collection,
    git,
    open_images_check,
    split_check,
    tasks_check,
    triplets_check,
    voc_check,
    wire,
    yolo_check,
)
from visprep.baselines import Baseline
from visprep.digests import digest_of
from visprep.digests_check import DIGESTS
from visprep.engines import Engine, open_engine
from visprep.engines.local import Local, check_count
from visprep.errors import (
    BadRecord,
    FileMissing,
    PlaceMissing,
    UnknownContent,
    UsageError,
)
from visprep.findings import Finding, Level, Report
from visprep.formats import tasks
from visprep.image_loading import whole
from visprep.looking import Check, Looking
from visprep.manifest import DATASET, MANIFEST, File, diff
from visprep.objects_check import REPLACED, WRITTEN_LATER, Judged
from visprep.own_record import MARKER, Listed, read_record
from visprep.progress import OnProgress, unheard
from visprep.rounds import Eye, Rounds
from visprep.rules import (
    Depth,
    Rule,
    all_rules,
    archives,
    image_files,
    objects,
    strays,
)
from visprep.rules import files as file_rules
from visprep.rules.absences import SAME_FAULT, Absences
from visprep.rules.all_rules import RULES
from visprep.selection import Scope, selection
from visprep.settings import S3Settings
from visprep.stores import Store, is_record, one_version, open_store
from visprep.stores.archive import ArchiveStore
from visprep.stores.local import LocalStore
from visprep.stores.zip_directory import Member
from visprep.traffic import Traffic, metered
from visprep.transfer import on_this_machine
from visprep.verify_memory import VerifyMemory
from visprep.verify_request import Request, expected_counts, one_of

#: What `fail_on` may be.
LEVELS = (Level.ERROR, Level.WARNING)

#: The formats, in the order in which they are guessed: how to look at a place in one, and the same for a place that is
#: recognized as being in it.
_CHECKS: Mapping[str, tuple[Callable[[Looking], Check], Callable[[Looking], Check | None]]] = {
    "open-images": (open_images_check.OpenImagesCheck, open_images_check.recognize),  # soon seen, and it has COCO JSON
    "tasks": (tasks_check.TasksCheck, tasks_check.recognize),
    "coco": (coco_check.CocoCheck, coco_check.recognize),
    "yolo": (yolo_check.YoloCheck, yolo_check.recognize),
    "voc": (voc_check.VocCheck, voc_check.recognize),
    "vton": (triplets_check.TripletsCheck, triplets_check.recognize),
    "frames": (episodes_check.EpisodesCheck, episodes_check.recognize),
}
FORMATS = tuple(sorted(_CHECKS))


def guess(store: Store, listing: Sequence[File]) -> str | None:
    """The format that a place is in, by its files; None where nothing is recognized."""
    eye = Eye(store, Depth.NAMES, on_this_machine(store))
    look = Looking(listing, Rounds(eye, Local(None), 1, unheard, Traffic()))
    return next((name for name, (_, recognize) in _CHECKS.items() if recognize(look)), None)


@one_version()
@garbage_collection.rarely()
def verify(
    place: str | os.PathLike[str],
    *,
    as_: str | None = None,
    depth: str | None = None,
    layout: str = "template",
    expect: str | os.PathLike[str] | None = None,
    against: str | os.PathLike[str] | None = None,
    for_: str | None = None,
    baseline: str | os.PathLike[str] | None = None,
    fail_on: str = "error",
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    only_changed: str | None = None,
    reread: bool = False,
    dry_run: bool = False,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    jobs: int | None = None,
    memory: VerifyMemory | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> Report:
    """Check a place against its manifest, where it has one, and against the rules of its format.

    `as_` names the format (`coco`, `frames`, `open-images`, `tasks`, `voc`, `vton`, `yolo`); left out, it is guessed
    from what is there, and a place that `split` wrote is held against its split.json too. Where nothing is recognized,
    a place with a manifest is held against that alone, and one without is UnknownContent. `depth` is `names`, `sizes`,
    `headers`, `decode` or `content`; left out, it is `decode` on disk, in a zip too, and `headers` on S3. `layout`
    names the files that a task must have.

    A dataset of COCO or Open Images is held against the counts of `expect`: `official`, or a JSON file of counts by
    path. With `for_`, `loader`, its images must be named by their place on S3. Where `place` is a JSON file, that file
    alone is looked at; with `against`, the annotation file of the same images, it is a file of results, to be evaluated
    by that.

    `select` and `ignore` choose findings by `CODE` or `CODE:GLOB`; of those, `baseline`, the JSON report of an earlier
    run, leaves out what it knows, and `fail_on` (`error` or `warning`) says which make the report fail. With
    `only_changed`, a git commit, only tasks and files that changed since are looked at; other tasks are read to find
    duplicates, and for nothing else. On S3 at `headers`, images of which the listing tells whether they are as the
    manifest says are not looked into unless they are to be `reread`. A `dry_run` lists, and reads no data: its report
    tells how much would be.

    `engine` looks at images and other files: `local`, this process, or `ray`, a cluster at `ray_address` (else one that
    is started here for this), with `jobs` CPUs at the most. What is found is the same. With `memory`, what was found is
    noted there once it takes long, and a verify that was killed goes on where it was; the command line gives one.

    What is wrong with the data is in the report; PlaceMissing, NetworkError and CredentialsError are raised, and
    MissingExtra when `select` names a rule of videos, there are some, and PyAV is not installed.
    """
    check_count("jobs", jobs)
    place = os.fspath(place)
    request = Request(
        format=one_of("format", as_, FORMATS) if as_ else None,
        depth=Depth(one_of("depth", depth, tuple(Depth))) if depth else None,
        layout=tasks.layout(layout),
        selection=selection(select, ignore, RULES),
        baseline=baselines.read(baseline) if baseline is not None else Baseline(),
        fail_on=Level(one_of("level to fail on", fail_on, LEVELS)),
        since=only_changed,
        expect=expected_counts(expect),
        reread=reread,
        loader=for_ is not None and one_of("use", for_, ("loader",)) == "loader",
    )
    if coco_file.is_one(place):
        request.check_for_file(dry_run, engine)
        report = coco_file.check(place, os.fspath(against) if against is not None else None, request.loader, s3)
        return request.asked(report)
    if against is not None:
        raise UsageError(
            f"{place}: --against is for a file of results", hint="visprep verify results.json --against FILE"
        )
    with metered() as meter, open_engine(engine, jobs=jobs, ray_address=ray_address) as running:
        look = _Verification(open_store(place, s3), request, running, jobs, progress, meter)
        if dry_run:
            return look.plan()
        with look.remembering(memory):
            return look.report()


class _Verification:
    """One look at one place."""

    def __init__(
        self, store: Store, request: Request, engine: Engine, jobs: int | None, progress: OnProgress, meter: Traffic
    ) -> None:
        self.store, self.request, self.meter = store, request, meter
        self.near = on_this_machine(store)
        self.depth = request.depth or (Depth.DECODE if self.near else Depth.HEADERS)
        self.unreadable: list[Finding] = []
        members = store.members() if isinstance(store, ArchiveStore) else {}
        #: What an archive holds and does not give away
        self.refused: dict[str, Member] = {path: member for path, member in members.items() if member.fault}
        listing = [file for file in store.list() if not is_record(file.path) and not self._astray(file.path)]
        #: What the listing of a place elsewhere tells against its manifest
        self.judged = self._judge(listing)
        settled = self.judged.settled if self.depth is Depth.HEADERS and not request.reread else frozenset()
        self.eye = Eye(store, self.depth, self.near, settled)
        self.rounds = Rounds(self.eye, engine, jobs, progress, meter)
        look = Looking(listing, self.rounds, request)
        self.format, self.check = self._check(look)
        #: The format of what is there: parts of a split may be a dataset themselves
        self.within = self.check.within if isinstance(self.check, split_check.SplitCheck) else self.format
        if request.expect is not None and self.within not in ("coco", "open-images"):
            raise UsageError(f"{store.place} is no COCO dataset, and --expect counts what one has", hint="leave it out")
        changed = self._changed(listing)
        if changed and self.check:
            changed = changed.union(self.check.widened(changed))
        self.scope = Scope(changed, self.check.homes if self.check else ())
        #: All files, and those of them that are looked at
        self.all_files = [file for file in listing if not file.path.endswith("/") and file.path != DATASET]
        self.files = [file for file in self.all_files if self.scope.holds(file.path)]

    @contextlib.contextmanager
    def remembering(self, memory: VerifyMemory | None) -> Iterator[None]:
        """Within it, what is found is noted, and what was found before this was killed is not looked for again."""
        if memory is None:
            yield
            return
        place = os.path.realpath(self.store.place) if self.near else self.store.place
        with memory.ledger(place, self.format, self.depth.value) as self.rounds.ledger:
            yield

    def plan(self) -> Report:
        """What would be looked at, and the bytes to read for that."""
        reads = self.check.reads(self.scope) if self.check else Traffic()
        if self.depth.reaches(Depth.CONTENT) and isinstance(self._listed, Listed):
            reads += whole(file for file in self.files if file.path not in self.eye.digests)
        # The marker, which no published place has, and dataset.json
        records = 0 if self.near else (not self.judged.published) + isinstance(self._listed, Listed)
        report = self._report(())
        checked = {**report.checked, "bytes": reads.bytes}
        # What has been asked for by now will be asked for again
        traffic = report.traffic and report.traffic + reads + Traffic(records + len(self.judged.replaced))
        return replace(report, checked=checked, rules=(), dry_run=True, traffic=traffic)

    def report(self) -> Report:
        """What is wrong, as far as it is asked for and not known."""
        if self.rounds.engine.spreads:
            self.rounds.engine.check(self.store)
        about_data = self._asked_for(self.check.findings(self.scope)) if self.check else []
        # A missing frame is one fault, though both the manifest and the layout ask for it
        told = {(SAME_FAULT.get(one.code), one.where.get("file", one.path)) for one in about_data}
        if self.depth.reaches(Depth.DECODE):  # it was read, and its bytes show what is wrong
            broken = (one.path for one in about_data if one.level is Level.ERROR and image_files.is_image(one.path))
            told.update((objects.FILE_REPLACED.code, path) for path in broken)
        absences = Absences(about_data)
        about_files = [
            one
            for one in self._asked_for(self._record_findings())
            if (one.code, one.path) not in told
            and not (one.code == file_rules.FILE_MISSING.code and absences.hold(one.path))
        ]
        refused = self._asked_for(archives.check(self.refused.values()))
        others = _without_echoes(about_data + about_files, {finding.path for finding in refused})
        return self._report([*others, *refused])

    def _check(self, look: Looking) -> tuple[str, Check | None]:
        """The format of a place, guessed by what is there unless it was said, and its check; for "files" there is none.

        UnknownContent for a place with nothing that is known, and no record.
        """
        if self.request.format is not None:
            return self.request.format, _CHECKS[self.request.format][0](look)
        guesses = ((name, recognize(look)) for name, (_, recognize) in _CHECKS.items())
        name, check = next((guess for guess in guesses if guess[1]), ("files", None))
        if split := split_check.recognize(look, check, name):
            return "splits", split
        if check:
            return name, check
        if self._recorded():
            return "files", None
        raise UnknownContent(
            f"{self.store.place}: nothing here that visprep can check",
            hint="expected {domain}_task/{task_id}/first_frame.png and so on, annotations/*.json, "
            "data.yaml with images/ and labels/, Annotations/*.xml, initial_image/{stem}_person.png and so on, "
            "or {episode}/frame_{number}.png; "
            f"--as {', --as '.join(_CHECKS)} checks it all the same",
        )

    def _recorded(self) -> bool:
        """Whether the place has a record to be held against."""
        for path in (MANIFEST, MARKER):
            with contextlib.suppress(FileMissing, PlaceMissing):
                wire.wait(self.store.stat(path))
                return True
        return False

    def _astray(self, path: str) -> bool:
        """Whether a member of an archive has a name that leads out of it: it is no file of a task then."""
        member = self.refused.get(path)
        return bool(member and member.fault and member.fault.astray)

    def _changed(self, listing: Iterable[File]) -> frozenset[str] | None:
        if self.request.since is None:
            return None
        if not isinstance(self.store, LocalStore):
            remote = "://" in self.store.place
            raise UsageError(
                f"{self.store.place}: git knows nothing of {'places on S3' if remote else 'what is in an archive'}",
                hint=f"leave out --only-changed, or verify the directory that was {'uploaded' if remote else 'packed'}",
            )
        changed = git.changed(self.store.place, self.request.since)
        return changed | _linked(self.store, listing, changed)

    def _asked_for(self, findings: Iterable[Finding]) -> list[Finding]:
        admits = self.request.selection.admits
        return [finding for finding in findings if self.scope.covers(finding) and admits(finding)]

    def _report(self, findings: Iterable[Finding]) -> Report:
        report = Report.of(
            self.store.place,
            findings,
            checked={**(self.check.records(self.scope) if self.check else {"tasks": 0}), "files": len(self.files)},
            format=self.format,
            depth=self.depth.value,
            rules=tuple(rule for rule in self._rules if self.depth.reaches(rule.depth)),
            traffic=None if self.near else copy(self.meter),
            spared=len(self.eye.spared),
        )
        return self.request.asked(report)

    @property
    def _rules(self) -> Iterable[Rule]:
        own = split_check.RULES if isinstance(self.check, split_check.SplitCheck) else ()
        rules = (*all_rules.OF_ALL, *all_rules.OF_FORMAT.get(self.within, ()), *own)
        return sorted(set(rules), key=lambda rule: rule.code)

    def _record_findings(self) -> Iterator[Finding]:
        """What the place's own record says against it."""
        if read_record(self.store, MARKER) is not None:
            yield file_rules.PLACE_INCOMPLETE.at(MARKER, "a command that changes this place was begun and not ended")
        if isinstance(self._listed, BadRecord):
            yield file_rules.MANIFEST_DAMAGED.at(MANIFEST, self._listed.message)
        if not isinstance(self._listed, Listed):
            yield from self._asked_about()
            return
        yield from file_rules.check(diff(self._listed.files, self._with_digests()), self.depth)
        yield from self.judged.notes()
        yield from self._asked_about()
        yield from self._dataset_findings(self._listed.dataset)
        yield from self.unreadable

    def _asked_about(self) -> Iterator[Finding]:
        """What objects tell that may be others than they were."""
        work = WRITTEN_LATER if self.judged.published else REPLACED
        asked = [pair for pair in self.judged.replaced if self.scope.holds(pair[0].path)]
        about = self.rounds.over("Asking about objects", asked, work, "files", total=len(asked))
        yield from filter(None, about)

    @cached_property
    def _listed(self) -> Listed | BadRecord | None:
        try:
            return Listed.read(self.store)
        except BadRecord as error:
            return error

    def _judge(self, listing: Iterable[File]) -> Judged:
        """What the listing of a place elsewhere tells against its manifest; nothing where all bytes are read anyway."""
        if self.near or not self.depth.reaches(Depth.HEADERS) or self.depth.reaches(Depth.CONTENT):
            return Judged()
        version = Judged.of_version(self.store) if self.depth is Depth.HEADERS else Judged()
        if version.published or not isinstance(self._listed, Listed):
            return version
        return Judged.of(self._listed.files, listing)

    def _dataset_findings(self, digest: str | None) -> Iterator[Finding]:
        data = read_record(self.store, DATASET)
        if data is None:
            yield file_rules.FILE_MISSING.at(DATASET, "the manifest speaks of it, and it is not there")
        elif digest_of(data) != digest:
            yield file_rules.FILE_CHANGED.at(DATASET, "it is not the one that the manifest was written for")

    def _with_digests(self) -> Iterable[File]:
        """All files; those that are looked at with the sha256 of their bytes, read for that, where the depth asks."""
        if not self.depth.reaches(Depth.CONTENT):
            return self.all_files
        known = self.eye.digests  # of what was read to be looked into
        left = [file for file in self.files if file.path not in known]
        hashed = {file.path: replace(file, digest=known[file.path]) for file in self.files if file.path in known}
        read = self.rounds.over("Reading", left, DIGESTS, "files", total=len(left))
        for file, (digest, unreadable) in zip(left, read, strict=True):
            hashed[file.path] = replace(file, digest=digest)
            self.unreadable += unreadable
        return sorted((hashed.get(file.path, file) for file in self.all_files), key=lambda file: file.sort_key)


def _linked(store: LocalStore, listing: Iterable[File], changed: frozenset[str]) -> frozenset[str]:
    """The links of a place to something in it that changed: what they show changed too, and git does not say so."""
    below = Scope(changed, ())
    links = (file.path for file in listing if changed and (store.root / file.path).is_symlink())
    targets = ((link, os.path.realpath(store.root / link)) for link in links)
    return frozenset(
        link for link, target in targets if below.holds(os.path.relpath(target, store.root).replace(os.sep, "/"))
    )


def _without_echoes(findings: Iterable[Finding], refused: Collection[str]) -> Iterator[Finding]:
    """The findings, but for those that say once more that a refused member of an archive is no file to be had."""
    for finding in findings:
        if not (finding.path in refused and (finding.unread or finding.code == strays.UNEXPECTED_FILE.code)):
            yield finding
