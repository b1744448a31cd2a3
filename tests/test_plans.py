"""Plans of `sync` as files: what they name, where they are written, when they are refused, and going on with one."""

import hashlib
import json
import os
import signal
import threading

import boto3
import pytest

import killing
import visprep
from s3_door import Door, action, error

OBJECT_OPTIONS = ("--storage-class", "STANDARD_IA", "--sse", "AES256", "--acl", "private", "--request-payer")


def keys(bucket):
    return [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and ".visprep" not in path.parts)


def signed(head, operations=()):
    """The text of a plan with such a header, whose digest is right."""
    told = {name: value for name, value in head.items() if name not in ("format_version", "digest")}
    total = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for line in operations:
        total.update(line.encode())
    return json.dumps({**head, "digest": f"sha256:{total.hexdigest()}"}) + "\n" + "".join(operations)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "plain"
    place.mkdir()
    for name in ("a", "b", "c", "d"):
        (place / name).write_text(name)
    return place


@pytest.fixture
def plan(run, folder, tmp_path):
    path = tmp_path / "plan.jsonl"
    assert run("sync", folder, tmp_path / "copy", "--plan", path).code == 0
    return path


class TestHeader:
    """What a plan says of its places and of S3."""

    def test_places_on_disk_are_absolute(self, run, folder, tmp_path, monkeypatch):
        (tmp_path / "work/plain").symlink_to(folder)
        assert run("sync", "plain", "copy", "--plan", "../plan").code == 0
        head = json.loads((tmp_path / "plan").read_text().splitlines()[0])
        assert (head["origin"], head["target"]) == (f"{tmp_path}/work/plain", f"{tmp_path}/work/copy")
        assert run("sync", "plain", "copy", "--apply", "../plan", "--quiet").code == 0
        monkeypatch.chdir("/")
        (tmp_path / "work/copy/a").unlink()
        assert run("sync", "--apply", tmp_path / "plan").code == 3
        assert names(tmp_path / "work/copy") == ["b", "c", "d"]

    def test_server_and_object_options_are_named_and_used(self, run, bucket, s3_server, folder, tmp_path):
        secrets = ("testing", "AKIA")
        done = run("sync", folder, f"s3://new-{bucket}/p", "--plan", "plan", "--create-bucket", *OBJECT_OPTIONS)
        assert done.code == 0
        text = (tmp_path / "work/plan").read_text()
        options = json.loads(text.splitlines()[0])["options"]
        assert options["endpoint"] == s3_server
        assert options["region"] == "us-east-1"
        assert not any(secret in text for secret in secrets)
        assert options["create_bucket"]
        assert run("sync", "--apply", "plan", "--acl", "public-read").code == 2
        assert run("sync", "--apply", "plan", "--acl", "private").code == 0
        head = boto3.client("s3").head_object(Bucket=f"new-{bucket}", Key="p/a")
        assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")

    def test_another_server_is_refused(self, run, bucket, s3_server, folder):
        assert run("sync", folder, f"s3://{bucket}/p", "--plan", "plan").code == 0
        with Door(s3_server) as door:
            refused = run("sync", "--apply", "plan", "--endpoint-url", door.url)
            assert (refused.code, s3_server in refused.err, door.seen) == (2, True, [])
        assert run("sync", "--apply", "plan").code == 0

    def test_a_header_that_was_altered_is_refused(self, run, plan, tmp_path):
        for before, after in (('"delete": false', '"delete": true'), (f"{tmp_path}/copy", f"{tmp_path}/other")):
            text = plan.read_text()
            assert before in text
            (tmp_path / "altered").write_text(text.replace(before, after))
            refused = run("sync", "--apply", tmp_path / "altered")
            assert (refused.code, "[bad-record]" in refused.err) == (3, True)
        assert not (tmp_path / "copy").exists()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("delete", "yes"),
            ("delete", None),
            ("max_delete", True),
            ("max_delete", -1),
            ("max_delete", "3"),
            ("compare", "color"),
            ("compare", ["content"]),
            ("include", "*.txt"),
            ("include", [1]),
            ("exclude", None),
            ("endpoint", 3),
            ("request_payer", 1),
            ("acl", {}),
            ("more", 1),
        ],
    )
    def test_odd_options_are_no_plan(self, run, plan, name, value):
        head, *operations = plan.read_text().splitlines(keepends=True)
        told = json.loads(head)
        told["options"][name] = value
        plan.write_text(signed(told, operations))
        refused = run("sync", "--apply", plan)
        assert (refused.code, "no plan of visprep" in refused.err) == (3, True)

    @pytest.mark.parametrize("name", ["options", "origin", "operations", "digest", "format_version"])
    @pytest.mark.parametrize("value", [None, [], {}, "1"])
    def test_odd_fields_are_no_plan(self, run, plan, name, value):
        head, *operations = plan.read_text().splitlines(keepends=True)
        told = {**json.loads(head), name: value}
        plan.write_text(json.dumps(told) + "\n" + "".join(operations))
        assert "[bad-record]" in run("sync", "--apply", plan).err
        del told[name]
        plan.write_text(json.dumps(told) + "\n" + "".join(operations))
        assert "[bad-record]" in run("sync", "--apply", plan).err

    def test_a_plan_without_an_option_is_none(self, run, plan):
        head, *operations = plan.read_text().splitlines(keepends=True)
        told = json.loads(head)
        del told["options"]["include"]
        plan.write_text(signed(told, operations))
        assert "no plan of visprep (these are missing" in run("sync", "--apply", plan).err
        for text in ("[" * 100_000, "", "null", "\xff\xfe"):
            plan.write_text(text)
            assert "[bad-record]" in run("sync", "--apply", plan).err


class TestFile:
    """Where a plan is written."""

    def test_devices_pipes_and_streams_stay_what_they_are(self, run, folder, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "null").symlink_to(os.devnull)
        for file in (tmp_path / "pipe", tmp_path / "null", "/dev/stdout", "/dev/fd/1", "-"):
            assert run("sync", folder, tmp_path / "copy", "--plan", file).code == 2
        assert (tmp_path / "pipe").is_fifo()
        assert not (tmp_path / "work/-").exists()

    def test_a_link_stays_one_and_a_file_is_replaced(self, run, folder, tmp_path):
        (tmp_path / "real").write_text("old")
        (tmp_path / "link").symlink_to("real")
        assert run("sync", folder, tmp_path / "copy", "--plan", tmp_path / "link").code == 0
        assert (tmp_path / "link").is_symlink()
        assert json.loads((tmp_path / "real").read_text().splitlines()[0])["operations"] == 4
        assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "plain", "real", "work"]

    def test_not_inside_the_places(self, run, folder, tmp_path):
        (tmp_path / "copy").mkdir()
        (tmp_path / "alias").symlink_to("plain")
        (tmp_path / "to").symlink_to("copy/plan")
        for file in ("plain/plan", "copy/plan", "alias/plan", "to", "work/../plain/a"):
            assert run("sync", folder, tmp_path / "copy", "--plan", tmp_path / file).code == 2
        assert (names(folder), names(tmp_path / "copy")) == (["a", "b", "c", "d"], [])
        assert (folder / "a").read_text() == "a"
        assert run("sync", folder, tmp_path / "copy", "--plan", tmp_path / "plain.plan").code == 0

    def test_names_that_no_file_can_have(self, run, folder, tmp_path):
        assert "[disk-error]" in run("sync", folder, tmp_path / "copy", "--plan", "x" * 300).err
        with pytest.raises(visprep.errors.UsageError):
            visprep.sync(folder, tmp_path / "copy", plan="a\0b")
        with pytest.raises(visprep.errors.UsageError, match="plan lies in /, "):
            visprep.sync("/", tmp_path / "copy", plan=tmp_path / "plan", include="nothing")


class TestGoingOn:
    """A plan whose carrying out was broken off."""

    @pytest.fixture
    def door(self, s3_server, bucket, monkeypatch):
        with Door(s3_server) as door:
            monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
            yield door

    @staticmethod
    def _refuse(key, what="s3:GetObject"):
        return lambda seen: error(403, "AccessDenied") if seen.path.endswith(key) and action(seen) == what else None

    def test_from_a_bucket(self, run, bucket, door, folder, tmp_path):
        run("sync", folder, f"s3://{bucket}/p")
        copy = tmp_path / "copy"
        (copy / "sub").mkdir(parents=True)
        (copy / "sub/old").write_text("x")
        (copy / "old").write_text("x")
        assert run("sync", f"s3://{bucket}/p", copy, "--delete", "--max-delete", "2", "--plan", "plan").code == 0
        door.answer = self._refuse("/c")
        assert run("sync", "--apply", "plan").code == 3
        assert names(copy) == ["a", "b", "d", "old", "old"]
        door.answer = lambda seen: None
        assert run("sync", "--apply", "plan").code == 0
        assert names(copy) == ["a", "b", "c", "d"]
        assert not list(copy.rglob("*-plan-*"))
        (copy / "a").unlink()
        assert "[plan-stale]" in run("sync", "--apply", "plan").err  # it was done: what it names is over

    def test_to_a_bucket(self, run, bucket, door, folder):
        assert run("sync", folder, f"s3://{bucket}/p", "--plan", "plan").code == 0
        door.answer = self._refuse("/c", "s3:PutObject")
        assert run("sync", "--apply", "plan").code == 3
        door.answer = lambda seen: None
        assert run("sync", "--apply", "plan").code == 0
        assert keys(bucket) == ["p/a", "p/b", "p/c", "p/d"]

    def test_with_a_record(self, run, bucket, door, tmp_path):
        run("download", "sample", "--output", tmp_path / "sample", "--limit", "3")
        for origin, target in ((tmp_path / "sample", f"s3://{bucket}/p"), (f"s3://{bucket}/p", tmp_path / "back")):
            assert run("sync", origin, target, "--plan", "plan").code == 0
            last = json.loads((tmp_path / "work/plan").read_text().splitlines()[-1])["path"]
            door.answer = self._refuse(last, "s3:GetObject" if target == tmp_path / "back" else "s3:PutObject")
            assert run("sync", "--apply", "plan").code == 3
            door.answer = lambda seen: None
            assert run("sync", "--apply", "plan").code == 0
        assert run("verify", tmp_path / "back", "--depth", "content").code == 0

    @pytest.mark.parametrize("change", ["origin", "new file", "another plan"])
    def test_not_when_there_is_other_work_than_the_plans(self, run, bucket, door, folder, tmp_path, change):
        run("sync", folder, f"s3://{bucket}/p")
        copy = tmp_path / "copy"
        assert run("sync", f"s3://{bucket}/p", copy, "--delete", "--max-delete", "9", "--plan", "plan").code == 0
        door.answer = self._refuse("/c")
        assert run("sync", "--apply", "plan").code == 3
        door.answer = lambda seen: None
        if change == "origin":
            boto3.client("s3").put_object(Bucket=bucket, Key="p/c", Body=b"z")
        elif change == "new file":
            (copy / "mine").write_text("x")
        else:
            (copy / ".visprep/cache").joinpath(next((copy / ".visprep/cache").glob("*-plan-*")).name).unlink()
        assert "[plan-stale]" in run("sync", "--apply", "plan").err
        assert ("mine" in names(copy), "c" in names(copy)) == (change == "new file", False)

    def test_between_buckets_a_new_plan_is_needed(self, run, bucket, door, folder):
        run("sync", folder, f"s3://{bucket}/p")
        assert run("sync", f"s3://{bucket}/p", f"s3://{bucket}/q", "--plan", "plan").code == 0
        door.answer = self._refuse("q/c", "s3:PutObject")
        assert run("sync", "--apply", "plan").code == 3
        door.answer = lambda seen: None
        refused = run("sync", "--apply", "plan")
        assert ("[plan-stale]" in refused.err, "--plan" in refused.err) == (True, True)

    def test_between_buckets_ctrl_c_says_that_a_new_plan_may_be_needed(self, run, bucket, door, folder):
        run("sync", folder, f"s3://{bucket}/p")
        words = ("sync", f"s3://{bucket}/p", f"s3://{bucket}/q")
        assert run(*words, "--plan", "plan").code == 0
        for apply in (("sync", "--apply", "plan"), ("sync", "--apply=plan"), words):
            released, reached = threading.Event(), threading.Event()

            def stall(seen, released=released, reached=reached):
                if "q/c" in seen.target and action(seen) == "s3:PutObject":
                    reached.set()
                    released.wait(60)
                    return error(503, "SlowDown")  # let through, it would come after what is deleted below
                return None

            door.answer = stall
            process = killing.visprep(*apply)
            try:
                assert reached.wait(60)
                process.send_signal(signal.SIGINT)
                _, words_told = process.communicate(timeout=60)
            finally:
                process.kill()
                released.set()
            assert process.returncode == 130
            assert b"visprep: interrupted; run the same command again to go on\n" in words_told
            assert (b"hint: if it finds that a place changed since, make a new plan" in words_told) == (apply != words)
            door.answer = lambda seen: None
            boto3.client("s3").delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": f"q/{name}"} for name in "abcd"]}
            )


class TestTried:
    """`--dry-run --apply`."""

    def test_it_says_what_would_be_done_and_does_nothing(self, run, folder, tmp_path, plan):
        told = run("sync", "--apply", plan, "--dry-run")
        assert (told.code, [line.split()[3] for line in told.out.splitlines()]) == (0, ["a", "b", "c", "d"])
        assert not (tmp_path / "copy").exists()
        assert run("sync", "--apply", plan).code == 0

    @pytest.mark.parametrize("side", ["plain", "copy"])
    def test_a_plan_that_would_be_refused_is(self, run, folder, tmp_path, plan, side):
        (tmp_path / side).mkdir(exist_ok=True)
        (tmp_path / side / "new").write_text("x")
        for words in ((), ("--json",)):
            told = run("sync", "--apply", plan, "--dry-run", *words)
            assert (told.code, "[plan-stale]" in told.err, f"{tmp_path}/{side}" in told.err) == (3, True, True)
        assert names(tmp_path / "copy") == (["new"] if side == "copy" else [])

    def test_a_plan_that_was_begun_is_allowed(self, run, bucket, folder, tmp_path):
        run("sync", folder, f"s3://{bucket}/p")
        assert run("sync", f"s3://{bucket}/p", tmp_path / "copy", "--plan", "plan").code == 0
        (tmp_path / "copy/c").mkdir(parents=True)  # in the way
        (tmp_path / "copy/c/x").mkdir()
        (tmp_path / "copy/c/x/.visprep").mkdir()
        (tmp_path / "copy/c/x/.visprep/journal.jsonl").write_text("x")  # no file that is compared
        assert run("sync", "--apply", "plan").code == 3
        told = run("sync", "--apply", "plan", "--dry-run")
        assert (told.code, [line.split()[3] for line in told.out.splitlines()]) == (0, ["c"])


class TestTalk:
    """What a plan or a dry run asks and tells."""

    def test_nobody_is_asked_when_nothing_is_deleted(self, run, folder, tmp_path):
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy/old").write_text("x")
        done = run("sync", folder, tmp_path / "copy", "--delete", "--plan", "plan")
        assert (done.code, "1 to delete" in done.err) == (0, True)
        assert names(tmp_path / "copy") == ["old"]

    @pytest.mark.parametrize("how", [("--dry-run",), ("--plan", "plan")])
    def test_too_many_deletes_are_told_before(self, run, folder, tmp_path, how):
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy/old").write_text("x")
        told = run("sync", folder, tmp_path / "copy", "--delete", *how)
        assert (told.code, "--max-delete 1 allows it" in told.err) == (0, True)
        assert "--max-delete" not in run("sync", folder, tmp_path / "copy", "--delete", "--max-delete", "1", *how).err

    def test_a_dry_run_as_json_has_the_operations(self, run, folder, tmp_path):
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy/old").write_text("xyz")
        told = json.loads(run("sync", folder, tmp_path / "copy", "--delete", "--dry-run", "--json").out)
        assert (told["format_version"], told["moved"], told["too_many_deletes"]) == (1, 4, True)
        assert [(one["action"], one["path"], one["size"]) for one in told["operations"]] == [
            ("create", "a", 1),
            ("create", "b", 1),
            ("create", "c", 1),
            ("create", "d", 1),
            ("delete", "old", 3),
        ]
        assert all(one["reason"] for one in told["operations"])
        run("sync", folder, tmp_path / "new")
        assert json.loads(run("sync", folder, tmp_path / "new", "--dry-run", "--json").out)["operations"] == []

    @pytest.mark.parametrize(
        "option",
        [
            ("--max-bandwidth", "1M"),
            ("--sse", "AES256"),
            ("--sse-kms-key-id", "alias/one"),
            ("--acl", "private"),
            ("--storage-class", "STANDARD_IA"),
        ],
    )
    def test_options_of_s3_need_s3(self, run, folder, tmp_path, option):
        refused = run("sync", folder, tmp_path / "copy", *option)
        assert (refused.code, option[0] in refused.err) == (2, True)
        assert not (tmp_path / "copy").exists()


class TestLibrary:
    """Values that the command line cannot give."""

    def test_a_text_is_one_glob(self, folder, tmp_path):
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy/old.txt").write_text("x")
        (folder / "a.txt").write_text("a")
        done = visprep.sync(folder, tmp_path / "copy", include="*.txt", delete=True, max_delete=1)
        assert (done.moved, done.deleted) == (1, 1)
        assert names(tmp_path / "copy") == ["a.txt"]
        visprep.sync(folder, tmp_path / "other", exclude="*.txt")
        assert names(tmp_path / "other") == ["a", "b", "c", "d"]

    @pytest.mark.parametrize("wrong", [{"max_delete": -1}, {"include": [b"*"]}, {"exclude": [None]}])
    def test_wrong_values(self, folder, tmp_path, wrong):
        with pytest.raises(visprep.errors.UsageError):
            visprep.sync(folder, tmp_path / "copy", delete=True, **wrong)
