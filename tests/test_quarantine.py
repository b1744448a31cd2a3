"""`.visprep/quarantine/`: what is put there, what is not deleted, and what a kill leaves."""

from __future__ import annotations

import struct
import zlib

import pytest

import visprep
from coco_place import make
from conftest import tree
from visprep.changes import begin
from visprep.own_record import unfinished
from visprep.provenance import step
from visprep.quarantine import Quarantine
from visprep.stores import open_store

CLEANED = "annotations/instances_val2017.cleaned.json"
BAD = "val2017/000000000007.jpg"
OTHER = "val2017/000000000009.jpg"
DRAFT = ".visprep/fixing/val2017/draft.jpg"


@pytest.fixture
def recorded(tmp_path):
    visprep.download(str(make(tmp_path / "origin")), tmp_path / "coco")
    return tmp_path / "coco"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def of_50_000_pixels_square():
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")


def test_an_image_too_large_to_be_true_is_bad(tmp_path):
    place = make(tmp_path / "coco")
    (place / BAD).write_bytes(of_50_000_pixels_square())
    assert visprep.fix(place, "quarantine").quarantined == (BAD,)


def test_what_could_not_be_undone_any_more_is_not_begun(run, recorded, tmp_path):
    (recorded / BAD).write_bytes(b"")
    visprep.fix(recorded, "quarantine")
    visprep.download(str(tmp_path / "origin" / "train2017"), recorded, overwrite=True)
    (recorded / OTHER).write_bytes(b"")
    before = tree(recorded)
    ended = run("fix", recorded, "--how", "quarantine")
    assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
    assert tree(recorded) == before


def test_undone_after_a_kill_nothing_is_unfinished(recorded):
    before = tree(recorded)
    store = open_store(str(recorded))
    with begin(store, step("fix", "quarantine")) as change:
        Quarantine(store).open([BAD], {CLEANED: "sha256:0"}, recorded=True)
        change.mark()
    assert unfinished(store)
    visprep.fix(recorded, undo=True)
    assert unfinished(store) is None
    assert tree(recorded) == before


def test_killed_before_the_second_of_two_was_closed_both_can_be_undone(recorded):
    (recorded / BAD).write_bytes(b"")
    before = tree(recorded)
    visprep.fix(recorded, "quarantine")
    (recorded / OTHER).write_bytes(b"")
    store = open_store(str(recorded))
    with begin(store, step("fix", "quarantine")) as change:
        quarantine = Quarantine(store)
        quarantine.open([OTHER], {}, recorded=True)
        change.mark()
        quarantine.move(OTHER)
        files = [file for path, file in change.listed.items() if path != OTHER]
        change.commit(files, (*change.dataset.steps, change.step))
    visprep.fix(recorded, undo=True)
    assert tree(recorded) == before | {OTHER: b""}


def test_undo_deletes_no_file_that_it_did_not_write(run, recorded):
    (recorded / BAD).write_bytes(b"")
    Quarantine(open_store(str(recorded))).open([BAD], {CLEANED: "sha256:0"}, recorded=False)
    (recorded / CLEANED).write_text("my own work")
    ended = run("fix", recorded, "--undo")
    assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
    assert (recorded / CLEANED).read_text() == "my own work"


def test_what_another_command_is_at_is_let_alone(run, recorded):
    (recorded / BAD).write_bytes(b"")
    (recorded / DRAFT).parent.mkdir(parents=True)
    (recorded / DRAFT).write_bytes(b"begun")
    with begin(open_store(str(recorded)), step("fix", "quarantine")):
        assert "[place-busy]" in run("fix", recorded, "--how", "quarantine").err
    assert (recorded / DRAFT).read_bytes() == b"begun"
    for how in ("quarantine", None):  # now it is what a kill left
        (recorded / DRAFT).parent.mkdir(parents=True, exist_ok=True)
        visprep.fix(recorded, how, undo=how is None)
        assert not (recorded / DRAFT).parents[1].exists()


def test_drafts_are_not_written_through_a_link(run, recorded, tmp_path):
    (recorded / BAD).write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    (recorded / ".visprep/fixing").symlink_to(tmp_path / "elsewhere")
    ended = run("fix", recorded, "--how", "quarantine")
    assert (ended.code, "[unsafe-path]" in ended.err) == (3, True)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (recorded / BAD).exists()
