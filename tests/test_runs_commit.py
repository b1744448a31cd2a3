"""Naming checkpoints: in which order, who may, what is kept, and what is put right after a crash."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import visprep
from run_places import FOLDER, LAYOUT, QUICK, committer, document, files, held, index_of, opened, save, steps, written
from s3_door import Answer, Door, Seen, error
from visprep import errors
from visprep.runs.checkpoints import RunIndex, kept, now, read_index
from visprep.runs.committing import Committer
from visprep.runs.index_files import DirectoryIndex
from visprep.runs.layout import Named, RunLayout, check_experiment, named, new_experiment
from visprep.stores import PART_SUFFIX, Store, open_store
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore
from visprep.stores.s3 import S3Store
from visprep.stores.s3_copies import copy
from visprep.testing import FaultyS3
from visprep.wire import wait


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "directory":
        return str(tmp_path / "runs")
    return f"s3://{request.getfixturevalue('bucket')}/runs"


@pytest.fixture
def store(place: str) -> Store:
    return opened(place)


@pytest.fixture
def on_s3(bucket: str) -> S3Store:
    found = opened(f"s3://{bucket}/runs")
    assert isinstance(found, S3Store)
    return found


@pytest.fixture
def on_disk(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "runs")


# -- names


def test_the_layout_is_the_one_that_people_know() -> None:
    layout = RunLayout(checkpoint_prefix="a/b/", logs_prefix="l/")
    assert layout.checkpoint("x", step=12, epoch=3, mark="0123abcd") == (
        "a/b/x/checkpoint_epoch_0003_step_00000012.0123abcd.pt"
    )
    assert LAYOUT.latest("x") == "checkpoints/x/checkpoint_latest.pt"
    assert LAYOUT.best("x") == "checkpoints/x/checkpoint_best.pt"
    assert (LAYOUT.events("x"), layout.logs("x")) == ("tensorboard/x", "l/x")


@pytest.mark.parametrize("epoch", [None, 0, 12345])
@pytest.mark.parametrize("step", [0, 123456789])
def test_a_name_tells_step_and_epoch(step: int, epoch: int | None) -> None:
    path = LAYOUT.checkpoint("x", step=step, epoch=epoch, mark="0123abcd")
    assert named(path) == Named(step, epoch, "0123abcd")


@pytest.mark.parametrize("name", ["checkpoint_latest.pt", "best_model.pt", "checkpoint_step_1.0123abcd.pt", "x"])
def test_other_names_tell_nothing(name: str) -> None:
    assert named(f"checkpoints/x/{name}") is None


@pytest.mark.parametrize("name", ["", ".", "..", ".visprep", "a/b", "a\\b", "a\n", " a", "a ", "x" * 201, "é" * 101])
def test_names_that_no_experiment_can_have(name: str) -> None:
    with pytest.raises(errors.UsageError):
        check_experiment(name)


def test_names_that_an_experiment_can_have() -> None:
    made = new_experiment()
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", made)
    for name in (made, "vqvae lr=1e-4", "été", "x" * 200):
        assert check_experiment(name) == name


@pytest.mark.parametrize("prefixes", [("", "t", "l"), ("a", "a/", "l"), ("../a", "t", "l"), ("a", "b//c", "l")])
def test_prefixes_that_make_no_layout(prefixes: tuple[str, str, str]) -> None:
    with pytest.raises(errors.UsageError):
        RunLayout(*prefixes)


# -- the index


def test_nothing_is_an_empty_index(store: Store) -> None:
    assert read_index(store, LAYOUT, "mine") == (RunIndex("mine"), "")
    assert (RunIndex("mine").latest, RunIndex("mine").best) == (None, None)


def test_a_bucket_that_is_not_there_is_told(on_s3: S3Store) -> None:
    for store in (open_store("s3://no-such-bucket/runs"),):
        with pytest.raises(errors.PlaceMissing):
            read_index(store, LAYOUT, "mine")
        with pytest.raises(errors.PlaceMissing):
            committer(store).settle()


def test_what_is_known_of_a_checkpoint_comes_back(store: Store) -> None:
    by = committer(store)
    metrics = {"loss": 0.5, "psnr": float("inf"), "low": float("-inf")}
    saved = save(store, by, 7, epoch=2, metrics=metrics, best=True, trained_on={"commit": "abc", "place": None})
    assert index_of(store).checkpoints == (saved,)
    assert (saved.number, saved.writer, index_of(store).saves) == (1, "host-1", 1)
    told = document(store)
    assert told["latest"] == told["best"] == saved.path.rpartition("/")[2]
    save(store, by, 8, metrics={"loss": float("nan")})
    latest = index_of(store).latest
    assert latest
    assert latest.metrics["loss"] != latest.metrics["loss"]


def test_whatever_is_noted_can_be_written_down(on_disk: LocalStore) -> None:
    numpy = pytest.importorskip("numpy")
    noted = {"place": Path("a/b"), 1: float("nan"), "rates": (numpy.int64(3), numpy.float32(0.5), True, {"x"})}
    save(on_disk, committer(on_disk), 1, trained_on=noted, metrics={"loss": numpy.float32(0.25)})
    (found,) = index_of(on_disk).checkpoints
    assert found.trained_on == {"place": "a/b", "1": "NaN", "rates": [3, 0.5, True, ["x"]]}
    assert found.metrics == {"loss": 0.25}


def test_keys_of_a_later_version_survive(store: Store) -> None:
    save(store, committer(store), 1)
    told = document(store)
    told["later"] = {"a": 1}
    told["checkpoints"][0]["signed"] = "by me"
    wait(store.write(f"{FOLDER}/checkpoints.json", json.dumps(told).encode()))
    save(store, committer(store), 2)
    assert document(store)["later"] == {"a": 1}
    assert document(store)["checkpoints"][0]["signed"] == "by me"


def test_the_directory_may_be_moved(tmp_path: Path) -> None:
    store = opened(tmp_path / "runs")
    save(store, committer(store), 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "runs/checkpoints/mine").rename(tmp_path / "other/renamed")
    index, _ = read_index(opened(tmp_path), RunLayout(checkpoint_prefix="other"), "renamed")
    assert index.latest
    assert (tmp_path / index.latest.path).read_text() == "state 1"


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoints": None},
        {"checkpoints": [1]},
        {"checkpoints": [{"file": "a.pt"}]},
        {"kind": "else"},
        {"format_version": 2},
        {"dropped": ["../a"]},
        {"dropped": ["checkpoints.json"]},
    ],
)
def test_an_index_that_cannot_be_read_is_told_and_stays(store: Store, change: dict[str, Any]) -> None:
    by = committer(store)
    save(store, by, 1)
    damaged = json.dumps(document(store) | change).encode()
    wait(store.write(f"{FOLDER}/checkpoints.json", damaged))
    with pytest.raises(errors.BadRecord):
        index_of(store)
    with pytest.raises(errors.BadRecord):
        save(store, committer(store), 2)
    with pytest.raises(errors.BadRecord):
        save(store, by, 3)
    assert wait(store.read(f"{FOLDER}/checkpoints.json")) == damaged


@pytest.mark.parametrize(
    "change", [{"file": "../../a.pt"}, {"file": ".."}, {"sha256": "x"}, {"size": -1}, {"saved": 1}]
)
def test_an_index_names_only_what_lies_beside_it(store: Store, change: dict[str, Any]) -> None:
    save(store, committer(store), 1)
    told = document(store)
    told["checkpoints"][0] |= change
    wait(store.write(f"{FOLDER}/checkpoints.json", json.dumps(told).encode()))
    with pytest.raises(errors.BadRecord):
        index_of(store)


# -- what is kept


def test_saves_are_named_copied_and_the_older_ones_go(store: Store) -> None:
    by = committer(store, keep_last=2)
    for step in range(1, 6):
        save(store, by, step, best=step == 2)
        assert held(store)[-1] == f"state {step}"
    assert steps(store) == [2, 4, 5]
    assert held(store) == ["state 2", "state 4", "state 5"]
    copies = {name: data for name, data in files(store).items() if "_step_" not in name}
    assert copies == {"checkpoint_latest.pt": "state 5", "checkpoint_best.pt": "state 2"}
    index = index_of(store)
    assert index.latest
    assert index.best
    assert (index.latest.step, index.best.step, index.saves) == (5, 2, 5)
    save(store, by, 6, best=True)
    assert held(store) == ["state 5", "state 6"]


def test_every_nth_save_is_kept(store: Store) -> None:
    by = committer(store, keep_last=1, keep_every=3)
    for step in range(1, 9):
        save(store, by, step)
    by = committer(store, keep_last=1, keep_every=3)  # another process goes on counting
    save(store, by, 9)
    assert steps(store) == [3, 6, 9]
    assert held(store) == ["state 3", "state 6", "state 9"]


def test_all_may_be_kept(store: Store) -> None:
    by = committer(store, keep_last=None)
    for step in range(5):
        save(store, by, step)
    assert steps(store) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("wrong", [{"keep_last": 0}, {"keep_every": 0}, {"keep_last": -1}])
def test_numbers_that_keep_nothing_are_refused(on_disk: LocalStore, wrong: dict[str, int]) -> None:
    with pytest.raises(errors.UsageError):
        committer(on_disk, **wrong)
    with pytest.raises(errors.UsageError):
        Committer(MemoryStore(), LAYOUT, "mine", writer="w")


def test_a_resumed_training_may_go_back(store: Store) -> None:
    by = committer(store, keep_last=2)
    for step in (10, 20, 15):
        save(store, by, step)
    assert steps(store) == [20, 15]


# -- what may be named


def test_only_what_is_there_and_whole_is_named(store: Store) -> None:
    by = committer(store)
    save(store, by, 1)
    path = by.new_path(2)
    good = written(store, path, 2)
    for wrong, told in (
        (replace(good, path=by.new_path(3)), errors.FileMissing),
        (replace(good, size=99), errors.WrongContent),
        (replace(good, experiment="other"), errors.UsageError),
        (replace(good, path="checkpoints/other/x.pt"), errors.UsageError),
        (replace(good, path=LAYOUT.latest("mine")), errors.UsageError),
        (replace(good, saved="yesterday"), errors.UsageError),
        (replace(good, saved="2026-01-01T00:00:00"), errors.UsageError),
    ):
        with pytest.raises(told):
            by.commit(wrong)
    assert steps(store) == [1]
    assert by.commit(good) == by.commit(good)
    assert steps(store) == [1, 2]


def test_on_s3_other_bytes_are_seen(on_s3: S3Store) -> None:
    by = committer(on_s3)
    good = written(on_s3, by.new_path(2), 2)
    with pytest.raises(errors.WrongContent):
        by.commit(replace(good, sha256="0" * 64))


@pytest.mark.parametrize(("step", "epoch"), [(-1, None), (1, -1)])
def test_there_is_no_step_below_0(on_disk: LocalStore, step: int, epoch: int | None) -> None:
    with pytest.raises(errors.UsageError):
        committer(on_disk).new_path(step, epoch)


def test_paths_are_never_the_same(store: Store) -> None:
    by = committer(store)
    save(store, by, 1)
    assert len({by.new_path(1) for _ in range(10)} | {index_of(store).checkpoints[0].path}) == 11


def test_a_published_place_takes_no_checkpoint(on_s3: S3Store, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("a")
    visprep.publish(tmp_path / "data", on_s3.place)
    by = committer(S3Store(on_s3.place))
    with pytest.raises(errors.AccessDenied):
        save(opened(on_s3.place), by, 1)


# -- discarding and removing


def test_what_is_not_named_can_be_discarded(store: Store) -> None:
    by = committer(store)
    saved = save(store, by, 1)
    lost = written(store, by.new_path(2), 2)
    by.discard(lost.path)
    by.discard(lost.path)
    for path in (saved.path, LAYOUT.latest("mine"), LAYOUT.index("mine"), "checkpoints/other/x.pt"):
        with pytest.raises(errors.UsageError):
            by.discard(path)
    assert held(store) == ["state 1"]


def test_discarding_drops_what_was_begun(on_s3: S3Store, boto: Any) -> None:
    by = committer(on_s3)
    path = by.new_path(1)
    key = {"Bucket": on_s3.bucket, "Key": f"runs/{path}"}
    boto.create_multipart_upload(**key, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    by.discard(path)
    assert not boto.list_multipart_uploads(Bucket=on_s3.bucket).get("Uploads")


def test_what_lies_elsewhere_now_is_removed(store: Store) -> None:
    by = committer(store)
    saved = [save(store, by, step, best=step == 1) for step in (1, 2, 3)]
    by = committer(store, writer="another")
    by.remove([saved[2].path, saved[0].path, "not/there"])
    assert (steps(store), held(store)) == ([2], ["state 2"])
    assert files(store)["checkpoint_latest.pt"] == "state 2"
    assert "checkpoint_best.pt" not in files(store)
    by.remove([saved[1].path])
    assert files(store) == {}
    by.remove([saved[1].path])
    assert index_of(store).saves == 3


# -- two writers


def test_two_trainings_of_one_experiment_are_told(place: str) -> None:
    store = opened(place)
    one, two = committer(store, "host-1"), committer(opened(place), "host-2")
    assert not one.index.checkpoints
    assert not two.index.checkpoints
    save(store, one, 1)
    refused = written(store, two.new_path(5), 5)
    with pytest.raises(errors.ChangedMeanwhile, match=r"host-1.* step 1"):
        two.commit(refused)
    with pytest.raises(errors.ChangedMeanwhile, match="host-1"):
        two.new_path(6)
    save(store, one, 2)
    with pytest.raises(errors.ChangedMeanwhile, match="host-1"):
        two.commit(refused)
    with pytest.raises(errors.ChangedMeanwhile):
        two.commit(refused, late=True)
    assert steps(store) == [1, 2]
    assert "state 5" in held(store)  # it is not lost


def test_who_comes_later_takes_over(place: str) -> None:
    store = opened(place)
    one = committer(store, "host-1", stale=0)
    save(store, one, 1)
    two = committer(opened(place), "host-2")
    assert two.index.latest  # to look takes nothing over
    save(store, one, 2)
    with pytest.raises(errors.ChangedMeanwhile):
        save(store, two, 3)
    save(store, committer(opened(place), "host-3"), 4)
    with pytest.raises(errors.ChangedMeanwhile, match="host-3"):
        save(store, one, 5)
    assert steps(store) == [1, 2, 4]


def test_what_was_saved_elsewhere_takes_its_place_and_disturbs_nobody(place: str) -> None:
    store, times = opened(place), [now() for _ in range(4)]
    training, sender = committer(store, keep_last=None), committer(opened(place), "sender", keep_last=None)
    save(store, training, 1, saved=times[0])
    save(store, training, 3, saved=times[2])
    assert sender.index.latest
    save(store, training, 4)
    save(store, sender, 2, saved=times[1], late=True)
    assert steps(store) == [1, 2, 3, 4]
    save(store, training, 5)
    save(store, sender, 6, late=True)
    assert steps(store) == [1, 2, 3, 4, 5, 6]
    assert files(store)["checkpoint_latest.pt"] == "state 6"
    save(store, training, 7)
    assert index_of(store).writer == "host-1"
    assert [one.number for one in index_of(store).checkpoints] == [1, 4, 2, 3, 5, 6, 7]


def test_of_many_who_add_at_once_nobody_is_lost(place: str) -> None:
    early = now()
    save(opened(place), committer(opened(place)), 100)

    def add(first: int) -> list[int]:
        store = opened(place)
        sender = committer(store, f"sender {first}", keep_last=None)
        return [save(store, sender, first + step, saved=early, late=True).number for step in range(5)]

    with ThreadPoolExecutor(3) as threads:
        numbers = [number for found in threads.map(add, (10, 20, 30)) for number in found]
    assert sorted(numbers) == list(range(2, 17))
    assert sorted(steps(opened(place))) == [*range(10, 15), *range(20, 25), *range(30, 35), 100]
    assert index_of(opened(place)).latest.step == 100


def test_of_what_was_saved_elsewhere_no_more_is_kept(store: Store) -> None:
    early, by = now(), committer(store, keep_last=2)
    for step in (2, 3):
        save(store, by, step)
    save(store, by, 1, saved=early, late=True)
    assert steps(store) == [2, 3]
    assert held(store) == ["state 2", "state 3"]
    save(store, committer(store, "sender", keep_last=2), 4, late=True)
    assert held(store) == ["state 3", "state 4"]


def test_it_can_be_known_before_what_will_be_kept(on_disk: LocalStore) -> None:
    path = committer(on_disk).new_path(1)
    numbered = [replace(written(on_disk, path, step, best=step == 2), number=step) for step in range(1, 8)]
    assert [one.step for one in kept(numbered, 2, None)] == [2, 6, 7]
    assert [one.step for one in kept(numbered, 1, 3)] == [2, 3, 6, 7]
    assert kept(numbered, None, None) == tuple(numbered)


def test_checkpoints_that_somebody_removed_count_no_more(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    by = committer(store, keep_last=3)
    saved = [save(store, by, step, best=step == 1) for step in (1, 2, 3)]
    for one in (saved[0], saved[2]):
        wait(store.delete(one.path))
    by = committer(store, keep_last=2)
    by.claim()
    assert "step_00000003" in caplog.text
    caplog.clear()
    for step in (4, 5):
        save(store, by, step)
    assert (steps(store), held(store)) == ([4, 5], ["state 4", "state 5"])
    assert index_of(store).best is None
    assert not [one for one in caplog.records if one.name == "visprep.runs"]


# -- trouble on the way


def test_an_answer_that_gets_lost_is_no_other_writer(on_s3: S3Store, s3_server: str) -> None:
    with FaultyS3(s3_server) as s3:
        store = opened(on_s3.place, s3.url)
        by = committer(store)
        for fault in ("reset-headers", "reset-body"):
            s3.fail(fault, method="PUT", key=r"checkpoints\.json$")
            save(store, by, 1)
        s3.fail("reset-headers", method="PUT", key=r"checkpoints\.json$", times=2)
        checkpoint = written(store, by.new_path(2), 2)
        with pytest.raises(errors.NetworkError):
            by.commit(checkpoint)
        assert by.commit(checkpoint).number == 3
    assert steps(on_s3) == [1, 1, 2]


def test_a_conflict_at_the_server_is_no_other_writer(on_s3: S3Store, s3_server: str) -> None:
    conflicts = [1, 2, 3]

    def answer(seen: Seen) -> Answer | None:
        swapping = seen.method == "PUT" and seen.path.endswith("/checkpoints.json")
        return error(409, "ConditionalRequestConflict") if swapping and conflicts and conflicts.pop() else None

    with Door(s3_server, answer) as door:
        by = committer(opened(on_s3.place, door.url))
        save(on_s3, by, 1)
        conflicts += [1, 2, 3]
        save(on_s3, by, 2)
    assert steps(on_s3) == [1, 2]


def without_conditions(door: Door) -> Callable[[Seen], Answer | None]:
    """A server that has never heard of If-Match and the like."""

    def answer(seen: Seen) -> Answer | None:
        kept = {name: value for name, value in seen.headers.items() if name not in ("if-match", "if-none-match")}
        return door.forward(replace(seen, headers=kept))

    return answer


def refusing_conditions(seen: Seen) -> Answer | None:
    return error(501, "NotImplemented") if {"if-match", "if-none-match"} & set(seen.headers) else None


@pytest.mark.parametrize("kind", ["ignores", "refuses"])
def test_a_server_that_knows_no_conditions_is_looked_at_before(on_s3: S3Store, s3_server: str, kind: str) -> None:
    with Door(s3_server, refusing_conditions) as door:
        if kind == "ignores":
            door.answer = without_conditions(door)
        store = opened(on_s3.place, door.url)
        one, two = committer(store), committer(store, "host-2")
        assert two.index.saves == 0
        for step in (1, 2, 3, 4):
            save(store, one, step)
        with pytest.raises(errors.ChangedMeanwhile, match="host-1"):
            save(store, two, 5)
        assert steps(on_s3) == [2, 3, 4]
        save(store, committer(store, "host-2"), 6)
        with pytest.raises(errors.ChangedMeanwhile, match="host-2"):
            save(store, one, 7)
    assert steps(on_s3) == [3, 4, 6]


def test_a_server_that_cannot_copy_is_told_once_a_save_and_all_else_is_done(
    on_s3: S3Store, s3_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Door(s3_server) as door:
        store = opened(on_s3.place, door.url)
        by = committer(store, keep_last=1)
        save(store, by, 1, best=True)
        door.answer = lambda seen: error(501, "NotImplemented") if "x-amz-copy-source" in seen.headers else None
        save(store, by, 2)
        save(store, by, 3)
        lagging = [one.getMessage() for one in caplog.records if "lags" in one.getMessage()]
        assert len(lagging) == 2
        assert "checkpoint_latest.pt lags" in lagging[0]
        assert steps(on_s3) == [1, 3]
        assert held(on_s3) == ["state 1", "state 2", "state 3"]  # they go only after the copies
        door.answer = lambda seen: None
        by.settle()
    assert held(on_s3) == ["state 1", "state 3"]
    assert files(on_s3)["checkpoint_latest.pt"] == "state 3"


def test_who_may_not_delete_or_list_can_save(on_s3: S3Store, s3_server: str, caplog: pytest.LogCaptureFixture) -> None:
    def denied(seen: Seen) -> Answer | None:
        listing = seen.method == "GET" and ("list-type" in seen.query or "uploads" in seen.query)
        return error(403, "AccessDenied") if seen.method == "DELETE" or listing else None

    with Door(s3_server, denied) as door:
        store = opened(on_s3.place, door.url)
        by = committer(store, keep_last=1)
        for step in (1, 2):
            save(store, by, step)
        assert any("not allowed" in one.getMessage() for one in caplog.records)
        assert document(on_s3)["dropped"]
    save(on_s3, committer(on_s3, keep_last=1), 3)  # whoever may, does it
    assert held(on_s3) == ["state 3"]


def test_an_index_that_somebody_removed_is_made_anew(store: Store) -> None:
    by = committer(store)
    saved = [save(store, by, step) for step in (1, 2)]
    wait(store.delete(saved[0].path))
    wait(store.delete(f"{FOLDER}/checkpoints.json"))
    save(store, by, 3)
    assert steps(store) == [2, 3]


def test_a_full_disk_leaves_the_index_as_it_was(small_disk: Path) -> None:
    store = LocalStore(small_disk)
    by = committer(store)
    save(store, by, 1)
    checkpoint = written(store, by.new_path(2), 2)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    with pytest.raises(errors.DiskFull):
        by.commit(checkpoint)
    assert steps(store) == [1]
    assert not [name for name in os.listdir(small_disk / FOLDER) if name.endswith(PART_SUFFIX)]
    filler.unlink()
    by.commit(checkpoint)
    assert steps(store) == [1, 2]


def test_a_process_that_hangs_while_it_swaps_is_told(on_disk: LocalStore) -> None:
    fcntl = pytest.importorskip("fcntl")
    save(on_disk, committer(on_disk), 1)
    before = wait(on_disk.read(LAYOUT.index("mine")))
    hanging = os.open(on_disk.root / FOLDER, os.O_RDONLY)
    fcntl.flock(hanging, fcntl.LOCK_EX)
    try:
        with pytest.raises(errors.PlaceBusy):
            DirectoryIndex(on_disk, LAYOUT.index("mine"), longest=0.05).swap(b"new", visprep.digests.digest_of(before))
    finally:
        os.close(hanging)
    assert wait(on_disk.read(LAYOUT.index("mine"))) == before


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)


@pytest.mark.usefixtures("no_links")
def test_without_hard_links_the_bytes_are_copied(on_disk: LocalStore) -> None:
    by = committer(on_disk, keep_last=1)
    for step in (1, 2):
        save(on_disk, by, step)
    assert files(on_disk)["checkpoint_latest.pt"] == "state 2"
    latest = on_disk.root / LAYOUT.latest("mine")
    assert latest.stat().st_nlink == 1
    before = latest.stat().st_ino
    committer(on_disk, keep_last=1).settle()
    assert latest.stat().st_ino == before  # it was right


@pytest.mark.parametrize("links", [True, False])
def test_who_reads_a_copy_reads_it_whole(on_disk: LocalStore, links: bool, request: pytest.FixtureRequest) -> None:
    if not links:
        request.getfixturevalue("no_links")
    by = committer(on_disk, keep_last=1)
    save(on_disk, by, 1)
    with (on_disk.root / LAYOUT.latest("mine")).open() as latest, (on_disk.root / LAYOUT.index("mine")).open() as index:
        save(on_disk, by, 2)
        assert (latest.read(), json.load(index)["saves"]) == ("state 1", 1)


# -- crashes


def test_wherever_a_save_breaks_off_the_newest_named_one_counts(on_s3: S3Store, s3_server: str) -> None:
    """The server is gone from the nth request of a save on: what is there is whole, and the next save puts it right."""
    passed, gone = 0, 0

    def answer(seen: Seen) -> Answer | None:
        nonlocal passed
        passed += 1
        return error(400, "Gone") if passed > gone else None

    with Door(s3_server) as door:
        store, ended = opened(on_s3.place, door.url), False
        step = 0
        while not ended:
            door.answer = lambda seen: None
            by = committer(store, keep_last=2, stale=0)
            save(store, by, step := step + 1, best=True)
            passed, gone = 0, gone + 1
            door.answer = answer
            checkpoint = None
            with contextlib.suppress(errors.VisprepError):
                checkpoint = save(store, by, step := step + 1, best=True)
            found = steps(on_s3)
            assert found[-1] in (step - 1, step)
            assert checkpoint is None or found[-1] == step
            ended = passed <= gone
            door.answer = lambda seen: None
            save(store, committer(store, keep_last=2, stale=0), step := step + 1)
            assert steps(on_s3)[-1] == step
            copies = files(on_s3)
            best = index_of(on_s3).best
            assert best
            assert copies["checkpoint_latest.pt"] == f"state {step}"
            assert copies["checkpoint_best.pt"] == f"state {best.step}"
            assert held(on_s3) == sorted(f"state {one}" for one in steps(on_s3))
        assert gone > 6


def test_a_new_process_puts_right_what_a_crash_left(store: Store) -> None:
    by = committer(store, keep_last=1)
    first = save(store, by, 1, best=True)
    save(store, by, 2)
    left = document(store) | {"dropped": ["checkpoint_step_00000009.00000009.pt"]}
    wait(store.write(f"{FOLDER}/checkpoint_step_00000009.00000009.pt", b"state 9"))
    wait(store.write(f"{FOLDER}/checkpoints.json", json.dumps(left).encode()))
    for copied in (LAYOUT.latest("mine"), LAYOUT.best("mine")):
        wait(store.delete(copied))
        wait(store.write(copied, b"older"))
    committer(store, keep_last=1).settle()
    copies = {name: data for name, data in files(store).items() if "_step_" not in name}
    assert copies == {"checkpoint_latest.pt": "state 2", "checkpoint_best.pt": "state 1"}
    assert held(store) == ["state 1", "state 2"]
    assert wait(store.read(first.path)) == b"state 1"


def test_what_was_never_named_goes_when_it_is_stale(store: Store) -> None:
    by = committer(store)
    save(store, by, 1)
    ours = written(store, by.new_path(2), 2)  # whole, and killed before it was named
    wait(store.write(f"{FOLDER}/checkpoint_step_00000003.00000003.pt", b"state 3"))  # nobody announced it
    wait(store.write(f"{FOLDER}/best_model.pt", b"somebody else's"))
    save(store, committer(store), 4)
    assert ours.path.rpartition("/")[2] in files(store)  # so young that it may be under way
    assert len(document(store)["announced"]) == 2  # that one, and the next
    committer(store, stale=0).settle()
    assert ours.path.rpartition("/")[2] in files(store)  # who has not saved may not know better
    save(store, committer(store, stale=0), 5)
    assert held(store) == ["state 1", "state 3", "state 4", "state 5"]
    assert files(store)["best_model.pt"] == "somebody else's"


def test_what_was_never_named_is_remembered_however_many_are_saved(store: Store) -> None:
    by = committer(store)
    save(store, by, 1)
    left = by.new_path(2)
    written(store, left, 2)  # whole, and killed before it was named
    another = committer(store, keep_last=1)
    for step in range(3, 11):
        save(store, another, step)
    mark = named(left).mark
    assert len(document(store)["announced"]) == 2  # it, and the next: none of those that were named and went
    assert mark in document(store)["announced"]
    save(store, committer(store, keep_last=1, stale=0), 11)
    assert held(store) == ["state 11"]


def test_saves_that_are_begun_while_others_are_named_are_announced_once(store: Store) -> None:
    by = committer(store)
    by.claim()
    paths = []
    for step in range(1, 17, 2):  # two are begun before the first of them is named
        paths += [by.new_path(step), by.new_path(step + 1)]
        for one in (step, step + 1):
            by.commit(written(store, paths[one - 1], one))
    told = document(store)["announced"]
    assert len(told) == 1  # the next one
    assert len({named(path).mark for path in paths}) == len(paths)
    assert named(by.new_path(17)).mark in told


def test_a_path_that_was_drawn_elsewhere_is_announced_when_that_is_said(store: Store) -> None:
    path = committer(store).new_path(1)  # while the place could not be had
    save(store, training := committer(store, "host-2"), 2)
    sending = committer(store, "host-3")
    for _ in range(2):
        sending.announce(path)
    written(store, path, 1)  # whole, and killed before it was named
    save(store, training, 3)
    assert document(store)["announced"].count(named(path).mark) == 1
    save(store, committer(store, stale=0), 4)
    assert held(store) == ["state 2", "state 3", "state 4"]


def test_what_was_too_young_at_the_first_save_goes_at_a_later_one(store: Store) -> None:
    by = committer(store)
    save(store, by, 1)
    left = written(store, by.new_path(2), 2)  # whole, and killed before it was named
    another, step, there = committer(store, keep_last=1, stale=2), 3, left.path.rpartition("/")[2]
    another.claim()
    assert there in files(store)
    while there in files(store):
        assert step < 100
        save(store, another, step := step + 1)
        time.sleep(0.1)
    assert held(store) == [f"state {step}"]


def test_room_is_made_before_the_first_save(on_disk: LocalStore) -> None:
    save(on_disk, committer(on_disk), 1)
    left = on_disk.root / FOLDER / f".{'a' * 24}{PART_SUFFIX}"
    left.write_text("half")
    os.utime(left, (time.time() - 4000,) * 2)
    by = committer(on_disk, "host-2")
    by.claim()
    by.claim()
    assert not left.exists()
    assert (index_of(on_disk).writer, index_of(on_disk).turns) == ("host-2", 2)
    first = by.new_path(2)
    assert named(first).mark in index_of(on_disk).announced
    by.commit(written(on_disk, first, 2))
    assert steps(on_disk) == [1, 2]


def test_also_the_first_save_of_a_process_is_announced(store: Store) -> None:
    by = committer(store)
    path = by.new_path(1)
    by.claim()
    written(store, path, 1)  # whole, and killed before it was named
    save(store, committer(store, stale=0), 2)
    assert held(store) == ["state 2"]
    assert not any(mark in one.path for one in index_of(store).checkpoints for mark in index_of(store).announced)


def test_a_claim_shows_another_training_before_anything_is_sent(place: str) -> None:
    store = opened(place)
    one, two = committer(store, "host-1"), committer(opened(place), "host-2")
    assert two.index.saves == 0
    one.claim()
    with pytest.raises(errors.ChangedMeanwhile, match="host-1"):
        two.claim()
    save(store, one, 1)
    committer(store, "host-3").claim()
    with pytest.raises(errors.ChangedMeanwhile, match="host-3"):
        save(store, one, 2)


def test_checkpoints_without_an_index_are_never_swept(store: Store) -> None:
    by = committer(store)
    save(store, by, 1)
    save(store, by, 2)
    wait(store.delete(f"{FOLDER}/checkpoints.json"))
    save(store, committer(store, keep_last=1, stale=0), 3)
    assert held(store) == ["state 1", "state 2", "state 3"]


def test_unfinished_files_go_when_they_are_stale(on_disk: LocalStore) -> None:
    save(on_disk, committer(on_disk), 1)
    folder = on_disk.root / FOLDER
    old, young = (folder / f".{digit * 24}{PART_SUFFIX}" for digit in "ab")
    for one in (old, young):
        one.write_text("half")
    os.utime(old, (time.time() - 4000,) * 2)
    save(on_disk, committer(on_disk), 2)
    assert (old.exists(), young.exists()) == (False, True)


def test_unfinished_uploads_of_ours_go_when_they_are_stale(on_s3: S3Store, s3_server: str, boto: Any) -> None:
    by = committer(on_s3)
    ours = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
    begun = {
        name: boto.create_multipart_upload(Bucket=on_s3.bucket, Key=f"runs/{name}", **options)["UploadId"]
        for name, options in (
            (by.new_path(1), ours),
            (by.new_path(1), {}),
            (LAYOUT.latest("mine"), ours),
            (f"{FOLDER}/best_model.pt", ours),
            ("checkpoints/other/checkpoint_step_00000001.00000001.pt", ours),
        )
    }
    old, plain, copied, foreign, other = begun.values()

    def just_begun(seen: Seen) -> Answer | None:  # moto says 2010
        if "uploads" not in seen.query:
            return None
        status, headers, body = door.forward(seen)
        headers.pop("Content-Length", None)
        return status, headers, re.sub(rb"(?<=<Initiated>)[^<]*", now().encode(), body)

    def left() -> set[str]:
        return {one["UploadId"] for one in boto.list_multipart_uploads(Bucket=on_s3.bucket)["Uploads"]}

    with Door(s3_server) as door:
        door.answer = just_begun
        save(on_s3, committer(opened(on_s3.place, door.url)), 1)
        assert any("uploads" in seen.query for seen in door.seen)
    assert left() == {old, plain, copied, foreign, other}
    save(on_s3, committer(on_s3), 2)
    assert left() == {plain, foreign, other}


# -- copies on S3


@pytest.fixture
def boto(s3_server: str, bucket: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=s3_server)


@pytest.mark.parametrize("most", [5 * 1024**3, 6_000_000])
def test_a_copy_is_made_at_the_server(on_s3: S3Store, s3_server: str, boto: Any, most: int) -> None:
    data, part = os.urandom(11_000_000), 5 * 1024**2
    for path in ("a b+c/é.pt", "other"):
        wait(on_s3.write(path, data))
    sha256 = visprep.digests.digest_of(data).partition(":")[2]
    with Door(s3_server) as door:
        store = S3Store(on_s3.place, visprep.S3Settings(endpoint_url=door.url, storage_class="STANDARD_IA"))
        wait(copy(store, "a b+c/é.pt", "to/x.pt", len(data), sha256, most=most, part=part))
        assert sum(len(seen.body) for seen in door.seen) < 2_000
        parts = [seen for seen in door.seen if "x-amz-copy-source-range" in seen.headers]
    assert len(parts) == (3 if len(data) > most else 0)
    assert wait(on_s3.read("to/x.pt")) == data
    told = boto.head_object(Bucket=on_s3.bucket, Key="runs/to/x.pt")
    assert (told["Metadata"]["sha256"], told["StorageClass"]) == (sha256, "STANDARD_IA")
    assert wait(on_s3.stat("to/x.pt")).digest == f"sha256:{sha256}"


@pytest.mark.parametrize("most", [100, 1])
def test_a_copy_of_what_is_not_there(on_s3: S3Store, most: int) -> None:
    with pytest.raises(errors.FileMissing):
        wait(copy(on_s3, "nothing", "x", 10, most=most))
    assert not on_s3.unfinished()


def test_a_copy_of_another_size_is_told(on_s3: S3Store) -> None:
    wait(on_s3.write("a", b"four"))
    with pytest.raises(errors.WrongContent):
        wait(copy(on_s3, "a", "b", 5))


@pytest.mark.parametrize(
    ("fault", "query", "most"),
    [("error-in-200", "", 99), ("slow-down", "partNumber=2", 1), ("error-in-200", "partNumber", 1),
     ("error-in-200", "^uploadId", 1), ("reset-headers", "^uploadId", 1), ("internal-error", "uploads", 1)],
)  # fmt: skip
def test_a_copy_outlives_trouble(on_s3: S3Store, s3_server: str, fault: str, query: str, most: int) -> None:
    data = os.urandom(40)
    wait(on_s3.write("a", data))
    with FaultyS3(s3_server) as s3:
        s3.fail(fault, key="^runs/b$", query=query, method="" if query else "PUT")
        store = S3Store(on_s3.place, visprep.S3Settings(endpoint_url=s3.url))
        sha256 = visprep.digests.digest_of(data).partition(":")[2]
        wait(copy(store, "a", "b", 40, sha256, most=most, part=40), QUICK)
    assert wait(on_s3.read("b")) == data


@pytest.mark.parametrize("made", [True, False])
def test_a_copy_whose_answer_got_lost(on_s3: S3Store, s3_server: str, made: bool) -> None:
    """To a second attempt S3 may say that the upload is not there any more."""
    data = os.urandom(40)
    sha256 = visprep.digests.digest_of(data).partition(":")[2]
    wait(on_s3.write("a", data))
    wait(on_s3.write("b", b"older" * 8))

    def answer(seen: Seen) -> Answer | None:
        if seen.method != "POST" or "uploadId" not in seen.query:
            return None
        if made:
            door.forward(seen)
        return error(404, "NoSuchUpload")

    with Door(s3_server) as door:
        door.answer = answer
        job = copy(opened(on_s3.place, door.url), "a", "b", 40, sha256, most=1, part=40)
        if made:
            wait(job)
            assert wait(on_s3.read("b")) == data
        else:
            with pytest.raises(errors.FileMissing):
                wait(job)


def test_an_error_that_comes_with_200_again_and_again_is_told(on_s3: S3Store, s3_server: str) -> None:
    wait(on_s3.write("a", b"data"))
    for method, query, most in (("PUT", "", 99), ("POST", "^uploadId", 1), ("PUT", "partNumber", 1)):
        with FaultyS3(s3_server) as s3:
            s3.fail("error-in-200", method=method, key="^runs/b$", query=query, times=None)
            store = S3Store(on_s3.place, visprep.S3Settings(endpoint_url=s3.url))
            with pytest.raises(errors.NetworkError):
                wait(copy(store, "a", "b", 4, most=most), QUICK)
        with pytest.raises(errors.FileMissing):
            wait(on_s3.stat("b"))
        assert not on_s3.unfinished()
