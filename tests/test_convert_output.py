"""What a converter writes: planned first, then put in place; killed it goes on, repeated it does nothing."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import visprep
from conftest import tree
from visprep import provenance
from visprep.convert_output import Made, writing
from visprep.converting import Losses, Lossy, Wish
from visprep.errors import Incomplete, PlaceIncomplete, WouldOverwrite, WrongContent
from visprep.own_record import read_journal
from visprep.renamed import Renamed
from visprep.stores.local import LocalStore


class Text:
    """A document, which counts how often it was written."""

    def __init__(self, text):
        self.text, self.written = text, 0

    def write(self, path):
        self.written += 1
        path.write_text(self.text)


@pytest.fixture
def put(tmp_path, monkeypatch):
    """`put(fill)` -> the output after `fill(output)`, at `tmp_path/new`."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    def call(fill, *, options=None, losses=None, lossless=False, place=tmp_path / "new"):
        step = provenance.step("convert", "x", options=options or {"to": "y"})
        with writing(LocalStore(place), step, Wish("y")) as output:
            fill(output)
            output.put(losses, lossless=lossless)
        output.result("x", "y", "x", losses or Losses("y"))
        return output

    return call


def bad():
    raise WrongContent("no image")


def counts(output):
    return output.written, output.linked, output.copied, output.kept


def test_all_kinds_of_files(put, tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from/a.jpg").write_bytes(b"a")
    origin, shard, costly = LocalStore(tmp_path / "from"), Text("shard"), []

    def expensive():
        costly.append(1)
        return b"dear"

    def fill(output):
        output.document("notes/all.txt", Text("document"))
        output.link("images/a.jpg", origin, next(origin.list()))
        output.make("labels/a.txt", lambda: b"made")
        output.make("labels/b.txt", expensive, costly=True)
        output.shard("big/0.tar", shard)
        output.plan(lambda: (Made(f"many/{n}.txt", lambda n=n: b"%d" % n) for n in range(200)))

    assert counts(put(fill)) == (205, 1, 0, 0)
    found = {path: data for path, data in tree(tmp_path / "new").items() if not path.startswith((".visprep", "many"))}
    del found["dataset.json"]
    assert found == {
        "big/0.tar": b"shard",
        "images/a.jpg": b"a",
        "labels/a.txt": b"made",
        "labels/b.txt": b"dear",
        "notes/all.txt": b"document",
    }
    assert (tmp_path / "new/images/a.jpg").samefile(tmp_path / "from/a.jpg")
    assert (tmp_path / "new/many/77.txt").read_bytes() == b"77"
    before = tree(tmp_path / "new")
    assert counts(put(fill)) == (0, 0, 0, 205)
    assert tree(tmp_path / "new") == before
    assert (shard.written, costly) == (1, [1])
    assert (
        visprep.verify(
            tmp_path / "new", depth="content", select=["file-changed", "file-missing", "file-unlisted"]
        ).findings
        == ()
    )


def test_what_a_place_remembers_of_its_files_is_not_found_out_again(tmp_path):
    place, memory, names = (
        tmp_path / "from",
        tmp_path / "from/.visprep/cache/verified.jsonl",
        ("a.jpg", "b.jpg", "c.jpg"),
    )
    (place / "images").mkdir(parents=True)
    (place / "annotations").mkdir()
    for name in names:
        (place / "images" / name).write_text(name)
        os.utime(place / "images" / name, (1_700_000_000, 1_700_000_000))  # none is too young to be remembered
    images = [{"id": id, "file_name": name, "width": 1, "height": 1} for id, name in enumerate(names)]
    said = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (place / "annotations/instances_train.json").write_text(json.dumps(said))

    def digests(name, to):
        visprep.convert(place, to=to, output=tmp_path / name)
        lines = (tmp_path / name / ".visprep/manifest.jsonl").read_text().splitlines()[1:]
        return {file["path"].rpartition("/")[2]: file["digest"][7:] for file in map(json.loads, lines)}

    true = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    assert true.items() <= digests("one", "coco").items()
    assert not (place / ".visprep").exists()  # nothing is begun in a directory that may be anybody's

    (place / ".visprep").mkdir()
    assert true.items() <= digests("two", "yolo").items()
    told = memory.read_text()
    for digest in true.values():
        assert digest in told
        told = told.replace(digest, "0" * 64)  # so that who believes it can be told from who reads
    memory.write_text(told)
    os.utime(place / "images/b.jpg", (1_700_000_001, 1_700_000_001))
    for name, to in (("three", "voc"), ("four", "yolo")):  # a.jpg is the one that a link is tried with
        assert digests(name, to).items() >= {"b.jpg": true["b.jpg"], "c.jpg": "0" * 64}.items()


def test_nothing_is_left_of_what_breaks_off_before(put, tmp_path):
    def fill(output):
        output.document("a.txt", Text("a"))
        raise WrongContent("no")

    with pytest.raises(WrongContent):
        put(fill)
    assert not (tmp_path / "new").exists()


def test_what_would_be_lost_is_told_before_anything_is_written(put, tmp_path):
    losses = Losses("y")
    losses.lost("images.license", "a.json", "image 7", 2, image_id=7)
    losses.lost("images.license", "a.json", "image 9")
    losses.lost("nothing", "a.json", "none", 0)
    with pytest.raises(Lossy) as told:
        put(lambda output: output.document("a.txt", Text("a")), losses=losses, lossless=True)
    assert not (tmp_path / "new").exists()
    (finding,) = told.value.losses.findings()
    assert finding.message == "images.license: y cannot carry it; 3 records lost it, image 7 for one"
    assert finding.where == {"field": "images.license", "count": 3, "image_id": 7}
    put(lambda output: output.document("a.txt", Text("a")), losses=losses)
    assert (tmp_path / "new/a.txt").read_bytes() == b"a"


@pytest.mark.parametrize("path", ["a.txt", "b.txt", "c.tar"])
def test_nothing_is_written_over(put, tmp_path, path):
    def fill(output):
        output.document("a.txt", Text("a"))
        output.make("b.txt", lambda: b"b")
        output.shard("c.tar", Text("c"))

    (tmp_path / "new").mkdir()
    (tmp_path / "new" / path).write_bytes(b"mine")
    with pytest.raises(WouldOverwrite) as told:
        put(fill)
    assert told.value.paths == (path,)
    assert tree(tmp_path / "new") == {path: b"mine"}
    (tmp_path / "new" / path).unlink()
    put(fill)
    (tmp_path / "new" / path).write_bytes(b"changed since")
    with pytest.raises(WouldOverwrite):
        put(fill)
    with pytest.raises(WouldOverwrite, match="--to was y, now z"):
        put(fill, options={"to": "z"})


def test_an_equal_file_may_be_there_already(put, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new/b.txt").write_bytes(b"b")
    assert counts(put(lambda output: output.make("b.txt", lambda: b"b"))) == (0, 0, 0, 1)
    assert "b.txt" in (tmp_path / "new/.visprep/manifest.jsonl").read_text()


def test_bad_records_are_told_by_name_and_the_rest_is_done(put, tmp_path):
    broken = [True]

    def fill(output):
        output.make("good.txt", lambda: b"good")
        output.make("worse.txt", lambda: bad() if broken else b"better")
        if broken:
            output.failed("records/7", WrongContent("no box"))

    for _ in range(2):
        with pytest.raises(Incomplete, match="2 of 3 files failed"):
            put(fill)
        entries = read_journal(LocalStore(tmp_path / "new"))
        assert {one["path"]: one["reason"] for one in entries} == {
            "records/7": "wrong-content",
            "worse.txt": "wrong-content",
        }
        assert (tmp_path / "new/good.txt").read_bytes() == b"good"
        assert (tmp_path / "new/.visprep/in-progress").exists()
    broken.clear()
    assert counts(put(fill)) == (1, 0, 0, 1)
    assert not (tmp_path / "new/.visprep/journal.jsonl").exists()
    put(fill, place=tmp_path / "undisturbed")
    assert tree(tmp_path / "new") == tree(tmp_path / "undisturbed")


def test_another_request_that_is_unfinished_is_to_be_finished_first(put, tmp_path):
    def first(output):
        output.make("old/a.txt", lambda: b"a")
        output.make("bad.txt", bad)

    with pytest.raises(Incomplete):
        put(first, options={"to": "other"})
    before = tree(tmp_path / "new")
    with pytest.raises(PlaceIncomplete, match="convert x"):
        put(lambda output: output.make("both.txt", lambda: b"second"))
    assert tree(tmp_path / "new") == before


def test_what_an_unfinished_command_wrote_and_nobody_wants_now_goes(put, tmp_path):
    with pytest.raises(Incomplete):
        put(lambda output: (output.make("old/a.txt", lambda: b"a"), output.make("bad.txt", bad)))
    put(lambda output: output.make("both.txt", lambda: b"b"))
    assert not (tmp_path / "new/old").exists()
    put(lambda output: output.make("both.txt", lambda: b"b"), place=tmp_path / "undisturbed")
    assert tree(tmp_path / "new") == tree(tmp_path / "undisturbed")


def test_what_changed_upstream_is_written_anew(put, tmp_path):
    put(lambda output: output.document("a.txt", Text("one")))
    assert counts(put(lambda output: output.document("a.txt", Text("two")))) == (1, 0, 0, 0)
    assert (tmp_path / "new/a.txt").read_text() == "two"
    steps = json.loads((tmp_path / "new/dataset.json").read_bytes())["steps"]
    assert len(steps) == 1


PROGRAM = """
import sys, time
from visprep import provenance
from visprep.convert_output import Made, Shard, writing
from visprep.converting import Wish
from visprep.stores.local import LocalStore

class Slow:
    def write(self, path):
        with path.open("wb") as out:
            for _ in range(20):
                out.write(b"x" * 50000)
                time.sleep(0.002)

def made(number):
    time.sleep(0.0005)
    return b"%d" % number

def write(place):
    step = provenance.step("convert", "x", options={"to": "y"})
    with writing(LocalStore(place), step, Wish("y", jobs=2)) as output:
        output.document("all.json", Slow())
        output.plan(lambda: (Made(f"many/{n}.txt", lambda n=n: made(n), costly=n % 4 == 0) for n in range(500)))
        output.plan(lambda: (Shard(f"shards/{n}.tar", Slow()) for n in range(4)))
        output.put()
"""


def test_killed_at_any_moment_it_ends_in_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    def begin(place):
        return subprocess.Popen([sys.executable, "-c", f"{PROGRAM}\nwrite(sys.argv[1])", str(place)])

    here = {}
    exec(PROGRAM, here)
    here["write"](str(tmp_path / "whole"))
    killed = 0
    for number, (path, seconds) in enumerate(
        [
            ("cache/documents/all.json", 0.0),
            ("in-progress", 0.0),
            ("in-progress", 0.05),
            ("in-progress", 0.15),
            ("cache/shards/shards/0.tar", 0.0),
            ("cache/shards/shards/2.tar", 0.02),
        ]
    ):
        place = tmp_path / f"killed-{number}"
        for after in (seconds, seconds / 2):
            process = begin(place)
            while process.poll() is None and not (place / ".visprep" / path).exists():
                time.sleep(0.001)
            time.sleep(after)
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        here["write"](str(place))
        assert tree(place) == tree(tmp_path / "whole")
        assert not (place / ".visprep/cache").exists()
    assert killed > 3


def test_plans_are_asked_again_and_no_list_is_held(put, tmp_path):
    asked = []

    def files():
        asked.append(1)
        return (Made(f"{n}.txt", lambda: b"") for n in range(3))

    put(lambda output: output.plan(files))
    assert len(asked) > 1
    assert len(list((tmp_path / "new").glob("*.txt"))) == 3


def test_a_link_of_which_nothing_is_left_is_one_failure(put, tmp_path):
    (tmp_path / "from").mkdir()
    for name in "ab":
        (tmp_path / f"from/{name}.jpg").write_bytes(name.encode())
    origin = LocalStore(tmp_path / "from")
    files = list(origin.list())
    (tmp_path / "from/a.jpg").unlink()
    with pytest.raises(Incomplete) as told:
        put(lambda output: output.plan(lambda: (Renamed(file.path, origin, file) for file in files)))
    assert [path for path, _ in told.value.failures] == ["a.jpg"]
    assert (tmp_path / "new/b.jpg").read_bytes() == b"b"
