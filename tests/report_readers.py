"""Reads findings back from every format, the way that its consumers do: by their rules, not by those of the writer."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections import namedtuple
from urllib.parse import unquote_to_bytes

Read = namedtuple("Read", "code level path message")

_LINE = re.compile(r"(error|warning|note) +(\S.*?): (.*) \[([a-z0-9-]+)\]")
_COMMAND = re.compile(r"::(\w+)(?: (.*?))?::(.*)")
_LEVELS = {"error": "error", "warning": "warning", "notice": "note"}


def from_text(text):
    """The lines that begin with a level."""
    matches = (_LINE.fullmatch(line) for line in text.splitlines())
    return [Read(match[4], match[1], match[2], match[3]) for match in matches if match]


def from_json(text):
    return [Read(one["code"], one["level"], one["path"], one["message"]) for one in json.loads(text)["findings"]]


def from_junit(text):
    """The tests that did not pass; their names are paths where nothing else is named."""
    found = []
    for case in ET.fromstring(text).iter("testcase"):
        for verdict in (*case.iter("failure"), *case.iter("skipped")):
            level, _, message = verdict.get("message").partition(": ")
            found.append(Read(case.get("classname"), level, case.get("name"), message))
    return found


def from_sarif(text, root=""):
    """The results, by the URI of their file: relative to `root` when that is given."""
    (run,) = json.loads(text)["runs"]
    found = []
    for result in run["results"]:
        (location,) = result["locations"]
        uri = location["physicalLocation"]["artifactLocation"]["uri"]
        path = unquote_to_bytes(uri).decode("utf-8", "surrogateescape").removeprefix(root)
        message = re.sub(r"\\([\[\]\\])", r"\1", result["message"]["text"])  # escapes of what would be links
        found.append(Read(result["ruleId"], result["level"], path, message))
    return found


def commands(text):
    """The workflow commands in a log, as the runner takes them: name, properties, message."""
    for line in text.splitlines():
        if line.lstrip().startswith("::") and (match := _COMMAND.fullmatch(line.lstrip())):
            pairs = (pair.split("=", 1) for pair in (match[2] or "").split(",") if pair)
            properties = {key: _unescaped(value, {"%3A": ":", "%2C": ","}) for key, value in pairs}
            yield match[1], properties, _unescaped(match[3], {})


def _unescaped(text, more):
    for escape, char in {**more, "%0D": "\r", "%0A": "\n", "%25": "%"}.items():
        text = text.replace(escape, char)
    return text


def from_github(text, root=""):
    """The annotations, and below them the text of what has none."""
    found = []
    for name, properties, message in commands(text):
        if name in _LEVELS and properties["title"] != "visprep":
            path = properties["file"].removeprefix(root)
            found.append(Read(properties["title"], _LEVELS[name], path, message.partition("\nhint: ")[0]))
    return found + from_text(text)
