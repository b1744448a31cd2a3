"""A place that `split` wrote: split.json held against the files of the parts, and these against the images they name.

What the files are in themselves, another check looks at: as a dataset, if they are one.
"""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from visprep import split_file, wire
from visprep.digests import digest_of
from visprep.errors import BadRecord, StoreError, WrongContent
from visprep.findings import Finding
from visprep.formats import coco_json
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_place import joined, split_of
from visprep.looking import Check, Looking
from visprep.manifest import MANIFEST, File
from visprep.own_record import read_dataset, read_record
from visprep.render.text import counted
from visprep.rules import Depth, coco_files
from visprep.rules.splits import LEAK_ACROSS_PARTS, PART_DIFFERS, SPLIT_DAMAGED
from visprep.selection import Scope
from visprep.split_file import SPLIT, OutputOf, Split
from visprep.stores.local import LocalStore

#: What another check says of parts whose images lie elsewhere, or that were drawn from one dataset: it is said here.
_SAID_HERE = frozenset({coco_files.IMAGES_ABSENT.code, coco_files.IMAGE_IN_TWO_SPLITS.code})


#: Images of each file by which the directory of all is known.
_SOME = 3
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

    def bytes(self, scope: Scope) -> int:
        """See `Check`."""
        return self.inner.bytes(scope) if self.inner else sum(self.files[one.path].size or 0 for one in self._there)

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
        roots = [self._root(one.path, one.images, (one.directory, one.label)) for one in split.inputs]
        if None in roots:
            yield self._lost(next(one.path for one, root in zip(split.inputs, roots, strict=True) if root is None))
            return
        there = {
            name
            for one, root in zip(split.inputs, roots, strict=True)
            if root
            for own in _below(*root)
            for name in (own, joined(one.directory, own), joined(one.label, own))
        }
        for path, names in self._names.items():
            absent = [name for name in names if name not in there]
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
        elif any(Path(base, path).is_file() for base in self._bases()):
            why = f"{path} is here, and none of its images"
            hint = f"bring them to where {path} expects them, and verify again"
        else:
            why, hint = f"{path} is not to be found from here", "run it where split was run"
        return replace(coco_files.IMAGES_ABSENT.at(SPLIT, f"the images are not looked for: {why}"), hint=hint)

    def _bases(self) -> Iterator[Path]:
        """The directories that the paths of the inputs may be relative to."""
        yield Path.cwd()
        if isinstance(self.look.store, LocalStore):
            yield from self.look.store.root.parents

    def _root(self, path: str, images: str | None, leads: Iterable[str]) -> tuple[Path, str] | None:
        """The home of an annotation file, and in it the directory of its images; None when they are not there.

        Where split had no need to look for them, that is called like the upstream split. The path of the file is taken
        from the working directory, or else from one that the parts lie in.
        """
        if "://" in path or not isinstance(self.look.store, LocalStore):
            return None
        folder = split_of(path).name if images is None else images
        homes = [home for base in self._bases() for home in Path(base, path).parents if Path(home, folder).is_dir()]
        begins = ["", *(f"{lead}/" for lead in leads if lead and lead != images)]
        some = [
            name.removeprefix(begin)
            for names in self._names.values()
            for begin in begins
            for name in [one for one in names if one.startswith(begin)][:_SOME]
        ]
        with_images = (
            home for home in homes if any(Path(home, at, name).is_file() for at in ("", folder) for name in some)
        )
        home = next(with_images, None if images == "" else next(iter(homes), None))
        return None if home is None else (home, folder)


def _below(home: Path, images: str) -> Iterator[str]:
    """The names of the files below a directory of images, with and without that directory."""
    top = str(home / images)
    for folder, _, files in os.walk(top):
        inside = os.path.relpath(folder, top).replace(os.sep, "/")
        for name in files:
            own = name if inside == "." else f"{inside}/{name}"
            yield own
            yield joined(images, own)
