"""What a command notes at a place on S3: read by the next one, gone when it has ended, never part of the data."""

import boto3
import pytest

import visprep
from conftest import tree
from visprep import provenance, wire
from visprep.changes import begin
from visprep.manifest import File, bare_etag
from visprep.own_record import MARKER
from visprep.stores import open_store

STEP = provenance.Step("download", "sample", splits=("test",), date="2026-01-01T00:00:00Z")
PIECE = ".visprep/cache/notes-{:06d}.jsonl"


@pytest.fixture
def store(bucket):
    return open_store(f"s3://{bucket}/place")


def keys(store):
    listed = boto3.client("s3").list_objects_v2(Bucket=store.bucket).get("Contents", [])
    return {one["Key"].removeprefix("place/") for one in listed}


def broken_off(store, *paths, step=STEP):
    """A command that writes these files and is interrupted."""

    def interrupted():
        with begin(store, step) as change:
            change.mark()
            for path in paths:
                change.note(wire.wait(store.write(path, path.encode())))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_the_next_run_reads_them_and_the_end_removes_them(store):
    broken_off(store, "a.txt", "b/ü.txt")
    wire.wait(store.write(".visprep/cache/val2017.zip", b"to be unpacked"))
    assert keys(store) - {".visprep/cache/val2017.zip"} == {"a.txt", "b/ü.txt", MARKER, PIECE.format(1)}
    with begin(store, STEP) as change:
        assert change.resumed
        listed = {file.path: file for file in store.list()}
        assert list(change.noted) == ["a.txt", "b/ü.txt"]
        for file in change.notes:
            assert (file.size, file.etag) == (len(file.path.encode()), bare_etag(listed[file.path].etag))
            assert file.digest == wire.wait(store.hash(file.path, "sha256"))
        change.mark()
        change.note(wire.wait(store.write("c.txt", b"c")))
        change.store_notes()
        assert PIECE.format(2) in keys(store)  # what was noted before stays
        change.commit(change.noted.values(), (STEP,))
    assert keys(store) == {"a.txt", "b/ü.txt", "c.txt", "dataset.json", ".visprep/manifest.jsonl"}


def test_many_are_written_while_the_command_is_at_work(store):
    with begin(store, STEP) as change:
        change.mark()
        for number in range(2_500):
            change.note(File(f"{number}.txt", 1, "sha256:" + "0" * 64, etag='"e"', md5="crc32:0000beef"))
        assert {PIECE.format(1), PIECE.format(2)} <= keys(store)
        assert PIECE.format(3) not in keys(store)
    assert visprep.status(store.place).finished == 2_500
    with begin(store, STEP) as change:
        assert len(change.noted) == 2_500
        assert change.noted["7.txt"] == File("7.txt", 1, "sha256:" + "0" * 64, etag="e", md5="crc32:0000beef")


def test_torn_and_missing_pieces_are_passed_over(store):
    for path in ("a.txt", "b.txt", "c.txt"):
        broken_off(store, path)
    wire.wait(store.delete(PIECE.format(1)))
    torn = wire.wait(store.read(PIECE.format(2)))
    wire.wait(store.write(PIECE.format(2), torn + b'{"path": "d.txt", "si\n["b"]\n\xff\n'))
    wire.wait(store.write(".visprep/cache/notes-x.jsonl", torn))  # somebody else's
    with begin(store, STEP) as change:
        assert list(change.noted) == ["b.txt", "c.txt"]
        change.mark()
        change.note(File("e.txt", 1, None, etag='"e"'))
    assert PIECE.format(4) in keys(store)


def test_a_command_that_notes_little_and_ends_writes_none(store):
    with begin(store, STEP) as change:
        change.mark()
        change.note(wire.wait(store.write("a.txt", b"a")))
        change.commit(change.noted.values(), (STEP,))
    assert keys(store) == {"a.txt", "dataset.json", ".visprep/manifest.jsonl"}


def test_they_count_only_with_their_marker_and_are_swept_by_who_notes_more(store):
    broken_off(store, "a.txt")
    broken_off(store, "b.txt")
    wire.wait(store.delete(MARKER))
    with begin(store, STEP) as change:
        assert not change.notes
        change.mark()
        change.note(wire.wait(store.write("c.txt", b"c")))
        change.store_notes()
        change.commit(change.noted.values(), (STEP,))
    assert keys(store) == {"a.txt", "b.txt", "c.txt", "dataset.json", ".visprep/manifest.jsonl"}


def test_they_are_no_data(run, store, tmp_path):
    broken_off(store, "a.txt")
    status = visprep.status(store.place)
    assert (status.state, status.finished) == ("unfinished", 1)
    assert "unfinished change" in run("doctor", store.place).out
    assert [file.path for file in visprep.ls(store.place)] == ["a.txt"]
    wire.wait(store.delete(MARKER))  # as the hint says for a command that will never be finished
    copy = tmp_path / "copy"
    assert run("sync", store.place, copy, "--delete", "--yes").code == 0
    assert set(tree(copy)) == {"a.txt"}
    assert run("diff", copy, store.place).code == 0
    assert PIECE.format(1) in keys(store)


def test_upload_leaves_an_object_that_was_replaced_since_it_was_noted(run, store, tmp_path):
    """What an unfinished upload left, and nobody wants now, is removed: but only while it is what was noted."""
    visprep.download("sample", tmp_path / "here", limit=1)
    step = provenance.step("upload", "here/")
    broken_off(store, "mine.txt", "theirs.txt", step=step)
    wire.wait(store.write("theirs.txt", b"another"))
    ended = run("upload", tmp_path / "here", store.place)
    assert ended.code == 0, ended.err
    assert "theirs.txt" in keys(store)
    assert "mine.txt" not in keys(store)
