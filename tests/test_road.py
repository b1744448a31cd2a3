"""The first road end to end through the command line: hub -> task layout -> verified -> S3 -> elsewhere -> verified."""

import json
import shutil
import struct
import time
import zlib
from importlib.util import find_spec

import boto3
import pytest

from conftest import tree
from json_outputs import validator
from killing import kill_count, leftovers, random_kills, visprep, visprep_itself
from visprep.manifest import DATASET, Manifest
from visprep.own_record import MARKER
from visprep.stores import PART_SUFFIX
from visprep.testing import LocalHub
from vtb_upstream import REPOSITORY, TEXT, image, noise, png, row, upstream_files


@pytest.fixture(autouse=True)
def fixed_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def hub(monkeypatch):
    with LocalHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def upstream(hub):
    hub.add(REPOSITORY).commit(upstream_files(6, row_group_size=2))
    return hub


def steps(place):
    return json.loads((place / DATASET).read_text())["steps"]


def manifest(place):
    return Manifest.load((place / ".visprep/manifest.jsonl").read_bytes())


def test_the_whole_road(run, upstream, bucket, tmp_path):
    here, there, url = tmp_path / "here", tmp_path / "there", f"s3://{bucket}/datasets/videothinkbench"
    got = run("download", "videothinkbench", "--split", "test", "--output", here)
    assert got.code == 0
    assert "6 rows skipped" in got.err  # the text-centric ones have no final frame
    assert len(list(here.glob("*_task/*/first_frame.png"))) == 24
    assert run("verify", here).code == 0
    assert run("upload", here, url).code == 0
    assert run("verify", url).code == 0
    assert run("download", url, "--output", there).code == 0
    assert run("verify", there, "--depth", "content").code == 0
    assert tree(here) == tree(there)


def test_a_limit_counts_tasks_in_upstreams_order_and_reads_no_more_than_needed(run, upstream, tmp_path):
    assert run("download", "videothinkbench", "--limit", "3", "--output", tmp_path / "few").code == 0
    names = [path.parent.name for path in (tmp_path / "few").glob("*/*/prompt.txt")]
    assert sorted(names) == [f"vtb_test_eyeballing_puzzles-{number:02}" for number in range(3)]
    bodies = [one for one in upstream.requests if "Visual_Puzzles" in one.path]
    assert bodies == []


def test_a_larger_limit_later_adds_the_rest(run, upstream, tmp_path):
    run("download", "videothinkbench", "--limit", "3", "--output", tmp_path / "grown")
    run("download", "videothinkbench", "--limit", "7", "--output", tmp_path / "grown")
    assert run("download", "videothinkbench", "--limit", "7", "--output", tmp_path / "fresh").code == 0
    grown, fresh = manifest(tmp_path / "grown"), manifest(tmp_path / "fresh")
    assert grown.files == fresh.files
    assert [step["options"]["limit"] for step in steps(tmp_path / "grown")] == [3, 7]
    assert run("verify", tmp_path / "grown", "--depth", "content").code == 0


def test_several_splits_and_configs(run, upstream, tmp_path):
    place = tmp_path / "both"
    command = (
        "download",
        "videothinkbench",
        "--split",
        "minitest,test",
        "--config",
        "Mazes",
        "--limit",
        "2",
        "-o",
        place,
    )
    assert run(*command).code == 0
    assert sorted(path.parent.name for path in place.glob("*/*/prompt.txt")) == [
        "vtb_minitest_mazes-00", "vtb_minitest_mazes-01", "vtb_test_mazes-00", "vtb_test_mazes-01",
    ]  # fmt: skip


def test_text_tasks_are_written_under_vmevalkit_and_nothing_is_an_error(run, upstream, tmp_path):
    place = tmp_path / "text"
    command = ("download", "videothinkbench", "--config", TEXT, "--output", place)
    refused = run(*command)
    assert (refused.code, "[nothing-converted]" in refused.err) == (3, True)
    assert not place.exists()
    assert run(*command, "--layout", "vmevalkit").code == 0
    assert len(list(place.glob("*/*/first_frame.png"))) == 6
    assert run("verify", place, "--layout", "vmevalkit").code == 0
    assert run("verify", place).code == 1


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


def hollow(data):
    """A PNG whose chunks are all sound, and whose pixels end in the middle."""
    header, chunk = data[:33], b"IDAT" + zlib.compress(b"\0" * 50)
    return header + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[-12:]


@pytest.mark.parametrize(
    ("damage", "reason"), [(flipped, "the first frame is damaged"), (hollow, "a frame does not decode")]
)
def test_a_row_whose_picture_is_damaged_is_skipped_and_counted(run, hub, tmp_path, damage, reason):
    rows = [row("Mazes", 0, image=image(damage(png("damaged")))), row("Mazes", 1)]
    hub.add(REPOSITORY).commit(upstream_files(2, Mazes=rows))
    ended = run("download", "videothinkbench", "--config", "Mazes", "--output", tmp_path / "place")
    assert ended.code == 0
    assert f"1 row skipped: {reason}" in ended.err
    assert [path.name for path in (tmp_path / "place").glob("*_task/*")] == ["vtb_test_mazes-01"]
    assert run("verify", tmp_path / "place").code == 0


def test_a_limit_is_reached_although_rows_are_damaged(run, hub, tmp_path):
    rows = [row("Mazes", 0, image=image(hollow(png(0)))), *(row("Mazes", number) for number in range(1, 6))]
    hub.add(REPOSITORY).commit(upstream_files(2, row_group_size=1, Mazes=rows))
    command = ("download", "videothinkbench", "--config", "Mazes", "--limit", "3", "--output", tmp_path / "place")
    assert run(*command).code == 0
    names = sorted(path.name for path in (tmp_path / "place").glob("*_task/*"))
    assert names == ["vtb_test_mazes-01", "vtb_test_mazes-02", "vtb_test_mazes-03"]


def test_another_limit_after_a_kill_leaves_no_half_task(run, upstream, tmp_path):
    whole, place = tmp_path / "whole", tmp_path / "place"
    run("download", "videothinkbench", "--output", whole)
    shutil.copytree(whole, place)
    torn, *_ = sorted(place.glob("mazes_a_task/*"))
    (torn / "prompt.txt").unlink()
    marker = [json.dumps({"format_version": 1, "step": {**steps(whole)[0], "counts": {}}})]
    for file in manifest(whole).files:
        if (place / file.path).exists():
            marker.append(json.dumps({"path": file.path, "size": file.size, "digest": file.digest}))
    (place / MARKER).write_text("\n".join(marker) + "\n")
    (place / DATASET).unlink()
    (place / ".visprep/manifest.jsonl").unlink()
    assert run("download", "videothinkbench", "--limit", "2", "--output", place).code == 0
    assert len(manifest(place).files) == 8
    assert not torn.exists()
    assert len(list(place.glob("*_task/*/prompt.txt"))) == 23
    assert run("verify", place).code == 0


def test_a_lost_manifest_is_made_again(run, upstream, tmp_path):
    place = tmp_path / "place"
    run("download", "videothinkbench", "--output", place)
    before = tree(place)
    (place / ".visprep/manifest.jsonl").unlink()
    assert run("download", "videothinkbench", "--output", place).code == 0
    assert tree(place) == before


def test_provenance_names_the_commit_and_a_revision_pins_it(run, hub, tmp_path):
    repo = hub.add(REPOSITORY)
    old = repo.commit(upstream_files(1))
    new = repo.commit(upstream_files(2))
    assert run("download", "videothinkbench", "--output", tmp_path / "new").code == 0
    assert run("download", "videothinkbench", "--revision", old, "--output", tmp_path / "old").code == 0
    for place, commit, count in (("new", new, 8), ("old", old, 4)):
        (step,) = steps(tmp_path / place)
        assert (step["revision"], step["counts"]["tasks"], step["license"]) == (commit, count, "MIT")
        assert {"python", "visprep", "pillow", "datasets", "huggingface-hub"} <= set(step["versions"])


def test_the_second_run_changes_nothing_and_fetches_no_shard(run, upstream, tmp_path):
    place = tmp_path / "place"
    run("download", "videothinkbench", "--output", place)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in place.rglob("*")}
    asked = len(upstream.requests)
    assert run("download", "videothinkbench", "--output", place).code == 0
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in place.rglob("*")} == before
    assert not [one for one in upstream.requests[asked:] if one.path.endswith(".parquet") or "cdn" in one.path]


def test_a_task_that_was_deleted_comes_back_and_an_edited_one_is_not_touched(run, upstream, tmp_path):
    place = tmp_path / "place"
    run("download", "videothinkbench", "--output", place)
    before = tree(place)
    first, second = sorted(place.glob("*_task/*"))[:2]
    shutil.rmtree(first)
    assert run("download", "videothinkbench", "--output", place).code == 0
    assert tree(place) == before
    (second / "prompt.txt").write_text("mine")
    refused = run("download", "videothinkbench", "--output", place)
    assert (refused.code, "[would-overwrite]" in refused.err) == (3, True)
    assert (second / "prompt.txt").read_text() == "mine"
    assert run("download", "videothinkbench", "--output", place, "--overwrite").code == 0
    assert tree(place) == before


def test_upstream_moves_on_and_its_changed_tasks_replace_ours(run, hub, tmp_path):
    repo, place = hub.add(REPOSITORY), tmp_path / "place"
    repo.commit(upstream_files(2))
    run("download", "videothinkbench", "--output", place)
    changed = [row("Mazes", 0, prompt="A better prompt."), row("Mazes", 1)]
    repo.commit(upstream_files(2, Mazes=changed))
    assert run("download", "videothinkbench", "--output", place).code == 0
    (prompt,) = place.glob("*/vtb_test_mazes-00/prompt.txt")
    assert prompt.read_text() == "A better prompt.\n"
    assert len(steps(place)) == 2
    assert run("verify", place, "--depth", "content").code == 0


FAULTS = {
    "reset in the body": {"cut": 100_000, "reset": True},
    "short body": {"cut": 100_000},
    "5xx from the CDN": {"status": 503},
    "flipped byte": {"flip": 50_000},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_hub_library_does_not_survive_we_do(run, hub, tmp_path, fault):
    big = [row("Mazes", number, image=image(noise(number, 200))) for number in range(4)]
    hub.add(REPOSITORY).commit(upstream_files(2, Mazes=big))
    command = ("download", "videothinkbench", "--config", "Mazes", "--output")
    assert run(*command, tmp_path / "calm").code == 0
    hub.fault(r"GET /cdn/", times=1, **FAULTS[fault])
    ended = run(*command, tmp_path / "stormy")
    if ended.code == 3 and fault == "flipped byte":  # detected; the next run fetches the shard anew
        assert "[wrong-content]" in ended.err
        ended = run(*command, tmp_path / "stormy")
    assert ended.code == 0
    assert tree(tmp_path / "calm") == tree(tmp_path / "stormy")


@pytest.fixture
def slow_upstream(hub):
    """A shard of about 1.5 MB that takes a second or two to come."""
    big = [
        row("Mazes", number, image=image(noise(number, 200)), solution_image=image(png(number))) for number in range(12)
    ]
    hub.add(REPOSITORY).commit(upstream_files(2, Mazes=big))
    return hub


def test_a_killed_download_goes_on_where_it_stopped(slow_upstream, run, tmp_path):
    command = ("download", "videothinkbench", "--config", "Mazes", "--output")
    assert run(*command, tmp_path / "calm").code == 0
    slow_upstream.fault(r"GET /cdn/", times=None, slow=500_000)
    process = visprep(*command, tmp_path / "killed")
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size > 500_000 for part in (tmp_path / "killed").rglob(f"*{PART_SUFFIX}")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate()
    asked = len(slow_upstream.requests)
    assert run(*command, tmp_path / "killed").code == 0
    ranges = [one.range for one in slow_upstream.requests[asked:] if "/cdn/" in one.path and one.method == "GET"]
    assert any(asked_for and not asked_for.startswith("bytes=0-") for asked_for in ranges)
    assert tree(tmp_path / "killed") == tree(tmp_path / "calm")
    assert leftovers(tmp_path / "killed") == []


def test_downloads_killed_at_random_moments_end_in_the_same_bytes(hub, run, tmp_path):
    hub.add(REPOSITORY).commit(upstream_files(60, row_group_size=20))
    command = ("download", "videothinkbench", "--output")
    assert run(*command, tmp_path / "calm").code == 0

    def check(number):
        place = tmp_path / f"killed{number}"
        assert tree(place) == tree(tmp_path / "calm")
        assert leftovers(place) == []

    def at_work(number):
        return (tmp_path / f"killed{number}" / MARKER).exists()

    random_kills(
        lambda number: (*command, tmp_path / f"killed{number}"),
        at_work, check, seed=1, tries=kill_count(6), longest=0.6,
    )  # fmt: skip


def sent(bucket, prefix):
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {one["Key"].removeprefix(prefix): one["ETag"] for page in pages for one in page.get("Contents", [])}


def test_uploads_killed_at_random_moments_end_in_the_same_objects(upstream, run, bucket, tmp_path):
    place = tmp_path / "place"
    run("download", "videothinkbench", "--output", place)
    assert run("upload", place, f"s3://{bucket}/calm").code == 0

    def check(number):
        assert sent(bucket, f"killed{number}/") == sent(bucket, "calm/")
        assert boto3.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
        back = tmp_path / f"back{number}"
        assert run("download", f"s3://{bucket}/killed{number}", "--output", back).code == 0
        assert tree(back) == tree(place)

    def at_work(number):
        return MARKER in sent(bucket, f"killed{number}/")

    random_kills(
        lambda number: ("upload", place, f"s3://{bucket}/killed{number}"),
        at_work, check, seed=2, tries=kill_count(6), longest=0.4,
    )  # fmt: skip


def test_downloads_from_s3_killed_at_random_moments_end_in_the_same_bytes(upstream, run, bucket, tmp_path):
    place, url = tmp_path / "place", f"s3://{bucket}/x"
    run("download", "videothinkbench", "--output", place)
    assert run("upload", place, url).code == 0

    def check(number):
        assert tree(tmp_path / f"back{number}") == tree(place)
        assert leftovers(tmp_path / f"back{number}") == []

    def at_work(number):
        return (tmp_path / f"back{number}" / MARKER).exists()

    random_kills(
        lambda number: ("download", url, "--output", tmp_path / f"back{number}"),
        at_work, check, seed=3, tries=kill_count(6), longest=0.2,
    )  # fmt: skip


def test_an_upload_that_was_killed_sends_no_complete_object_again(upstream, run, bucket, tmp_path):
    place, url = tmp_path / "place", f"s3://{bucket}/x"
    run("download", "videothinkbench", "--output", place)
    client = boto3.client("s3")
    run("upload", place, url)
    for key in (".visprep/manifest.jsonl", "dataset.json"):  # as a kill in the middle leaves it
        client.delete_object(Bucket=bucket, Key=f"x/{key}")
    victim = next(key for key in sent(bucket, "x/") if key.endswith("prompt.txt"))
    client.delete_object(Bucket=bucket, Key=f"x/{victim}")
    again = json.loads(run("upload", place, url, "--json").out)
    assert (again["moved"], again["kept"]) == (1, len(manifest(place).files) - 1)


def test_more_files_than_a_listing_tells_at_once_there_and_back(run, hub, bucket, tmp_path):
    rows = [row("Mazes", number, id=f"m-{number:04}") for number in range(251)]
    hub.add(REPOSITORY).commit(upstream_files(1, row_group_size=100, Mazes=rows))
    here, there, url = tmp_path / "here", tmp_path / "there", f"s3://{bucket}/thousand"
    assert run("download", "videothinkbench", "--config", "Mazes", "--output", here).code == 0
    assert len(manifest(here).files) == 1004
    assert run("verify", here, "--depth", "content").code == 0
    assert run("upload", here, url).code == 0
    assert run("download", url, "--output", there).code == 0
    assert run("verify", there, "--depth", "content").code == 0
    assert tree(here) == tree(there)


def test_real_puzzles_keep_their_bytes(run, upstream, real_vtb, tmp_path):
    assert run("download", "videothinkbench", "--config", "Visual_Puzzles", "--output", tmp_path / "real").code == 0
    originals = {path.read_bytes() for path in real_vtb.rglob("*.png")}
    written = [path.read_bytes() for path in (tmp_path / "real").rglob("*.png")]
    assert len(written) == 12
    assert set(written) <= originals
    assert run("verify", tmp_path / "real").code == 0


def test_the_sample_is_the_same_every_time(run, tmp_path):
    for name in ("one", "two"):
        assert run("download", "sample", "--output", tmp_path / name).code == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert run("verify", tmp_path / "one").code == 0


def test_demo(tmp_path):
    process = visprep_itself("demo", "--output", tmp_path / "demo", "--json")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    validator("demo", strict=True).validate(json.loads(out))
    made = {step["name"]: step["made"] for step in json.loads(out)["steps"]}
    assert "byte for byte the same" in made["compare"]
    words = "10 images from S3, 12 times, loss" if find_spec("torch") else "pip install 'visprep[torch]'"
    assert words in made["train"]
    assert tree(tmp_path / "demo/questions") == tree(tmp_path / "demo/elsewhere")
    bucket, web = (tree(tmp_path / "demo" / place) for place in ("photos", "photos-by-http"))
    assert {path for path in bucket if web.get(path) != bucket[path]} == {"dataset.json", ".visprep/manifest.jsonl"}
    assert sum(path.endswith(".jpg") for path in bucket) == 20
