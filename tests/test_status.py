"""`status`: what is done, failed and left at a place."""

import json
import os
import shlex

import pytest

import visprep
from conftest import tree
from visprep import errors, provenance
from visprep.changes import begin
from visprep.journal import write_journal
from visprep.manifest import MANIFEST
from visprep.own_record import MARKER
from visprep.stores import open_store
from visprep.testing import FaultyS3


def interrupt(place, command="download", source="sample", **facts):
    """Begin a command at a place, let it finish one file, and leave it."""
    store = open_store(str(place))
    with begin(store, provenance.step(command, source, **facts)) as change:
        change.mark()


def test_a_complete_place(tmp_path):
    visprep.download("sample", tmp_path / "place", limit=2)
    status = visprep.status(tmp_path / "place")
    assert (status.state, status.files, status.running) == ("complete", 8, False)
    assert status.bytes == sum(file.size for file in visprep.ls(tmp_path / "place") if file.path != "dataset.json")
    assert [(step.command, step.source, step.counts["tasks"]) for step in status.steps] == [("download", "sample", 2)]
    assert (status.begun, status.finished, status.failed, status.go_on) == (None, None, (), None)


def test_the_command_to_go_on_ends_what_was_begun(run, tmp_path):
    whole, place = tmp_path / "whole", tmp_path / "a place"
    assert run("download", "sample", "--limit", "2", "--layout", "vmevalkit", "--output", whole).code == 0
    options = {"limit": 2, "layout": "vmevalkit"}
    interrupt(place, splits=("test",), options=options, license="Apache-2.0")
    status = visprep.status(place)
    assert (status.state, status.files, status.finished) == ("unfinished", None, 0)
    program, *words = shlex.split(status.go_on)
    assert program == "visprep"
    assert run(*words).code == 0
    assert visprep.status(place).state == "complete"
    assert tree(place).keys() == tree(whole).keys()


def test_finished_files_are_counted(tmp_path):
    store = open_store(str(tmp_path))
    with begin(store, provenance.step("download", "sample")) as change:
        change.mark()
        change.note(visprep.File("a", 1, "sha256:0"))
        assert visprep.status(tmp_path).running
    status = visprep.status(tmp_path)
    assert (status.finished, status.running) == (1, False)


@pytest.mark.parametrize(
    ("command", "source", "facts", "words"),
    [
        ("download", "s3://b/p", {}, "download s3://b/p --output {place} --profile me"),
        ("download", "other", {}, "download path/to/other --output {place}"),
        ("upload", "other", {}, "upload path/to/other {place}"),
        ("sync", "s3://b/p/", {}, "sync s3://b/p/ {place} --profile me"),
        (
            "sync",
            "other/",
            {"options": {"include": ["*.jpg", "a b"], "delete": True, "max-delete": 0, "compare": "time"}},
            "sync path/to/other {place} --include '*.jpg' --include 'a b' --delete --max-delete 0 --compare time",
        ),
        ("fix", "quarantine", {}, "fix {place} --how quarantine"),
        (
            "download",
            "videothinkbench",
            {"splits": ("minitest", "test"), "revision": "abc", "options": {"config": ["A", "B"]}},
            "download videothinkbench --output {place} --config A,B --split minitest,test --revision abc",
        ),
        (
            "download",
            "hf:org/name",
            {"splits": ("train",), "options": {"map": {"first_frame": "the first", "prompt": "p", "ground_truth": ""}}},
            "download hf:org/name --output {place} --map 'first_frame=the first,prompt=p,ground_truth=' --split train",
        ),
    ],
)
def test_the_command_is_written_as_it_is_typed(tmp_path, command, source, facts, words):
    interrupt(tmp_path, command, source, **facts)
    status = visprep.status(tmp_path, s3=visprep.S3Settings(profile="me"))
    assert status.go_on == f"visprep {words.format(place=tmp_path)}"


def test_a_sync_that_failed_is_gone_on_with_as_it_was_asked_for(run, s3_server, bucket, tmp_path, monkeypatch):
    visprep.download("sample", tmp_path / "sample", limit=1)
    visprep.upload(tmp_path / "sample", f"s3://{bucket}/p")
    with FaultyS3(s3_server) as server, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        server.fail("access-denied", method="GET", key="first_frame.png$", times=None)
        words = ("--include", "*.png", "--delete", "--max-delete", "7", "--compare", "size")
        assert run("sync", f"s3://{bucket}/p", tmp_path / "p", *words, "--yes").code == 3
    assert visprep.status(tmp_path / "p").go_on.endswith(" --include '*.png' --delete --max-delete 7 --compare size")
    assert run(*shlex.split(visprep.status(tmp_path / "p").go_on)[1:], "--yes").code == 0
    assert {path.name for path in (tmp_path / "p").glob("*_task/*/*")} == {"first_frame.png", "final_frame.png"}


def test_public_buckets_are_asked_without_a_signature_again(tmp_path):
    interrupt(tmp_path, "download", "s3://b/p")
    settings = visprep.S3Settings(region="eu-west-1", endpoint_url="http://localhost:9000", no_sign_request=True)
    go_on = visprep.status(tmp_path, s3=settings).go_on
    said = f"visprep download s3://b/p --output {tmp_path} --region eu-west-1"
    assert go_on == f"{said} --endpoint-url http://localhost:9000 --no-sign-request"


def test_a_download_that_was_stopped_while_it_fetched(run, tmp_path):
    (tmp_path / ".visprep/cache").mkdir(parents=True)
    (tmp_path / ".visprep/cache/verified.jsonl").write_text("")  # that is only remembered
    assert visprep.status(tmp_path).state == "unrecorded"
    (tmp_path / ".visprep/cache/shard.parquet").write_text("")
    status = visprep.status(tmp_path)
    assert (status.state, status.begun, status.finished, status.go_on) == ("unfinished", None, 0, None)
    assert "to go on: run the same command again" in run("status", tmp_path).out


def test_what_failed_is_told_with_its_reason(run, tmp_path):
    store = open_store(str(tmp_path))
    step = provenance.step("upload", "questions")
    write_journal(store, step, [("a/b.png", errors.DiskFull("a/b.png: no space")), ("c", errors.Stalled("c: silence"))])
    with (tmp_path / ".visprep/journal.jsonl").open("a") as journal:
        journal.write('{"path": "torn')
    status = visprep.status(tmp_path)
    assert [(one.path, one.reason) for one in status.failed] == [("a/b.png", "disk-full"), ("c", "stalled")]
    assert {one.command for one in status.failed} == {"upload questions"}
    shown = run("status", tmp_path)
    assert shown.code == 0
    assert "failed: a/b.png: a/b.png: no space [disk-full] (upload questions)" in shown.out
    assert "to go on: run the same command again" in shown.out


def test_a_marker_that_tells_nothing(run, tmp_path):
    (tmp_path / ".visprep").mkdir()
    (tmp_path / MARKER).write_bytes(b"\xff{not json")
    shown = run("status", tmp_path)
    assert shown.code == 0
    assert "'a command' was begun and not ended" in shown.out
    assert "to go on: run the same command again" in shown.out


def test_files_without_a_record(run, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    assert visprep.status(tmp_path).state == "unrecorded"
    assert f"visprep verify {tmp_path}" in run("status", tmp_path).out


def test_places_that_have_no_status(run, tmp_path):
    missing = run("status", tmp_path / "nowhere")
    assert (missing.code, missing.out) == (3, "")
    assert "[place-missing]" in missing.err
    (tmp_path / "file").write_text("")
    assert "[place-missing]" in run("status", tmp_path / "file").err
    visprep.download("sample", tmp_path / "place", limit=1)
    (tmp_path / "place" / MANIFEST).write_text("{")
    assert "[bad-record]" in run("status", tmp_path / "place").err


def test_s3(run, bucket, tmp_path):
    place, url = tmp_path / "place", f"s3://{bucket}/p"
    assert "[place-missing]" in run("status", url).err
    visprep.download("sample", place, limit=1)
    visprep.upload(place, url)
    assert visprep.status(url).state == "complete"
    interrupt(url, "upload", "place")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    document = json.loads(run("status", url, "--json", "--endpoint-url", endpoint).out)
    assert document["format_version"] == 1
    assert (document["state"], document["finished"], document["running"]) == ("unfinished", 0, None)
    assert document["files"] == 4
    assert document["go_on"] == f"visprep upload path/to/place {url} --endpoint-url {endpoint}"


def test_the_command_to_go_on_with_a_split_ends_it(run, tmp_path):
    assert run("download", "sample", "--limit", "8", "--output", "data/a place").code == 0
    argv = ("split", "data/a place", "--parts", "train=0.5,test=0.5", "--method", "exact", "--group-by", "domain")
    assert run(*argv, "--seed", "0", "--clean", "--output", "whole").code == 0
    step = json.loads((tmp_path / "work/whole/dataset.json").read_bytes())["steps"][-1]
    facts = {key: step[key] for key in ("options", "origin")}
    interrupt(tmp_path / "work/parts", "split", step["source"], **facts)
    program, *words = shlex.split(json.loads(run("status", "parts", "--json").out)["go_on"])
    assert program == "visprep"
    assert run(*words).code == 0
    assert (tmp_path / "work/parts/split.json").read_bytes() == (tmp_path / "work/whole/split.json").read_bytes()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("command", 5), ("source", None), ("splits", "test"), ("splits", [5]), ("options", [1]), ("origin", [1]),
        ("counts", {"tasks": "many"}), ("counts", {"tasks": None}), ("license", {"name": "MIT"}), ("date", 5),
        ("versions", ["python"]), ("versions", {"python": 3}),
    ],
)  # fmt: skip
def test_a_step_with_a_field_of_another_kind_is_a_bad_record(run, tmp_path, field, value):
    visprep.download("sample", tmp_path / "place", limit=1)
    file = tmp_path / "place" / "dataset.json"
    document = json.loads(file.read_bytes())
    document["steps"][0][field] = value
    file.write_text(json.dumps(document))
    for words in (("status",), ("export-metadata", "--to", "hf-card"), ("export-metadata", "--to", "croissant")):
        told = run(*words, tmp_path / "place")
        assert (told.code, "[bad-record]" in told.err) == (3, True)
    page = run("report", tmp_path / "place", "--output", tmp_path / "page.html")
    assert page.code == 0, page.err


def test_a_marker_that_cannot_be_typed_again_is_told_without(run, tmp_path):
    (tmp_path / ".visprep").mkdir()
    step = {"command": "split", "source": "x", "origin": {"inputs": [5]}}
    (tmp_path / ".visprep/in-progress").write_text(json.dumps({"step": step}))
    told = run("status", tmp_path, "--json")
    assert (told.code, json.loads(told.out)["go_on"]) == (0, None)
