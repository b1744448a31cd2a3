"""`sync` between disk and S3: what it moves, what it deletes, what it leaves, and how many requests that takes."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import boto3
import pytest

import killing
import visprep
from s3_door import Door
from visprep.manifest import MANIFEST


def objects(bucket, prefix=""):
    """Key and content of every object."""
    client = boto3.client("s3")
    found = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {
        one["Key"].removeprefix(prefix): client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        for one in found
    }


def tree(folder):
    """Path and content of every file but visprep's cache."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "/cache/" not in path.as_posix()
    }


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "plain"
    (place / "sub").mkdir(parents=True)
    for name, text in {"a.txt": "one", "b c+%.txt": "two", "sub/ünï.txt": "three", "sub/empty": ""}.items():
        (place / name).write_text(text)
    return place


def test_a_plain_directory_goes_there_and_back_without_a_record(run, bucket, folder, tmp_path):
    assert run("sync", folder, f"s3://{bucket}/p").code == 0
    assert objects(bucket, "p/") == tree(folder)
    back = tmp_path / "back"
    assert run("sync", f"s3://{bucket}/p", back).code == 0
    assert tree(back) == tree(folder)
    assert "0 files copied" in run("sync", f"s3://{bucket}/p", back).err


def test_a_record_is_kept_where_there_is_one(run, bucket, tmp_path):
    run("download", "sample", "--output", tmp_path / "sample")
    assert run("sync", tmp_path / "sample", f"s3://{bucket}/p").code == 0
    assert "p/dataset.json" in [f"p/{key}" for key in objects(bucket, "p/")]
    assert run("sync", f"s3://{bucket}/p", tmp_path / "back").code == 0
    assert tree(tmp_path / "back") == tree(tmp_path / "sample")


def test_a_file_changed_in_place_is_noticed_though_its_size_is_the_same_and_its_time_older(run, bucket, folder):
    run("sync", folder, f"s3://{bucket}/p")
    before = (folder / "a.txt").stat()
    (folder / "a.txt").write_text("eno")
    os.utime(folder / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns - 10**12))
    assert "1 file copied" in run("sync", folder, f"s3://{bucket}/p").err
    assert objects(bucket, "p/")["a.txt"] == b"eno"
    (folder / "a.txt").write_text("abc")
    assert "0 files copied" in run("sync", folder, f"s3://{bucket}/p", "--compare", "size").err


def test_an_object_changed_by_another_hand_is_noticed(run, bucket, tmp_path):
    run("download", "sample", "--output", tmp_path / "sample")
    run("upload", tmp_path / "sample", f"s3://{bucket}/p")
    key = next(key for key in objects(bucket, "p/") if key.endswith("prompt.txt"))
    body = objects(bucket, "p/")[key]
    boto3.client("s3").put_object(Bucket=bucket, Key=f"p/{key}", Body=body[::-1])
    assert "1 file copied" in run("sync", tmp_path / "sample", f"s3://{bucket}/p").err
    assert objects(bucket, "p/")[key] == body


def test_deleting_is_asked_for_and_comes_last(run, bucket, folder):
    run("sync", folder, f"s3://{bucket}/data")
    boto3.client("s3").put_object(Bucket=bucket, Key="database/keep", Body=b"x")
    (folder / "a.txt").unlink()
    assert "a.txt" in objects(bucket, "data/")
    assert run("sync", folder, f"s3://{bucket}/data").code == 0
    assert "a.txt" in objects(bucket, "data/")
    refused = run("sync", folder, f"s3://{bucket}/data", "--delete")
    assert (refused.code, "a.txt" in objects(bucket, "data/")) == (2, True)
    assert "1 deleted" in run("sync", folder, f"s3://{bucket}/data", "--delete", "--yes").err
    assert objects(bucket, "data/") == tree(folder)
    assert objects(bucket, "database/") == {"keep": b"x"}


def test_an_empty_or_missing_origin_deletes_nothing(run, bucket, folder, tmp_path):
    run("sync", folder, f"s3://{bucket}/p")
    (tmp_path / "empty").mkdir()
    for origin in (tmp_path / "empty", tmp_path / "nowhere", f"s3://{bucket}/nothing"):
        assert run("sync", origin, f"s3://{bucket}/p", "--delete", "--yes").code == 3
    assert objects(bucket, "p/") == tree(folder)


def test_no_more_is_deleted_than_may_be(run, bucket, folder):
    run("sync", folder, f"s3://{bucket}/p")
    for path in list(folder.rglob("*")):
        if path.is_file() and path.name != "a.txt":
            path.unlink()
    refused = run("sync", folder, f"s3://{bucket}/p", "--delete", "--yes")
    assert (refused.code, "too-many-deletes" in refused.err) == (3, True)
    assert len(objects(bucket, "p/")) == 4
    assert run("sync", folder, f"s3://{bucket}/p", "--delete", "--yes", "--max-delete", "3").code == 0
    assert objects(bucket, "p/") == {"a.txt": b"one"}


def test_nothing_is_deleted_when_a_transfer_failed(run, bucket, folder):
    run("sync", folder, f"s3://{bucket}/p")
    (folder / "a.txt").unlink()
    (folder / "pipe").symlink_to("/etc/hostname")
    assert run("sync", folder, f"s3://{bucket}/p", "--delete", "--yes").code == 3
    assert "a.txt" in objects(bucket, "p/")


def test_deleting_on_disk_leaves_no_empty_directories(run, bucket, folder, tmp_path):
    run("sync", folder, f"s3://{bucket}/p")
    back = tmp_path / "back"
    run("sync", f"s3://{bucket}/p", back)
    boto3.client("s3").delete_object(Bucket=bucket, Key="p/sub/empty")
    boto3.client("s3").delete_object(Bucket=bucket, Key="p/sub/ünï.txt")
    assert run("sync", f"s3://{bucket}/p", back, "--delete", "--yes").code == 0
    assert sorted(path.name for path in back.iterdir() if path.name != ".visprep") == ["a.txt", "b c+%.txt"]


def test_a_failure_that_is_mended_leaves_nothing_behind(run, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_text("x")
    (tmp_path / "a/dead").symlink_to("/nowhere")
    assert run("sync", tmp_path / "a", tmp_path / "b").code == 3
    (tmp_path / "a/dead").unlink()
    assert run("sync", tmp_path / "a", tmp_path / "b").code == 0
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["x"]


def test_include_and_exclude_touch_nothing_else(run, bucket, folder):
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="p/sub/other.png", Body=b"x")
    client.put_object(Bucket=bucket, Key="p/sub/gone.txt", Body=b"x")
    done = run("sync", folder, f"s3://{bucket}/p", "--include", "*.txt", "--exclude", "b*", "--delete", "--yes")
    assert done.code == 0
    assert sorted(objects(bucket, "p/")) == ["a.txt", "sub/other.png", "sub/ünï.txt"]


def test_a_dry_run_tells_and_does_nothing(run, bucket, folder):
    boto3.client("s3").put_object(Bucket=bucket, Key="p/a.txt", Body=b"eno")
    boto3.client("s3").put_object(Bucket=bucket, Key="p/old", Body=b"x")
    told = run("sync", folder, f"s3://{bucket}/p", "--dry-run", "--delete")
    assert told.code == 0
    rows = {tuple(line.split()[i] for i in (0, 3)) for line in told.out.splitlines()}
    assert {("replace", "a.txt"), ("delete", "old")} <= rows
    assert "the MD5 differs" in told.out
    assert objects(bucket, "p/") == {"a.txt": b"eno", "old": b"x"}
    assert not (folder / ".visprep").exists()


class TestPlans:
    """Plans as files."""

    @pytest.fixture
    def plan(self, run, bucket, folder, tmp_path):
        boto3.client("s3").put_object(Bucket=bucket, Key="p/old", Body=b"x")
        path = tmp_path / "plan.jsonl"
        done = run("sync", folder, f"s3://{bucket}/p", "--delete", "--max-delete", "1", "--yes", "--plan", path)
        assert done.code == 0
        assert objects(bucket, "p/") == {"old": b"x"}
        return path

    def test_what_it_says(self, plan):
        head, *operations = [json.loads(line) for line in plan.read_text().splitlines()]
        assert (head["format_version"], head["operations"], head["bytes"]) == (1, 5, 11)
        assert [(one["action"], one["path"]) for one in operations] == [
            ("create", "a.txt"),
            ("create", "b c+%.txt"),
            ("delete", "old"),
            ("create", "sub/empty"),
            ("create", "sub/ünï.txt"),
        ]

    def test_it_is_carried_out(self, run, bucket, folder, plan):
        assert run("sync", "--apply", plan).code == 0
        assert objects(bucket, "p/") == tree(folder)

    @pytest.mark.parametrize("side", ["origin", "target"])
    def test_it_is_refused_when_a_side_changed(self, run, bucket, folder, plan, side):
        if side == "origin":
            (folder / "a.txt").write_text("eno")
        else:
            boto3.client("s3").put_object(Bucket=bucket, Key="p/old", Body=b"y")
        before = objects(bucket, "p/")
        refused = run("sync", "--apply", plan)
        assert (refused.code, "plan-stale" in refused.err) == (3, True)
        assert objects(bucket, "p/") == before

    def test_an_altered_one_is_refused(self, run, bucket, plan):
        plan.write_text(plan.read_text().replace("delete", "create", 2))
        assert run("sync", "--apply", plan).code == 3
        plan.write_text("no plan")
        assert run("sync", "--apply", plan).code == 3
        assert objects(bucket, "p/") == {"old": b"x"}

    def test_other_options_beside_it_are_wrong_usage(self, run, plan):
        assert run("sync", "--apply", plan, "--delete", "--yes").code == 2
        assert run("sync", "a", "b", "--apply", plan).code == 2


def test_keys_that_are_no_local_paths_are_named(run, bucket, tmp_path):
    client = boto3.client("s3")
    for key in ("good", "a//b", "../x", "marker/", "filled/"):
        client.put_object(Bucket=bucket, Key=f"p/{key}", Body=b"" if key == "marker/" else b"x")
    done = run("sync", f"s3://{bucket}/p", tmp_path / "p")
    assert done.code == 3
    for key in ("a//b", "../x", "filled/"):
        assert key in done.err
    assert (tmp_path / "p" / "good").read_bytes() == b"x"
    assert not (tmp_path / "x").exists()


def test_odd_keys_go_from_bucket_to_bucket_as_they_are(run, bucket):
    client = boto3.client("s3")
    keys = ("a//b", "x/../y", "tab\there", "dot.", " space ", "+%25", "é/ß", "k" * 900)
    for key in keys:
        client.put_object(Bucket=bucket, Key=f"p/{key}", Body=key.encode())
    assert run("sync", f"s3://{bucket}/p", f"s3://{bucket}/q").code == 0
    assert objects(bucket, "q/") == {key: key.encode() for key in keys}


def test_a_dataset_json_of_somebody_else_is_a_file_like_any_other(run, bucket, folder, tmp_path):
    (folder / "dataset.json").write_text('{"mine": true}')
    assert run("sync", folder, f"s3://{bucket}/p").code == 0
    assert objects(bucket, "p/") == tree(folder)
    assert run("sync", f"s3://{bucket}/p", tmp_path / "back").code == 0
    assert tree(tmp_path / "back") == tree(folder)


def test_what_was_verified_is_remembered_and_the_young_is_not(folder, bucket, monkeypatch):
    target = f"s3://{bucket}/p"
    visprep.sync(folder, target)
    memory = folder / ".visprep/cache/verified.jsonl"
    assert not memory.exists()
    long_ago = 10**18
    for path in folder.rglob("*.txt"):
        os.utime(path, ns=(long_ago, long_ago))
    subprocess.run(["sleep", "2.1"], check=True)
    visprep.sync(folder, target)
    remembered = [json.loads(line) for line in memory.read_text().splitlines()[1:]]
    assert [one["path"] for one in remembered] == ["a.txt", "b c+%.txt", "sub/empty", "sub/ünï.txt"]
    (folder / "a.txt").write_text("eno")
    os.utime(folder / "a.txt", ns=(long_ago, long_ago))
    assert visprep.sync(folder, target).moved == 1  # the times are as they were, but not that of the inode
    memory.write_text("damaged")
    assert visprep.sync(folder, target).moved == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("only-one",),
        ("a", "b", "--max-bandwidth", "fast"),
        ("a", "b", "--compare", "colour"),
        ("a", "b", "--plan", "x", "--apply", "y"),
        ("a", "b", "--create-bucket"),
        ("a", "b.zip"),
    ],
)
def test_wrong_usage(run, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    assert run("sync", *arguments).code in (2, 3) if "--apply" in arguments else run("sync", *arguments).code == 2


def test_the_manifest_on_s3_tells_etags_and_comes_back_without(run, bucket, tmp_path):
    run("download", "sample", "--output", tmp_path / "sample")
    run("upload", tmp_path / "sample", f"s3://{bucket}/p")
    lines = objects(bucket, "p/")[MANIFEST].splitlines()[1:]
    assert all("etag" in json.loads(line) for line in lines)
    run("download", f"s3://{bucket}/p", "--output", tmp_path / "back")
    assert tree(tmp_path / "back") == tree(tmp_path / "sample")


class TestDiff:
    """`visprep diff`."""

    def test_a_copy_is_the_same(self, run, bucket, folder):
        run("sync", folder, f"s3://{bucket}/p")
        assert run("diff", folder, f"s3://{bucket}/p").code == 0

    def test_differences(self, run, bucket, folder):
        run("sync", folder, f"s3://{bucket}/p")
        (folder / "a.txt").write_text("eno")
        (folder / "new").write_text("x")
        (folder / "sub/empty").unlink()
        found = run("diff", folder, f"s3://{bucket}/p", "--json")
        assert found.code == 1
        told = json.loads(found.out)
        assert [(one["change"], one["path"]) for one in told["differences"]] == [
            ("changed", "a.txt"),
            ("removed", "new"),
            ("added", "sub/empty"),
        ]
        assert told["counts"] == {"removed": 1, "added": 1, "changed": 1}
        assert "! a.txt" in run("diff", folder, f"s3://{bucket}/p").out

    def test_what_no_digest_tells_of_is_read(self, run, bucket, tmp_path):
        client = boto3.client("s3")
        for name, body in (("one", b"1" * 6 * 2**20), ("two", b"2" * 6 * 2**20)):
            upload = client.create_multipart_upload(Bucket=bucket, Key=f"{name}/x")["UploadId"]
            part = client.upload_part(Bucket=bucket, Key=f"{name}/x", UploadId=upload, PartNumber=1, Body=body)
            parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
            client.complete_multipart_upload(Bucket=bucket, Key=f"{name}/x", UploadId=upload, MultipartUpload=parts)
        for name, body, code in (("a", b"1", 0), ("b", b"2", 1)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x").write_bytes(body * 6 * 2**20)
            assert run("diff", tmp_path / name, f"s3://{bucket}/one").code == code

    def test_a_place_that_is_not_there(self, run, bucket, folder):
        assert run("diff", folder, f"s3://{bucket}/nothing").code == 3


def test_how_objects_are_written_is_read_back(run, bucket, folder):
    done = run(
        "sync", folder, f"s3://{bucket}/p", "--storage-class", "STANDARD_IA", "--sse", "AES256", "--acl", "private"
    )
    assert done.code == 0
    head = boto3.client("s3").head_object(Bucket=bucket, Key="p/a.txt")
    assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    assert head["ContentType"] == "text/plain"
    assert run("sync", folder, f"s3://{bucket}/p", "--acl", "everyone").code == 2


def test_a_bucket_is_made_when_that_is_asked_for(run, s3_server, bucket, folder):
    command = ("sync", folder, f"s3://new-{bucket}/p")
    for asked in ((), ("--dry-run",), ("--plan", "plan")):
        refused = run(*command, *asked)
        assert (refused.code, refused.out) == (3, "")
        assert f"no bucket 'new-{bucket}' [place-missing]\n" in refused.err
        assert "--create-bucket" in refused.err
    told = json.loads(run(*command, "--create-bucket", "--dry-run", "--json").out)
    assert (told["new_bucket"], told["moved"]) == (f"new-{bucket}", len(tree(folder)))
    said = run(*command, "--create-bucket", "--dry-run").err
    assert f"the bucket new-{bucket} is not there, and would be made" in said
    assert f"new-{bucket}" not in [one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]]
    assert run(*command, "--create-bucket").code == 0
    assert objects(f"new-{bucket}", "p/") == tree(folder)
    blocked = boto3.client("s3").get_public_access_block(Bucket=f"new-{bucket}")["PublicAccessBlockConfiguration"]
    assert all(blocked.values())


def test_an_encrypted_object_among_others_is_not_held_against_its_etag(run, bucket, tmp_path):
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="p/a", Body=b"plain")
    client.put_object(Bucket=bucket, Key="p/b", Body=b"secret", ServerSideEncryption="aws:kms")
    client.put_object(Bucket=bucket, Key="p/c", Body=b"plain too")
    assert run("sync", f"s3://{bucket}/p", tmp_path / "p").code == 0
    assert tree(tmp_path / "p") == {"a": b"plain", "b": b"secret", "c": b"plain too"}


def test_the_plan_says_how_many_files_cost_a_request(run, bucket, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p/x").write_bytes(b"1" * 6 * 2**20)
    client = boto3.client("s3")
    upload = client.create_multipart_upload(Bucket=bucket, Key="p/x", Metadata={"sha256": "0" * 64})["UploadId"]
    part = client.upload_part(Bucket=bucket, Key="p/x", UploadId=upload, PartNumber=1, Body=b"1" * 6 * 2**20)
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    client.complete_multipart_upload(Bucket=bucket, Key="p/x", UploadId=upload, MultipartUpload=parts)
    told = run("sync", tmp_path / "p", f"s3://{bucket}/p", "--dry-run")
    assert "1 file was asked about one by one" in told.err
    assert "the content differs" in told.out


def test_no_change_costs_listings_and_one_read_of_the_record(run, s3_server, bucket, tmp_path, monkeypatch):
    place = tmp_path / "place"
    run("download", "sample", "--output", place)
    run("upload", place, f"s3://{bucket}/p")
    with Door(s3_server) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        assert "0 files copied" in run("sync", place, f"s3://{bucket}/p").err
    requests = [(seen.method, seen.path.partition("/p/")[2]) for seen in door.seen]
    requests.remove(("GET", ""))  # of current.json above: nothing is published there
    assert requests.count(("GET", MANIFEST)) == requests.count(("GET", "")) == 1
    record = {("GET", path) for path in (MANIFEST, "dataset.json", ".visprep/in-progress")}
    others = [one for one in requests if one != ("GET", "") and one not in record]
    assert [method for method, _ in others] in ([], ["HEAD"])  # one asks whether ETags are MD5s here


def test_max_bandwidth_holds_for_a_whole_sync(run, bucket, tmp_path):
    """The least time that the bytes may take at such a rate: no machine is too slow for it."""
    (tmp_path / "many").mkdir()
    for number in range(30):
        (tmp_path / f"many/{number}").write_bytes(bytes(50_000))
    begun = time.monotonic()
    assert run("sync", tmp_path / "many", f"s3://{bucket}/p", "--max-bandwidth", "1M").code == 0
    assert time.monotonic() - begun > 1.3


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="nothing tells that a file is being read")
@pytest.mark.parametrize(
    "words", [("sync", "{disk}", "{s3}"), ("upload", "{disk}", "{s3}"), ("diff", "{disk}", "{other}")]
)
def test_ctrl_c_ends_a_command_that_hashes_a_large_file(bucket, tmp_path, words):
    """To read it to its end would take far longer than is waited for here."""
    places = {"disk": tmp_path / "disk", "other": tmp_path / "other", "s3": f"s3://{bucket}/p"}
    for name in ("disk", "other"):
        places[name].mkdir()
        with (places[name] / "large").open("wb") as file:
            file.truncate(2**39)  # takes no room on disk
    process = killing.visprep(*(word.format(**places) for word in words))
    try:
        while int(Path(f"/proc/{process.pid}/io").read_text().split()[1]) < 2**28:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert b"interrupted" in process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "p/large" not in objects(bucket)


class TestWhatMustNotHappen:
    """Each of these was possible once."""

    def test_a_weaker_comparison_does_not_vouch_for_content(self, run, bucket, tmp_path):
        place = tmp_path / "place"
        run("download", "sample", "--limit", "1", "--output", place)
        run("upload", place, f"s3://{bucket}/p")
        key = next(key for key in objects(bucket, "p/") if key.endswith("prompt.txt"))
        body = objects(bucket, "p/")[key]
        boto3.client("s3").put_object(Bucket=bucket, Key=f"p/{key}", Body=body[::-1])
        assert "0 files copied" in run("sync", place, f"s3://{bucket}/p", "--compare", "size").err
        assert "1 file copied" in run("sync", place, f"s3://{bucket}/p").err
        assert objects(bucket, "p/")[key] == body
        steps = json.loads(objects(bucket, "p/")["dataset.json"])["steps"]
        assert "edit" not in [step["command"] for step in steps]

    def test_a_directory_that_cannot_be_looked_into_deletes_nothing(self, run, bucket, folder, bound):
        run("sync", folder, f"s3://{bucket}/p")
        (folder / "sub").chmod(0)
        done = run("sync", folder, f"s3://{bucket}/p", "--include", "*.txt", "--delete", "--yes")
        (folder / "sub").chmod(0o755)
        assert done.code == 3
        assert "sub/ünï.txt" in objects(bucket, "p/")

    def test_a_directory_that_became_a_link_deletes_nothing(self, run, bucket, folder, tmp_path):
        run("sync", folder, f"s3://{bucket}/p")
        (folder / "sub").rename(tmp_path / "elsewhere")
        (folder / "sub").symlink_to(tmp_path / "elsewhere")
        done = run("sync", folder, f"s3://{bucket}/p", "--include", "*.txt", "--delete", "--yes")
        assert (done.code, "access-denied" in done.err) == (3, True)
        assert "sub/ünï.txt" in objects(bucket, "p/")
        assert run("diff", folder, f"s3://{bucket}/p").code == 3

    def test_an_origin_inside_the_target_is_not_deleted(self, run, folder, tmp_path):
        assert run("sync", folder / "sub", folder, "--delete", "--yes", "--max-delete", "9").code == 2
        assert (folder / "sub" / "ünï.txt").exists()
        assert run("sync", folder / "sub", folder).code == 0

    def test_the_manifest_tells_what_a_broken_off_sync_wrote(self, run, tmp_path):
        origin, target = tmp_path / "origin", tmp_path / "target"
        run("download", "sample", "--limit", "1", "--output", origin)
        run("sync", origin, target)
        prompt = next(origin.rglob("prompt.txt"))
        prompt.write_text("changed\n")
        (origin / "bad").symlink_to("/nowhere")
        assert run("sync", origin, target).code == 3
        prompt.unlink()
        (origin / "bad").unlink()
        assert run("sync", origin, target).code == 0
        found = json.loads(run("verify", target, "--depth", "content", "--json").out)["findings"]
        assert "file-changed" not in [one["code"] for one in found]

    def test_a_file_that_changes_between_broken_off_runs(self, run, tmp_path):
        origin, target = tmp_path / "origin", tmp_path / "target"
        run("download", "sample", "--limit", "1", "--output", origin)
        (origin / "bad").symlink_to("/nowhere")
        prompt = next(origin.rglob("prompt.txt"))
        for text in ("one", "two", "three"):
            prompt.write_text(text)
            ended = run("sync", origin, target)
            assert (ended.code, "[incomplete]" in ended.err) == (3, True)
        (origin / "bad").unlink()
        assert run("sync", origin, target).code == 0
        assert tree(target) == tree(origin) | {
            path: data for path, data in tree(target).items() if path in ("dataset.json", MANIFEST)
        }

    def test_a_file_hashed_while_it_was_young_is_not_remembered(self, folder, bucket):
        target = f"s3://{bucket}/p"
        visprep.sync(folder, target)
        (folder / "a.txt").write_text("new")

        def slowly(_):
            subprocess.run(["sleep", "0.6"], check=True)

        visprep.sync(folder, target, progress=slowly)
        memory = folder / ".visprep/cache/verified.jsonl"
        assert not memory.exists() or '"a.txt"' not in memory.read_text()

    def test_times_before_1970_are_times(self, run, bucket, folder):
        os.utime(folder / "a.txt", (-5, -5))
        assert run("sync", folder, f"s3://{bucket}/p").code == 0
        assert run("sync", folder, f"s3://{bucket}/p").code == 0

    def test_a_memory_of_odd_types_is_none(self, run, bucket, folder):
        (folder / ".visprep/cache").mkdir(parents=True)
        (folder / ".visprep/cache/verified.jsonl").write_text(
            '{"format_version": 1}\n{"path": 7, "size": 3, "etag": 1, "digest": "sha256:00"}\n'
        )
        assert run("sync", folder, f"s3://{bucket}/p").code == 0

    def test_what_never_travels_does_not_travel_from_a_place_inside(self, run, bucket, folder):
        inside = folder / "sub/.visprep"
        (inside / "cache").mkdir(parents=True)
        for name in ("in-progress", "journal.jsonl", "cache/z", "mine", "manifest.jsonl"):
            (inside / name).write_text("x")
        (folder / ".visprep").mkdir()
        (folder.parent / "other disk").mkdir()
        (folder / ".visprep/cache").symlink_to(folder.parent / "other disk")
        (folder / ".visprep/mine").write_text("x")
        assert run("sync", folder, f"s3://{bucket}/p").code == 0
        ours = {key for key in objects(bucket, "p/") if ".visprep" in key}
        assert ours == {".visprep/mine", "sub/.visprep/mine", "sub/.visprep/manifest.jsonl"}

    @pytest.mark.parametrize("verb", ["sync", "upload"])
    def test_a_file_named_like_an_unfinished_one_is_named(self, run, bucket, folder, verb):
        for path in (f".{'0' * 24}.visprep-part", f"sub/.{'a' * 24}.visprep-part"):
            (folder / path).write_text("mine")
        (folder / ".mine.visprep-part").write_text("another name")
        done = run(verb, folder, f"s3://{bucket}/p")
        note = "note: files that are named like unfinished ones of visprep are not copied: 2, the first being .0000"
        assert (done.code, note in done.err) == (0, True)
        assert {key for key in objects(bucket, "p/") if key.endswith("-part")} == {".mine.visprep-part"}
        assert all(
            (folder / path).exists()
            for path in json.loads(run(verb, folder, f"s3://{bucket}/p", "--json").out)["unfinished"]
        )
        if verb == "sync":
            assert "note" not in run(verb, folder, f"s3://{bucket}/p", "--exclude", "*-part").err

    def test_a_diff_leaves_no_record_where_there_is_none(self, run, bucket, folder):
        run("sync", folder, f"s3://{bucket}/p")
        subprocess.run(["rm", "-rf", folder / ".visprep"], check=True)
        assert run("diff", folder, f"s3://{bucket}/p").code == 0
        assert not (folder / ".visprep").exists()

    def test_the_journal_of_how_the_origin_was_filled_stays(self, run, folder, tmp_path):
        (folder / ".visprep").mkdir()
        (folder / ".visprep/journal.jsonl").write_text('{"path": "x", "reason": "disk-full"}\n')
        assert run("sync", folder, tmp_path / "copy").code == 0
        assert (folder / ".visprep/journal.jsonl").exists()

    def test_only_the_newer_is_taken_where_times_are_compared(self, run, bucket, folder):
        run("sync", folder, f"s3://{bucket}/p")
        (folder / "a.txt").write_text("eno")
        os.utime(folder / "a.txt", (1, 1))
        assert "0 files copied" in run("sync", folder, f"s3://{bucket}/p", "--compare", "time").err
        os.utime(folder / "a.txt", (4 * 10**9, 4 * 10**9))
        assert "1 file copied" in run("sync", folder, f"s3://{bucket}/p", "--compare", "time").err
