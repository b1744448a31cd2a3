"""verify as a whole: the place's own record and the rules of its format in one report."""

import json
import shutil

import pytest

from visprep.rules import files as file_rules


@pytest.fixture
def place(run, tmp_path):
    root = tmp_path / "sample"
    run("download", "sample", "--limit", "4", "--output", root)
    return root


def codes(outcome):
    return [finding["code"] for finding in json.loads(outcome.out)["findings"]]


def verify(run, place, *options):
    return run("verify", place, "--json", *options)


def first(place, name):
    return sorted(place.glob(f"*_task/*/{name}"))[0]


def test_clean_at_every_depth(run, place):
    for depth in ("names", "sizes", "headers", "decode", "content"):
        ended = verify(run, place, "--depth", depth)
        assert (ended.code, codes(ended)) == (0, [])
        assert json.loads(ended.out)["checked"] == {"tasks": 4, "files": len(list(place.glob("*_task/*/*")))}


def test_one_fault_is_one_finding_though_both_manifest_and_layout_see_it(run, place):
    first(place, "final_frame.png").unlink()
    ended = verify(run, place)
    assert (ended.code, codes(ended)) == (1, ["task-file-missing"])


def test_an_emptied_file_is_one_finding_though_the_manifest_knows_its_size(run, place):
    first(place, "final_frame.png").write_bytes(b"")
    assert codes(verify(run, place)) == ["task-file-empty"]
    first(place, "prompt.txt").write_bytes(b"")
    assert codes(verify(run, place)) == ["task-file-empty", "prompt-empty"]


def test_what_only_the_manifest_knows(run, place):
    shutil.rmtree(first(place, "prompt.txt").parent)
    assert set(codes(verify(run, place))) == {"file-missing"}


def test_a_change_of_equal_size_shows_at_content_depth(run, place):
    prompt = first(place, "prompt.txt")
    prompt.write_bytes(prompt.read_bytes().swapcase())
    assert codes(verify(run, place)) == []
    assert codes(verify(run, place, "--depth", "content")) == ["file-changed"]


def test_a_new_file_is_a_note_or_a_warning_and_no_failure(run, place):
    extra = place / "zz_task" / "mine"
    shutil.copytree(first(place, "prompt.txt").parent, extra)
    ended = verify(run, place)
    assert (ended.code, set(codes(ended))) == (0, {"file-unlisted", "metadata-mismatch", "task-duplicated"})


def test_the_record_itself(run, place):
    (place / ".visprep/in-progress").write_text("{}\n")
    assert codes(verify(run, place)) == ["place-incomplete"]
    (place / ".visprep/in-progress").unlink()
    (place / "dataset.json").write_text("{}")
    assert codes(verify(run, place)) == ["file-changed"]
    (place / "dataset.json").unlink()
    assert codes(verify(run, place)) == ["file-missing"]
    (place / ".visprep/manifest.jsonl").write_text("oops")
    assert codes(verify(run, place)) == ["manifest-damaged"]


def test_a_directory_of_tasks_without_any_record(run, place):
    shutil.rmtree(place / ".visprep")
    (place / "dataset.json").unlink()
    assert verify(run, place).code == 0
    assert verify(run, first(place, "prompt.txt").parent).code == 0
    assert verify(run, first(place, "prompt.txt").parent.parent).code == 0


def test_an_empty_place(run, tmp_path):
    assert verify(run, tmp_path).code == 3
    (tmp_path / "empty").mkdir()
    ended = verify(run, tmp_path / "empty", "--as", "tasks")
    assert (ended.code, codes(ended)) == (1, ["no-tasks"])


def test_the_same_on_s3(run, place, bucket):
    url = f"s3://{bucket}/x"
    run("upload", place, url)
    for depth in ("names", "headers", "decode", "content"):
        ended = verify(run, url, "--depth", depth)
        assert (ended.code, codes(ended)) == (0, [])


def test_damage_on_s3(run, place, bucket):
    import boto3

    url = f"s3://{bucket}/x"
    run("upload", place, url)
    frame = first(place, "first_frame.png")
    key = f"x/{frame.relative_to(place)}"
    data = bytearray(frame.read_bytes())
    data[len(data) // 2] ^= 0xFF
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=bytes(data))
    assert codes(verify(run, url, "--depth", "sizes")) == []
    assert codes(verify(run, url)) == ["file-replaced"]
    assert codes(verify(run, url, "--depth", "decode")) == ["frame-undecodable"]
    boto3.client("s3").delete_object(Bucket=bucket, Key=key)
    assert codes(verify(run, url)) == ["task-file-missing"]


def test_depth_and_format_are_checked_in_the_library_too():
    import visprep
    from visprep.errors import UnknownName

    for options in ({"depth": "deep"}, {"as_": "dota"}, {"layout": "vbvr2"}):
        with pytest.raises(UnknownName):
            visprep.verify(".", **options)


def test_misspelled_names_are_recognized(run, place):
    import visprep
    from visprep.errors import UnknownName

    for layout, hint in (("vbrv", "did you mean vbvr?"), ("zzz", "there are: template, vmevalkit, vbvr")):
        ended = run("verify", place, "--layout", layout)
        assert (ended.code, ended.out, hint in ended.err) == (2, "", True)
    with pytest.raises(UnknownName) as error:
        visprep.verify(place, depth="decod")
    assert error.value.hint == "did you mean decode?"
    ended = run("verify", place, "--depth", "decod")
    assert (ended.code, ended.out, "'decode'" in ended.err) == (2, "", True)


def test_a_file_that_cannot_be_read_beats_findings(run, place, tmp_path):
    (tmp_path / "outside").write_bytes(b"x")
    video = first(place, "prompt.txt").with_name("ground_truth.mp4")
    video.symlink_to(tmp_path / "outside")
    first(place, "final_frame.png").unlink()
    ended = verify(run, place, "--depth", "content")
    assert (ended.code, set(codes(ended))) == (3, {"task-file-missing", "file-unlisted", "task-file-unreadable"})


def test_a_warning_hides_no_error(run, place):
    shutil.copy(first(place, "first_frame.png"), first(place, "first_frame.png").with_name("final_frame.png"))
    ended = verify(run, place, "--depth", "content")
    assert ended.code == 1
    assert set(codes(ended)) in ({"frames-identical", "file-changed"}, {"frames-identical", "file-size"})


def test_two_places_in_one_directory_do_not_disturb_each_other(run, place):
    shutil.copytree(place, place.parent / "both" / "one")
    shutil.copytree(place, place.parent / "both" / "two")
    assert codes(verify(run, place.parent / "both")) == []


def swapped(data):
    return bytes([data[0] ^ 1]) + data[1:]


def relinked(path, target):
    path.unlink()
    path.symlink_to(target)


#: Of each rule about a place and its record: what breaks it, and what comes close and does not.
OF_PLACES = {
    "file-changed": (
        lambda place: first(place, "prompt.txt").write_bytes(swapped(first(place, "prompt.txt").read_bytes())),
        lambda place: first(place, "prompt.txt").touch(),
    ),
    "file-missing": (
        lambda place: (place / "README.md").unlink(),
        lambda place: (place / "nothing").rmdir(),
    ),
    "file-size": (
        lambda place: (place / "README.md").write_bytes(b"longer than it was"),
        lambda place: (place / "README.md").write_bytes(b"mine\n"),
    ),
    "file-unlisted": (
        lambda place: (place / "LICENSE").write_bytes(b"x"),
        lambda place: (place / ".visprep/journal.jsonl").write_bytes(b"{}\n"),
    ),
    "file-unreadable": (
        lambda place: relinked(place / "README.md", "nowhere"),
        lambda place: (place / "README.md").chmod(0o400),
    ),
    "manifest-damaged": (
        lambda place: (place / ".visprep/manifest.jsonl").write_bytes(b'{"format_version": 1, "fi'),
        lambda place: (place / ".visprep/manifest.jsonl").unlink(),
    ),
    "place-incomplete": (
        lambda place: (place / ".visprep/in-progress").write_text("{}\n"),
        lambda place: (place / ".visprep/journal.jsonl").write_text("{}\n"),
    ),
}


def test_every_rule_of_places_has_a_fault_and_a_near_miss():
    assert sorted(OF_PLACES) == [rule.code for rule in file_rules.RULES]


@pytest.mark.parametrize("code", OF_PLACES)
def test_a_fault_of_a_place_is_found_and_a_near_miss_is_none(run, tmp_path, code):
    run("download", "sample", "--limit", "1", "--output", tmp_path / "made")
    (tmp_path / "made/README.md").write_bytes(b"mine\n")
    fault, near = OF_PLACES[code]
    for name, change in (("near", near), ("fault", fault)):
        place = tmp_path / name
        run("download", f"{tmp_path}/made", "--output", place)
        (place / "nothing").mkdir()
        change(place)
        assert (code in codes(verify(run, place, "--depth", "content"))) == (name == "fault")


@pytest.fixture
def plain(run, bucket, tmp_path):
    """A prefix and its directory, in no format that visprep knows, with a manifest each."""
    root = tmp_path / "plain"
    for name in ("a.bin", "b/c.bin", "b/d.bin"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    url = f"s3://{bucket}/plain"
    run("upload", root, url)
    run("download", url, "--output", tmp_path / "back")
    return url, tmp_path / "back"


def test_a_place_of_no_format_is_held_against_its_manifest(run, plain, bucket):
    import boto3

    client = boto3.client("s3")
    for place in plain:
        for depth in ("names", "sizes", "content"):
            ended = verify(run, place, "--depth", depth)
            assert (ended.code, codes(ended)) == (0, [])
            told = json.loads(ended.out)
            assert (told["format"], told["checked"]) == ("files", {"tasks": 0, "files": 3})
    url, back = plain
    for name, data in (("a.bin", b"A.BIN"), ("b/c.bin", b"longer than it was"), ("new.bin", b"x")):
        client.put_object(Bucket=bucket, Key=f"plain/{name}", Body=data)
        (back / name).write_bytes(data)
    client.delete_object(Bucket=bucket, Key="plain/b/d.bin")
    (back / "b/d.bin").unlink()
    visible = {"file-size": "b/c.bin", "file-missing": "b/d.bin", "file-unlisted": "new.bin"}
    for place in (url, back):
        for depth, also in (("sizes", {}), ("content", {"file-changed": "a.bin"})):
            ended = verify(run, place, "--depth", depth)
            assert ended.code == 1
            found = {finding["code"]: finding["path"] for finding in json.loads(ended.out)["findings"]}
            assert found == visible | also


def test_what_has_neither_format_nor_manifest_cannot_be_checked(run, plain):
    back = plain[1]
    shutil.rmtree(back / ".visprep")
    ended = run("verify", back)
    assert (ended.code, "[unknown-content]" in ended.err) == (3, True)


def test_an_upload_that_was_broken_off_is_told_though_there_is_no_manifest_yet(run, plain, bucket):
    import boto3

    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="other/.visprep/in-progress", Body=b"{}\n")
    client.put_object(Bucket=bucket, Key="other/a.bin", Body=b"x")
    assert codes(verify(run, f"s3://{bucket}/other")) == ["place-incomplete"]
