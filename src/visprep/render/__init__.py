"""How a report looks: functions from one `Report` to pieces of text, by name of the format.

Pieces, so that a report of any length is written as it is made. What is for services that refuse or choke on long
reports (GitHub, code scanning, test viewers) is capped, the gravest findings first, and says what it leaves out; JSON
always holds all.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from visprep.findings import Report


def _rendered(name: str, report: Report) -> Iterator[str]:
    """What the module of a format makes of a report; loaded now, since most commands render nothing."""
    pieces: Iterator[str] = getattr(importlib.import_module(f"visprep.render.{name}"), f"as_{name}")(report)
    return pieces


#: name of a format -> what renders it
RENDERERS: Mapping[str, Callable[[Report], Iterator[str]]] = MappingProxyType(
    {name: partial(_rendered, name) for name in ("github", "json", "junit", "sarif", "text")}
)

#: How a report of each format begins; text and that for GitHub alike.
_BEGINS = re.compile(
    rb"""\{\n\ \ "format_version":\ \d+,\n\ \ "place":\ | \{\n\ \ "\$schema":\ "[^"]*sarif
    | <\?xml[^>]*\?>\n<testsuites\ name="visprep\ verify" | [^\n]+:\ (nothing|\d[^\n]*)\ (would\ be\ )?checked""",
    re.VERBOSE,
)


def is_report(file: Path) -> bool:
    """Whether a file is a report of `verify`, in any format, or empty; OSError when it cannot be read."""
    with file.open("rb") as opened:
        head = opened.read(4096)
    return not head or _BEGINS.match(head) is not None
