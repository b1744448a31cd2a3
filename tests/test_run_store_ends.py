"""How a run ends with its training: at the end, by an error, by Ctrl-C, by a scheduler's SIGTERM, or unclosed."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in the torch extra")

from visprep.runs import RunStore  # noqa: E402
from visprep.settings import S3Settings  # noqa: E402
from visprep.stores.local import LocalStore  # noqa: E402
from visprep.stores.s3 import S3Store  # noqa: E402
from visprep.testing import FaultyS3  # noqa: E402
from visprep.wire import Patience, wait  # noqa: E402

STATE = {"w": torch.arange(10_000)}


@pytest.fixture
def there(s3_server, bucket):
    return S3Store(f"s3://{bucket}/mine", S3Settings(endpoint_url=s3_server))


def steps_at(store):
    return [one["step"] for one in json.loads(wait(store.read("checkpoints/one/checkpoints.json")))["checkpoints"]]


def loss_at(store):
    return [json.loads(line)["loss"] for line in wait(store.read("logs/one/metrics.jsonl")).splitlines()]


@pytest.fixture
def default_sigterm():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


# -- by an exception


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_ends_the_training_is_what_is_seen_and_all_is_sent(there, tmp_path, kind):
    with pytest.raises(kind, match="mine"), RunStore(there.place, experiment="one", fallback=tmp_path) as run:  # noqa: PT012
        run.save_checkpoint(STATE, 1)
        run.log_metrics({"loss": 1}, 1)
        raise kind("mine")
    assert steps_at(there) == [1]
    assert loss_at(there) == [1]


def test_an_error_at_the_end_does_not_hide_what_ended_the_training(small_disk):
    with pytest.raises(ValueError, match="mine") as raised, RunStore(small_disk, experiment="one") as run:  # noqa: PT012
        run.save_checkpoint({"w": torch.zeros(100_000)}, 1)
        raise ValueError("mine")
    assert any("No space" in note or "disk-full" in note for note in raised.value.__notes__)


# -- by SIGTERM


@pytest.mark.usefixtures("default_sigterm")
def test_sigterm_leaves_the_training_and_all_is_sent(there, tmp_path):
    with pytest.raises(SystemExit) as left, RunStore(there.place, experiment="one", fallback=tmp_path) as run:  # noqa: PT012
        run.save_checkpoint(STATE, 1)
        run.log_metrics({"loss": 1}, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
    assert left.value.code == 128 + signal.SIGTERM
    assert steps_at(there) == [1]
    assert loss_at(there) == [1]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("default_sigterm")
def test_sigterm_while_a_save_is_stuck_keeps_it_on_this_machine(s3_server, there, tmp_path):
    with FaultyS3(s3_server) as s3:
        how = {"s3": S3Settings(endpoint_url=s3.url), "patience": Patience(connect=1, stall=1, attempts=1)}
        with warnings.catch_warnings(record=True) as seen, pytest.raises(SystemExit):  # noqa: PT012
            warnings.simplefilter("always")
            with RunStore(there.place, experiment="one", fallback=tmp_path, **how) as run:
                s3.fail("stall", method="PUT", key="checkpoint_step", times=None)
                run.save_checkpoint(STATE, 1)
                run.save_checkpoint(STATE, 2)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(20)
    assert any("runs push" in str(one.message) for one in seen)
    assert steps_at(LocalStore(tmp_path)) == [1, 2]


@pytest.mark.usefixtures("default_sigterm")
def test_a_handler_of_the_program_stays(tmp_path):
    seen = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    with RunStore(tmp_path):
        os.kill(os.getpid(), signal.SIGTERM)
    assert seen == [signal.SIGTERM]


SIGTERM_OF_RUNS = """
import signal, sys
from visprep.runs import RunStore
with RunStore(sys.argv[1], sigterm=False):
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
with RunStore(sys.argv[1]), RunStore(sys.argv[1]):
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""


def test_sigterm_is_left_alone_when_asked(tmp_path):
    """In a process in which no other run is open, since the last one puts the signal back."""
    done = subprocess.run(
        [sys.executable, "-c", SIGTERM_OF_RUNS, tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("default_sigterm")
def test_a_forked_worker_dies_of_sigterm_as_ever(tmp_path):
    with RunStore(tmp_path, experiment="one") as run:
        ready, written = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks with threads
            worker = os.fork()
        if not worker:
            os.write(written, b"!")
            time.sleep(30)
            os._exit(0)
        os.read(ready, 1)
        os.close(ready)
        os.close(written)
        os.kill(worker, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGTERM
        run.save_checkpoint(STATE, 1)
    assert run.latest().step == 1


# -- processes that end by themselves

UNCLOSED = """
import logging, os, signal, sys, time
import torch
from visprep.runs import RunStore
from visprep.settings import S3Settings

run = RunStore(sys.argv[1], experiment="one", fallback=sys.argv[2], s3=S3Settings(part_size=5 << 20))
for step in range(4):
    run.save_checkpoint({"w": torch.full((3_000_000,), float(step))}, step)
    run.log_metrics({"loss": step}, step)
if sys.argv[3] == "killed":
    print("at work", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("how", "code"), [("ended", 0), ("killed", 128 + signal.SIGTERM)])
def test_unclosed_all_is_sent_all_the_same(there, tmp_path, how, code):
    command = [sys.executable, "-W", "error", "-c", UNCLOSED, there.place, tmp_path / "aside", how]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if how == "killed":
        assert process.stdout.readline() == "at work\n"
        process.terminate()
    _, words = process.communicate(timeout=60)
    assert process.returncode == code, words
    assert words == ""
    assert steps_at(there) == [1, 2, 3]
    assert loss_at(there) == [0, 1, 2, 3]


def test_unclosed_and_not_sent_it_is_told(there, tmp_path):
    command = [sys.executable, "-c", UNCLOSED, there.place, tmp_path / "aside", "ended"]
    environment = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=60)
    assert "visprep runs push" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert steps_at(LocalStore(tmp_path / "aside")) == [1, 2, 3]
