"""How a report looks: functions from one `Report` to pieces of text, by name of the format.

Pieces, so that a report of any length is written as it is made. What is for services that refuse or choke on long
reports (GitHub, code scanning, test viewers) is capped, the gravest findings first, and says what it leaves out; JSON
always holds all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from visprep.findings import Report
from visprep.render.github import as_github
from visprep.render.json import as_json
from visprep.render.junit import as_junit
from visprep.render.sarif import as_sarif
from visprep.render.text import as_text

#: name of a format -> what renders it
RENDERERS: Mapping[str, Callable[[Report], Iterator[str]]] = MappingProxyType(
    {"github": as_github, "json": as_json, "junit": as_junit, "sarif": as_sarif, "text": as_text}
)
