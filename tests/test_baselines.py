"""Baselines: what was wrong already is left out, and only that."""

import json

import pytest

import visprep
from visprep import baselines
from visprep.baselines import Baseline
from visprep.errors import BadRecord, DiskError, FileMissing
from visprep.findings import Finding, Level


def finding(path="a.json", code="box-outside", message="wrong", **where):
    return Finding(code, Level.ERROR, path, message, where=where)


def known(*findings):
    counts = {}
    for one in findings:
        counts[one.fingerprint] = counts.get(one.fingerprint, 0) + 1
    return Baseline(counts)


def test_what_is_known_is_left_out_wherever_it_stands_now():
    baseline = known(finding(image_id=1, line=3))
    assert baseline.new([finding(image_id=1, line=400, message="worded otherwise")]) == ()
    assert len(baseline.new([finding(image_id=2, line=3)])) == 1
    assert len(baseline.new([finding(image_id=1, path="b.json")])) == 1
    assert len(baseline.new([finding(image_id=1, code="box-empty")])) == 1


def test_as_many_are_known_as_there_were():
    baseline = known(finding(byte=1), finding(byte=2))
    later = [finding(byte=1), finding(byte=3), finding(byte=5)]
    assert baseline.new(later) == (later[2],)
    assert baseline.new(later) == (later[2],)  # asking changes nothing


def test_what_could_not_be_read_is_never_known():
    unread = finding(code="file-unreadable")
    assert known(unread).new([unread]) == (unread,)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "oops",
        "[" * 100_000,
        "[]",
        "{}",
        '{"format_version": 2, "findings": []}',
        '{"format_version": 1, "findings": {}}',
        '{"format_version": 1, "findings": [], "dry_run": true}',
        '{"format_version": 1, "findings": [7]}',
        '{"format_version": 1, "findings": [{"code": "x", "level": "bad", "path": "y"}]}',
        '{"format_version": 1, "findings": [{"code": "x", "level": "error", "path": "y", "where": 8}]}',
        '{"format_version": 1, "findings": [{"code": "x", "level": "error", "path": "y", "where": [["id", 1]]}]}',
        '{"format_version": 1, "findings": [{"code": "x", "level": "error", "path": "y", "where": null}]}',
        '{"format_version": 1, "findings": [{"code": "x", "level": [], "path": "y"}]}',
        '{"format_version": 1, "findings": [{"code": ["x"], "level": "error", "path": "y"}]}',
        '{"format_version": 1, "findings": [{"code": "x", "level": "error", "path": {"y": 1}}]}',
        '{"format_version": 1, "findings": [], "x": %s}' % ("9" * 5000),
        '{"format_version": 1, "findings": [], "x": %s}' % ("[" * 3000 + "]" * 3000),
    ],
)
def test_a_file_that_is_no_report(tmp_path, content):
    file = tmp_path / "base.json"
    file.write_text(content)
    with pytest.raises(BadRecord) as raised:
        baselines.read(file)
    assert str(file) in raised.value.message
    assert "--format json" in raised.value.hint


def test_no_depth_of_nesting_is_a_bug(tmp_path):
    """Somewhere between the two it can be read, and no longer be compared."""
    file = tmp_path / "base.json"
    finding = '{"code": "x", "level": "error", "path": "y", "where": {"id": '
    outcomes = set()
    for depth in range(500, 1000):
        nested = "[" * depth + "]" * depth
        file.write_text('{"format_version": 1, "findings": [' + finding + nested + "}}]}")
        try:
            outcomes.add(type(baselines.read(file)))
        except BadRecord as error:
            outcomes.add(type(error))
    assert outcomes == {Baseline, BadRecord}


def test_a_file_that_is_not_there_or_not_a_file(tmp_path):
    with pytest.raises(FileMissing):
        baselines.read(tmp_path / "no.json")
    with pytest.raises(DiskError):
        baselines.read(tmp_path)


# Through the command line


@pytest.fixture
def place(run, tmp_path):
    root = tmp_path / "sample"
    run("download", "sample", "--limit", "6", "--output", root)
    for task in sorted(root.glob("*_task/*"))[:2]:
        (task / "final_frame.png").unlink()
    return root


def told(ended):
    document = json.loads(ended.out)
    return ended.code, document["known"], [one["path"] for one in document["findings"]]


def test_only_new_findings_fail_and_are_shown(run, place, tmp_path):
    base = tmp_path / "base.json"
    assert run("verify", place, "--format", "json", "--report", base).code == 1
    ended = run("verify", place, "--baseline", base)
    assert ended.code == 0
    assert ended.out.splitlines()[1:] == ["2 known findings left out", "no new findings"]

    third = sorted(place.glob("*_task/*"))[2]
    (third / "final_frame.png").unlink()
    path = (third / "final_frame.png").relative_to(place).as_posix()
    assert told(run("verify", place, "--json", "--baseline", base)) == (1, 2, [path])
    report = visprep.verify(place, baseline=base)
    assert (report.failed, report.known, [one.path for one in report.findings]) == (True, 2, [path])


def test_what_was_repaired_is_not_missed_and_comes_back_as_known(run, place, tmp_path):
    base = tmp_path / "base.json"
    base.write_text(run("verify", place, "--json").out)
    first = sorted(place.glob("*_task/*"))[0]
    (first / "final_frame.png").write_bytes((first / "first_frame.png").read_bytes())
    assert (
        run("verify", place, "--baseline", base, "--ignore", "frames-identical").code == 1
    )  # not what the manifest says
    assert told(run("verify", place, "--json", "--baseline", base, "--select", "task-file-missing")) == (0, 1, [])


def test_a_baseline_fits_the_same_data_elsewhere(run, place, tmp_path, bucket):
    base = tmp_path / "base.json"
    base.write_text(run("verify", place, "--json").out)
    copy = tmp_path / "copy"
    place.rename(copy)
    assert told(run("verify", copy, "--json", "--baseline", base)) == (0, 2, [])


def test_a_file_that_cannot_be_read_ends_with_3_though_the_baseline_has_it(run, place, tmp_path):
    (tmp_path / "outside").write_text("x")
    prompt = sorted(place.glob("*_task/*"))[3] / "prompt.txt"
    prompt.unlink()
    prompt.symlink_to(tmp_path / "outside")
    base = tmp_path / "base.json"
    ended = run("verify", place, "--json")
    assert ended.code == 3
    base.write_text(ended.out)
    code, left_out, paths = told(run("verify", place, "--json", "--baseline", base))
    assert (code, paths) == (3, [prompt.relative_to(place).as_posix()])
    assert left_out >= 2


def test_a_report_does_not_replace_the_baseline_that_it_is_made_with(run, place, tmp_path):
    base = tmp_path / "base.json"
    base.write_text(run("verify", place, "--json").out)
    before = base.read_bytes()
    (tmp_path / "link.json").symlink_to(base)
    for other in (base, tmp_path / "link.json", tmp_path / "sample" / ".." / "base.json"):
        ended = run("verify", place, "--format", "json", "--report", base, "--baseline", other)
        assert (ended.code, ended.out, "[usage]" in ended.err) == (2, "", True)
    assert base.read_bytes() == before
    assert run("verify", place, "--report", tmp_path / "new.json", "--baseline", base).code == 0


def test_errors_in_words(run, place, tmp_path):
    ended = run("verify", place, "--baseline", tmp_path / "no.json")
    assert (ended.code, ended.out, "[file-missing]" in ended.err) == (3, "", True)
    (tmp_path / "bad.json").write_text("{}")
    ended = run("verify", place, "--baseline", tmp_path / "bad.json")
    assert (ended.code, ended.out, "[bad-record]" in ended.err) == (3, "", True)
