"""`publish`: what a version is, what another one shares with it, and what does not get through."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import boto3
import pytest

import visprep
from coco_place import make
from conftest import tree
from s3_door import Door, action, error
from visprep import errors
from visprep.manifest import MANIFEST
from visprep.settings import S3Settings
from visprep.stores import open_store
from visprep.stores.published import annotation_url
from visprep.stores.s3 import S3Store
from visprep.wire import wait


@pytest.fixture
def coco(tmp_path):
    return make(tmp_path / "coco", train=4, val=2)


@pytest.fixture
def url(bucket):
    return f"s3://{bucket}/sets/mine"


def keys(url: str) -> dict[str, str]:
    """Every key below a prefix with its ETag."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", ())
    return {one["Key"].removeprefix(f"{prefix}/"): one["ETag"] for one in found}


def body(url: str) -> bytes:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def uploaded(coco, tmp_path, bucket):
    """The dataset with a record of visprep's."""
    visprep.upload(coco, f"s3://{bucket}/plain")
    visprep.download(f"s3://{bucket}/plain", output=tmp_path / "recorded")
    return tmp_path / "recorded"


def test_a_published_place_is_the_place(run, coco, url, tmp_path, bucket):
    place = uploaded(coco, tmp_path, bucket)
    ended = run("publish", place, url, "--json")
    told = json.loads(ended.out)
    assert (ended.code, told["action"], told["files"], told["sent"]) == (0, "published", 10, 10)
    assert told["annotations"] == [f"annotations/instances_{split}2017.json" for split in ("train", "val")]
    assert (told["format_version"], told["guarded"]) == (1, True)
    before = keys(url)
    assert run("download", url, "-o", tmp_path / "back").code == 0
    assert tree(tmp_path / "back") == tree(place)
    assert run("verify", url, "--depth", "content").code == 0
    assert run("verify", tmp_path / "back").code == 0
    assert run("diff", place, url).code == 0
    assert run("ls", url).out == run("ls", place).out
    assert f"version {told['version']} counts" in run("status", url).out
    assert json.loads(run("status", place, "--json").out)["version"] is None
    assert run("sync", url, tmp_path / "synced").code == 0
    assert run("split", url, "--parts", "train=0.5,test=0.5", "-o", tmp_path / "parts").code == 0
    assert run("convert", url, "--to", "yolo", "--output", tmp_path / "yolo").code == 0
    assert run("verify", tmp_path / "yolo").code == 0
    assert run("verify", f"{url}/annotations/instances_val2017.json").code == 0
    assert keys(url) == before


def test_what_lies_where(coco, url):
    result = visprep.publish(coco, url)
    for path in coco.rglob("*.*"):
        home, _, name = path.relative_to(coco).as_posix().rpartition("/")
        stem, suffix = name.split(".")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        assert body(f"{url}/files/{home}/{stem}.{digest}.{suffix}") == path.read_bytes()
    pointer = json.loads(body(f"{url}/current.json"))
    assert (pointer["version"], pointer["history"]) == (result.version, [])
    manifest = body(f"{url}/{pointer['manifest']}")
    assert pointer["manifest"] == f"versions/{result.version}/manifest.jsonl"
    assert hashlib.sha256(manifest).hexdigest() == pointer["sha256"]
    head, *lines = map(json.loads, manifest.splitlines())
    assert head["files"] == len(lines) == 8
    for one in lines:
        data = body(f"{url}/{one['key']}")
        assert (one["size"], one["digest"]) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")


def test_loaders_get_names_that_lead_to_the_bytes(coco, url):
    path = coco / "annotations/instances_train2017.json"
    wild = {"mine": [1, {"é": 1.50}], **json.loads(path.read_text())}
    wild["images"][1] |= {"file_name": "s3://elsewhere/x.jpg", "own": None}
    path.write_text(json.dumps(wild, indent=1))
    visprep.publish(coco, url)
    found = annotation_url(f"{url}/annotations/instances_train2017.json")
    assert found.startswith(f"{url}/versions/")
    made = json.loads(body(found))
    names = [image["file_name"] for image in made["images"]]
    assert names.pop(1) == "s3://elsewhere/x.jpg"
    local = [coco / "train2017" / f"{number:012}.jpg" for number in (1, 3, 4)]
    assert [body(name) for name in names] == [one.read_bytes() for one in local]
    for made_one, image in zip(made["images"], wild["images"], strict=True):
        made_one["file_name"] = image["file_name"]
    assert made == wild


def test_what_verify_says_of_loaders(run, coco, url):
    (coco / "val2017").rename(coco.parent / "elsewhere")
    visprep.publish(coco, url)
    one = "annotations/instances_{}.json"
    assert run("verify", f"{url}/{one.format('train2017')}", "--for", "loader").code == 0
    assert "loader-file-name" in run("verify", f"{url}/{one.format('val2017')}", "--for", "loader").out
    findings = visprep.verify(url, for_="loader", select=["loader-file-name"]).findings
    assert [finding.path for finding in findings] == [one.format("val2017")]
    assert visprep.verify(f"{url}/annotations/instances_val2017.json", for_="loader").findings


def test_only_what_changed_is_sent_and_nothing_is_overwritten(run, coco, url):
    first = visprep.publish(coco, url)
    before = keys(url)
    changed = coco / "train2017/000000000001.jpg"
    changed.write_bytes((coco / "train2017/000000000002.jpg").read_bytes())
    (coco / "val2017/000000000006.jpg").rename(coco / "val2017/new.jpg")
    annotations = coco / "annotations/instances_val2017.json"
    annotations.write_text(annotations.read_text().replace("000000000006", "new"))
    second = visprep.publish(coco, url)
    assert (second.sent, second.files, second.previous) == (3, 8, first.version)
    after = keys(url)
    assert {key: etag for key, etag in after.items() if key in before and key != "current.json"} == {
        key: etag for key, etag in before.items() if key != "current.json"
    }
    assert sum(key.startswith("files/") for key in after) == 11
    assert [one["version"] for one in json.loads(body(f"{url}/current.json"))["history"]] == [first.version]
    assert {file.path for file in open_store(url).list()} == {
        path.relative_to(coco).as_posix() for path in coco.rglob("*.*")
    }
    same = run("publish", coco, url, "--json")
    assert (same.code, json.loads(same.out)["action"], keys(url)) == (0, "unchanged", after)


def test_a_lost_file_is_sent_again(run, coco, url):
    visprep.publish(coco, url)
    before = keys(url)
    lost = next(key for key in before if key.startswith("files/val2017"))
    wait(S3Store(url).delete(lost))
    assert "would be sent again: 1 file" in run("publish", coco, url, "--dry-run").err
    ended = run("publish", coco, url)
    assert (ended.code, "sent again: 1 file" in ended.err, "already" in ended.err) == (0, True, False)
    assert keys(url) == before
    wait(S3Store(url).delete(lost))
    healed = visprep.publish(coco, url)
    assert (healed.action, healed.sent, keys(url)) == ("unchanged", 1, before)


@pytest.mark.parametrize("damage", ["other bytes", "lost"])
def test_a_damaged_manifest_is_no_dead_end(run, coco, url, damage):
    first = visprep.publish(coco, url).version
    (coco / "more.txt").write_text("more")
    second = visprep.publish(coco, url).version
    for version in (first, second):
        path = f"versions/{version}/manifest.jsonl"
        wait(S3Store(url).write(path, b"{}\n") if damage == "other bytes" else S3Store(url).delete(path))
    if damage == "other bytes":
        assert f"visprep publish PLACE {url} makes a new version" in run("ls", url).err
    refused = run("publish", "--rollback", url)
    assert (refused.code, "publish the place again" in refused.err) == (3, True)
    assert run("publish", coco, url).code == 0
    assert run("diff", coco, url).code == 0
    refused = run("publish", "--rollback", url)  # to a version that nobody can read
    assert (refused.code, run("diff", coco, url).code) == (3, 0)


def test_a_record_that_people_edited_behind_is_written_anew(coco, url, tmp_path, bucket):
    place = uploaded(coco, tmp_path, bucket)
    (place / "notes.txt").write_text("mine")
    before = tree(place)
    assert visprep.publish(place, url).files == 11
    visprep.download(url, output=tmp_path / "back")
    assert visprep.verify(tmp_path / "back", depth="content").findings == ()
    steps = json.loads((tmp_path / "back/dataset.json").read_text())["steps"]
    assert (steps[-1]["command"], steps[-1]["counts"]) == ("edit", {"added": 1})
    assert tree(place) == before
    assert visprep.publish(place, url).action == "unchanged"


def test_from_a_bucket_an_archive_and_a_published_place(run, coco, url, bucket, tmp_path):
    import shutil

    visprep.upload(coco, f"s3://{bucket}/plain")
    shutil.make_archive(str(tmp_path / "packed"), "zip", coco)
    recorded = visprep.publish(f"s3://{bucket}/plain", url)
    assert (recorded.files, len(recorded.annotations)) == (10, 2)
    assert visprep.publish(tmp_path / "packed.zip", f"{url}-2").files == 8
    copied = visprep.publish(url, f"{url}-3")
    assert (copied.files, len(copied.annotations)) == (10, 2)
    for which in ("", "-2", "-3"):
        assert run("diff", coco if which == "-2" else f"s3://{bucket}/plain", f"{url}{which}").code == 0
        name = json.loads(body(annotation_url(f"{url}{which}/annotations/instances_val2017.json")))["images"][0]
        assert name["file_name"].startswith(f"{url}{which}/files/val2017/")


def test_annotations_without_their_images(run, coco, url):
    (coco / "val2017/000000000006.jpg").unlink()
    refused = run("publish", coco, url)
    assert (refused.code, keys(url)) == (3, {})
    assert "[file-missing]" in refused.err
    assert "1 of its 2 images are not in the place: 000000000006.jpg" in refused.err
    (coco / "val2017/000000000005.jpg").unlink()
    told = run("publish", coco, url)
    assert told.code == 0
    assert "instances_val2017.json: none of its images is in the place" in told.err
    with pytest.raises(errors.FileMissing, match="not all its images"):
        annotation_url(f"{url}/annotations/instances_val2017.json")


def test_annotations_without_bad_images_stand_for_the_others(run, coco, url):
    (coco / "val2017/000000000006.jpg").write_bytes(b"no picture")
    run("fix", coco, "--how", "quarantine")
    result = visprep.publish(coco, url)
    assert "annotations/instances_val2017.cleaned.json" in result.annotations
    assert "annotations/instances_val2017.json" not in (*result.annotations, *result.without_images)


def test_a_damaged_annotation_file_is_refused(run, coco, url):
    path = coco / "annotations/instances_val2017.json"
    path.write_text(path.read_text()[:-50])
    refused = run("publish", coco, url)
    assert (refused.code, keys(url)) == (3, {})
    assert "instances_val2017.json" in refused.err
    assert "visprep verify" in refused.err


def test_a_place_without_annotations(tmp_path, url):
    (tmp_path / "any/a.b").mkdir(parents=True)
    for name in ("README", ".hidden", "a.b/c", "a.b/x y+é%.txt", "current.json"):
        (tmp_path / "any" / name).write_text(name)
    (tmp_path / "any/empty").touch()
    assert visprep.publish(tmp_path / "any", url).annotations == ()
    visprep.download(url, output=tmp_path / "back")
    assert {**tree(tmp_path / "any")}.items() <= tree(tmp_path / "back").items()


# -- what is refused


def test_a_prefix_with_other_files(run, coco, url):
    for path in ("readme.txt", "files/a.txt", "current.json", "versions/1/x"):
        wait(S3Store(url).write(path, b"{}"))
        refused = run("publish", coco, url)
        assert (refused.code, set(keys(url))) == (3, {path})
        assert "[would-overwrite]" in refused.err
        wait(S3Store(url).delete(path))
    assert visprep.publish(coco, url).action == "published"


@pytest.mark.parametrize(
    ("verb", "argv"),
    [
        ("upload", ("upload", "{coco}", "{url}")),
        ("sync", ("sync", "{coco}", "{url}")),
        ("sync below", ("sync", "{coco}", "{url}/val2017")),
        ("sync to a new prefix below as a dry run", ("sync", "{coco}", "{url}/new/dir", "--dry-run")),
        ("upload below", ("upload", "{coco}", "{url}/new/dir")),
        ("upload among its keys", ("upload", "{coco}", "{url}/files/val2017")),
        ("sync among its keys", ("sync", "{coco}/val2017", "{url}/files/train2017", "--delete", "--yes")),
        ("sync among versions", ("sync", "{coco}", "{url}/versions")),
        ("download below", ("download", "sample", "-o", "{url}/files")),
        ("fix", ("fix", "{url}", "--how", "quarantine")),
        ("publish below", ("publish", "{coco}", "{url}/deeper")),
        ("download", ("download", "sample", "-o", "{url}")),
    ],
)
def test_other_verbs_do_not_write_there(run, coco, url, verb, argv):
    visprep.publish(coco, url)
    before = keys(url)
    (coco / "more.txt").write_text("more")
    ended = run(*(word.format(coco=coco, url=url) for word in argv))
    assert (ended.code, keys(url)) == (2 if verb == "fix" else 3, before), ended.err
    if verb != "fix":
        assert "[access-denied]" in ended.err
        assert f"visprep publish PLACE {url} makes" in ended.err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("coco",), "two places"),
        (("coco", "bucket/x"), "did you mean s3://bucket/x"),
        (("coco", "s3://b-1/x", "--rollback"), "alone"),
        (("--prune",), "alone"),
        (("s3://b-1/x", "--prune", "--rollback"), "first one, then the other"),
        (("s3://b-1/x", "--prune", "--older-than", "soon"), "such as 7d"),
        (("s3://b-1/x", "--prune", "--older-than", ""), "such as 7d"),
        (("coco", "s3://b-1/x", "--older-than", "7d"), "--prune"),
    ],
)
def test_wrong_usage(run, coco, monkeypatch, argv, words):
    monkeypatch.chdir(coco.parent)
    ended = run("publish", *argv)
    assert (ended.code, words in ended.err) == (2, True), ended.err


def test_names_that_s3_does_not_take(run, tmp_path, url):
    place = tmp_path / "odd"
    place.mkdir()
    (place / "fine.txt").write_text("fine")
    for name in (b"not-unicode-\xff", b"long/" + b"/".join([b"x" * 200] * 6)):
        path = Path(os.fsdecode(os.fsencode(place) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("odd")
        refused = run("publish", place, url)
        assert (refused.code, "[unsafe-path]" in refused.err, keys(url)) == (3, True, {})
        path.unlink()


def test_marks_of_directories_are_no_files(coco, url):
    for path in ("files/", "files/val2017/", "notes/"):
        wait(S3Store(url).write(path, b""))
    assert visprep.publish(coco, url).files == 8
    assert len(list(open_store(url).list())) == 8


def test_annotations_that_change_while_they_are_published(coco, url, s3_server):
    """What is there already is not sent again, and what loaders get must not be of other bytes."""
    visprep.publish(coco, url)
    path = coco / "annotations/instances_val2017.json"
    (coco / "val2017/more.txt").write_text("more")

    def change(progress):
        if progress.stage == "Hashing" and progress.done == progress.total:
            path.write_text(path.read_text() + " ")

    with pytest.raises(errors.ChangedMeanwhile):
        visprep.publish(coco, url, progress=change)


def test_nothing_there(run, bucket, url, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run("publish", tmp_path / "empty", url).code == 3
    for option in ("--rollback", "--prune"):
        refused = run("publish", option, url)
        assert (refused.code, "[place-missing]" in refused.err) == (3, True)
    assert run("publish", tmp_path / "empty", "s3://no-such-bucket-here/x").code == 3


def test_dry_run(run, coco, url):
    ended = run("publish", coco, url, "--dry-run")
    assert (ended.code, keys(url)) == (0, {})
    assert "8 files" in ended.err
    assert "would be sent" in ended.err


def test_a_file_that_changes_while_it_is_published(coco, url, s3_server):
    victim = coco / "val2017/000000000005.jpg"

    def changes(seen):
        if seen.method == "PUT" and "000000000006" not in seen.path:
            victim.write_bytes(b"another one")

    victim.write_bytes(bytes(20_000_000))  # it goes last
    with Door(s3_server, changes) as door, pytest.raises(errors.Incomplete):
        visprep.publish(coco, url, s3=S3Settings(endpoint_url=door.url))
    assert "current.json" not in keys(url)


def test_who_may_not_write(run, coco, url, s3_server):
    denied = lambda seen: error(403, "AccessDenied") if action(seen) == "s3:PutObject" else None  # noqa: E731
    with Door(s3_server, denied) as door:
        refused = run("publish", coco, url, "--endpoint-url", door.url)
    assert (refused.code, keys(url)) == (3, {})
    assert "s3:PutObject" in refused.err
    assert MANIFEST not in refused.err
