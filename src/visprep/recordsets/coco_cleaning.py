"""What is at fault in COCO files and their images, all of it: verify tells a thousand of each kind, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from visprep.engines import Engine
from visprep.findings import Finding, Level
from visprep.image_loading import Seen
from visprep.progress import OnProgress
from visprep.recordsets.coco_files import CocoFile
from visprep.recordsets.unread import not_judged
from visprep.rounds import SEEING, Eye, Rounds
from visprep.rules import Depth, Rule, coco, coco_files, files
from visprep.rules.coco_notes import Notes
from visprep.traffic import metered
from visprep.transfer import on_this_machine


@dataclass
class Blame(Notes):
    """Notes that tell only who is to blame for an error: rows of images and of annotations, with the codes."""

    rows: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    others: list[Finding] = field(default_factory=list)

    def saw(self, records: Any) -> None:
        """Nothing is to be found again."""

    def full(self, rule: Rule) -> bool:
        """Never: all are to be known."""
        return False

    def drop(self, rule: Rule) -> None:
        """Forget what was noted of a rule."""
        self.others = [one for one in self.others if one.code != rule.code]
        self.rows = {row: left for row, codes in self.rows.items() if (left := [c for c in codes if c != rule.code])}

    def add(
        self,
        rule: Rule,
        message: str,
        key: str | None = None,
        number: int | None = None,
        field: str = "",
        *,
        inside: int | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> None:
        """See `Notes`; warnings are no reason to drop anything."""
        if rule.level is not Level.ERROR:
            return
        if number is not None and key in ("images", "annotations"):
            self.rows.setdefault((key, number), []).append(rule.code)
        else:
            self.others.append(rule.at(self.path, message, **(where or {})))

    def findings(self) -> Iterator[Finding]:
        """None: they are not for telling."""
        return iter(())


def blame(file: CocoFile) -> Blame:
    """Who is to blame for the errors in an annotation file."""
    found = Blame(file.file.index.file, file.given)
    coco.check(file.file.index.file, file.given, found)
    for key, number, problem in file.broken:
        if (key, number) not in found.rows:  # no rule says so, and yet it cannot be read
            found.others.append(files.FILE_UNREADABLE.at(file.given, problem.message))
    return found


def bad_images(
    file: CocoFile, rows: list[int], jobs: int | None, engine: Engine, progress: OnProgress
) -> Iterator[tuple[int, str]]:
    """Of these images of a file those that are missing, cannot be decoded, or are of another size; with the code.

    Nothing where none of its images is there. They are decoded on a disk; elsewhere only the headers are read.
    """
    if file.root is None:
        return
    store, listing = file.home.store, file.home.listing
    near = on_this_machine(store)
    depth = Depth.DECODE if near else Depth.HEADERS
    there: list[int] = []
    for row in rows:
        path = file.file.image(row)
        if path is not None and path not in listing:
            yield row, coco_files.IMAGE_MISSING.code
        elif path is not None:
            there.append(row)

    if there and engine.spreads:
        engine.check(store)
    images = (listing[file.file.image(row) or ""] for row in there)
    with metered() as meter:
        rounds = Rounds(Eye(store, depth, near), engine, jobs, progress, meter)
        sights = rounds.over("Looking at images", images, SEEING, "images", total=len(there))
        faults = [(row, code) for row, sight in zip(there, sights, strict=True) if (code := _fault(file, row, sight))]
    yield from faults


def _fault(file: CocoFile, row: int, sight: Seen) -> str | None:
    for one in sight.findings:
        if one.unread:  # which says nothing of the image
            raise not_judged(one)
    errors = [one.code for one in sight.findings if one.level is Level.ERROR]
    if errors:
        return errors[0]
    images = file.file.index.images
    said = int(images.widths[row]), int(images.heights[row])
    if sight.size is None or min(said) <= 0 or sight.size == said:
        return None
    turned = sight.size == said[::-1] and sight.orientation >= 5
    return (coco_files.IMAGE_SIZE_ROTATED if turned else coco_files.IMAGE_SIZE_MISMATCH).code
