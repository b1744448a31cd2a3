"""Findings, reports, and how they are rendered: gold files, limits, odd names, and the same findings in all formats."""

import json
import shutil
import subprocess
import sys
import tracemalloc
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest

from report_readers import Read, commands, from_github, from_json, from_junit, from_sarif, from_text
from visprep._verify import RULES
from visprep.findings import Finding, Level, Report, numbered
from visprep.render import RENDERERS
from visprep.render.github import LIMIT as GITHUB_LIMIT
from visprep.render.junit import LIMIT as JUNIT_LIMIT
from visprep.render.paths import Paths
from visprep.render.sarif import LIMIT as SARIF_LIMIT
from visprep.render.text import LIMIT, OF_EACH, printable

GOLD = Path(__file__).parent / "gold"

#: Microsoft's copy of the OASIS schema, from the source distribution of sarif-om 1.0.4 on PyPI (MIT license beside
#: it). Where it differs from the published one it allows more in what we do not write, and regions without a beginning.
SCHEMA = json.loads((GOLD / "sarif-2.1.0.schema.json").read_text(encoding="utf-8"))

REPORT = Report.of(
    "data/questions",
    [
        Finding("unexpected-file", Level.WARNING, "a_task/1/Thumbs.db", "not part of a task", hint="remove it"),
        Finding("prompt-encoding", Level.ERROR, "b_task/1/prompt.txt", "not UTF-8", where={"byte": 7}),
        Finding("frame-size-mismatch", Level.ERROR, "a_task/1", "256x256 and 256x255", hint="make them \u00fcqual"),
        Finding("file-unlisted", Level.NOTE, "new.txt", "not in the manifest"),
        Finding("box-outside", Level.ERROR, "boxes.json", "by 3", where={"line": 4, "column": 7, "image_id": 139}),
        Finding("box-outside", Level.ERROR, "boxes.json", "by 5", where={"line": 9, "column": 7, "image_id": 139}),
    ],
    checked={"tasks": 2, "files": 7},
    format="tasks",
    depth="decode",
    rules=(RULES["prompt-encoding"], RULES["prompt-empty"], RULES["file-unlisted"]),
    known=3,
)
ENDINGS = {"github": "github.txt", "json": "json", "junit": "xml", "sarif": "sarif", "text": "txt"}


def rendered(name, report=REPORT):
    return "".join(RENDERERS[name](report))


def findings(count, code="frame-mode", level=Level.ERROR):
    return [Finding(code, level, f"a_task/{index:06}/final_frame.png", f"wrong {index}") for index in range(count)]


@pytest.mark.parametrize("name", RENDERERS)
def test_gold(name):
    right = (GOLD / f"report.{ENDINGS[name]}").read_text(encoding="utf-8")
    assert rendered(name) == right.replace('"version": "VERSION"', f'"version": "{version("visprep")}"')


def test_order_does_not_depend_on_the_order_of_finding():
    assert Report.of("x", reversed(REPORT.findings)).findings == REPORT.findings


def test_errors_fail_and_warnings_when_asked():
    calm = [finding for finding in REPORT.findings if finding.level is not Level.ERROR]
    assert REPORT.failed
    assert not Report.of("x", calm).failed
    assert Report.of("x", calm, fail_on=Level.WARNING).failed
    assert not Report.of("x", findings(1, level=Level.NOTE), fail_on=Level.WARNING).failed
    assert not Report.of("x", []).failed


def test_json_tells_what_the_text_tells():
    document = json.loads(rendered("json"))
    assert document["counts"] == REPORT.counts == {"error": 4, "warning": 1, "note": 1}
    assert [one["code"] for one in document["findings"]] == [finding.code for finding in REPORT.findings]
    assert document["findings"][1]["where"] == {"line": 9, "column": 7, "image_id": 139} or document["known"] == 3


def test_a_clean_report_says_what_was_checked():
    assert rendered("text", Report.of("x", [], checked={"tasks": 3})) == "x: 3 tasks checked\nno findings\n"
    known = Report.of("x", [], checked={"tasks": 3}, known=1)
    assert rendered("text", known) == "x: 3 tasks checked\n1 known finding left out\nno new findings\n"
    for name in RENDERERS:
        assert rendered(name, Report.of("x", []))


# Fingerprints


def test_a_fingerprint_holds_names_and_neither_positions_nor_words():
    def fingerprint(path="a.json", message="wrong", level=Level.ERROR, code="bad", **where):
        return Finding(code, level, path, message, where=where).fingerprint

    same = {
        fingerprint(image_id=1),
        fingerprint(image_id=1, message="worded otherwise, at byte 8", level=Level.WARNING),
        fingerprint(image_id=1, line=7, column=8, byte=900, pointer="/images/3", expected=4, actual=5),
    }
    others = {
        fingerprint(),
        fingerprint(image_id=2),
        fingerprint(image_id="1"),
        fingerprint(annotation_id=1),
        fingerprint(id=1),
        fingerprint(field="id"),
        fingerprint(key="id"),
        fingerprint(image_id=1, path="b.json"),
        fingerprint(image_id=1, code="worse"),
    }
    assert (len(same), len(others), same & others) == (1, 9, set())


def test_equal_fingerprints_are_numbered():
    assert [number for finding, number in numbered(REPORT.findings) if finding.code == "box-outside"] == [1, 2]
    (run,) = json.loads(rendered("sarif"))["runs"]
    prints = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
    assert len(set(prints)) == len(prints) == 6
    names = [(case.get("classname"), case.get("name")) for case in ET.fromstring(rendered("junit")).iter("testcase")]
    assert len(set(names)) == len(names)
    assert ("box-outside", "boxes.json (image_id 139) #2") in names


# Each format by itself


def test_sarif_is_valid_and_complete():
    jsonschema.Draft4Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft4Validator(SCHEMA)
    for report in (REPORT, Report.of("s3://bucket/x", REPORT.findings), Report.of("x", []), LONG):
        log = json.loads(rendered("sarif", report))
        assert [error.message for error in validator.iter_errors(log)] == []
        (run,) = log["runs"]
        rules = run["tool"]["driver"]["rules"]
        assert [rule["id"] for rule in rules] == sorted(
            {finding.code for finding in report.findings} | {rule.code for rule in report.rules}
        )
        for rule in rules:
            assert rule["help"]["text"]
            assert rule["fullDescription"]["text"]
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            region = result["locations"][0]["physicalLocation"]["region"]
            assert set(region) == {"startLine", "startColumn", "endLine", "endColumn"}  # code scanning wants all four
    (broken,) = json.loads(rendered("sarif"))["runs"]
    del broken["tool"]
    assert not validator.is_valid({"version": "2.1.0", "runs": [broken]})


def test_sarif_has_the_help_of_the_rules():
    (run,) = json.loads(rendered("sarif"))["runs"]
    helps = {rule["id"]: rule["help"]["text"] for rule in run["tool"]["driver"]["rules"]}
    rule = RULES["prompt-empty"]
    assert helps["prompt-empty"] == f"{rule.what} {rule.why}\n\nTo fix: {rule.fix}"
    assert helps["frame-size-mismatch"] == "frame-size-mismatch\n\nTo fix: make them \u00fcqual"


def test_sarif_says_when_something_could_not_be_looked_at():
    def successful(report):
        return json.loads(rendered("sarif", report))["runs"][0]["invocations"][0]["executionSuccessful"]

    assert successful(REPORT)
    assert not successful(Report.of("x", findings(1, "file-unreadable")))


def test_junit_counts_what_it_holds():
    for report in (REPORT, LONG, Report.of("x", []), Report.of("x", REPORT.findings, fail_on=Level.WARNING)):
        top = ET.fromstring(rendered("junit", report))
        for suite in (top, *top):
            assert int(suite.get("tests")) == len([*suite.iter("testcase")])
            assert int(suite.get("failures")) == len([*suite.iter("failure")])
            assert int(suite.get("skipped")) == len([*suite.iter("skipped")])
        assert bool(int(top.get("failures"))) == report.failed
    assert len(from_junit(rendered("junit", Report.of("x", REPORT.findings, fail_on=Level.WARNING)))) == 6


def test_junit_passes_for_what_was_looked_for_and_not_found():
    cases = ET.fromstring(rendered("junit")).iter("testcase")
    assert [case.get("classname") for case in cases if not len(case)] == ["prompt-empty"]


def test_github_commands_carry_position_and_escapes():
    name = "50%, a: b=c,d.json"
    hint = "first\r\nsecond: 100%"
    report = Report.of("p", [Finding("c", Level.NOTE, name, "x::y", hint=hint, where={"line": 3, "column": 5})])
    assert list(commands(rendered("github", report))) == [
        ("notice", {"file": f"p/{name}", "line": "3", "col": "5", "title": "c"}, f"x::y\nhint: {hint}")
    ]
    remote = Report.of("s3://bucket/p", [Finding("c", Level.ERROR, "a.json", "x", where={"column": 5})])
    assert list(commands(rendered("github", remote))) == [("error", {"title": "c"}, "s3://bucket/p/a.json: x")]


def test_files_are_named_as_seen_from_the_working_directory(tmp_path, monkeypatch):
    work = tmp_path / "work"
    (work / "data").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (work / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(work)
    for place in ("data", "./data/", f"{work}/data", f"{tmp_path}/work/../work/data"):
        assert (Paths(place).path("a/b c"), Paths(place).uri("a/b c")) == ("data/a/b c", "data/a/b%20c")
        assert Paths(place).path(".") == "data"
    assert Paths("link").path("x") == "link/x"
    (tmp_path / "alias").symlink_to(work)
    assert Paths(f"{tmp_path}/alias/data").path("x") == "data/x"
    for here in (".", str(work)):
        assert [Paths(here).path(path) for path in (".", "x", "a/x")] == [".", "x", "a/x"]
    assert Paths("../elsewhere").path("x") == f"{tmp_path}/elsewhere/x"
    assert Paths("../elsewhere").uri("a:b") == f"file://{tmp_path}/elsewhere/a%3Ab"
    assert Paths("s3://bucket/x/").uri("a b") == "s3://bucket/x/a%20b"
    assert Paths("..data").path("x") == "..data/x"


@pytest.mark.parametrize(
    ("message", "where", "told"),
    [
        (
            "it holds NaN",
            {"pointer": "/annotations/3", "annotation_id": 9, "image_id": 7},
            "annotation 9, /annotations/3",
        ),
        ("annotation 9 of image 7: no", {"pointer": "/annotations/3", "annotation_id": 9, "image_id": 7}, None),
        (
            "the id 9 is that of /annotations/1 too",
            {"pointer": "/annotations/11", "annotation_id": 9},
            "annotation 9, ",
        ),
        ("no license 77", {"pointer": "/images/0/license", "image_id": 7}, "image 7, /images/0/license"),
        ("says 3 x 4 of image 70", {"pointer": "/images/0", "image_id": 7}, "image 7, /images/0"),
        ("no image 70", {"pointer": "/12/image_id", "image_id": 70}, "/12/image_id"),
        ("the mask of image 8", {"pointer": "/annotations/1", "image_id": 8}, None),
        ("no name", {"pointer": "/categories/1", "category_id": 4}, "category 4, /categories/1"),
        ("12 have no area", {"pointer": "/annotations/1", "key": "area"}, "/annotations/1"),
        ("byte 1,234: a comma", {"byte": 1234, "line": 1}, None),
        ("a comma", {"byte": 1234}, "byte 1,234"),
        ("it is a list", {"pointer": "", "byte": 0}, None),
        ("two lines", {"line": 3}, None),
    ],
)
def test_a_line_says_which_record_unless_its_message_does(message, where, told):
    finding = Finding("some-code", Level.ERROR, "a.json", message, where=where)
    (read,) = from_text(rendered("text", Report.of("x", [finding])))
    assert read.message.startswith(f"{message} ({told}" if told else message)
    assert read.message.endswith(")") == bool(told)


def test_one_of_a_kind_is_one():
    report = Report.of("x", [], checked={"images": 1, "categories": 1, "files": 2})
    assert rendered("text", report).startswith("x: 1 image, 1 category, 2 files checked")


# Long reports

LONG = Report.of(
    "data/questions",
    [
        *findings(60_000),
        *findings(39_000, "frames-identical", Level.WARNING),
        *findings(1_000, "file-unlisted", Level.NOTE),
    ],
    checked={"tasks": 100_000},
    rules=(RULES["frame-mode"], RULES["frames-identical"], RULES["prompt-empty"]),
)


def test_a_long_report_is_capped_and_says_so():
    said = rendered("text", LONG).splitlines()
    assert len(said) < 100
    assert len(from_text("\n".join(said))) == 3 * OF_EACH
    for words in ("99,940 more", "59,980  frame-mode", "980  file-unlisted", "--format json", "60,000 errors"):
        assert any(words in line for line in said), words

    annotations = [(name, message) for name, _, message in commands(rendered("github", LONG)) if "group" not in name]
    for name, total in (("error", "59,991"), ("warning", "38,991"), ("notice", "991")):
        messages = [message for command, message in annotations if command == name]
        assert len(messages) == GITHUB_LIMIT
        assert messages[-1].startswith(f"{total} more")
    assert len(rendered("github", LONG).splitlines()) < 150

    (run,) = json.loads(rendered("sarif", LONG))["runs"]
    assert len(run["results"]) == SARIF_LIMIT
    assert {result["level"] for result in run["results"]} == {"error"}
    (left_out,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "95,000 more findings" in left_out["message"]["text"]
    assert "55,000 frame-mode" in left_out["message"]["text"]

    suites = {suite.get("name"): suite for suite in ET.fromstring(rendered("junit", LONG))}
    assert set(suites) == {"frame-mode", "prompt-empty", "visprep"}  # frames-identical did not pass: it has no room
    assert len(suites["frame-mode"]) == JUNIT_LIMIT
    assert "95,000 more findings: 55,000 frame-mode" in next(suites["visprep"].iter("failure")).text

    assert len(json.loads(rendered("json", LONG))["findings"]) == 100_000


def test_a_report_of_200_is_shown_whole():
    for count, shown in ((LIMIT, LIMIT), (LIMIT + 1, OF_EACH)):
        assert len(from_text(rendered("text", Report.of("x", findings(count))))) == shown
    every_code = [finding for index in range(201) for finding in findings(1, f"code-{index}")]
    assert "more" not in rendered("text", Report.of("x", every_code))


@pytest.mark.parametrize("name", RENDERERS)
def test_rendering_takes_no_memory_of_the_length_of_the_report(name):
    short = Report.of(LONG.place, LONG.findings[::5], rules=LONG.rules)  # 20,000: tracing is slow
    tracemalloc.start()
    try:
        size = sum(map(len, RENDERERS[name](short)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
    assert name != "json" or size > 2_000_000


# Odd names

ODD = "line\nbreak \x1b[31m \u202e \ufffe <&\"'> %0A 100%,a:b=c \u00fc \udcff\\"


def test_nothing_in_a_name_breaks_a_format():
    report = Report.of("p", [Finding("c", Level.ERROR, ODD, ODD, hint=ODD)])
    for name in RENDERERS:
        rendered(name, report).encode()  # no lone surrogate is left
    seen = printable(ODD)
    assert "\n" not in seen
    assert "\x1b" not in seen
    assert from_text(rendered("text", report)) == [Read("c", "error", seen, seen)]
    assert from_json(rendered("json", report)) == [Read("c", "error", ODD, ODD)]
    assert from_junit(rendered("junit", report)) == [Read("c", "error", seen, seen)]
    assert from_sarif(rendered("sarif", report), "p/") == [Read("c", "error", ODD, ODD.replace("\udcff", "\\udcff"))]
    assert "\\udcff" not in rendered("sarif", report).replace("\\\\", "")  # no half of a pair, as an escape either
    ((_, properties, message),) = commands(rendered("github", report))
    assert properties["file"].startswith("p/line\nbreak ")
    assert "%0A 100%,a:b=c \u00fc" in message


def test_no_message_is_taken_for_a_link_by_readers_of_sarif():
    finding = Finding("c", Level.ERROR, "a[b].json", r"see [a](http://x) and C:\d [1]")
    (run,) = json.loads(rendered("sarif", Report.of("p", [finding])))["runs"]
    assert run["results"][0]["message"]["text"] == r"see \[a\](http://x) and C:\\d \[1\]"


def test_sarif_tells_where_paths_are_relative_to(tmp_path, monkeypatch):
    def location(place):
        (run,) = json.loads(rendered("sarif", Report.of(place, findings(1))))["runs"]
        return run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]

    monkeypatch.chdir(tmp_path)
    below = location("data")
    assert below == {"uri": "data/a_task/000000/final_frame.png", "uriBaseId": "%SRCROOT%"}
    for place, uri in (("s3://b/x", "s3://b/x/a_task"), ("/elsewhere", "file:///elsewhere/a_task")):
        assert location(place) == {"uri": f"{uri}/000000/final_frame.png"}


def test_junit_says_how_many_a_baseline_left_out():
    top = ET.fromstring(rendered("junit", Report.of("x", findings(2), known=7)))
    (suite,) = [suite for suite in top if suite.get("name") == "baseline"]
    assert [(one.get("name"), one.get("value")) for one in suite.iter("property")] == [("known", "7")]
    assert suite.findtext("system-out") == "7 known findings left out"
    assert (suite.get("tests"), top.get("tests")) == ("0", "2")
    assert "baseline" not in rendered("junit", Report.of("x", findings(2)))


def test_no_line_of_the_log_is_taken_for_a_workflow_command():
    """`::` counts at the beginning of a line, `##[` anywhere: in the place, in paths, messages and hints."""
    odd = Finding("c", Level.NOTE, "::error::a ##[error]b", "##[warning]c", hint="::d ##[group]e")
    for place in ("::error::pwn", "##[error]pwn", "x"):
        for count in (0, 1, 11):
            said = rendered("github", Report.of(place, [odd] * count)).splitlines()
            text = [line for line in said if not line.startswith(("::notice ", "::group::", "::endgroup::"))]
            assert not any(line.lstrip().startswith("::") or "##[" in line for line in text)
            assert len(text) >= 2
    assert rendered("github", Report.of("::a", [])).startswith("\\x3a:a: ")


def test_no_name_is_taken_for_a_workflow_command():
    finding = Finding("c", Level.NOTE, "\n::error::injected", "\n::warning::injected", hint="\n::stop-commands::x")
    for name in RENDERERS:
        started = [line for line in rendered(name, Report.of("p", [finding])).splitlines() if line.startswith("::")]
        assert started == [] or (name == "github" and [line[:8] for line in started] == ["::notice"])


# The same findings in all formats


@pytest.fixture
def tree(run, tmp_path):
    """A damaged place below the working directory, with odd names in it."""
    place = tmp_path / "work" / "data" / "my questions"
    assert run("download", "sample", "--output", place).code == 0
    tasks = sorted(place.glob("*_task/*"))
    for number, task in enumerate(tasks[:14]):
        (task / f"r\u00e9sum\u00e9 {number}%, <a&b>.txt").write_text("x")
    for task in tasks[14:26]:
        (task / "final_frame.png").unlink()
    (tasks[26] / "prompt.txt").write_bytes(b"\xff\xfe")
    (tasks[27] / "prompt.txt").write_bytes(b"")
    shutil.copy(tasks[28] / "first_frame.png", tasks[28] / "final_frame.png")
    (tasks[29] / "first_frame.png").write_bytes(b"<html>")
    shutil.copytree(tasks[30], place / "new,task:1_task" / "x")
    return place


def test_all_formats_tell_the_same_findings(run, tree):
    readers = {
        "text": from_text,
        "json": from_json,
        "junit": from_junit,
        "sarif": lambda said: from_sarif(said, "data/my questions/"),
        "github": lambda said: from_github(said, "data/my questions/"),
    }
    assert set(readers) == set(RENDERERS)
    told = {}
    for name, reader in readers.items():
        ended = run("verify", "data/my questions", "--format", name)
        assert (ended.code, ended.err) == (1, "")
        told[name] = sorted(reader(ended.out))
    assert len(told["json"]) > 30
    assert len({one.code for one in told["json"]}) >= 7
    for name, found in told.items():
        assert found == told["json"], name


def test_files_that_are_named_are_found_from_the_working_directory(run, tree):
    missing = 0
    for result in json.loads(run("verify", "data/my questions", "--format", "sarif").out)["runs"][0]["results"]:
        (location,) = result["locations"]
        artifact = location["physicalLocation"]["artifactLocation"]
        assert artifact["uriBaseId"] == "%SRCROOT%"
        (there,) = from_sarif(json.dumps({"runs": [{"results": [result]}]}))
        missing += not Path(there.path).exists()
    assert missing == 12  # the final frames that were deleted


# Files


@pytest.mark.parametrize("name", RENDERERS)
def test_a_report_in_a_file(run, tree, tmp_path, name):
    file = tmp_path / "out.report"
    file.write_text("from an earlier run")
    shown = run("verify", tree, "--format", name)
    ended = run("verify", tree, "--format", name, "--report", file)
    assert ended.code == shown.code == 1
    assert file.read_text(encoding="utf-8") == shown.out
    assert ended.out == run("verify", tree).out
    assert {path.name for path in tmp_path.iterdir()} == {"work", "out.report"}


@pytest.mark.parametrize("name", RENDERERS)
def test_a_report_in_the_place_replaces_one_and_nothing_else(run, tree, name):
    place = Path(tree)
    for file in (place / "report", place / "other"):
        (place / "other").touch()
        for _ in range(2):
            ended = run("verify", tree, "--format", name, "--report", file)
            assert (ended.code, file.stat().st_size > 500) == (1, True), ended.err
    for file in (next(place.rglob("prompt.txt")), next(place.rglob("first_frame.png"))):
        before = file.read_bytes()
        ended = run("verify", tree, "--format", name, "--report", file)
        assert (ended.code, ended.out, "[would-overwrite]" in ended.err) == (3, "", True)
        assert file.read_bytes() == before


def test_a_report_that_cannot_be_written(run, tree, tmp_path):
    for file in (tmp_path / "no" / "such" / "file", tmp_path):
        ended = run("verify", tree, "--report", file)
        assert (ended.code, ended.out, "[disk-error]" in ended.err) == (3, "", True)
    ended = run("verify", tree, "--report", "/dev/full")
    assert (ended.code, "[disk-error]" in ended.err) == (3, True)
    assert "errors" in ended.out  # what was found is not lost
    assert Path("/dev/full").is_char_device()


def test_a_link_to_a_report_stays_a_link(run, tree, tmp_path):
    (tmp_path / "real.json").write_text("")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    run("verify", tree, "--format", "json", "--report", tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["counts"]["error"] > 0


# What would be looked at

READ = ("first_frame.png", "final_frame.png", "prompt.txt", "metadata.json")


def test_a_dry_run_says_what_would_be_read_and_reads_nothing(run, tree):
    sizes = {path: path.stat().st_size for path in tree.glob("*_task/*/*")}

    def planned(*options):
        document = json.loads(run("verify", tree, "--dry-run", "--json", *options).out)
        assert (document["dry_run"], document["findings"]) == (True, [])
        return document["checked"]

    assert planned("--depth", "names") == {"tasks": 33, "files": len(sizes), "bytes": 0}
    whole = sum(size for path, size in sizes.items() if path.name in READ)
    assert planned()["bytes"] == whole
    assert planned("--depth", "headers")["bytes"] == whole  # the sample's frames are smaller than what is read of them
    assert planned("--depth", "content")["bytes"] == whole + sum(sizes.values())
    ended = run("verify", tree, "--dry-run")
    assert ended.code == 0
    assert ended.out.startswith(f"{tree}: 33 tasks, {len(sizes)} files would be checked, {whole:,} bytes read (")
    for name in ("junit", "sarif", "github"):
        assert run("verify", tree, "--dry-run", "--format", name)[:2] == (2, "")


def test_a_report_is_written_when_nobody_reads_the_words(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2017.json").write_text("{")
    report = tmp_path / "report.json"
    argv = [sys.executable, "-m", "visprep", "verify", str(tmp_path), "--format", "json", "--report", str(report)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.close()
    assert process.returncode == 1
    assert json.loads(report.read_text())["findings"]
