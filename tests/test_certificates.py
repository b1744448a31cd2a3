"""Certificates of leaks: the same bytes for the same data, and what is no longer so is told."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scenes
import visprep
from scenes import document, photo, write
from visprep.certificates import KIND, PartState, digest_of_record
from visprep.similar import METHOD

CLEAN = {
    "train": {f"{number:04}.jpg": photo(number) for number in range(6)},
    "test": {f"{number:04}.jpg": photo(number) for number in range(6, 9)},
}


@pytest.fixture
def place(run, tmp_path):
    """A clean place, with a certificate beside it."""
    scenes.images(tmp_path / "work/data", CLEAN)
    ended = run("leaks", "data", "--certificate", "leaks.json")
    assert ended.code == 0
    assert "leaks.json: certificate written, it says: no leaks" in ended.err
    return tmp_path / "work/data"


def told(ended):
    return [(one["code"], one["message"]) for one in json.loads(ended.out)["findings"]]


def edit(change):
    """Change a certificate, and leave its digest as it is."""
    said = json.loads(Path("leaks.json").read_text())
    change(said)
    Path("leaks.json").write_text(json.dumps(said, indent=2))


def test_it_says_what_was_looked_at(place):
    said = json.loads(Path("leaks.json").read_text())
    assert (said["format_version"], said["kind"], said["result"]) == (1, KIND, "no leaks")
    assert (said["places"], said["against"]) == (["data"], None)
    assert said["compared"]["pairs"] == 18
    assert said["leaks"] == dict.fromkeys(("record", "bytes", "pixels", "perceptual", "group"), 0)
    train, test = said["parts"]
    assert (train["name"], train["records"], train["images"], train["not_compared"]) == ("train", 6, 6, 0)
    assert set(said["members"]["test"]) == {f"test/cats/{number:04}.jpg" for number in (6, 7, 8)}
    assert test["digest"].startswith("sha256:")
    assert "visprep" in said["method"]["versions"]
    assert said["method"]["rms"] == METHOD["rms"]


def test_the_same_data_gives_the_same_bytes(run, place, monkeypatch):
    first = Path("leaks.json").read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert run("leaks", "data", "--certificate", "leaks.json", "--jobs", "1").code == 0
    assert Path("leaks.json").read_bytes() == first


def test_it_is_still_true(run, place):
    ended = run("leaks", "--check", "leaks.json")
    assert ended.code == 0
    assert ended.err.endswith("leaks.json: what it says is still true\n")
    assert run("leaks", "data", "--check", "leaks.json").code == 0


def test_a_place_may_move(run, place):
    place.rename(place.with_name("moved"))
    assert run("leaks", "moved", "--check", "leaks.json").code == 0
    gone = run("leaks", "--check", "leaks.json")
    assert (gone.code, "data" in gone.err) == (3, True)


def test_places_of_a_part_each_may_move(run, place):
    (place / "train").rename(place.with_name("a"))
    (place / "test").rename(place.with_name("b"))
    assert run("leaks", "a", "b", "--certificate", "both.json").code == 0
    assert run("leaks", "--check", "both.json").code == 0
    place.with_name("b").rename(place.with_name("c"))
    assert run("leaks", "a", "c", "--check", "both.json").code == 0
    assert run("leaks", "a", "--check", "both.json").code == 2
    assert run("leaks", "a", "--against", "c", "--certificate", "held.json").code == 0
    assert run("leaks", "--check", "held.json").code == 0


def test_what_was_added_removed_and_changed_is_counted(run, place):
    write(place, {"train/cats/new.jpg": photo(50), "test/cats/0007.jpg": photo(51)})
    (place / "train/cats/0001.jpg").unlink()
    (place / "train/cats/0002.jpg").unlink()
    ended = run("leaks", "--check", "leaks.json", "--json")
    assert ended.code == 1
    assert told(ended) == [
        ("certificate-outdated", "part 'test': 1 record changed"),
        ("certificate-outdated", "part 'train': 1 record added, 2 records removed"),
    ]


def test_new_leaks_are_told(run, place):
    write(place, {"test/cats/new.jpg": CLEAN["train"]["0003.jpg"]})
    ended = run("leaks", "--check", "leaks.json", "--json")
    assert ended.code == 1
    assert told(ended) == [
        ("certificate-outdated", "it says 0 leaks by bytes, and there is 1"),
        ("certificate-outdated", "part 'test': 1 record added"),
        ("leak-across-parts", "its bytes are those of train/cats/0003.jpg in train"),
    ]


def test_a_part_that_is_new_or_gone(run, place):
    (place / "train").rename(place / "val")
    assert ("certificate-outdated", "part 'train' is not there any more") in told(
        run("leaks", "--check", "leaks.json", "--json")
    )


def test_an_image_that_broke_is_told(run, place):
    (place / "test/cats/0007.jpg").write_bytes(b"no image")
    ended = run("leaks", "--check", "leaks.json", "--json")
    assert ended.code == 1
    assert [code for code, _ in told(ended)] == ["certificate-outdated", "image-not-compared"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: said["leaks"].update(bytes=1), "its digest is not that of what it says"),
        (lambda said: said.update(digest="sha256:00"), "its digest is not that of what it says"),
        (lambda said: said["members"]["test"].popitem(), "its digest is not that of what it says"),
        (lambda said: said.update(format_version=2), "it is of version 2; this visprep knows version 1"),
        (lambda said: said.update(kind="another"), "it is no certificate"),
        (lambda said: resign(said)["parts"].append(said["parts"][0]) or resign(said), "it has part 'train' twice"),
    ],
)
def test_a_certificate_that_was_edited(run, place, change, words):
    edit(change)
    ended = run("leaks", "--check", "leaks.json", "--json")
    assert ended.code == 1
    code, message = told(ended)[0]
    assert code == "certificate-damaged"
    assert words in message


def test_one_with_another_layout_is_as_good(run, place):
    said = json.loads(Path("leaks.json").read_text())
    Path("leaks.json").write_text(json.dumps(said, sort_keys=True))
    assert run("leaks", "--check", "leaks.json").code == 0


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b"[]", b'{"format_version": 1}'])
def test_a_file_that_is_no_certificate(run, place, data):
    Path("leaks.json").write_bytes(data)
    ended = run("leaks", "--check", "leaks.json")
    assert ended.code == 1
    assert "[certificate-damaged]" in ended.out
    again = run("leaks", "data", "--certificate", "leaks.json")
    assert again.code == 3
    assert "[would-overwrite]" in again.err
    assert Path("leaks.json").read_bytes() == data


def test_it_cannot_be_read_or_written(run, place):
    assert "[file-missing]" in run("leaks", "--check", "nothing.json").err
    assert "[disk-error]" in run("leaks", "--check", "data").err
    assert "[disk-error]" in run("leaks", "data", "--certificate", "data").err
    assert "[disk-error]" in run("leaks", "data", "--certificate", "no/where.json").err
    assert run("leaks", "data", "--check", "leaks.json", "--certificate", "b.json").code == 2


def test_where_there_is_no_room_for_it_the_findings_are_told(run, place, small_disk):
    (small_disk / "filler").write_bytes(bytes(60_000))
    scenes.images(place, {"train": {"a.jpg": scenes.photo(900)}, "test": {"b.jpg": scenes.photo(900)}})
    for number in range(60):  # a certificate that takes more than is left
        (place / f"test/cats/{'long' * 20}-{number}.jpg").write_bytes(scenes.photo(1000 + number))
    ended = run("leaks", "data", "--certificate", small_disk / "leaks.json")
    assert (ended.code, "[disk-full]" in ended.err, "[leak-across-parts]" in ended.out) == (3, True, True)
    assert "free some space" in ended.err
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
    found = visprep.leaks(place, certificate=small_disk / "leaks.json")
    assert (found.unwritten.slug, found.certificate, found.failed) == ("disk-full", None, True)


def test_where_nothing_may_be_written_is_known_before_anything_is_looked_at(run, place, bound):
    folder = Path("closed")
    folder.mkdir()
    folder.chmod(0o500)
    ended = run("leaks", "data", "--certificate", folder / "leaks.json")
    assert (ended.code, "[access-denied]" in ended.err, ended.out) == (3, True, "")


def test_from_another_directory_the_place_must_be_named(run, place, monkeypatch):
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    ended = run("leaks", "--check", "../leaks.json")
    assert (ended.code, "[place-missing]" in ended.err) == (3, True)
    assert "visprep leaks PLACE --check ../leaks.json" in ended.err
    assert run("leaks", "../data", "--check", "../leaks.json").code == 0


def test_a_file_that_is_no_regular_one_or_without_end_is_not_read(run, place):
    os.mkfifo("pipe")
    for words in (["data", "--certificate", "pipe"], ["--check", "pipe"]):
        ended = run("leaks", *words)
        assert (ended.code, "[disk-error]" in ended.err) == (3, True)
    with Path("huge.json").open("wb") as huge:
        huge.truncate(1 << 40)
    assert "[would-overwrite]" in run("leaks", "data", "--certificate", "huge.json").err
    assert "[certificate-damaged]" in run("leaks", "--check", "huge.json").out
    assert Path("huge.json").stat().st_size == 1 << 40


def test_a_link_stays_one(run, place):
    Path("elsewhere").mkdir()
    Path("leaks.json").rename("elsewhere/kept.json")
    Path("leaks.json").symlink_to("elsewhere/kept.json")
    write(place, {"train/cats/new.jpg": photo(50)})
    assert run("leaks", "data", "--certificate", "leaks.json").code == 0
    assert Path("leaks.json").is_symlink()
    assert json.loads(Path("elsewhere/kept.json").read_text())["parts"][0]["records"] == 7


def test_what_a_killed_command_left_is_gone_after_the_next(run, place):
    before = set(os.listdir())
    real = os.path.realpath("leaks.json")
    program = (
        "import os, pathlib, sys, visprep\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        f"visprep.leaks('data', certificate={real!r})\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -9
    (left,) = set(os.listdir()) - before
    os.utime(left, (0, 0))  # a minute later
    assert run("leaks", "data", "--certificate", "leaks.json").code == 0
    assert set(os.listdir()) == before


def test_one_that_leaves_out_what_was_not_compared(run, tmp_path):
    scenes.coco(tmp_path / "work/data", CLEAN)
    write(tmp_path / "work/data/annotations", {"instances_val2014.json": document(["0001.jpg"])})
    write(tmp_path / "work/data/val2014", {"0001.jpg": CLEAN["train"]["0001.jpg"]})
    assert run("leaks", "data", "--certificate", "leaks.json").code == 0
    said = json.loads(Path("leaks.json").read_text())
    assert said["uncompared"] == [["train2017", "val2014"], ["val2014", "test2017"]]
    said["uncompared"] = []
    Path("leaks.json").write_text(json.dumps(resign(said)))
    ended = run("leaks", "--check", "leaks.json", "--json")
    assert (ended.code, told(ended)[0][0]) == (1, "certificate-outdated")


def test_one_that_says_that_there_are_leaks(run, place):
    write(place, {"test/cats/new.jpg": CLEAN["train"]["0003.jpg"]})
    ended = run("leaks", "data", "--certificate", "leaks.json")
    assert ended.code == 1
    said = json.loads(Path("leaks.json").read_text())
    assert (said["result"], said["leaks"]["bytes"]) == ("leaks", 1)
    again = run("leaks", "--check", "leaks.json", "--json")
    assert (again.code, [code for code, _ in told(again)]) == (1, ["leak-across-parts"])


def test_no_path_of_this_machine_is_in_it(place):
    assert not re.search(r'"/', Path("leaks.json").read_text())


def test_the_digest_of_a_part_depends_on_every_key_and_image():
    one, two = digest_of_record([b"1" * 32]), digest_of_record([b"2" * 32])
    assert PartState.of("a", "coco", 2, 0, {"x": one, "y": two}) == PartState.of(
        "a", "coco", 2, 0, {"y": two, "x": one}
    )
    others = [{"x": one}, {"x": two, "y": one}, {"x": one, "z": two}]
    digests = {PartState.of("a", "coco", 2, 0, members).digest for members in ({"x": one, "y": two}, *others)}
    assert len(digests) == 4
    assert digest_of_record([b"1" * 32, b"2" * 32]) == digest_of_record([b"2" * 32, b"1" * 32])


HOSTILE = [None, True, 3, -1, 1e400, "x", "", [], {}, [[1]], [None], {"a": None}, {"": {}}, [{}], "\ud800"]


def resign(said):
    """Give a certificate the digest that fits, as somebody might."""
    said.pop("digest", None)
    said["digest"] = f"sha256:{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()}"
    return said


def test_a_forged_result_does_not_hold(run, place):
    write(place, {"test/cats/new.jpg": CLEAN["train"]["0003.jpg"]})
    assert run("leaks", "data", "--certificate", "leaks.json").code == 1
    said = json.loads(Path("leaks.json").read_text())
    said["leaks"]["bytes"] = 0
    Path("leaks.json").write_text(json.dumps(resign(said)))
    ended = run("leaks", "--check", "leaks.json", "--json")
    assert [code for code, _ in told(ended)] == ["certificate-outdated", "leak-across-parts"]


@pytest.mark.parametrize("within", ["", "parts"])
def test_no_value_of_any_type_ends_in_a_bug(run, place, within):
    whole = json.loads(Path("leaks.json").read_text())
    for name in sorted((whole["parts"][0] if within else whole).keys() - {"result"}):
        for value in HOSTILE:
            said = json.loads(json.dumps(whole))
            changed = said["parts"][0] if within else said
            if changed[name] == value:
                continue
            changed[name] = value
            Path("leaks.json").write_text(json.dumps(resign(said) if name != "digest" or within else said))
            ended = run("leaks", "--check", "leaks.json")
            assert "a bug of ours" not in ended.err, (name, value)
            assert ended.code in (1, 2, 3), (name, value)
