"""The files of a subset that upstream does not have: annotations and NOTICE.csv, first as drafts, then in place."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from visprep import subsets, wire
from visprep.errors import AWAY, FileMissing, WouldOverwrite
from visprep.extraction import Extraction
from visprep.manifest import File
from visprep.own_record import read_record
from visprep.sources import Archived, Selection
from visprep.stores.local import LocalStore
from visprep.subsets import NOTICE, Choice


class Document(Protocol):
    """What can be written to a file."""

    def write(self, path: Path) -> object:
        """Make or replace the file at `path`."""
        ...


class Documents:
    """Drafts of documents in `folder`, for `paths`; `due` are those that are not yet in place as they should be."""

    def __init__(self, extraction: Extraction, folder: Path) -> None:
        self._extraction, self._drafts = extraction, LocalStore(folder)
        self.due: list[File] = []
        self.paths: list[str] = []

    @property
    def bytes(self) -> int:
        """Bytes of what is due."""
        return sum(file.size or 0 for file in self.due)

    def draft(self, choice: Choice) -> None:
        """Write what a choice needs; WouldOverwrite when a file is in the way that we did not write."""
        self.draft_all(choice.documents)
        self._draft_notice(choice)

    def draft_all(self, documents: Mapping[str, Document]) -> None:
        """Write documents, by the paths where they shall be; WouldOverwrite as `draft`."""
        for path, document in documents.items():
            self.paths.append(path)
            with self._drafts.errors(path):
                draft = self._drafts.root / path
                draft.parent.mkdir(parents=True, exist_ok=True)
                document.write(draft)
            self._compare(path)

    def check_way(self, path: str) -> None:
        """WouldOverwrite when a file is in the way of a document that is not made yet."""
        extraction = self._extraction
        with contextlib.suppress(FileMissing):
            there = wire.wait(extraction.target.hash(path, "sha256"))
            if not (extraction.may_replace or self._ours(path, there)):
                raise WouldOverwrite.of(extraction.target.place, [path])

    def path(self, path: str) -> Path:
        """Where the draft of a document is."""
        return self._drafts.root / path

    def draft_notice(self, source: Archived, selection: Selection) -> None:
        """The notice of an earlier subset, anew for all images that there are now; nothing where there is none."""
        target = self._extraction.target
        if (target.root / NOTICE).is_file() and self._ours(NOTICE, wire.wait(target.hash(NOTICE, "sha256"))):
            self._draft_notice(subsets.noted(source, selection, self._extraction.target))

    def put(self) -> None:
        """Put in place what is due.

        It is noted before, too: killed between, a command knows what it wrote, even when it writes something else then.
        """
        for file in self.due:
            self._extraction.change.note(file)
            self._extraction.change.store_notes()
            self._extraction.note(wire.wait(self._extraction.target.receive(file, self._drafts)))
        self.due.clear()

    def _draft_notice(self, choice: Choice) -> None:
        target = self._extraction.target
        told = subsets.notice(choice, read_record(target, NOTICE), lambda path: (target.root / path).is_file())
        wire.wait(self._drafts.write(NOTICE, told))
        self._compare(NOTICE)

    def _compare(self, path: str) -> None:
        extraction = self._extraction
        draft = extraction.hashed(wire.wait(self._drafts.stat(path)), store=self._drafts)
        with contextlib.suppress(FileMissing):
            there = wire.wait(extraction.target.hash(path, "sha256"))
            if there == draft.digest:
                extraction.files[path] = draft
                extraction.kept += 1
                return
            if not (extraction.may_replace or self._ours(path, there)):
                # Only a download has an --overwrite that could be named
                hint = None if extraction.change.step.command == "download" else AWAY
                raise WouldOverwrite.of(extraction.target.place, [path], hint)
        self.due.append(draft)

    def _ours(self, path: str, digest: str | None) -> bool:
        """Whether we wrote a document with this digest: by the manifest, or an unfinished command."""
        listed = self._extraction.change.listed.get(path)
        of_ours = [listed] if listed else []
        of_ours += [note for note in self._extraction.change.notes if note.path == path]
        return digest is not None and digest in {file.digest for file in of_ours}
