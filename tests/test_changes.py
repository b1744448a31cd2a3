"""A change of a place: begun by a marker, ended by a manifest, one at a time."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from visprep import provenance, wire
from visprep.changes import begin
from visprep.errors import (
    BadRecord,
    CredentialsError,
    FileMissing,
    PlaceBusy,
    PlaceIncomplete,
    UsageError,
    WouldOverwrite,
)
from visprep.journal import journal, write_journal
from visprep.manifest import DATASET, MANIFEST, File
from visprep.own_record import JOURNAL, MARKER, read_dataset, read_manifest, unfinished
from visprep.provenance import Dataset, Step
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore

STEP = Step("download", "sample", splits=("test",), options={"limit": 3}, date="2026-01-01T00:00:00Z")
GOLD = """\
{
  "format_version": 1,
  "steps": [
    {
      "command": "download",
      "source": "sample",
      "splits": [
        "test"
      ],
      "options": {
        "limit": 3
      },
      "date": "2026-01-01T00:00:00Z"
    }
  ],
  "files": "sha256:%s"
}
"""


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    return LocalStore(tmp_path / "place") if request.param == "disk" else MemoryStore()


def finish(store, step=STEP, **data):
    with begin(store, step) as change:
        change.mark()
        for path, content in data.items():
            change.note(wire.wait(store.write(path, content)))
        change.commit(change.noted.values(), (step,))


def test_what_a_finished_change_leaves(store):
    finish(store, a=b"1")
    manifest = read_manifest(store)
    assert [file.path for file in store.list()] == [MANIFEST, "a", DATASET]
    assert read_manifest(store) == manifest
    dataset = wire.wait(store.read(DATASET)).decode()
    assert dataset == GOLD % manifest.digest.removeprefix("sha256:")
    assert unfinished(store) is None
    assert Dataset.load(dataset.encode(), "x").dump() == dataset.encode()


def test_nothing_is_written_before_the_mark(store):
    with begin(store, STEP):
        assert read_manifest(store) is None
    assert not (isinstance(store, LocalStore) and store.root.exists())


def test_an_unfinished_change_is_seen_and_resumed(tmp_path):
    store = LocalStore(tmp_path)
    with begin(store, STEP) as change:
        change.mark()
        change.note(wire.wait(store.write("a", b"1")))
    assert unfinished(store) == "'download sample'"
    later = provenance.replace(STEP, date="2027-01-01T00:00:00Z")
    with begin(store, later) as change:
        assert change.resumed
        assert set(change.noted) == {"a"}
        assert change.step.date == STEP.date


def test_a_torn_marker_is_read_as_far_as_it_goes(tmp_path):
    store = LocalStore(tmp_path)
    with begin(store, STEP) as change:
        change.mark()
        change.note(File("a", 1, "sha256:1"))
    with (tmp_path / MARKER).open("ab") as marker:
        marker.write(b'{"path": "b", "si')
    with begin(store, STEP) as change:
        change.mark()
        change.note(File("c", 1, "sha256:1"))
    with begin(store, STEP) as change:
        assert set(change.noted) == {"a", "c"}


def test_another_commands_unfinished_change_is_left_alone(store):
    with begin(store, STEP) as change:
        change.mark()
        change.note(wire.wait(store.write("a", b"1")))
    with pytest.raises(PlaceIncomplete, match="download sample"), begin(store, Step("download", "videothinkbench")):
        pass


def hold(place, ready, release):
    with begin(LocalStore(place), STEP) as change:
        change.mark()
        ready.set()
        release.wait(30)


def test_one_at_a_time(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(tmp_path), ready, release))
    other.start()
    assert ready.wait(30)
    for step in (STEP, Step("upload", "other")):
        with pytest.raises(PlaceBusy), begin(LocalStore(tmp_path), step):
            pass
    release.set()
    other.join(30)
    with begin(LocalStore(tmp_path), STEP) as change:
        change.mark()


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format_version": 9}', b'{"name": "my own dataset"}', b"\xff"])
def test_a_dataset_json_of_someone_else_is_in_the_way(store, data):
    wire.wait(store.write(DATASET, data))
    with pytest.raises(BadRecord):
        read_dataset(store)
    with pytest.raises(WouldOverwrite), begin(store, STEP):
        pass
    with begin(store, STEP, overwrite=True) as change:
        assert change.dataset is None


def test_a_change_that_never_came_to_anything_leaves_no_trace(tmp_path):
    with pytest.raises(FileMissing), begin(LocalStore(tmp_path / "place"), STEP):
        raise FileMissing("upstream has gone")
    assert not (tmp_path / "place").exists()


def test_an_idle_marker_of_another_command_is_no_obstacle_on_disk(tmp_path):
    store = LocalStore(tmp_path)
    with begin(store, Step("download", "videothinkbench")) as change:
        change.mark()
    finish(store, a=b"1")
    assert unfinished(store) is None


def test_the_journal_says_why_and_goes_when_all_is_well(tmp_path):
    store = LocalStore(tmp_path)
    write_journal(store, STEP, [("a", FileMissing("a: gone"))])
    (line,) = (tmp_path / JOURNAL).read_text().splitlines()
    assert json.loads(line) == {
        "date": STEP.date, "command": "download", "source": "sample",
        "path": "a", "reason": "file-missing", "message": "a: gone",
    }  # fmt: skip
    finish(store)
    assert not (tmp_path / JOURNAL).exists()


def test_dates_follow_source_date_epoch(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert provenance.step("download", "sample").date == "1970-01-01T00:00:00Z"


def test_a_date_that_is_none_is_wrong_usage(monkeypatch):
    for value in ("tomorrow", "99999999999999"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
        with pytest.raises(UsageError, match=value):
            provenance.step("download", "sample")


def test_the_journal_is_written_however_it_ends(tmp_path):
    store = LocalStore(tmp_path)

    def work():
        with journal(store, STEP) as failures:
            failures.append(("a", FileMissing("a: gone")))
            raise CredentialsError("expired")

    with pytest.raises(CredentialsError):
        work()
    assert "a: gone" in (tmp_path / JOURNAL).read_text()


def test_no_directory_that_was_made_on_the_way_is_left(tmp_path):
    with pytest.raises(FileMissing), begin(LocalStore(tmp_path / "a/b/c"), STEP):
        raise FileMissing("upstream has gone")
    assert list(tmp_path.iterdir()) == []


def test_a_drive_whose_directories_are_never_the_same_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "samestat", lambda *_: False)
    with begin(LocalStore(tmp_path), STEP) as change:
        change.commit([], (STEP,))
    assert read_manifest(LocalStore(tmp_path)) is not None


def test_a_marker_that_cannot_be_closed_hides_no_error(run, tmp_path, monkeypatch):
    """What a drive could not store it tells when a file is closed."""
    close = os.close

    def refusing(descriptor):
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        close(descriptor)
        if name.endswith(MARKER):
            raise PermissionError(1, "Operation not permitted")

    (tmp_path / "place/maze_task").mkdir(parents=True)
    (tmp_path / "place/maze_task/maze_0000").write_text("in the way")
    monkeypatch.setattr(os, "close", refusing)
    ended = run("download", "sample", "--output", tmp_path / "place")
    assert (ended.code, "disk-error" in ended.err or "incomplete" in ended.err) == (3, True)
