"""Every error of docs/errors.md, provoked through the command line: its slug, words, exit code, and what it leaves.

The trouble is real: local servers that refuse, lie, or fall silent, closed ports, full disks, files in the way.
"""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from conftest import Outcome, tree
from s3_door import Door, error
from visprep.manifest import DATASET, MANIFEST
from visprep.own_record import JOURNAL, MARKER
from visprep.stores import PART_SUFFIX
from visprep.testing import LocalHub
from vtb_upstream import REPOSITORY, TEXT, image, noise, row, rows, shard_path, table, upstream_files

#: Datasets alone raise it, and no command: see test_loader_dataset.
BY_NO_COMMAND = ("too-many-failures",)
#: They take a cluster, or processes: see test_ray and test_engines.
BY_WORKERS = ("node-unfit", "worker-lost")
SAMPLE = ("download", "sample", "--limit", "2", "--output")
VTB = ("download", "videothinkbench", "--output")
FRAME = "color_grid_task/color_grid_0001/first_frame.png"
PROMPT = "color_grid_task/color_grid_0000/prompt.txt"


def assert_error(ended, slug, *words, code=3, hint=True):
    """An error as it should be: the code, one slug at the end of the message, the words, a hint, nothing on stdout."""
    message = ended.err.partition("\nhint: ")[0].rstrip("\n")
    assert (ended.code, ended.out) == (code, "")
    assert message.endswith(f"[{slug}]"), ended.err
    assert message.startswith("visprep: ") or "\nvisprep: " in message
    for word in words:
        assert str(word) in ended.err
    assert ("\nhint: " in ended.err) == hint, ended.err


def everything(root):
    """All that is below a directory: bytes of files, None for directories."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """One try for each request to S3, and a date that does not move."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def work(run, tmp_path):
    """The working directory of `run`, with a directory, an empty one, and a file."""
    root = tmp_path / "work"
    (root / "empty").mkdir()
    (root / "file").write_bytes(b"a file")
    (root / "full").mkdir()
    (root / "full" / "notes.txt").write_bytes(b"notes")
    return root


KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@pytest.fixture
def keys(monkeypatch):
    """Some credentials."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def hub(monkeypatch):
    with LocalHub(tokens=["hf_known"]) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def place(run, tmp_path):
    """Two tasks of the sample, which visprep wrote."""
    assert run(*SAMPLE, tmp_path / "place").code == 0
    return tmp_path / "place"


VISPREP = [sys.executable, "-m", "visprep"]


def begin(*argv, **env):
    """A command in a process of its own, as a user starts it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | env
    return subprocess.Popen(
        [*VISPREP, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def end(process):
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return Outcome(process.returncode, out, err)


@pytest.fixture(scope="module", autouse=True)
def silence(tmp_path_factory):
    """A command whose server says nothing. It takes half a minute to give up, so it is begun before everything else."""
    with LocalHub() as server:
        server.fault(".", None, stall=True)
        home = tmp_path_factory.mktemp("home")
        nothing = dict.fromkeys([name for name in os.environ if name.startswith(("AWS_", "S3_"))], "")
        settings = {"HOME": str(home), "AWS_ENDPOINT_URL": server.url, "AWS_MAX_ATTEMPTS": "1"}
        process = begin("download", "s3://a-bucket/x", "--output", home / "new", **nothing | KEYS | settings)
        yield process, home, server
        process.kill()
        process.communicate()


def closed_port():
    """An address at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def test_every_error_of_the_docs_is_provoked_here():
    page = (Path(__file__).parents[1] / "docs/errors.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[`([a-z-]+)`\]\(#[a-z-]+\) \| [23] \|", page, re.MULTILINE)
    here = ast.walk(ast.parse(Path(__file__).read_text(encoding="utf-8")))
    spoken_of = {str(node.value).strip("[]") for node in here if isinstance(node, ast.Constant)}
    assert listed
    assert [slug for slug in listed if slug not in spoken_of] == []


# Wrong usage


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "Usage: visprep"),
        (("frobnicate",), "frobnicate"),
        (("ls",), "PLACE"),
        (("ls", "empty", "--frobnicate"), "--frobnicate"),
        (("ls", "empty", "full"), "full"),
        (("verify", "full", "--depth", "deep"), "content"),
        (("verify", "full", "--as", "dota"), "tasks"),
        (("verify", "full", "--format", "html"), "sarif"),
        (("download", "sample", "--limit", "many"), "--limit"),
        (("download", "sample", "--jobs", "0"), "--jobs"),
    ],
)
def test_what_the_parser_refuses(run, work, argv, words):
    before = everything(work)
    ended = run(*argv)
    assert (ended.code, words in ended.err + ended.out) == (2, True)
    if argv:
        assert_error(ended, "usage", f"visprep {argv[0]} --help" if argv[0] != "frobnicate" else "--help", code=2)
    assert everything(work) == before


#: What can be provoked without a server: the command, its code and slug, what it must name, and its environment.
ALONE = [
    (("download", "no-such"), 2, "unknown-name", ["no-such", "sample"], {}),
    (("download", "full"), 2, "unknown-name", ["write ./full"], {}),
    (("download", "videothinkbnch"), 2, "unknown-name", ["did you mean videothinkbench?"], {}),
    (("download", "videothinkbench", "--split", "train"), 2, "unknown-name", ["train", "minitest, test"], {}),
    (("download", "sample", "--split", "train"), 2, "unknown-name", ["train", "test"], {}),
    (("download", "videothinkbench", "--config", "Maze"), 2, "unknown-name", ["Maze", "Mazes"], {}),
    (("download", "sample", "--layout", "square"), 2, "unknown-name", ["square", "template, vmevalkit"], {}),
    (("verify", "full", "--layout", "square"), 2, "unknown-name", ["square", "template, vmevalkit"], {}),
    (("download", "sample", "--limit", "0"), 2, "usage", ["--limit 0"], {}),
    (("download", "videothinkbench", "--limit", "-3"), 2, "usage", ["--limit -3"], {}),
    (("download", "sample", "--revision", "main"), 2, "usage", ["main"], {}),
    (("download", "./full", "--output", "full"), 2, "usage", ["full"], {}),
    (("download", "videothinkbench"), 2, "usage", ["'hub'", "HF_ENDPOINT"], {"HF_ENDPOINT": "hub"}),
    (("ls", "s3://bucket/x", "--endpoint-url", "host"), 2, "usage", ["'host'"], KEYS),
    (("ls", "s3://bucket/x"), 2, "usage", ["AWS_MAX_ATTEMPTS", "often"], KEYS | {"AWS_MAX_ATTEMPTS": "often"}),
    (("ls", ""), 2, "bad-place", ["''"], {}),
    (("verify", "s3://"), 2, "bad-place", ["S3_BUCKET_NAME"], {}),
    (("ls", "s3://Upper_Case/x"), 2, "bad-place", ["Upper_Case"], {}),
    (("upload", "full", "bucket/x"), 2, "bad-place", ["did you mean s3://bucket/x"], {}),
    (("upload", "full", "S3:/bucket/x"), 2, "bad-place", ["did you mean s3://bucket/x"], {}),
    (("publish", "full", "s3:/bucket/x"), 2, "bad-place", ["did you mean s3://bucket/x"], {}),
    (("ls", "S3://bucket/x"), 2, "bad-place", ["did you mean s3://bucket/x"], {}),
    (("ls", "gs://bucket/x"), 2, "bad-place", ["--endpoint-url"], {}),
    (("download", "sample", "--output", "s3:/bucket/x"), 2, "bad-place", ["did you mean s3://bucket/x"], {}),
    (("sync", "full", "s3:/bucket/x"), 2, "bad-place", ["did you mean s3://bucket/x"], {}),
    (("convert", "full", "--to", "parquet", "--output", "s3:/b/x"), 2, "bad-place", ["did you mean s3://b/x"], {}),
    (("split", "full", "--parts", "a=1.0", "--output", "s3:/b/x"), 2, "bad-place", ["did you mean s3://b/x"], {}),
    (("runs", "list", "s3:/bucket/x"), 2, "bad-place", ["did you mean s3://bucket/x"], {}),
    (("rebuild", "s3:/bucket/x", "--check"), 2, "bad-place", ["did you mean s3://bucket/x"], {}),
    (("verify", "s3:/bucket/x.json"), 2, "bad-place", ["did you mean s3://bucket/x.json"], {}),
    (("stats", "s3:/bucket/x.json"), 2, "bad-place", ["did you mean s3://bucket/x.json"], {}),
    (("diff", "a.json", "s3:/bucket/x.json"), 2, "bad-place", ["did you mean s3://bucket/x.json"], {}),
    (("export-metadata", "full", "--to", "hf-card", "-o", "s3://b/x"), 2, "usage", ["name a file, and upload it"], {}),
    (("ls", "nowhere"), 3, "place-missing", ["nowhere"], {}),
    (("verify", "nowhere"), 3, "place-missing", ["nowhere"], {}),
    (("verify", "file"), 3, "place-missing", ["file is a file"], {}),
    (("upload", "nowhere", "s3://bucket/x"), 3, "place-missing", ["nowhere"], {}),
    (("upload", "empty", "s3://bucket/x"), 3, "place-missing", ["empty"], {}),
    (("download", "./nowhere", "--output", "new"), 3, "place-missing", ["./nowhere"], {}),
    (("verify", "empty"), 3, "unknown-content", ["empty", "--as tasks"], {}),
    (("verify", "full"), 3, "unknown-content", ["full"], {}),
    (("download", "sample", "--output", "file"), 3, "disk-error", ["file: "], {}),
    (("download", "sample", "--output", "file/below"), 3, "disk-error", ["file/below", "not a directory"], {}),
    (("download", "sample"), 3, "disk-error", ["file/below"], {"DATA_DIR": "file/below"}),
    (("ls", "s3://bucket/x"), 3, "credentials", ["no AWS credentials", "--no-sign-request"], {}),
    (("ls", "s3://bucket/x"), 3, "credentials", ["AWS_SECRET_ACCESS_KEY is not"], {"AWS_ACCESS_KEY_ID": "x"}),
    (("ls", "s3://bucket/x", "--profile", "nobody"), 3, "credentials", ["'nobody'"], {}),
    (("upload", "full", "s3://bucket/x"), 3, "credentials", ["'nobody'"], {"AWS_PROFILE": "nobody"}),
]


@pytest.mark.parametrize(("argv", "code", "slug", "words", "env"), ALONE, ids=[" ".join(one[0]) for one in ALONE])
def test_what_needs_no_server(run, work, monkeypatch, argv, code, slug, words, env):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    before = everything(work)
    assert_error(run(*argv), slug, *words, code=code)
    assert everything(work) == before


def test_places_take_no_options_of_sources(run, work):
    before = everything(work)
    for option in (("--split", "test"), ("--limit", "1"), ("--config", "Mazes"), ("--revision", "main")):
        assert_error(run("download", "./full", "--output", "new", *option), "usage", "./full", option[0], code=2)
    assert everything(work) == before


def test_other_addresses_are_no_places(run, work):
    before = everything(work)
    for argv in (("ls", "ftp://x"), ("download", "https://example.org/x"), ("download", "sample", "-o", "gs://x/y")):
        ended = run(*argv)
        assert (ended.code, "[bad-place]" in ended.err, "s3://" in ended.err) == (2, True, True)
    assert everything(work) == before


def test_a_log_that_is_a_directory(run, work):
    ended = run("ls", "full", "--log", "empty")
    assert (ended.code, "[disk-error]" in ended.err, "--log empty" in ended.err) == (3, True, True)


# S3

#: What a server may answer to whatever is asked first, and what that means to a person.
REFUSALS = {
    "denied": (error(403, "AccessDenied"), "access-denied", ["s3:", "arn:aws:s3:::a-bucket"]),
    "unknown key": (error(403, "InvalidAccessKeyId"), "credentials", ["access key", "check the keys"]),
    "wrong secret": (error(403, "SignatureDoesNotMatch"), "credentials", ["secret key"]),
    "expired": (error(400, "ExpiredToken"), "credentials", ["expired"]),
    "no bucket": (error(404, "NoSuchBucket"), "place-missing", ["'a-bucket'"]),
    "slow down": (error(503, "SlowDown"), "rate-limited", ["127.0.0.1:", "--jobs"]),
    "too many": ((429, {}, b""), "rate-limited", ["127.0.0.1:"]),
    "trouble": (error(500, "InternalError"), "server-failed", ["127.0.0.1:", "500"]),
}


@pytest.mark.parametrize("command", ["ls", "verify", "download", "upload"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_s3_refuses(run, work, keys, command, refusal):
    answer, slug, words = REFUSALS[refusal]
    url = "s3://a-bucket/a/prefix"
    argv = {"download": ("download", url, "--output", "new"), "upload": ("upload", "full", url)}
    before = everything(work)
    with Door(answer=lambda seen: answer) as door:
        ended = run(*argv.get(command, (command, url)), "--endpoint-url", door.url)
    assert_error(ended, slug, *words)
    assert everything(work) == before


@pytest.mark.parametrize("command", ["ls", "verify", "download", "upload"])
def test_s3_cannot_be_reached(run, work, keys, command):
    url, endpoint = "s3://a-bucket/a/prefix", closed_port()
    argv = {"download": ("download", url, "--output", "new"), "upload": ("upload", "full", url)}
    before = everything(work)
    ended = run(*argv.get(command, (command, url)), "--endpoint-url", endpoint)
    assert_error(ended, "unreachable", endpoint.removeprefix("http://"))
    assert everything(work) == before


def test_the_endpoint_is_something_else(run, work, keys):
    with Door(answer=lambda seen: (200, {"Content-Type": "text/html"}, b"<html>Welcome</html>")) as door:
        ended = run("ls", "s3://a-bucket/x", "--endpoint-url", door.url)
    assert_error(ended, "server-failed", "--endpoint-url")


def test_a_bucket_that_is_not_public(run, work):
    with Door(answer=lambda seen: error(403, "AccessDenied")) as door:
        ended = run("ls", "s3://a-bucket/x", "--endpoint-url", door.url, "--no-sign-request")
    assert_error(ended, "access-denied", "leave out --no-sign-request")


def test_buckets_and_prefixes_that_are_not_there(run, work, bucket):
    before = everything(work)
    for url in ("s3://there-is-none-of-this-name/x", f"s3://{bucket}/nothing", f"s3://{bucket}"):
        named = url.removeprefix("s3://").partition("/")[0]
        for argv in (("ls", url), ("verify", url), ("download", url, "--output", "new")):
            assert_error(run(*argv), "place-missing", named)
    assert_error(run("upload", "full", "s3://there-is-none-of-this-name/x"), "place-missing", "there-is-none")
    assert everything(work) == before


def test_a_key_that_s3_cannot_take(run, work, bucket):
    before = everything(work)
    assert_error(run("upload", "full", f"s3://{bucket}/{'long/' * 300}"), "unsafe-path", "1,024")
    assert everything(work) == before
    assert listed(bucket) == []


def listed(bucket):
    found = boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return [one["Key"] for one in found]


# Some files fail


def answering(method, ending, answer):
    """What a door does to requests of one method for one file."""
    return lambda seen: answer if seen.method == method and seen.path.endswith(ending) else None


#: One file fails on its way; what the door answers when it is asked for, or sent.
ON_THE_WAY = {
    "access-denied": error(403, "AccessDenied"),
    "file-missing": error(404, "NoSuchKey"),
    "server-failed": error(500, "InternalError"),
    "wrong-content": (200, {"Content-Type": "image/png"}, b"not what was promised"),
}


@pytest.mark.parametrize("reason", ON_THE_WAY)
def test_one_file_cannot_be_downloaded(run, bucket, s3_server, place, tmp_path, reason):
    url, back = f"s3://{bucket}/x", tmp_path / "back"
    assert run("upload", place, url).code == 0
    with Door(s3_server, answering("GET", FRAME, ON_THE_WAY[reason])) as door:
        ended = run("download", url, "--output", back, "--endpoint-url", door.url)
    assert_error(ended, "incomplete", "1 of 8 files", FRAME, f"[{reason}]", "run the same command again")
    assert_unfinished(back, tree(place), {FRAME: reason})
    assert run("download", url, "--output", back).code == 0
    assert everything(back) == everything(place)


def assert_unfinished(place, whole, failed):
    """A place where a command failed for some files: the others are whole, and it says what is the matter."""
    there = {path: data for path, data in tree(place).items() if not path.endswith(PART_SUFFIX)}
    assert there == {path: whole[path] for path in there}
    assert set(whole) - set(there) >= {*failed, DATASET, MANIFEST}
    assert (place / MARKER).exists()
    assert journal(place) == failed


def journal(place):
    lines = (place / JOURNAL).read_text(encoding="utf-8").splitlines()
    return {entry["path"]: entry["reason"] for entry in map(json.loads, lines)}


def test_one_file_may_not_be_uploaded(run, bucket, s3_server, place, tmp_path):
    url, before = f"s3://{bucket}/x", everything(place)
    with Door(s3_server, answering("PUT", FRAME, error(403, "AccessDenied"))) as door:
        ended = run("upload", place, url, "--endpoint-url", door.url)
    assert_error(ended, "incomplete", FRAME, "[access-denied]", "s3:PutObject", "run the same command again")
    assert journal(place) == {FRAME: "access-denied"}
    assert {path: data for path, data in everything(place).items() if path != JOURNAL} == before
    assert {f"x/{MARKER}", f"x/{PROMPT}"} < set(listed(bucket))
    assert not {f"x/{FRAME}", f"x/{MANIFEST}", f"x/{DATASET}"} & set(listed(bucket))
    assert run(*SAMPLE, tmp_path / "other", "--limit", "3").code == 0
    refused = run("upload", tmp_path / "other", url)
    assert_error(refused, "place-incomplete", url, "place")  # the name of what was being uploaded
    assert run("upload", place, url).code == 0
    assert everything(place) == before
    assert set(listed(bucket)) == {f"x/{path}" for path in tree(place)}


def test_a_file_changes_while_it_is_uploaded(run, bucket, s3_server, place):
    def edits(seen):
        if seen.method == "PUT" and seen.path.endswith(MARKER):  # every file was hashed, and none is sent yet
            (place / PROMPT).write_text("something else")

    with Door(s3_server, edits) as door:
        ended = run("upload", place, f"s3://{bucket}/x", "--endpoint-url", door.url)
    assert_error(ended, "incomplete", PROMPT, "[changed-meanwhile]", "run the same command again")
    assert f"x/{PROMPT}" not in listed(bucket)
    assert run("upload", place, f"s3://{bucket}/x").code == 0
    assert boto3.client("s3").get_object(Bucket=bucket, Key=f"x/{PROMPT}")["Body"].read() == b"something else"


def test_keys_that_cannot_be_files(run, bucket, tmp_path):
    for key in ("raw/fine.txt", "raw/../up.txt", "raw/a//b"):
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    ended = run("download", f"s3://{bucket}/raw", "--output", tmp_path / "back")
    assert_error(ended, "incomplete", "2 of 3 files", "../up.txt", "a//b", "[unsafe-path]", "rename")
    assert journal(tmp_path / "back") == {"../up.txt": "unsafe-path", "a//b": "unsafe-path"}
    assert tree(tmp_path / "back") == {"fine.txt": b"x"}
    assert not (tmp_path / "up.txt").exists()


def test_verify_could_not_read_a_file(run, bucket, s3_server, place):
    assert run("upload", place, f"s3://{bucket}/x").code == 0
    with Door(s3_server, answering("GET", FRAME, error(403, "AccessDenied"))) as door:
        ended = run("verify", f"s3://{bucket}/x", "--endpoint-url", door.url, "--json")
    assert ended.code == 3
    (finding,) = json.loads(ended.out)["findings"]
    assert (finding["code"], finding["path"]) == ("task-file-unreadable", FRAME)


# The hub


def test_a_gated_dataset(run, hub, work):
    hub.add(REPOSITORY, gated=True, readers=()).commit(upstream_files(1))
    before = everything(work)
    assert_error(run(*VTB, "new"), "source-gated", REPOSITORY, "HF_TOKEN", hub.url)
    assert everything(work) == before


def test_no_such_dataset_or_revision_or_config(run, hub, work):
    before = everything(work)
    assert_error(run(*VTB, "new"), "source-missing", REPOSITORY, hub.url)
    files = upstream_files(1)
    hub.add(REPOSITORY).commit({path: data for path, data in files.items() if "Mazes" not in path})
    assert_error(run(*VTB, "new", "--revision", "v9"), "source-missing", REPOSITORY, "'v9'")
    assert_error(run(*VTB, "new", "--config", "Mazes"), "source-missing", shard_path("Mazes", "test"))
    assert everything(work) == before


def test_a_token_that_the_hub_does_not_know(run, hub, work, monkeypatch):
    hub.add(REPOSITORY).commit(upstream_files(1))
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    before = everything(work)
    assert_error(run(*VTB, "new"), "credentials", hub.url, "HF_TOKEN")
    assert everything(work) == before


def test_nothing_fits_the_layout(run, hub, work):
    hub.add(REPOSITORY).commit(upstream_files(2))
    before = everything(work)
    ended = run(*VTB, "new", "--config", TEXT)
    assert_error(ended, "nothing-converted", "videothinkbench", "2 rows: no final frame", "--layout vmevalkit")
    assert everything(work) == before


def test_upstream_has_changed_its_columns(run, hub, tmp_path):
    changed = upstream_files(1) | {shard_path("Mazes", "test"): table(TEXT, rows(TEXT, 1))}
    hub.add(REPOSITORY).commit(changed)
    ended = run(*VTB, tmp_path / "new", "--config", "Mazes")
    assert_error(ended, "source-error", shard_path("Mazes", "test"), "solution_image", "--revision")
    assert tree(tmp_path / "new") == {}


def test_a_shard_arrives_damaged(run, hub, tmp_path):
    hub.add(REPOSITORY).commit(upstream_files(1))
    hub.fault("/cdn/", None, flip=100)
    ended = run(*VTB, tmp_path / "new", "--config", "Mazes")
    assert_error(ended, "wrong-content", shard_path("Mazes", "test"), "run the same command again")
    assert tree(tmp_path / "new") == {}
    hub.clear_faults()
    assert run(*VTB, tmp_path / "new", "--config", "Mazes").code == 0
    assert run("verify", tmp_path / "new").code == 0


def test_a_listed_shard_is_gone(run, hub, tmp_path):
    hub.add(REPOSITORY).commit(upstream_files(1))
    hub.fault("resolve/.*parquet", None, status=404, headers={"X-Error-Code": "EntryNotFound"})
    ended = run(*VTB, tmp_path / "new", "--config", "Mazes")
    assert (ended.code, "[file-missing]" in ended.err, shard_path("Mazes", "test") in ended.err) == (3, True, True)
    assert tree(tmp_path / "new") == {}


def test_the_hub_is_away_or_has_had_enough_or_is_broken(work):
    nobody, before = closed_port(), everything(work)
    with LocalHub() as busy, LocalHub() as broken:
        busy.fault(".", None, status=429)
        broken.fault(".", None, status=503)
        # It takes some seconds until each is given up, so all at the same time
        away = begin(*VTB, work / "new", HF_ENDPOINT=nobody)
        limited = begin(*VTB, work / "new", HF_ENDPOINT=busy.url)
        failing = begin(*VTB, work / "new", HF_ENDPOINT=broken.url)
        assert_error(end(away), "unreachable", nobody.removeprefix("http://"), "HF_ENDPOINT")
        assert_error(end(limited), "rate-limited", busy.url, "HF_TOKEN")
        assert_error(end(failing), "server-failed", broken.url, "503")
    assert everything(work) == before


# Files that are in the way


def test_a_dataset_json_of_someone_else(run, work):
    (work / "full" / DATASET).write_text('{"name": "mine"}')
    before = everything(work)
    assert_error(run(*SAMPLE, "full"), "would-overwrite", "full", DATASET, "--overwrite")
    assert everything(work) == before


def test_a_file_of_someone_else(run, place, tmp_path):
    other = tmp_path / "other"
    (other / PROMPT).parent.mkdir(parents=True)
    (other / PROMPT).write_text("mine")
    assert_error(run(*SAMPLE, other), "would-overwrite", other, PROMPT, "--overwrite")
    whole = tree(place) | {PROMPT: b"mine"}
    assert tree(other) == {path: data for path, data in whole.items() if path not in (DATASET, MANIFEST)}
    assert journal(other) == {PROMPT: "would-overwrite"}
    (other / PROMPT).unlink()
    assert run(*SAMPLE, other).code == 0
    assert everything(other) == everything(place)


def test_a_file_that_was_edited(run, place):
    (place / PROMPT).write_text("edited")
    before = everything(place)
    assert_error(run(*SAMPLE, place), "would-overwrite", place, PROMPT)
    assert everything(place) == before


def test_a_copy_stops_before_it_begins(run, place, tmp_path):
    other = tmp_path / "other"
    (other / PROMPT).parent.mkdir(parents=True)
    (other / PROMPT).write_text("mine")
    before = everything(other)
    assert_error(run("download", place, "--output", other), "would-overwrite", other, PROMPT)
    assert everything(other) == before


def test_a_sync_that_would_delete_most_of_the_target(run, place, tmp_path):
    target = tmp_path / "target"
    assert run("sync", place, target).code == 0
    before = everything(target)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").write_text("x")
    assert_error(run("sync", tmp_path / "one", target, "--delete", "--yes"), "too-many-deletes", target, "--max-delete")
    assert everything(target) == before


def test_a_plan_is_older_than_the_place(run, place, tmp_path):
    plan, target = tmp_path / "plan.jsonl", tmp_path / "target"
    assert run("sync", place, target, "--plan", plan).code == 0
    (place / PROMPT).write_text("edited")
    assert_error(run("sync", "--apply", plan), "plan-stale", place, "--plan")
    assert not target.exists()


def test_files_were_edited_by_hand(run, place, tmp_path):
    (place / PROMPT).write_text("edited")
    copy, again = tmp_path / "copy", tmp_path / "again"
    assert run("sync", place, copy).code == 0
    assert_error(run("rebuild", copy, "--output", again), "not-repeatable", copy, "--partly")
    assert not again.exists()


# visprep's own record


def test_a_manifest_is_damaged(run, place, tmp_path, bucket):
    whole = everything(place)
    (place / MANIFEST).write_bytes(whole[MANIFEST][:-20])
    before = everything(place)
    for argv in ((*SAMPLE, place), ("upload", place, f"s3://{bucket}/x"), ("download", place, "-o", tmp_path / "b")):
        assert_error(run(*argv), "bad-record", place, MANIFEST, "delete the file")
    assert (everything(place), listed(bucket), (tmp_path / "b").exists()) == (before, [], False)
    found = json.loads(run("verify", place, "--json").out)["findings"]
    assert [one["code"] for one in found] == ["manifest-damaged"]
    (place / MANIFEST).unlink()
    assert run(*SAMPLE, place).code == 0
    assert everything(place) == whole


def test_a_manifest_of_a_later_version(run, place):
    (place / MANIFEST).write_text('{"format_version": 99, "files": 0}\n')
    before = everything(place)
    assert_error(run(*SAMPLE, place), "bad-record", place, "99")
    assert everything(place) == before


def test_what_was_begun_must_be_ended_first(run, place, tmp_path, bucket, s3_server):
    url, other = f"s3://{bucket}/x", tmp_path / "other"
    assert run("upload", place, url).code == 0
    with Door(s3_server, answering("GET", FRAME, error(403, "AccessDenied"))) as door:
        assert run("download", url, "--output", other, "--endpoint-url", door.url).code == 3
    before = everything(other)
    assert_error(run(*SAMPLE, other), "place-incomplete", other, url, MARKER)
    assert_error(run("upload", other, f"s3://{bucket}/y"), "place-incomplete", other, url)
    assert_error(run("download", other, "--output", tmp_path / "third"), "place-incomplete", other, url)
    assert everything(other) == before
    assert not (tmp_path / "third").exists()
    assert [key for key in listed(bucket) if key.startswith("y/")] == []


# The disk


def test_the_disk_is_full(run, small_disk, tmp_path):
    whole, command = tmp_path / "whole", ("download", "sample", "--output")
    assert run(*command, whole).code == 0
    place = small_disk / "place"
    assert_error(run(*command, place), "disk-full", "_task/", "free some space")
    assert_unfinished_but_whole(place, tree(whole))
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert run(*command, place).code == 0
    assert everything(place) == everything(whole)


def assert_unfinished_but_whole(place, whole):
    """What lies under its final name is whole."""
    there = {path: data for path, data in tree(place).items() if not path.endswith(PART_SUFFIX)}
    assert there == {path: whole[path] for path in there}
    assert not {MANIFEST, DATASET} & set(there)


def test_upstream_does_not_fit(run, hub, small_disk):
    hub.add(REPOSITORY).commit(upstream_files(1, Mazes=[row("Mazes", 0, image=image(noise(0, 200)))]))
    ended = run(*VTB, small_disk / "place", "--config", "Mazes")
    assert_error(ended, "disk-full", small_disk / "place", "bytes", "--limit")
    assert everything(small_disk) == {}


# Processes


@pytest.fixture
def stalling(hub):
    """VideoThinkBench with a shard of 480 kB; the hub falls silent once, 100 kB into it."""
    hub.add(REPOSITORY).commit(upstream_files(1, Mazes=[row("Mazes", n, image=image(noise(n, 200))) for n in range(4)]))
    hub.fault("/cdn/")  # the footer comes first, and comes through
    hub.fault("/cdn/", cut=100_000, stall=True)
    return hub


def until(met, process):
    deadline = time.monotonic() + 60
    while not met():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_in_the_middle(run, stalling, tmp_path, number):
    command, place = ("download", "videothinkbench", "--config", "Mazes", "--output"), tmp_path / "place"
    process = begin(*command, place)
    until(lambda: any(part.stat().st_size >= 64 * 1024 for part in place.rglob(f"*{PART_SUFFIX}")), process)
    assert_error(run(*command, place), "place-busy", place, "wait")
    process.send_signal(number)
    ended = end(process)
    assert ended[:2] == (130, "")
    assert ended[2].startswith("\nvisprep: interrupted; run the same command again to go on\nhint: ")
    assert tree(place) == {}
    asked = len(stalling.requests)
    assert run(*command, place).code == 0
    assert any((one.range or "bytes=0-") > "bytes=0-" for one in stalling.requests[asked:] if "/cdn/" in one.path)
    assert run(*command, tmp_path / "calm").code == 0
    assert everything(place) == everything(tmp_path / "calm")


@pytest.mark.parametrize("argv", [("ls", "many"), ("ls", "full"), ("sources", "--json"), ("--help",)])
def test_nobody_reads_on(work, argv):
    (work / "many").mkdir()
    for number in range(1500):
        (work / "many" / f"{'long' * 20}{number}").touch()
    process = begin(*argv)
    process.stdout.close()
    assert_quiet(process)


def test_head_gets_its_line_and_no_complaint(work):
    (work / "many").mkdir()
    for number in range(1500):
        (work / "many" / f"{'long' * 20}{number:04}").touch()
    process = begin("ls", "many")
    assert process.stdout.readline().endswith("0000\n")
    process.stdout.close()
    assert_quiet(process)


def assert_quiet(process):
    with process.stderr:
        assert (process.stderr.read(), process.wait(timeout=60)) == ("", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_stdout_takes_no_more(work):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*VISPREP, "ls", "full"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert_error(Outcome(ended.returncode, "", ended.stderr), "disk-error", "standard output")


#: Runs the command line in a process that cannot import the packages named first.
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from visprep.cli import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("packages", "command", "extra"),
    [
        ("datasets,huggingface_hub,pyarrow", ("download", "videothinkbench"), "hf"),
        ("datasets,moto", ("demo",), "demo"),
    ],
)
def test_an_extra_is_not_installed(hub, work, packages, command, extra):
    hub.add(REPOSITORY).commit(upstream_files(1))
    before = everything(work)
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, packages, *command, "--output", "new"],
        capture_output=True,
        text=True,
        check=False,
    )
    outcome = Outcome(ended.returncode, ended.stdout, ended.stderr)
    assert_error(outcome, "missing-extra", f"pip install 'visprep[{extra}]'")
    assert everything(work) == before


def test_a_step_of_the_demo_fails(run, work):
    (work / "demo/questions/mine_task/1").mkdir(parents=True)
    (work / "demo/questions/mine_task/1/prompt.txt").write_text("A task without frames.")
    assert_error(run("demo", "--output", "demo"), "demo-failed", "demo/questions", "task-file-missing")
    assert not (work / "demo/elsewhere").exists()


# Secrets


def test_secrets_are_shown_and_written_nowhere(run, hub, bucket, tmp_path, monkeypatch):
    secrets = {
        "HF_TOKEN": "hf_known",
        "AWS_ACCESS_KEY_ID": "AKIATHEKEYOFMINE",
        "AWS_SECRET_ACCESS_KEY": "the/secret+key",
        "AWS_SESSION_TOKEN": "the//session+token==",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    hub.add(REPOSITORY).commit(upstream_files(1))
    url, place, loud = f"s3://{bucket}/x", tmp_path / "place", ("-vv", "--log", tmp_path / "log")
    said = [
        run(*VTB, place, *loud),
        run("verify", place, "--json", *loud),
        run("upload", place, url, *loud),
        run("download", url, "--output", tmp_path / "back", *loud),
        run("ls", f"s3://{bucket}/nothing", *loud),
    ]
    assert [one.code for one in said] == [0, 0, 0, 0, 3]
    assert any(one.had_token for one in hub.requests)
    hub.tokens = frozenset()
    with Door(
        answer=lambda seen: error(403, "SignatureDoesNotMatch", f"<StringToSign>{seen.headers}</StringToSign>")
    ) as door:
        said += [run(*VTB, tmp_path / "new", *loud), run("ls", url, "--endpoint-url", door.url, *loud)]
    assert [one.code for one in said[5:]] == [3, 3]
    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    stored = [boto3.client("s3").get_object(Bucket=bucket, Key=key) for key in listed(bucket)]
    shown = [text for one in said for text in one[1:]] + [str(one["ResponseMetadata"]) for one in stored]
    bodies = [one["Body"].read().decode(errors="replace") for one in stored]
    assert len((tmp_path / "log").read_text().splitlines()) > 30
    for secret in secrets.values():
        assert not any(secret in text for text in (*written, *shown, *bodies))


# Patience


def test_a_server_falls_silent(silence):
    process, home, server = silence
    assert_error(end(process), "stalled", server.url.removeprefix("http://"))
    assert everything(home) == {}
