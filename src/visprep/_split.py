"""`split`: records into parts that do not leak, the same for the same seed, and that grow without moving anything."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from visprep import wire
from visprep.changes import PlaceChange, begin
from visprep.earlier_split import asked_sizes
from visprep.engines import Engine, open_engine
from visprep.errors import BadRecord, UsageError
from visprep.findings import Finding, Level
from visprep.formats import tasks
from visprep.manifest import File
from visprep.part_documents import Documents, drafting
from visprep.part_files import PartFiles
from visprep.part_leftovers import FILED
from visprep.progress import OnProgress, Pulse, unheard
from visprep.provenance import step
from visprep.recordsets import RecordSet, read_recordset
from visprep.recordsets.ancestry import split_history
from visprep.recordsets.unfinished import check_finished
from visprep.render.text import counted
from visprep.rules.coco_files import IMAGE_MISSING
from visprep.settings import S3Settings
from visprep.similar import METHOD
from visprep.split_file import (
    FORMAT_VERSION,
    SPLIT,
    ClassOf,
    InputOf,
    OutputOf,
    PartOf,
    Split,
    load,
    plain,
)
from visprep.split_naming import called
from visprep.split_output import another, check_apart, check_output, check_place
from visprep.split_wish import Wish, places_of, wish_of
from visprep.splitting import Blameless, Splitting, shares
from visprep.stores import one_version

#: Where parts go when nobody says.
DEFAULT_OUTPUT = "data/cleaned_splits"


@dataclass(frozen=True, slots=True)
class SplitResult:
    """What a split did.

    `split` is what its split.json says, None when nothing was split: then `findings` are the errors that cleaning
    cannot mend. `written` are the files that were written, `kept` those that were there as they should be, `removed`
    those of an earlier split of ours that this one does not make: documents by path; links and copies are counted
    in `files_written`, `files_kept` and `files_removed`. `compared` counts the pictures that were compared for
    `near_duplicates`, `uncompared` those that are not there, or could not be read. `notes` say in words what of the
    request does less than one may think. `together` counts the groups that have several records. `recorded` says
    whether the record of the place was written anew: also where its files were as they should be, and it was not.
    """

    output: str
    split: Split | None
    written: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    files_written: int = 0
    files_kept: int = 0
    files_removed: int = 0
    compared: int = 0
    uncompared: int = 0
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    together: int = 0
    recorded: bool = False

    @property
    def failed(self) -> bool:
        """Whether one of the findings is an error."""
        return any(one.level is Level.ERROR for one in self.findings)


@one_version()
def split(
    place: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    output: str | os.PathLike[str] | None = None,
    parts: str | None = None,
    seed: int = 0,
    method: str | None = None,
    extend: str | os.PathLike[str] | None = None,
    stratify: bool = False,
    group_by: str | None = None,
    near_duplicates: bool = False,
    clean: bool = False,
    drop_empty: bool = False,
    name: str | None = None,
    how: str = "ids",
    layout: str | None = None,
    jobs: int | None = None,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> SplitResult:
    """Split records into parts, and write these to `output`, with a split.json that tells all about it.

    `place` is a COCO JSON file, a place, or several of these that are one dataset. `parts` are shares
    (`train=0.8,val=0.1,test=0.1`) or counts (`train=10000`). With the `method` `stable`, which shares take when none is
    said, a record's part follows from its name and the `seed` alone: it stays where it is while others come and go.
    `exact` meets the sizes to the record, and draws anew whenever records come; with `extend`, a split.json, those that
    are in it stay, and only new ones are placed. `stratify` spreads each class evenly (with `exact`). Records that say
    the same in the field `group_by` stay together, and with `near_duplicates` those whose pictures are copies, or look
    alike. Where upstream has several parts, those that `parts` does not name stay as they are.

    `clean` leaves out what verify calls an error, `drop_empty` images without annotations. The files of a part are
    called `{name}_{part}`. `how` is `ids` (annotation files for COCO, else lists of names), `links` or `copies`, which
    put the files of each part into a directory of its name too. `layout` names the files that a task must have, where
    `clean` is said: that which the place was downloaded in, else `template`. `engine` (`local`, or `ray` with the
    cluster at `ray_address`) compares the pictures, and looks at them for `clean`.

    A second run with the same request changes nothing, and files that an earlier split of ours left there, and this one
    does not make, are removed. UsageError for what makes no sense, UnknownContent when there is nothing to split,
    WrongContent for records that cannot be told apart, PlaceIncomplete when a command was begun at the place and not
    ended, ChangedMeanwhile when an annotation file is replaced while it is split, BadRecord for a damaged split.json to
    extend, WouldOverwrite when files are in the way that visprep did not write.
    """
    wish = wish_of(
        parts=parts, seed=seed, method=method, extend=extend, stratify=stratify, group_by=group_by,
        near_duplicates=near_duplicates, clean=clean, drop_empty=drop_empty, name=name, how=how, jobs=jobs, s3=s3,
    )  # fmt: skip
    if layout is not None:
        tasks.layout(layout)
    places = places_of(place)
    target = check_output(os.fspath(output) if output is not None else DEFAULT_OUTPUT, s3)
    check_apart(target, places, s3)
    check_finished(places, s3)
    records = read_recordset(places, s3, layout)
    _check_options(records, name=name, how=how, layout=layout, drop_empty=drop_empty)
    extends = None if extend is None else os.fspath(extend)
    options = {
        "parts": parts, "seed": seed, "method": method, "extend": extends and called(extends), "stratify": stratify,
        "group_by": group_by, "near_duplicates": near_duplicates, "clean": clean, "drop_empty": drop_empty,
        "name": name, "how": how, "layout": layout,
    }  # fmt: skip
    begun = step(
        "split",
        ",".join(one.rstrip("/").rpartition("/")[2] or one for one in map(called, places)),
        options={key: value for key, value in options.items() if value not in (None, False)},
        origin={"inputs": [*map(called, places)]},
    )
    begun = replace(begun, origin={**begun.origin, **split_history(begun, places, extends, target, s3)})
    with open_engine(engine, jobs=jobs, ray_address=ray_address) as crew, begin(target, begun) as change:
        return _Split(records, wish, change, name=name, how=how, extends=extends, engine=crew, progress=progress).run()


def _check_options(records: RecordSet, *, name: str | None, how: str, layout: str | None, drop_empty: bool) -> None:
    """UsageError for what is asked for, and means nothing for records of this kind."""
    there = ", ".join(one.path for one in records.inputs)
    if layout is not None and records.kind != "tasks":
        raise UsageError(f"--layout {layout}: {there} holds no tasks", hint="leave it out")
    if records.kind == "coco":
        return
    if drop_empty:
        raise UsageError(f"--drop-empty: {there} is no COCO dataset, and has no annotations", hint="leave it out")
    if name is not None and how in FILED:
        raise UsageError(f"--name {name}: no file is called so with --how {how}", hint="leave it out; or --how ids")


class _Split:
    """One split into one place."""

    def __init__(
        self,
        records: RecordSet,
        wish: Wish,
        change: PlaceChange,
        *,
        name: str | None,
        how: str,
        extends: str | None,
        engine: Engine,
        progress: OnProgress,
    ) -> None:
        self.records, self.wish, self.change = records, wish, change
        self.name, self.how, self.extends = name, how, extends
        self.engine, self.progress, self.pulse = engine, progress, Pulse(progress)

    def run(self) -> SplitResult:
        """Decide, write what is not there yet, and end the change."""
        change = self.change
        place = change.store.place
        check_place(change)
        with drafting(change.store) as drafts:
            documents = Documents(change, drafts)
            before = self._before(documents)
            try:
                splitting = Splitting(
                    self.records, self.wish, holder=change.store, engine=self.engine, progress=self.progress
                )
            except Blameless as problem:
                return SplitResult(place, None, findings=problem.findings)
            self._check_before(before, splitting)
            made = self._draft(documents, splitting)
            names = {one.name for one in before.parts} if before and before.how in FILED else set()
            files = PartFiles(
                self.records,
                splitting.members,
                change,
                how=self.how,
                before=names,
                jobs=self.wish.jobs,
                progress=self.progress,
            )
            findings = (*splitting.findings(), *self._lacking(splitting, files))
            told = self._told(splitting, made, findings, before)
            documents.draft(SPLIT, [told.dump()])
            stale = self._stale(documents, before)
            written, kept = tuple(documents.due), tuple(sorted(documents.files.keys() - documents.due.keys()))
            due = bool(written or stale or change.resumed or not files.idle)
            if due:
                earlier = {one.path for one in before.outputs} if before else set()
                self._write(documents, files, stale, {*names, *splitting.members}, earlier)
            looked = splitting.duplicates
            return SplitResult(
                place,
                told,
                written,
                kept,
                tuple(stale),
                files.written,
                files.kept,
                files.removed,
                looked.images if looked else 0,
                len(looked.unread) + len(splitting.unseen) if looked else 0,
                findings,
                tuple(splitting.notes()),
                splitting.together,
                due,
            )

    def _before(self, documents: Documents) -> Split | None:
        """The split of ours that lies there, as far as it can be read."""
        have = documents.have(SPLIT)
        if have is None or not documents.is_ours(have):
            return None
        try:
            return load(wire.wait(self.change.store.read(SPLIT)), SPLIT)
        except BadRecord:  # of another version
            return None

    def _check_before(self, before: Split | None, splitting: Splitting) -> None:
        """WouldOverwrite when a split of another kind or name, or of other records, lies there."""
        if before is None or before == self.wish.extends:
            return
        inputs = [one.path for one in before.inputs] == [called(one.path) for one in self.records.inputs]
        if (before.kind, before.name) != (self.records.kind, self.name) or not (inputs or splitting.has(before)):
            raise another(self.change.store, before)

    def _draft(self, documents: Documents, splitting: Splitting) -> list[OutputOf]:
        made: list[OutputOf] = []
        for output in self.records.outputs(splitting.members, self.name, self.how):
            if output.chunks is None:
                break  # those that are no documents come last
            self.pulse("Writing", len(made), None)
            if self.how in FILED and output.path in splitting.members:
                raise UsageError(
                    f"--parts {output.path}: that is the name of a file that goes beside its directory",
                    hint="name it otherwise; or --how ids",
                )
            file = documents.draft(output.path, output.chunks())
            assert file.size is not None
            assert file.digest is not None
            made.append(
                OutputOf(path=output.path, part=output.part, records=output.records, size=file.size, digest=file.digest)
            )
        return made

    def _lacking(self, splitting: Splitting, files: PartFiles) -> Iterator[Finding]:
        """The pictures that should go to the directories of parts, and are not there; UsageError when none is."""
        if self.records.kind != "coco" or self.how == "ids":
            return
        wanted = sum(int(mask.sum()) for mask in splitting.members.values())
        there = files.written + files.kept
        if wanted and not there:
            raise UsageError(f"--how {self.how}: none of the images is here", hint="--how ids, or bring them there")
        if there < wanted:
            words = f"{counted(wanted - there, 'image')} of the parts not there, and not in their directories"
            yield IMAGE_MISSING.at(SPLIT, words, count=wanted - there)

    def _told(
        self, splitting: Splitting, made: list[OutputOf], findings: tuple[Finding, ...], before: Split | None
    ) -> Split:
        """What split.json says; what it says already, where only the split that came before that differs."""
        wish, balance = self.wish, splitting.balance
        asked = asked_sizes(splitting.parts)
        members = {
            name: tuple(sorted(splitting.keys[at] for at in mask.nonzero()[0].tolist()))
            for name, mask in splitting.members.items()
        }
        told = Split(
            format_version=FORMAT_VERSION,
            kind=self.records.kind,
            name=self.name,
            how=self.how,
            seed=wish.seed,
            method=str(wish.drawn),
            stratified=wish.stratified,
            group_by=wish.group_by,
            near_duplicates=dict(METHOD) if wish.near_duplicates else None,
            clean=wish.clean,
            drop_empty=wish.drop_empty,
            extends=self.extends and called(self.extends),
            records=len(splitting.keys),
            groups=len(splitting.population.group_keys),
            ungrouped=splitting.ungrouped,
            crowded=splitting.crowded,
            parts=tuple(
                PartOf(name=name, asked=asked.get(name), records=len(members[name]), share=share)
                for name, share in zip(splitting.parts.names, shares(balance), strict=True)
            ),
            classes=tuple(
                ClassOf(
                    name=label,
                    records=int(balance.per_class[row].sum()),
                    parts=dict(zip(balance.names, balance.per_class[row].tolist(), strict=True)),
                    error=round(float(abs(balance.errors[row]).max()), 4),
                )
                for row, label in enumerate(balance.classes)
            ),
            inputs=tuple(
                InputOf(
                    path=called(one.path),
                    digest=one.digest,
                    records=one.records,
                    images=one.images and called(one.images),
                    label=one.label,
                    directory=one.directory,
                )
                for one in self.records.inputs
            ),
            outputs=tuple(made),
            left_out=splitting.left_out(),
            moved=splitting.moved(wish.extends or before),
            findings=tuple(plain(replace(one, path=called(one.path))) for one in findings),
            members=members,
            absent=dict(splitting.absent),
            tying=splitting.tying,
        )
        if before and msgspec.structs.replace(told, moved=before.moved) == before:
            return before
        return told

    def _stale(self, documents: Documents, before: Split | None) -> list[str]:
        """The documents of an earlier split of ours, finished or not, that this one does not make."""
        earlier = {one.path for one in before.outputs} if before else set()
        if self.change.begun and self.change.begun.command == "split":
            earlier |= {file.path for file in self.change.finished() if "/" not in file.path}
        found = []
        for path in sorted(earlier - documents.files.keys()):
            have = documents.have(path)
            if have is not None and documents.is_ours(have):
                found.append(path)
        return found

    def _write(
        self,
        documents: Documents,
        files: PartFiles,
        stale: Sequence[str],
        parts: Collection[str],
        earlier: Collection[str],
    ) -> None:
        """Put all in place; what is `stale` goes, and what else of `earlier` documents was changed is ours no more."""
        change = self.change
        change.mark()
        for path in [path for path in documents.due if path != SPLIT]:
            documents.put(path)
        below = files.carry_out()
        for _, error in change.remove(stale):
            raise error
        # Last: until it is there, the one before tells what there is to be removed
        documents.put(SPLIT)
        tops = tuple(f"{part}/" for part in parts)  # of the split before too: what is still in them is in `below`
        gone = {*stale, *earlier}
        others = {path: one for path, one in change.listed.items() if path not in gone and not path.startswith(tops)}
        steps = tuple(one for one in (change.dataset.steps if change.dataset else ()) if one.command != "split")
        now: dict[str, File] = {**others, **documents.files, **{file.path: file for file in below}}
        change.commit(now.values(), (*steps, replace(change.step, counts={"files": len(documents.files) + len(below)})))
