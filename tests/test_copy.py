"""Copying places to S3 and back through the command line: what arrives, what is refused, what a second run does."""

import json
import os
import shutil
import subprocess
import sys

import boto3
import pytest

from conftest import tree
from visprep.manifest import DATASET, MANIFEST


@pytest.fixture(autouse=True)
def fixed_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def place(tmp_path):
    root = tmp_path / "place"
    files = {"a_task/1/prompt.txt": b"one\n", "a_task/1/first_frame.png": os.urandom(5000), "notes/\u00fc 1.txt": b""}
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def keys(bucket):
    client = boto3.client("s3")
    return sorted(one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", []))


def puts(bucket):
    """Every version of every object and every deletion, in a bucket that keeps them: whatever was sent shows."""
    listed = boto3.client("s3").list_object_versions(Bucket=bucket)
    return [(one["Key"], one["VersionId"]) for kind in ("Versions", "DeleteMarkers") for one in listed.get(kind, [])]


def test_there_and_back_gives_the_same_bytes(run, bucket, place, tmp_path):
    url = f"s3://{bucket}/sets/one"
    assert run("upload", place, url).code == 0
    assert keys(bucket) == sorted(f"sets/one/{path}" for path in [*tree(place), DATASET, MANIFEST])
    assert run("download", url, "--output", tmp_path / "back").code == 0
    back = tree(tmp_path / "back")
    assert {path: data for path, data in back.items() if path in tree(place)} == tree(place)
    assert run("upload", tmp_path / "back", f"s3://{bucket}/sets/two").code == 0
    assert run("download", f"s3://{bucket}/sets/two", "-o", tmp_path / "again").code == 0
    assert tree(tmp_path / "again") == back


def test_the_second_run_does_nothing(run, bucket, place, tmp_path):
    url = f"s3://{bucket}/one"
    boto3.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    run("upload", place, url)
    run("download", url, "-o", tmp_path / "back")
    first = puts(bucket), {path: path.stat().st_mtime_ns for path in (tmp_path / "back").rglob("*")}
    sent = json.loads(run("upload", place, url, "--json").out)
    got = json.loads(run("download", url, "-o", tmp_path / "back", "--json").out)
    assert (sent["moved"], sent["kept"], got["moved"], got["kept"]) == (0, 3, 0, 3)
    assert (puts(bucket), {path: path.stat().st_mtime_ns for path in (tmp_path / "back").rglob("*")}) == first


def test_only_what_changed_is_sent_and_the_edit_is_recorded(run, bucket, place, tmp_path):
    url = f"s3://{bucket}/one"
    run("upload", place, url)
    run("download", url, "-o", tmp_path / "back")
    (tmp_path / "back/a_task/1/prompt.txt").write_bytes(b"two\n")
    assert json.loads(run("upload", tmp_path / "back", url, "--json").out)["moved"] == 1
    run("download", url, "-o", tmp_path / "third")
    assert (tmp_path / "third/a_task/1/prompt.txt").read_bytes() == b"two\n"
    steps = json.loads((tmp_path / "third" / DATASET).read_text())["steps"]
    assert [(step["command"], step.get("counts")) for step in steps] == [
        ("upload", {"files": 3}),
        ("edit", {"changed": 1}),
    ]


def test_files_of_others_are_not_overwritten_by_a_download(run, bucket, place, tmp_path):
    url = f"s3://{bucket}/one"
    run("upload", place, url)
    back = tmp_path / "back"
    (back / "a_task/1").mkdir(parents=True)
    (back / "a_task/1/prompt.txt").write_bytes(b"mine")
    before = tree(back)
    refused = run("download", url, "-o", back)
    assert (refused.code, "[would-overwrite]" in refused.err, "a_task/1/prompt.txt" in refused.err) == (3, True, True)
    assert tree(back) == before
    assert run("download", url, "-o", back, "--overwrite").code == 0
    assert (back / "a_task/1/prompt.txt").read_bytes() == b"one\n"


def test_a_file_that_changed_since_is_not_overwritten_and_an_unchanged_one_is_renewed(run, bucket, place, tmp_path):
    url, back = f"s3://{bucket}/one", tmp_path / "back"
    run("upload", place, url)
    run("download", url, "-o", back)
    (place / "a_task/1/prompt.txt").write_bytes(b"upstream moved on\n")
    run("upload", place, url)
    assert run("download", url, "-o", back).code == 0
    assert (back / "a_task/1/prompt.txt").read_bytes() == b"upstream moved on\n"
    (back / "a_task/1/prompt.txt").write_bytes(b"edited")
    assert run("download", url, "-o", back).code == 3
    assert (back / "a_task/1/prompt.txt").read_bytes() == b"edited"


def test_extra_files_at_the_target_stay(run, bucket, place):
    boto3.client("s3").put_object(Bucket=bucket, Key="one/other.txt", Body=b"x")
    assert run("upload", place, f"s3://{bucket}/one").code == 0
    assert "one/other.txt" in keys(bucket)


def test_a_prefix_is_not_its_longer_neighbor(run, bucket, place, tmp_path):
    boto3.client("s3").put_object(Bucket=bucket, Key="one-more/x", Body=b"x")
    run("upload", place, f"s3://{bucket}/one")
    run("download", f"s3://{bucket}/one", "-o", tmp_path / "back")
    assert not (tmp_path / "back/x").exists()
    assert run("ls", f"s3://{bucket}/on").code == 3


def test_a_place_without_provenance_comes_too(run, bucket, tmp_path):
    boto3.client("s3").put_object(Bucket=bucket, Key="raw/a/b.txt", Body=b"x")
    boto3.client("s3").put_object(Bucket=bucket, Key="raw/folder/", Body=b"")
    assert run("download", f"s3://{bucket}/raw", "-o", tmp_path / "back").code == 0
    assert (tmp_path / "back/a/b.txt").read_bytes() == b"x"
    assert (tmp_path / "back" / MANIFEST).exists()


def test_one_impossible_key_fails_alone(run, bucket, tmp_path):
    for key in ("raw/fine.txt", "raw/../up.txt", "raw/a//b"):
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    ended = run("download", f"s3://{bucket}/raw", "-o", tmp_path / "back")
    assert ended.code == 3
    assert "[incomplete]" in ended.err
    assert "unsafe-path" in ended.err
    assert (tmp_path / "back/fine.txt").read_bytes() == b"x"
    assert not (tmp_path / "up.txt").exists()
    journal = [json.loads(line) for line in (tmp_path / "back/.visprep/journal.jsonl").read_text().splitlines()]
    assert {(one["path"], one["reason"]) for one in journal} == {("../up.txt", "unsafe-path"), ("a//b", "unsafe-path")}
    assert not (tmp_path / "back" / MANIFEST).exists()


def test_a_damaged_object_is_caught_and_only_it_is_fetched_later(run, bucket, place, tmp_path):
    url, key, back = f"s3://{bucket}/one", "one/a_task/1/first_frame.png", tmp_path / "back"
    run("upload", place, url)
    good = (place / "a_task/1/first_frame.png").read_bytes()
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=bytes([good[0] ^ 1]) + good[1:])
    ended = run("download", url, "-o", back)
    assert ended.code == 3
    assert "wrong-content" in ended.err
    assert not (back / "a_task/1/first_frame.png").exists()
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=good)
    assert json.loads(run("download", url, "-o", back, "--json").out)["moved"] == 1
    assert tree(back)["a_task/1/first_frame.png"] == good
    assert not (back / ".visprep/journal.jsonl").exists()
    assert not (back / ".visprep/in-progress").exists()


def test_ls(run, bucket, place):
    run("upload", place, f"s3://{bucket}/one")
    for where in (place, f"s3://{bucket}/one"):
        listed = run("ls", where, "--summarize")
        assert listed.code == 0
        assert "        5000  a_task/1/first_frame.png\n" in listed.out
        assert "visprep" not in listed.out
    document = json.loads(run("ls", place, "--json").out)
    assert [file["path"] for file in document["files"]] == list(tree(place))
    assert document["format_version"] == 1


def test_one_file_that_cannot_be_read_fails_alone_and_is_journaled(run, bucket, place, tmp_path):
    (tmp_path / "outside").write_bytes(b"x")
    (place / "leaving.txt").symlink_to(tmp_path / "outside")
    (place / "a:b.txt").write_bytes(b"fine")
    ended = run("upload", place, f"s3://{bucket}/one")
    assert (ended.code, "[incomplete]" in ended.err, "leaving.txt" in ended.err) == (3, True, True)
    assert {"one/a:b.txt", "one/a_task/1/prompt.txt"} <= set(keys(bucket))
    (line,) = (place / ".visprep/journal.jsonl").read_text().splitlines()
    assert json.loads(line)["path"] == "leaving.txt"
    (place / "leaving.txt").unlink()
    assert run("upload", place, f"s3://{bucket}/one").code == 0
    assert not (place / ".visprep/journal.jsonl").exists()


@pytest.mark.parametrize("target", ["", "/sub", "/.", "/a_task/.."])
def test_a_place_is_not_copied_into_itself(run, place, target):
    before = tree(place)
    assert run("download", f"{place}/", "-o", f"{place}{target}").code == 2
    assert tree(place) == before


def test_a_foreign_object_of_equal_content_does_not_become_ours(run, bucket):
    client = boto3.client("s3")
    for prefix in ("a", "b"):
        client.put_object(Bucket=bucket, Key=f"{prefix}/x", Body=b"one")
    assert run("download", f"s3://{bucket}/a", "-o", f"s3://{bucket}/b").code == 0
    client.put_object(Bucket=bucket, Key="b/x", Body=b"two")
    assert run("download", f"s3://{bucket}/a", "-o", f"s3://{bucket}/b").code == 3
    assert client.get_object(Bucket=bucket, Key="b/x")["Body"].read() == b"two"


def test_the_history_of_a_copy_is_that_of_its_bytes(run, bucket, place, tmp_path):
    url, back = f"s3://{bucket}/one", tmp_path / "back"
    run("upload", place, url)
    run("download", url, "-o", back)
    before = tree(back)
    for text, commands in ((b"two", ["upload", "edit"]), (b"three", ["upload", "edit"]), (b"one\n", ["upload"])):
        (back / "a_task/1/prompt.txt").write_bytes(text)
        assert run("upload", back, url).code == 0
        shutil.rmtree(tmp_path / "third", ignore_errors=True)
        run("download", url, "-o", tmp_path / "third")
        steps = json.loads((tmp_path / "third" / DATASET).read_text())["steps"]
        assert [step["command"] for step in steps] == commands
    assert tree(tmp_path / "third") == before


def test_two_places_at_one_target_are_told_one_after_the_other(run, bucket, place, tmp_path):
    run("download", "sample", "--limit", "1", "-o", tmp_path / "sample")
    for _ in range(2):
        for origin in (place, tmp_path / "sample"):
            assert run("upload", origin, f"s3://{bucket}/both").code == 0
    run("download", f"s3://{bucket}/both", "-o", tmp_path / "both")
    steps = json.loads((tmp_path / "both" / DATASET).read_text())["steps"]
    assert [(step["command"], step["source"]) for step in steps] == [("upload", "place"), ("download", "sample")]


def test_two_origins_of_one_name_are_not_mixed(run, place, tmp_path):
    from visprep import provenance, wire
    from visprep.changes import begin
    from visprep.stores.local import LocalStore

    store = LocalStore(tmp_path / "target")
    with begin(store, provenance.step("download", "place/")) as change:  # as a kill in the middle leaves it
        change.mark()
        change.note(wire.wait(store.write("old_task/1/prompt.txt", b"of another place of that name")))
    assert run("download", f"{place}/", "-o", tmp_path / "target").code == 0
    assert {path for path in tree(tmp_path / "target") if "task" in path} == {
        path for path in tree(place) if "task" in path
    }
    assert not (tmp_path / "target/old_task").exists()


CODE = """
import sys
from visprep.cli.running import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert ended.code == 0, ended.code
slow = ["numpy", "pickle", "urllib.request"]
slow += ["visprep.open_images_download", "visprep.archive_download", "visprep.table_download"]
print([name for name in slow if name in sys.modules])
"""


@pytest.mark.parametrize("verb", ["download", "upload"])
def test_a_copy_loads_nothing_that_takes_longer_than_many_a_copy(place, bucket, tmp_path, verb):
    words = [place, "--output", tmp_path / "out"] if verb == "download" else [place, f"s3://{bucket}/p"]
    command = [sys.executable, "-c", CODE, verb, *map(str, words), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
