"""RunStore at a directory and in S3, when nothing goes wrong but what people do."""

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in the torch extra")

from privileges import permissions_count  # noqa: E402
from visprep import errors  # noqa: E402
from visprep.runs import RunStore  # noqa: E402
from visprep.wire import Patience  # noqa: E402

QUICK = Patience(connect=1, stall=1, attempts=2, base=0.001)


@pytest.fixture(params=["directory", "s3"])
def place(request, tmp_path, monkeypatch):
    """Where a run is kept; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    if request.param == "directory":
        return str(tmp_path / "runs of mine")
    return f"s3://{request.getfixturevalue('bucket')}/mine"


def state(number, size=100):
    return {"model": {"w": torch.full((size,), float(number))}, "step": number}


def number_in(loaded):
    assert torch.equal(loaded["model"]["w"], torch.full((len(loaded["model"]["w"]),), float(loaded["step"])))
    return loaded["step"]


def files_at(place):
    from visprep.runs.arguments import run_store

    return {file.path: file.size for file in run_store(place, None).list()}


def content(place, path):
    from visprep.runs.arguments import run_store
    from visprep.wire import wait

    return wait(run_store(place, None).read(path))


def test_who_writes_to_a_copy_on_disk_by_mistake_destroys_nothing(tmp_path):
    with permissions_count() as they_count, RunStore(tmp_path, experiment="one", keep_last=1, fallback=None) as run:
        for step in (1, 2):  # what is not kept still goes
            run.save_checkpoint(state(step), step, is_best=True, wait=True)
        names = sorted(tmp_path.glob("checkpoints/one/*.pt"))
        assert len(names) == 3
        assert not any(path.stat().st_mode & 0o222 for path in names)
        if they_count:
            for path in names:
                with pytest.raises((RuntimeError, OSError)):
                    torch.save({"mine": 1}, path)
    with RunStore(tmp_path, experiment="one", fallback=None) as run:
        assert number_in(run.load()) == number_in(run.load("best")) == 2


def test_what_was_saved_is_loaded_here_and_in_another_process_of_the_same_experiment(place):
    with RunStore(place, experiment="one") as run:
        assert run.latest() is None
        assert run.best() is None
        with pytest.raises(errors.FileMissing):
            run.load()
        for step in range(5):
            run.save_checkpoint(state(step), step, epoch=step // 2, metrics={"loss": 1 / (step + 1)}, is_best=step == 2)
        assert number_in(run.load()) == 4
        assert number_in(run.load("best")) == 2
    again = RunStore(place, experiment="one")
    latest, best = again.latest(), again.best()
    assert (latest.step, latest.epoch, latest.metrics, latest.best) == (4, 2, {"loss": 0.2}, False)
    assert (best.step, best.epoch, best.best) == (2, 1, True)
    assert number_in(again.load(best)) == 2
    again.close()
    assert number_in(again.load()) == 4  # closed, it still loads
    # The last three, the best, and copies for people; nothing is half there
    found = [
        path.rpartition("/")[2].partition(".")[0] for path in files_at(place) if path.startswith("checkpoints/one/")
    ]
    assert sorted(found) == [
        "checkpoint_best",
        "checkpoint_epoch_0001_step_00000002",
        "checkpoint_epoch_0001_step_00000003",
        "checkpoint_epoch_0002_step_00000004",
        "checkpoint_latest",
        "checkpoints",
    ]
    assert not Path("runs").exists()  # the fallback was not needed


def test_a_state_is_saved_as_it_was_when_it_was_given(place):
    given = state(1, 100_000)
    with RunStore(place) as run:
        run.save_checkpoint(given, 1)
        given["model"]["w"].fill_(2)
        given["step"] = 2
        assert number_in(run.load()) == 1


def test_a_checkpoint_can_be_loaded_by_its_address(place):
    with RunStore(place, experiment="one") as run:
        run.save_checkpoint(state(7), 7, is_best=True, wait=True)
        assert number_in(run.load(f"{place}/{run.latest().path}")) == 7
        assert number_in(run.load(f"{place}/checkpoints/one/checkpoint_best.pt")) == 7


def test_prefixes_and_what_is_kept_are_as_asked(place):
    names = {"s3_checkpoint_prefix": "a/weights", "s3_tensorboard_prefix": "b", "s3_logs_prefix": "c"}
    with RunStore(place, experiment="one", keep_last=1, keep_every=3, log_every=0.01, **names) as run:
        for step in range(7):
            run.save_checkpoint(state(step), step, wait=True)
        run.log_metrics({"loss": 1}, 1)
        run.tensorboard_dir.joinpath("notes.txt").write_text("what is no event file goes too")
    found = files_at(place)
    steps = [path for path in found if "step_" in path]
    assert [path.partition("step_")[2][:8] for path in steps] == ["00000002", "00000005", "00000006"]
    assert {path.split("/")[0] for path in found} == {"a", "b", "c"}


def test_logs_and_metrics_are_whole_at_the_end(place):
    logger = logging.getLogger("test_run_store")
    logger.setLevel(logging.INFO)
    with RunStore(place, experiment="one", log_every=0.05) as run:
        assert run.log_handler() is run.log_handler(logging.DEBUG)
        logger.addHandler(run.log_handler())
        logger.addHandler(run.log_handler())
        for step in range(200):
            logger.info("step %d", step)
            run.log_metrics({"loss": torch.tensor(0.5)}, step)
            run.end_epoch()
        run.flush()
    logger.info("after the end")
    logger.handlers.clear()
    lines = content(place, "logs/one/training_latest.log").decode().splitlines()
    assert [line.rpartition("step ")[2] for line in lines if "step" in line] == [str(step) for step in range(200)]
    assert not any("after" in line for line in lines)
    metrics = [json.loads(line) for line in content(place, "logs/one/metrics.jsonl").splitlines()]
    assert [(one["step"], one["loss"]) for one in metrics] == [(step, 0.5) for step in range(200)]


def test_what_it_was_trained_on_is_noted(place):
    with RunStore(place, dataset={"place": "s3://data/frames", "version": "7"}) as run:
        run.save_checkpoint(state(1), 1)
        assert run.latest().trained_on["datasets"] == [{"place": "s3://data/frames", "version": "7"}]


def test_a_state_that_could_not_be_loaded_again_is_refused_at_once_and_the_next_is_taken(place):
    class Mine:
        pass

    with RunStore(place) as run:
        for _ in range(3):  # more often than there are buffers
            with pytest.raises(errors.UsageError, match="mine"):
                run.save_checkpoint({"a": {"mine": Mine()}}, 1)
        run.save_checkpoint(state(1), 1)
        assert run.latest().step == 1


def test_without_pytorch_logs_and_metrics_are_kept_and_a_save_says_what_is_missing(tmp_path):
    code = """
import sys
sys.modules["torch"] = None
from visprep.errors import MissingExtra
from visprep.runs import RunStore
with RunStore(sys.argv[1], experiment="one") as run:
    run.log_metrics({"loss": 1}, 1)
    for call in (lambda: run.save_checkpoint({}, 1), lambda: run.load(sys.argv[1])):
        try:
            call()
        except MissingExtra as error:
            print(error.hint)
"""
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert ended.stdout == "pip install 'visprep[torch]'\n" * 2
    assert json.loads(content(tmp_path, "logs/one/metrics.jsonl"))["loss"] == 1


def test_metrics_must_be_numbers(place):
    with RunStore(place) as run:
        with pytest.raises(errors.UsageError, match="loss"):
            run.save_checkpoint(state(1), 1, metrics={"loss": "low"})
        with pytest.raises(errors.UsageError, match="loss"):
            run.log_metrics({"loss": "low"}, 1)
        for wrong in ([1], "loss", 5):
            with pytest.raises(errors.UsageError, match="metrics"):
                run.save_checkpoint(state(1), 1, metrics=wrong)
            with pytest.raises(errors.UsageError, match="metrics"):
                run.log_metrics(wrong, 1)
        run.save_checkpoint(state(1), 1, metrics={"loss": torch.tensor(0.5)})
        assert run.latest().metrics == {"loss": 0.5}


def test_a_closed_run_takes_nothing_more(place):
    run = RunStore(place)
    run.close()
    run.close()
    for call in (lambda: run.save_checkpoint({}, 1), run.log_handler, run.flush, run.end_epoch):
        with pytest.raises(errors.UsageError, match="closed"):
            call()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("visprep-runs")]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "x" * 300, 5])
def test_bad_names_are_refused_at_once(place, name):
    with pytest.raises(errors.UsageError):
        RunStore(place, experiment=name)


@pytest.mark.parametrize("wrong", ["", "https://host/x", "s3://no_such", "a\0b"])
def test_what_is_no_place_for_a_run(wrong):
    with pytest.raises(errors.BadPlace):
        RunStore(wrong)


@pytest.mark.parametrize("wrong", ["", "s3://bucket/x", "file/in/the/way"])
def test_what_is_no_fallback_directory(wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(errors.BadPlace):
        RunStore("s3://bucket/runs", fallback=wrong)


def test_what_is_no_checkpoint_to_load_is_told_with_what_there_could_be(place):
    with RunStore(place) as run:
        for wrong in ("latset", 7, b"latest"):
            with pytest.raises(errors.UsageError) as raised:
                run.load(wrong)
            assert '"latest", "best"' in raised.value.hint


@pytest.mark.parametrize("step", [1.5, "1", None, -1])
def test_steps_are_whole_numbers(place, step):
    with RunStore(place) as run, pytest.raises(errors.UsageError, match="step"):
        run.save_checkpoint(state(1), step)
    if step != -1:
        with RunStore(place) as run, pytest.raises(errors.UsageError, match="step"):
            run.log_metrics({"loss": 1}, step)


@pytest.mark.parametrize(
    "more",
    [
        {"keep_last": 0},
        {"keep_last": "3"},
        {"keep_last": 1.5},
        {"keep_every": 0},
        {"keep_every": "x"},
        {"s3_logs_prefix": "checkpoints"},
        {"s3_logs_prefix": "/logs"},
        {"s3_logs_prefix": 5},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(place, more):
    with pytest.raises(errors.UsageError):
        RunStore(place, **more)


def test_a_cell_that_is_run_twice_closes_the_first_run_and_goes_on(place):
    first = RunStore(place, experiment="cell")
    first.save_checkpoint(state(1, 100_000), 1)
    second = RunStore(place, experiment="cell")
    assert second.latest().step == 1
    second.save_checkpoint(state(2), 2)
    with pytest.raises(errors.UsageError, match="closed"):
        first.save_checkpoint(state(3), 3)
    second.close()
    assert number_in(second.load()) == 2


def test_a_run_that_nobody_holds_any_more_ends_by_itself(place):
    run = RunStore(place, experiment="one", log_every=0.01)
    run.save_checkpoint(state(1), 1)
    del run
    for thread in threading.enumerate():
        if thread.name.startswith("visprep-runs"):
            thread.join(20)
            assert not thread.is_alive()
    assert RunStore(place, experiment="one").latest().step == 1


def test_a_forked_child_may_not_save_and_disturbs_nobody(place):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks with threads
        with RunStore(place, experiment="one") as run:
            run.save_checkpoint(state(1), 1)
            child = os.fork()
            if not child:
                try:
                    run.save_checkpoint(state(2), 2)
                except errors.UsageError:
                    run.close()
                    os._exit(17)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
            run.save_checkpoint(state(3), 3)
            assert run.latest().step == 3


def test_a_second_process_that_takes_over_is_told_to_the_first_at_every_later_save(place):
    first = RunStore(place, experiment="one")
    first.save_checkpoint(state(1), 1, wait=True)
    other = os.fork()
    if not other:
        try:
            with RunStore(place, experiment="one") as second:
                second.save_checkpoint(state(2), 2)
        finally:
            os._exit(0)
    os.waitpid(other, 0)
    for _ in range(4):  # more often than there are buffers
        with pytest.raises(errors.ChangedMeanwhile, match="another process"):
            first.save_checkpoint(state(3), 3, wait=True)
    with pytest.raises(errors.ChangedMeanwhile):
        first.close()
    assert number_in(first.load()) == 2
