"""What people see of published places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visprep.console import Screen, out_json, plain, size
from visprep.render.text import counted

if TYPE_CHECKING:
    from visprep.publishing import PublishResult

_UNGUARDED = (
    "warning: this server knows no conditional writes: if two publish at the same moment, "
    "one version may be lost unseen"
)


def show_result(shown: Screen, result: PublishResult, *, as_json: bool) -> None:
    """What was done at a published place, or would be."""
    if as_json:
        out_json(plain(result))
        return
    for path in result.without_images:
        shown.say(f"warning: {path}: none of its images is in the place, so loaders cannot read it there")
    if not result.guarded:
        shown.say(_UNGUARDED)
    shown.say(_WORDS[result.action](result))


def _published(result: PublishResult) -> str:
    sent = f"{counted(result.sent, 'file')} ({size(result.sent_bytes)})"
    whole = f"{counted(result.files, 'file')} ({size(result.bytes)})"
    if result.dry_run:
        return f"{result.target}: {whole} would be published, of which {sent} would be sent"
    return f"{result.target}: version {result.version} is published, {whole}; sent: {sent}"


def _unchanged(result: PublishResult) -> str:
    if result.sent:
        lost = f"{counted(result.sent, 'file')} ({size(result.sent_bytes)})"
        sent = "would be sent again" if result.dry_run else "sent again"
        return f"{result.target}: version {result.version} is the same, but had lost files; {sent}: {lost}"
    return f"{result.target}: version {result.version} has all that already"


def _rolled_back(result: PublishResult) -> str:
    would = "would count" if result.dry_run else "counts"
    return f"{result.target}: version {result.version} {would} again, in place of {result.previous}"


def _pruned(result: PublishResult) -> str:
    would = "would be deleted" if result.dry_run else "deleted"
    what = f"{counted(len(result.deleted), 'version')}, {counted(result.deleted_files, 'object')}"
    return f"{result.target}: {what} ({size(result.deleted_bytes)}) {would}; {len(result.kept)} kept"


_WORDS = {"published": _published, "unchanged": _unchanged, "rolled back": _rolled_back, "pruned": _pruned}
