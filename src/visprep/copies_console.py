"""What people see of copies: the operations of a plan, and the question before files are deleted."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from visprep.console import Screen, out, out_json, plain, size
from visprep.errors import UsageError
from visprep.render.text import counted

if TYPE_CHECKING:
    from visprep._fix import FixResult
    from visprep.archive_download import CollectResult
    from visprep.copying import CopyResult
    from visprep.formats.open_images_coco import Converted
    from visprep.open_images_download import BucketResult
    from visprep.plans import Operation
    from visprep.table_download import DownloadResult


#: Masks that are named one by one, of those that could not be read.
_SHOWN = 5


class Operations:
    """The operations of a dry run, to stdout: in words at once, as JSON with the result."""

    def __init__(self, dry_run: bool, as_json: bool) -> None:
        from visprep.plans import pack_operation, unpack_operation
        from visprep.spool import Spool

        self._dry_run, self._json = dry_run, as_json
        self._kept = Spool(pack_operation, unpack_operation)

    @property
    def show(self) -> Callable[[Operation], None] | None:
        """What the library tells every operation."""
        if not self._dry_run:
            return None
        return self._kept.append if self._json else _show_operation

    def show_result(self, shown: Screen, result: CopyResult) -> None:
        """What was done, or would be."""
        if not (self._dry_run and self._json):
            show_result(shown, result, as_json=self._json)
            return
        out(json.dumps({"format_version": 1, **plain(result)})[:-1] + ', "operations": [')
        for number, one in enumerate(self._kept):
            told = {"action": one.action, "path": one.file.path, "size": one.file.size, "reason": one.reason}
            out(("," if number else "") + "\n" + json.dumps(told))
        out("]}\n")


def _show_operation(operation: Operation) -> None:
    """One operation, to stdout: what, where, why."""
    from visprep.render.text import printable

    amount, path = size(operation.file.size or 0), printable(operation.file.path)
    out(f"{operation.action:8}{amount:>10}  {path}  ({operation.reason})\n")


def asking(deletes: bool, yes: bool) -> Callable[[int], bool]:
    """What asks before files are deleted; UsageError at once when nobody can be asked."""
    if deletes and not yes and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("--delete asks before it deletes, and nobody can be asked here", hint="say --yes")

    def ask(count: int) -> bool:
        import typer

        return yes or typer.confirm(f"Delete {counted(count, 'file')}?", err=True)

    return ask


def show_result(shown: Screen, result: DownloadResult | CopyResult, *, as_json: bool) -> None:
    """What a download or a copy did: in words to stderr, or as JSON to stdout."""
    from visprep.copying import CopyResult

    if as_json:
        out_json(plain(result))
    elif isinstance(result, CopyResult):
        moved = f"{counted(result.moved, 'file')} {'to copy' if result.planned else 'copied'} ({size(result.bytes)})"
        deleted = f", {result.deleted:,} {'to delete' if result.planned else 'deleted'}" if result.deleted else ""
        shown.say(f"{result.target}: {moved}, {result.kept:,} were there already{deleted}")
        if result.new_bucket and result.planned:
            shown.say(f"note: the bucket {result.new_bucket} is not there, and would be made")
        if result.asked:
            asked = f"{counted(result.asked, 'file')} {'was' if result.asked == 1 else 'were'} asked about one by one"
            shown.say(f"note: {asked}, since no listing tells the content")
        if result.too_many_deletes:
            allow = f"--max-delete {result.deleted} allows it"
            shown.say(f"note: this would be refused, since it deletes more files than it may: {allow}")
        if result.unfinished:
            named = f"{len(result.unfinished)}, the first being {result.unfinished[0]}"
            shown.say(f"note: files that are named like unfinished ones of visprep are not copied: {named}")
        if result.markers:
            shown.say(f"note: {result.markers:,} empty directories (keys that end in /) are not copied")
    else:
        made = counted(result.tasks, result.kind.removesuffix("s"))
        shown.say(f"{result.target}: {made}, {counted(result.files, 'file')} written, {result.kept:,} kept")
        if result.disk:
            shown.say(f"note: at most {size(result.disk)} of upstream's files lay in a temporary directory at once")
        if result.columns:
            taken = ", ".join(f"{field}={column}" for field, column in result.columns.items())
            shown.say(f"note: columns taken: {taken} (--map takes others)")
        for reason, count in result.skipped.items():
            shown.say(f"note: {counted(count, 'row')} skipped: {reason}")


def show_download(
    shown: Screen, result: DownloadResult | CollectResult | BucketResult | CopyResult, *, as_json: bool
) -> None:
    """What a download did: in words to stderr, or as JSON to stdout."""
    from visprep.copying import CopyResult

    if isinstance(result, CopyResult):  # first, since what the others need takes longer to load than many a copy
        show_result(shown, result, as_json=as_json)
        return
    from visprep.archive_download import CollectResult
    from visprep.open_images_download import BucketResult

    if isinstance(result, BucketResult):
        _show_bucket(shown, result, as_json=as_json)
        return
    if not isinstance(result, CollectResult):
        show_result(shown, result, as_json=as_json)
        return
    if as_json:
        out_json(plain(result))
        return
    files = f"{counted(result.files, 'file')} {'to write' if result.planned else 'written'}, {result.kept:,} kept"
    if result.planned:
        about = "about " if result.unchecked else ""
        files += f"; {about}{size(result.bytes)} in {counted(result.requests, 'request')}"
        if result.memory:  # to a bucket
            files += f", {size(result.temporary)} in the temporary directory, at most {size(result.memory)} of memory"
        else:
            files += f", {about}{size(result.disk)} on disk"
    shown.say(f"{result.target}: {files}")
    for name in result.unproven:
        shown.say(
            f"warning: {name} was not held against its recorded checksum, since not all of it came in one go: "
            "only each file against its CRC-32; the same command with --keep-archives checks it all"
        )
    by_parts = [name for name, how in result.checked.items() if how == "crc32" and name not in result.unproven]
    if by_parts:
        shown.say(f"note: not fetched in one go, and so checked by the CRC-32 of each file: {', '.join(by_parts)}")
    if result.unlabeled:
        shown.say(f"note: none of these labels in {', '.join(result.unlabeled)}: images without annotations")
    if result.others:
        shown.say(
            f"note: {counted(result.others, 'image')} from before stay, which the annotations written now do not name"
        )
    if result.unchecked:
        came = counted(result.unchecked, "image")
        shown.say(f"note: {came} not checked by any checksum: the archive could not be read in parts")
    for name, count in result.images.items():
        shown.say(f"note: {counted(count, 'image')}: {name}")


def _show_bucket(shown: Screen, result: BucketResult, *, as_json: bool) -> None:
    if as_json:
        out_json(plain(result))
        return
    files = f"{counted(result.files, 'file')} {'to write' if result.planned else 'written'}, {result.kept:,} kept"
    if result.planned:
        files += f"; about {size(result.bytes)}"
    shown.say(f"{result.target}: {files}")
    if result.disk:
        more = ", and the COCO JSON of the boxes," if result.planned else ""
        shown.say(f"note: tables and drafts, {size(result.disk)}{more} lie in a temporary directory meanwhile")
    show_boxes(shown, result.boxes)
    for split, count in result.odd.items():
        boxes = "1 box is" if count == 1 else f"{count:,} boxes are"
        shown.say(f"warning: {split}: {boxes} turned round or beyond the image, as upstream has them: see `verify`")
    if result.others:
        before = counted(result.others, "image")
        shown.say(f"note: {before} from before stay, which the rows and the JSON do not name")
    for name, count in result.images.items():
        shown.say(f"note: {counted(count, 'image')}: {name}")


def show_boxes(shown: Screen, boxes: Mapping[str, Converted]) -> None:
    """What came of the boxes of each split of Open Images."""
    for split, came in boxes.items():
        told = f"{came.annotations:,} box{'es' * (came.annotations != 1)}"
        shown.say(f"note: {split}: {counted(came.images, 'image')}, {told}")
        if came.rotated:
            rotated = f"{counted(came.rotated, 'image')} {'has' if came.rotated == 1 else 'have'}"
            shown.say(f"note: {split}: {rotated} a Rotation, which is told in the JSON and not applied")
        if came.unused:
            unused = f"{counted(came.unused, 'mask')} {'belongs' if came.unused == 1 else 'belong'} to no box"
            shown.say(f"warning: {split}: {unused}: not in the JSON")
        for path, why in came.broken[:_SHOWN]:
            shown.say(f"warning: masks/{split}/{path} is not in the JSON: {why}")
        if len(came.broken) > _SHOWN:
            shown.say(f"warning: {split}: {len(came.broken) - _SHOWN:,} more masks are not in the JSON")


def show_fix(shown: Screen, result: FixResult, *, as_json: bool) -> None:
    """What a fix did: in words to stderr, or as JSON to stdout."""
    if as_json:
        out_json(plain(result))
        return
    done = (
        (result.quarantined, "image", "put aside"),
        (result.refetched, "image", "fetched again"),
        (result.restored, "file", "put back"),
    )
    told = [f"{counted(len(paths), noun)} {what}" for paths, noun, what in done if paths]
    nothing = "undone" if result.how == "undo" else "" if result.written else "nothing to do"
    shown.say(f"{result.place}: {', '.join(told) or nothing or 'no image put aside'}")
    for path in result.written:
        shown.say(f"note: written without bad and missing images: {path}")
    if result.unchecked:
        count = counted(len(result.unchecked), "image")
        shown.say(f"note: {count} of these decode, and no manifest tells whether they are the right ones")
    place = shlex.quote(result.place)
    if result.left:
        shown.say(
            f"{counted(result.left, 'error')} left that --how {result.how} does not repair: visprep verify {place}"
        )
    if result.quarantined or result.written:
        shown.say(f"hint: visprep fix {place} --undo takes it back")
