"""RunStore while S3 makes trouble, or is not there at all: nothing is lost, and the training is told and goes on."""

import json
import logging
import subprocess
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in the torch extra")

from visprep import errors  # noqa: E402
from visprep.runs import RunStore, RunWarning  # noqa: E402
from visprep.runs.layout import RunLayout  # noqa: E402
from visprep.runs.sending_later import SendingLater  # noqa: E402
from visprep.settings import S3Settings  # noqa: E402
from visprep.stores.local import LocalStore  # noqa: E402
from visprep.stores.s3 import S3Store  # noqa: E402
from visprep.testing import FaultyS3  # noqa: E402
from visprep.wire import Patience, wait  # noqa: E402

#: That S3 cannot be had is told in other tests.
IGNORED = "ignore:s3.* cannot be had"
MEBIBYTE = 1024 * 1024
#: What people wait seconds and minutes for, scaled down; but not until S3 counts as away: machines stand still, too.
QUICK = {
    "patience": Patience(connect=1, stall=1, attempts=2, base=0.001),
    "retry_every": 0.1,
    "stuck_after": 20,
    "log_every": 0.1,
}


@pytest.fixture
def s3(s3_server):
    """An S3 that fails as it is told to."""
    with FaultyS3(s3_server) as server:
        yield server


@pytest.fixture
def opened(s3, bucket, tmp_path):
    """Runs of the experiment `one` in S3 with a fallback directory; they end with the test."""
    runs = []

    def open_one(**options):
        settings = S3Settings(endpoint_url=s3.url, part_size=5 * MEBIBYTE)
        how = {"experiment": "one", "fallback": tmp_path / "aside", "s3": settings, **QUICK, **options}
        runs.append(RunStore(f"s3://{bucket}/mine", **how))
        return runs[-1]

    yield open_one
    s3.clear_faults()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        for run in runs:
            run.close()


@pytest.fixture
def there(s3_server, bucket):
    """What S3 has, asked without the trouble."""
    return S3Store(f"s3://{bucket}/mine", S3Settings(endpoint_url=s3_server))


def state(number, size=1000):
    return {"w": torch.full((size // 4,), float(number)), "step": number}


def number_in(loaded):
    assert torch.equal(loaded["w"], torch.full((len(loaded["w"]),), float(loaded["step"])))
    return loaded["step"]


def steps_at(store):
    try:
        index = json.loads(wait(store.read("checkpoints/one/checkpoints.json")))
    except errors.FileMissing:
        return []
    return [one["step"] for one in index["checkpoints"]]


def aside(tmp_path):
    return LocalStore(tmp_path / "aside")


def checkpoint_files(tmp_path):
    return sorted(path.name for path in (tmp_path / "aside/checkpoints/one").glob("*"))


def gone(s3):
    s3.fail("reset", times=None)


# -- trouble that passes while one save is sent


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("reset-upload", {"method": "PUT", "query": "partNumber=2", "times": 2}),
        ("reset-headers", {"method": "PUT", "query": "partNumber=3"}),
        ("error-in-200", {"method": "POST", "query": "uploadId"}),
        ("slow-down", {"times": 4, "method": "PUT", "query": "partNumber"}),
        ("internal-error", {"method": "PUT", "key": "checkpoints.json", "times": 2}),
        ("reset-headers", {"method": "PUT", "key": "checkpoints.json"}),
        ("reset", {"method": "PUT", "key": "checkpoint_latest"}),
    ],
)
def test_what_passes_is_not_even_noticed(opened, s3, there, tmp_path, fault, rule):
    run = opened(stuck_after=30, patience=Patience(connect=1, stall=1, attempts=5, base=0.001))
    run.save_checkpoint(state(1), 1, wait=True)
    s3.fail(fault, **rule)
    run.save_checkpoint(state(2, 21 * MEBIBYTE), 2)
    run.flush()
    assert s3.spent
    assert steps_at(there) == [1, 2]
    assert number_in(run.load()) == 2
    assert not (tmp_path / "aside/checkpoints").exists()


def test_a_copy_that_fails_is_made_by_the_next_save(opened, s3, there):
    run = opened()
    s3.fail("access-denied", method="PUT", key="checkpoint_latest", times=None)
    run.save_checkpoint(state(1), 1, wait=True)
    assert steps_at(there) == [1]
    s3.clear_faults()
    run.save_checkpoint(state(2), 2, wait=True)
    run.flush()
    assert number_in(run.load(f"{there.place}/checkpoints/one/checkpoint_latest.pt")) == 2


# -- S3 cannot be had


@pytest.mark.parametrize(
    ("fault", "slug"),
    [
        ("slow-down", "rate-limited"),
        ("expired-token", "credentials"),
        ("access-denied", "access-denied"),
        ("no-such-bucket", "place-missing"),
        ("reset", "server-failed"),
        ("stall", "stalled"),
        ("skewed-clock", "credentials"),
    ],
)
def test_without_s3_checkpoints_stay_here_and_are_sent_when_it_is_back(opened, s3, there, tmp_path, fault, slug):
    run = opened()
    run.save_checkpoint(state(1), 1, wait=True)
    s3.fail(fault, times=None)
    with pytest.warns(RunWarning, match=rf"cannot be had.*\[{slug}\].*aside"):  # noqa: PT031
        run.save_checkpoint(state(2), 2, is_best=True)
        for number in range(3, 7):
            run.save_checkpoint(state(number), number, wait=True)
        run.flush()
    # Whoever looks in the fallback directory finds a run as any other
    assert steps_at(aside(tmp_path)) == [2, 4, 5, 6]
    with RunStore(tmp_path / "aside", experiment="one") as kept:
        assert number_in(kept.load()) == 6
        assert number_in(kept.load("best")) == 2
    s3.clear_faults()
    run.flush()
    assert steps_at(there) == [2, 4, 5, 6]
    assert number_in(run.load()) == 6
    assert number_in(run.load("best")) == 2
    assert number_in(run.load(f"{there.place}/checkpoints/one/checkpoint_latest.pt")) == 6
    # What was lent to the fallback directory is not there any more
    assert checkpoint_files(tmp_path) == ["checkpoints.json"]
    assert steps_at(aside(tmp_path)) == []
    run.save_checkpoint(state(7), 7, wait=True)
    run.flush()
    assert steps_at(there) == [2, 5, 6, 7]


def test_of_one_trouble_one_warning(opened, s3):
    run = opened()
    s3.fail("access-denied", method="PUT", key="checkpoint_step", times=None)  # all else goes well
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for number in range(6):
            run.save_checkpoint(state(number), number, wait=True)
            run.flush()
    assert s3.spent
    assert [one.category for one in seen] == [RunWarning]
    assert seen[0].filename == __file__


def test_while_s3_is_away_the_last_one_is_what_lies_here(opened, s3):
    run = opened()
    run.save_checkpoint(state(1), 1, wait=True)
    gone(s3)
    with pytest.raises(errors.NetworkError):
        run.latest()  # nothing is here: whether there is one cannot be known
    with pytest.warns(RunWarning):  # noqa: PT031
        run.save_checkpoint(state(2), 2, wait=True)
        assert number_in(run.load()) == 2
    s3.clear_faults()
    run.flush()
    assert number_in(run.load()) == 2


def test_not_there_at_the_start_and_nothing_sent_at_the_end_the_next_run_sends_it(opened, s3, there, tmp_path):
    gone(s3)
    with pytest.warns(RunWarning, match="cannot be had"):
        run = opened(stuck_after=20)
    with pytest.raises(errors.NetworkError):
        run.latest()
    run.log_metrics({"loss": 0.5}, 1)
    run.save_checkpoint(state(1), 1)
    run.save_checkpoint(state(2), 2)
    with pytest.warns(RunWarning, match="visprep runs push .*aside s3://.* --experiment one"):
        run.close()
    assert steps_at(aside(tmp_path)) == [1, 2]
    s3.clear_faults()
    again = opened()
    assert number_in(again.load()) == 2
    again.flush()
    assert steps_at(there) == [1, 2]
    assert json.loads(wait(there.read("logs/one/metrics.jsonl")))["loss"] == 0.5
    assert steps_at(aside(tmp_path)) == []


def test_what_is_damaged_in_the_fallback_directory_is_told_and_all_else_is_sent(opened, s3, there, tmp_path):
    gone(s3)
    with pytest.warns(RunWarning):
        run = opened(stuck_after=20)
    for step in (1, 2, 3):
        run.save_checkpoint(state(step), step, wait=True)
    (damaged,) = (tmp_path / "aside/checkpoints/one").glob("*step_00000002*")
    damaged.unlink()
    damaged.write_bytes(b"not that")
    s3.clear_faults()
    with pytest.warns(RunWarning, match="step_00000002.*cannot be sent.*wrong-content"):
        run.flush()
    assert steps_at(there) == [1, 3]
    run.save_checkpoint(state(4), 4, wait=True)
    assert steps_at(there) == [1, 3, 4]
    assert damaged.exists()


def test_what_was_not_lent_to_the_fallback_directory_is_neither_sent_nor_removed(opened, s3, there, tmp_path):
    with RunStore(tmp_path / "aside", experiment="one") as local:
        local.save_checkpoint(state(1), 1)
    gone(s3)
    with pytest.warns(RunWarning):
        run = opened(stuck_after=20)
    run.save_checkpoint(state(2), 2, wait=True)
    assert steps_at(aside(tmp_path)) == [1, 2]
    s3.clear_faults()
    run.flush()
    assert steps_at(there) == [2]
    assert steps_at(aside(tmp_path)) == [1]
    with RunStore(tmp_path / "aside", experiment="one") as local:
        assert number_in(local.load()) == 1


def test_s3_is_gone_for_a_while_and_not_a_line_is_lost(opened, s3, there):
    logger = logging.getLogger("test_run_store_faults")
    logger.setLevel(logging.INFO)
    run = opened()
    logger.addHandler(run.log_handler())
    with pytest.warns(RunWarning):  # noqa: PT031
        for number in range(60):
            if number == 20:
                gone(s3)
            if number == 40:
                s3.clear_faults()
            logger.info("step %d", number)
            run.log_metrics({"loss": number}, number)
            if number % 5 == 0:
                run.save_checkpoint(state(number), number, is_best=number == 30)
                run.end_epoch()
                if number == 25:
                    run.flush()
    run.close()
    logger.handlers.clear()
    lines = wait(there.read("logs/one/training_latest.log")).decode().splitlines()
    told = [line.partition("step ")[2] for line in lines if "step " in line and "test_run_store_faults" in line]
    assert told == [str(number) for number in range(60)]
    metrics = [json.loads(line)["step"] for line in wait(there.read("logs/one/metrics.jsonl")).splitlines()]
    assert metrics == list(range(60))
    assert steps_at(there) == [30, 45, 50, 55]
    assert number_in(run.load()) == 55


# -- stuck


def test_a_save_goes_to_the_fallback_directory_when_the_one_before_is_stuck(opened, s3, there, tmp_path):
    run = opened()
    run.save_checkpoint(state(0), 0, wait=True)
    s3.fail("stall", method="PUT", key="checkpoint_step_00000001", times=1)
    for number in (1, 2, 3):  # the buffers of the third are those of the second
        run.save_checkpoint(state(number, 22 * MEBIBYTE), number, wait=number == 3)
    assert steps_at(aside(tmp_path)) == [2, 3]
    assert steps_at(there) == [0]
    run.flush()
    assert s3.spent
    assert steps_at(there) == [1, 2, 3]  # in the order in which they were saved
    assert steps_at(aside(tmp_path)) == []
    assert number_in(run.load()) == 3


#: A wait for the server that never ends.
ENDLESS = {"patience": Patience(connect=1, stall=3600, attempts=1), "retry_every": 0.1, "stuck_after": 0.3}


@pytest.fixture
def silent(opened, s3_server):
    """A server that may fall silent; it is gone before the runs end, so that these need not wait for it."""
    with FaultyS3(s3_server) as server:
        yield server


def test_s3_that_never_answers_is_warned_of_and_what_lies_here_is_found_at_once(opened, s3, silent, there):
    before = opened()
    before.save_checkpoint(state(1), 1, wait=True)
    gone(s3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        before.save_checkpoint(state(2), 2, wait=True)
        before.close()
    silent.fail("stall", times=None)
    with pytest.warns(RunWarning, match=r"has not answered within 0.3 s \[stalled\].*aside"):
        run = opened(s3=S3Settings(endpoint_url=silent.url), **ENDLESS)
    with pytest.warns(RunWarning, match="is the one kept here"):
        assert run.latest().step == 2
    assert number_in(run.load()) == 2  # of which is warned once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        run.save_checkpoint(state(3), 3, wait=True)
        assert number_in(run.load()) == 3
    assert steps_at(there) == [1]


def test_the_latest_is_known_while_its_save_is_stuck(opened, silent, there, tmp_path):
    run = opened(s3=S3Settings(endpoint_url=silent.url), **ENDLESS | {"stuck_after": 2})
    run.save_checkpoint(state(1), 1, wait=True)
    silent.fail("stall", method="PUT", key="checkpoint_step_00000002", times=None)
    run.save_checkpoint(state(2), 2)
    assert number_in(run.load()) == 2
    assert steps_at(aside(tmp_path)) == [2]
    assert steps_at(there) == [1]


def test_what_is_stuck_when_the_run_is_closed_is_kept_too(opened, s3, tmp_path):
    run = opened(patience=Patience(connect=1, stall=1, attempts=1))
    run.save_checkpoint(state(1), 1, wait=True)
    s3.fail("stall", method="PUT", key="checkpoint_step_00000002", times=None)
    run.save_checkpoint(state(2), 2)
    with pytest.warns(RunWarning):
        run.close()
    assert steps_at(aside(tmp_path)) == [2]


# -- the disk is full, and there is no fallback


@pytest.mark.filterwarnings(IGNORED)
def test_a_full_disk_is_an_error_at_the_next_call_and_s3_has_the_newest_when_it_is_back(opened, s3, there, small_disk):
    run = opened(fallback=small_disk, experiment="one")
    run.save_checkpoint(state(1), 1, wait=True)
    gone(s3)
    for number in range(2, 6):
        with pytest.raises(errors.DiskFull) as raised:
            run.save_checkpoint(state(number, 100 * 1024), number, wait=True)
        assert any(f"step_0000000{number}." in note for note in raised.value.__notes__)
    assert steps_at(there) == [1]
    s3.clear_faults()
    run.flush()
    assert steps_at(there)[-1] == 5
    assert number_in(run.load()) == 5


@pytest.mark.filterwarnings(IGNORED)
def test_a_disk_with_room_again_takes_the_next_one(opened, s3, there, small_disk):
    run = opened(fallback=small_disk)
    run.save_checkpoint(state(1), 1, wait=True)
    gone(s3)
    with pytest.raises(errors.DiskFull):
        run.save_checkpoint(state(2, 100 * 1024), 2, wait=True)
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    run.save_checkpoint(state(3, 100 * 1024), 3, wait=True)
    assert steps_at(LocalStore(small_disk)) == [3]
    s3.clear_faults()
    run.flush()
    assert steps_at(there) == [1, 2, 3]


def test_a_full_disk_at_a_directory_is_an_error_at_the_next_call(small_disk):
    run = RunStore(small_disk, experiment="one")
    run.save_checkpoint(state(1), 1, wait=True)
    run.save_checkpoint(state(2, 100 * 1024), 2)
    with pytest.raises(errors.DiskFull):
        run.flush()
    assert run.latest().step == 1
    run.save_checkpoint(state(3), 3)
    run.close()
    assert number_in(run.load()) == 3


# metrics.jsonl may be made on the full disk, too, which is another warning
@pytest.mark.filterwarnings("ignore:not all logs and events")
def test_metrics_on_a_full_disk_are_warned_of_and_the_training_goes_on(small_disk):
    with RunStore(small_disk, experiment="one") as run:
        run.log_metrics({"loss": 1}, 1)
        Path(small_disk, "ballast").write_bytes(bytes(40 * 1024))
        with pytest.raises(OSError, match="No space"):
            Path(small_disk, "more").write_bytes(bytes(40 * 1024))
        with pytest.warns(RunWarning, match="lost"):  # noqa: PT031
            for number in range(3000):
                run.log_metrics({"loss": number}, number)
        Path(small_disk, "ballast").unlink()


@pytest.mark.filterwarnings(IGNORED)
def test_without_a_fallback_what_failed_is_an_error_at_the_next_call(opened, s3, there):
    run = opened(fallback=None)
    run.save_checkpoint(state(1), 1, wait=True)
    gone(s3)
    with pytest.raises(errors.NetworkError):
        run.save_checkpoint(state(2), 2, wait=True)
    s3.clear_faults()
    run.save_checkpoint(state(3), 3)
    run.close()
    assert steps_at(there) == [1, 3]


def test_what_a_killed_training_did_not_name_leaves_the_fallback_directory(opened, bucket, there, tmp_path):
    store, path = LocalStore(tmp_path / "aside"), "checkpoints/one/checkpoint_step_00000001.0123abcd.pt"
    SendingLater(store, RunLayout(), "one", f"s3://{bucket}/mine").add(path)
    wait(store.write(path, b"whole, and killed before it was named"))
    run = opened()
    run.save_checkpoint(state(2), 2, wait=True)
    run.close()
    assert not (tmp_path / "aside" / path).exists()
    assert not (tmp_path / "aside/checkpoints/one/sending_later.json").exists()
    assert steps_at(there) == [2]


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.usefixtures("bound")
def test_a_fallback_directory_that_cannot_be_written_to_is_told(opened, s3, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    run = opened(fallback=locked)
    run.save_checkpoint(state(1), 1, wait=True)
    gone(s3)
    with pytest.raises(errors.AccessDenied):
        run.save_checkpoint(state(2), 2, wait=True)
    s3.clear_faults()
    run.flush()
    assert number_in(run.load()) == 2


def test_no_credentials_at_all(bucket, s3_server, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.warns(RunWarning, match=r"\[credentials\]"):
        run = RunStore(
            f"s3://{bucket}/mine", experiment="one", fallback=tmp_path / "aside", **QUICK | {"stuck_after": 20}
        )
    run.save_checkpoint(state(1), 1, wait=True)
    assert steps_at(aside(tmp_path)) == [1]
    with pytest.warns(RunWarning, match="runs push"):
        run.close()
    assert (tmp_path / "aside/checkpoints/one/sending_later.json").exists()
