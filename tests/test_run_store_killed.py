"""Trainings that save with a RunStore are killed at random moments, while S3 comes and goes: what was safe stays so."""

import contextlib
import json
import multiprocessing
import random
import signal
import warnings

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in the torch extra")

from killing import kill_count  # noqa: E402
from visprep.runs import RunStore, load_checkpoint  # noqa: E402
from visprep.settings import S3Settings  # noqa: E402
from visprep.stores.s3 import S3Store  # noqa: E402
from visprep.testing import FaultyS3  # noqa: E402
from visprep.wire import Patience, wait  # noqa: E402

# Forked from a process in which torch has not worked yet: its threads do not survive a fork
TRAININGS = multiprocessing.get_context("forkserver")
TRAININGS.set_forkserver_preload(["torch", "visprep.runs.run_store"])
QUICK = {
    "patience": Patience(connect=1, stall=1, attempts=2, base=0.001),
    "retry_every": 0.05,
    "stuck_after": 0.1,
    "log_every": 0.05,
    "sigterm": False,
}


def s3_at(url):
    return S3Settings(endpoint_url=url, access_key="testing", secret_key="testing")


def train(place, aside, url, step, told):
    """Save as long as one lives; each step that is safe is told through a pipe."""
    warnings.simplefilter("ignore")
    run = RunStore(place, experiment="one", fallback=aside, s3=s3_at(url), **QUICK)
    while True:
        step += 1
        run.save_checkpoint({"w": torch.full((20_000,), step), "step": step}, step, wait=step % 2 == 0)
        run.log_metrics({"loss": step}, step)
        if step % 2 == 0:
            told.send(step)


@pytest.mark.timeout(60 + 3 * kill_count(0))
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.* cannot be had")
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_with_s3_or_without_what_was_safe_is_found(s3_server, bucket, tmp_path, seed):
    rng, place, aside, safe = random.Random(seed), f"s3://{bucket}/mine", tmp_path / "aside", 0
    with FaultyS3(s3_server) as s3:
        how = {"experiment": "one", "fallback": aside, "s3": s3_at(s3.url), **QUICK}
        for _ in range(kill_count(4)):
            s3.clear_faults()
            if rng.random() < 0.7:
                fault = rng.choice(["reset", "slow-down", "expired-token", "reset-headers", "internal-error"])
                s3.fail(fault, times=rng.choice([None, 5, 20]), after=rng.randrange(30))
            ready, told = TRAININGS.Pipe(duplex=False)
            training = TRAININGS.Process(target=train, args=(place, aside, s3.url, safe, told))
            training.start()
            told.close()
            for _ in range(rng.randrange(1, 8)):
                safe = ready.recv()
            training.kill()
            with contextlib.suppress(EOFError):
                while True:
                    safe = ready.recv()
            ready.close()
            training.join()
            assert training.exitcode == -signal.SIGKILL
            if rng.random() < 0.5:
                s3.clear_faults()
                with RunStore(place, **how) as run:
                    assert run.latest().step >= safe
                    assert run.load()["step"] == run.latest().step
        s3.clear_faults()
        with RunStore(place, **how) as run:
            run.flush()
            assert run.latest().step >= safe
            assert torch.equal(run.load()["w"], torch.full((20_000,), run.load()["step"]))
            run.save_checkpoint({"w": torch.zeros(1), "step": safe + 100}, safe + 100)
    there = S3Store(place, S3Settings(endpoint_url=s3_server))
    index = json.loads(wait(there.read("checkpoints/one/checkpoints.json")))
    steps = [one["step"] for one in index["checkpoints"]]
    assert steps[-1] == safe + 100
    assert steps == sorted(steps)
    for one in index["checkpoints"]:
        address = f"{place}/checkpoints/one/{one['file']}"
        assert load_checkpoint(address, sha256=one["sha256"])["step"] == one["step"]
    metrics = [json.loads(line)["step"] for line in wait(there.read("logs/one/metrics.jsonl")).splitlines()]
    assert set(range(1, safe + 1)) <= set(metrics)
