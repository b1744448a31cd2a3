"""The file that a page is: never in place of what is no page of ours."""

from __future__ import annotations

import os

from visprep import whole_files
from visprep.errors import WouldOverwrite
from visprep.page import is_page
from visprep.stores.arrivals import disk_errors

#: Bytes in which a page says that it is one of ours.
_HEAD_BYTES = 1024


def check_replaceable(file: str | os.PathLike[str], overwrite: bool = False) -> None:
    """WouldOverwrite for a file that is no page of visprep's, unless it is to be overwritten.

    Else errors as of `whole_files.in_the_way`.
    """
    there = whole_files.in_the_way(file)
    if there is None or overwrite:
        return
    with disk_errors(str(there)), there.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
    if not is_page(head):
        hint = "choose another --output, move this one away, or replace it with --overwrite"
        raise WouldOverwrite(f"{there}: it is no page of visprep report", paths=(str(there),), hint=hint)
