"""Findings, reports, and how they are rendered: gold files."""

import json
from pathlib import Path

import pytest

from visprep.findings import Finding, Level, Report
from visprep.render import RENDERERS

GOLD = Path(__file__).parent / "gold"

REPORT = Report.of(
    "data/questions",
    [
        Finding("unexpected-file", Level.WARNING, "a_task/1/Thumbs.db", "not part of a task", hint="remove it"),
        Finding("prompt-encoding", Level.ERROR, "b_task/1/prompt.txt", "not UTF-8", where={"byte": 7}),
        Finding("frame-size-mismatch", Level.ERROR, "a_task/1", "256x256 and 256x255", hint="make them \u00fcqual"),
        Finding("file-unlisted", Level.NOTE, "new.txt", "not in the manifest"),
    ],
    checked={"tasks": 2, "files": 7},
    format="tasks",
    depth="decode",
)


@pytest.mark.parametrize(("name", "ending"), [("text", "txt"), ("json", "json")])
def test_gold(name, ending):
    assert RENDERERS[name](REPORT) == (GOLD / f"report.{ending}").read_text(encoding="utf-8")


def test_order_does_not_depend_on_the_order_of_finding():
    assert Report.of("x", reversed(REPORT.findings)).findings == REPORT.findings


def test_only_errors_fail():
    assert REPORT.failed
    assert not Report.of("x", [finding for finding in REPORT.findings if finding.level is not Level.ERROR]).failed
    assert not Report.of("x", []).failed


def test_json_tells_what_the_text_tells():
    document = json.loads(RENDERERS["json"](REPORT))
    assert document["counts"] == REPORT.counts == {"error": 2, "warning": 1, "note": 1}
    assert [one["code"] for one in document["findings"]] == [finding.code for finding in REPORT.findings]


def test_a_clean_report_says_what_was_checked():
    assert RENDERERS["text"](Report.of("x", [], checked={"tasks": 3})) == "x: 3 tasks checked\nno findings\n"
