"""A place that `split` wrote: split.json held against the files of the parts, and these against the images they name.

What the files are in themselves, another check looks at: as a dataset, if they are one.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from visprep import split_file, split_members, wire
from visprep.digests import digest_of
from visprep.errors import BadRecord, StoreError, UnsafePath, WrongContent
from visprep.findings import Finding
from visprep.formats import coco_json
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_place import split_of
from visprep.image_loading import whole
from visprep.looking import Check, Looking
from visprep.manifest import MANIFEST, File
from visprep.own_record import read_dataset, read_record
from visprep.render.text import counted
from visprep.rules import Depth, coco_files
from visprep.rules.splits import LEAK_ACROSS_PARTS, PART_DIFFERS, SPLIT_DAMAGED
from visprep.selection import Scope
from visprep.split_file import SPLIT, InputOf, OutputOf, Split
from visprep.stores import safe_path
from visprep.stores.local import LocalStore
from visprep.traffic import Traffic

#: What another check says of parts whose images lie elsewhere, or that were drawn from one dataset: it is said here.
_SAID_HERE = frozenset({coco_files.IMAGES_ABSENT.code, coco_files.IMAGE_IN_TWO_SPLITS.code})


#: Images of a file, about, by which the directory of all is known.
_SOME = 200
#: What is looked for here, and in no other place.
RULES = (LEAK_ACROSS_PARTS, PART_DIFFERS, SPLIT_DAMAGED)


def recognize(look: Looking, inner: Check | None, within: str) -> SplitCheck | None:
    """The check of a place with a split.json that visprep wrote, None for any other place.

    `inner` looks at what the files are in themselves: in the format `within`.
    """
    if all(file.path != SPLIT for file in look.listing):
        return None
    check = SplitCheck(look, inner, within)
    if check.split is not None:
        return check
    try:
        dataset = read_dataset(look.store)
    except BadRecord:
        return None
    return check if dataset and any(step.command == "split" for step in dataset.steps) else None


class SplitCheck:
    """One look at a place of parts."""

    def __init__(self, look: Looking, inner: Check | None, within: str) -> None:
        self.look, self.inner, self.within = look, inner, within
        self.files: Mapping[str, File] = {file.path: file for file in look.listing}
        self.wrong = ""
        self.split: Split | None = None
        try:
            self.split = split_file.load(wire.wait(look.store.read(SPLIT)), SPLIT)
        except (BadRecord, StoreError) as problem:
            self.wrong = problem.message.removeprefix(f"{SPLIT}: ")

    @property
    def homes(self) -> Iterable[str]:
        """See `Check`."""
        return self.inner.homes if self.inner else ()

    def widened(self, changed: frozenset[str]) -> Iterable[str]:
        """See `Check`."""
        return self.inner.widened(changed) if self.inner else ()

    def reads(self, scope: Scope) -> Traffic:
        """See `Check`."""
        return self.inner.reads(scope) if self.inner else whole(self.files[one.path] for one in self._there)

    def records(self, scope: Scope) -> Mapping[str, int]:
        """See `Check`."""
        told = self.inner.records(scope) if self.inner else {}
        members = sum(map(len, self.split.members.values())) if self.split else 0
        parts = {"parts": len(self.split.parts), "records": members} if self.split else {}
        return {**parts, **{kind: count for kind, count in told.items() if count}}

    def findings(self, scope: Scope) -> Iterator[Finding]:
        """See `Check`."""
        ours = {one.path for one in self.split.outputs} if self.split and self.split.kind == "coco" else set()
        for finding in self.inner.findings(scope) if self.inner else ():
            if finding.code not in _SAID_HERE or finding.where.get("json", finding.path) not in ours:
                yield finding
        if self.split is None:
            yield SPLIT_DAMAGED.at(SPLIT, self.wrong)
            return
        yield from self._files(self.split)
        if self.look.depth.reaches(Depth.HEADERS):
            yield from self._members(self.split)
        if self.split.kind == "coco" and self.split.how == "ids":
            yield from self._images(self.split)
        if self.split.kind != "coco" and self.split.how != "ids":
            yield from self._directories(self.split)

    @property
    def _there(self) -> tuple[OutputOf, ...]:
        return tuple(one for one in self.split.outputs if one.path in self.files) if self.split else ()

    def _files(self, split: Split) -> Iterator[Finding]:
        """The files that are not as split.json says; where there is a manifest, that says it already."""
        if read_record(self.look.store, MANIFEST) is not None:
            return
        for one in split.outputs:
            file = self.files.get(one.path)
            if file is None:
                yield PART_DIFFERS.at(one.path, f"it is not there, and {SPLIT} says that it holds {one.part}")
            elif file.size != one.size or (self.look.depth.reaches(Depth.CONTENT) and self._digest(one) != one.digest):
                yield PART_DIFFERS.at(one.path, f"it is not the file that {SPLIT} tells of")

    def _digest(self, one: OutputOf) -> str | None:
        try:
            return digest_of(wire.wait(self.look.store.read(one.path)))
        except StoreError:
            return None

    @cached_property
    def _names(self) -> Mapping[str, tuple[str, ...]]:
        """What each file of a part names; files that cannot be read, which others tell, have nothing to say."""
        assert self.split is not None
        found: dict[str, tuple[str, ...]] = {}
        for one in self._there:
            try:
                if self.split.kind == "coco":
                    names = coco_json.index(JsonFile(self.look.store, one.path)).images.file_names
                    found[one.path] = tuple(name or "" for name in names)
                else:
                    lines = wire.wait(self.look.store.read(one.path)).decode().split("\n")
                    found[one.path] = tuple(line for line in lines if line)
            except (StoreError, WrongContent, UnicodeDecodeError):
                continue
        return found

    def _members(self, split: Split) -> Iterator[Finding]:
        """Members that are not in the file of their part, and records that are in another, or in none."""
        part_of = split.part_of()
        seen: dict[str, tuple[str, str]] = {}
        found: defaultdict[str, set[str]] = defaultdict(set)  # a part may be in several files, of other annotations
        last = {one.part: one.path for one in self._there if one.path in self._names}
        for one in self._there:
            if one.path not in self._names:
                continue
            keys = [self._key(name, one.part, part_of) for name in self._names[one.path]]
            found[one.part].update(keys)
            strange = sorted({key for key in keys if part_of.get(key) != one.part})
            lacking = sorted(set(split.members[one.part]) - found[one.part]) if last[one.part] == one.path else []
            for which, what in ((strange, f"that {SPLIT} does not have in {one.part}"), (lacking, "too few")):
                if which:
                    words = f"{counted(len(which), 'record')} {what}, such as {which[0]}"
                    yield PART_DIFFERS.at(one.path, words, key=which[0], count=len(which))
            if len(keys) != one.records and not strange and not lacking:
                yield PART_DIFFERS.at(one.path, f"it names {len(keys):,}, and {SPLIT} says {one.records:,}")
            for key in keys:
                part, path = seen.setdefault(key, (one.part, one.path))
                if part != one.part:
                    where = {"key": key, "first": path, "parts": [part, one.part]}
                    yield LEAK_ACROSS_PARTS.at(one.path, f"{key} is in {path} too", **where)

    def _directories(self, split: Split) -> Iterator[Finding]:
        """The records that lie in the directories of the parts, held against the members."""
        there: defaultdict[str, set[str]] = defaultdict(set)
        for path in split_members.linked(split.kind, self.look.listing):
            there[path.partition("/")[0]].add(path)
        matched = split_members.Matched(split, there)
        known = set().union(*there.values()).difference(*matched.strange.values())
        homes = {path.partition("/")[2]: path.partition("/")[0] for path in known}
        for part in split.members:
            strange, lacking = sorted(matched.strange[part]), sorted(matched.lacking[part])
            for which, what in ((strange, f"that {SPLIT} does not have in {part}"), (lacking, "too few")):
                if which:
                    words = f"{counted(len(which), 'record')} {what}, such as {which[0]}"
                    yield PART_DIFFERS.at(part, words, key=which[0], count=len(which))
            for path in strange:
                other = homes.get(below := path.partition("/")[2])
                if other is not None:
                    where = {"key": below, "first": f"{other}/{below}", "parts": [other, part]}
                    yield LEAK_ACROSS_PARTS.at(path, f"{below} is in {other} too", **where)

    def _key(self, name: str, part: str, part_of: Mapping[str, str]) -> str:
        """The key of a record by its name in the file of a part: one of them may begin with what the other does not.

        That is the directory of the images, or the label of the input.
        """
        assert self.split is not None
        if part_of.get(name) == part:
            return name
        found = [name] if name in part_of else []
        for one in self.split.inputs:
            inner = (name.removeprefix(f"{lead}/") for lead in (one.directory, one.label) if lead)
            found += [key for told in inner for key in (told, f"{one.label}/{told}") if key in part_of]
        return next((key for key in found if part_of[key] == part), next(iter(found), name))

    def _images(self, split: Split) -> Iterator[Finding]:
        """The images that the parts name, where split.json says that they are."""
        folders = {one: self._folder(one) for one in split.inputs}
        lost = next((one for one, folder in folders.items() if folder is None), None)
        if lost is not None:
            yield self._lost(lost.path)
            return
        there = _Listings()
        for path, names in self._names.items():
            absent = [
                name
                for name in names
                if not any(there.has(f"{folder}/{own}") for one, folder in folders.items() for own in _owns(name, one))
            ]
            if absent:
                words = f"{counted(len(absent), 'image')} of {len(names):,} not where {SPLIT} says, such as {absent[0]}"
                yield coco_files.IMAGE_MISSING.at(path, words, count=len(absent), key=absent[0])

    def _lost(self, path: str) -> Finding:
        """Why the images of an annotation file are not looked for."""
        place = self.look.store.place
        far = next((one for one in (path, place) if "://" in one), None)
        if far is not None:
            why = f"{far} is not on this machine"
            hint = f"{shlex.join(['visprep', 'leaks', place])} looks at all of them"
        elif any(os.path.isfile(Path(base, path)) for base in self._bases()):  # noqa: PTH113 -- never raises
            why = f"{path} is here, and none of its images where they usually are"
            hint = f"bring them to where {path} expects them, and verify again"
        else:
            why, hint = f"{path} is not to be found from here", "run it where split was run"
        return replace(coco_files.IMAGES_ABSENT.at(SPLIT, f"the images are not looked for: {why}"), hint=hint)

    def _bases(self) -> Iterator[Path]:
        """The directories that the paths of the inputs may be relative to."""
        yield Path.cwd()
        if isinstance(self.look.store, LocalStore):
            yield from self.look.store.root.parents

    def _folder(self, one: InputOf) -> str | None:
        """The directory that has images of an annotation file; None when none is found that has some.

        It is the one that split.json tells, or, where split had no need to look for them, a usual one. The path of the
        file is taken from the working directory, or else from one that the parts lie in.
        """
        if "://" in one.path or not isinstance(self.look.store, LocalStore):
            return None
        name = split_of(one.path).name
        usual = (name, f"images/{name}", "images", "")
        homes = dict.fromkeys(home for base in self._bases() for home in Path(base, one.path).parents)
        folders = (
            f"{home}/{root}".rstrip("/")
            for home in homes
            for root in (usual if one.images is None else (one.images,))
            if not root or _is_safe(root)
        )
        some, there = self._some(one), _Listings()
        best: tuple[int, str | None] = (0, None)
        for folder in folders:
            hits = sum(any(there.has(f"{folder}/{own}") for own in owns) for owns in some)
            if hits > best[0]:  # another directory may have some of the same names
                best = hits, folder
            if hits == len(some):
                break
        return best[1]

    def _some(self, one: InputOf) -> list[list[str]]:
        """Of a few of many images of an annotation file the names that they may have there."""
        names = [name for names in self._names.values() for name in names]
        leads = tuple(f"{lead}/" for lead in (one.directory, one.label) if lead)
        names = [name for name in names if leads and name.startswith(leads)] or names
        return [list(_owns(name, one)) for name in names[:: max(1, len(names) // _SOME)]]


def _owns(name: str, one: InputOf) -> Iterator[str]:
    """What the name of an image in a part may be in one of the inputs: there it may lack what it begins with."""
    for lead in dict.fromkeys(("", one.images or "", one.directory, one.label)):
        if not lead or name.startswith(f"{lead}/"):
            own = name[len(lead) + 1 :] if lead else name
            if _is_safe(own):
                yield own


def _is_safe(path: str) -> bool:
    """Whether a path stays below where it starts: whoever wrote the file may be a stranger."""
    try:
        safe_path(path)
    except UnsafePath:
        return False
    return True


class _Listings:
    """The files of directories, each listed when one of its files is asked for, and nothing below it."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str]] = {}

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        folder, _, name = path.rpartition("/")
        if folder not in self._known:
            self._known[folder] = frozenset()
            with contextlib.suppress(OSError, ValueError), os.scandir(folder or "/") as entries:
                self._known[folder] = frozenset(entry.name for entry in entries if _is_file(entry))
        return name in self._known[folder]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False
