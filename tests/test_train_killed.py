"""The training of the guide, killed again and again: the same samples in the same order, and the same weights."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from killing import kill_count

pytest.importorskip("torch", reason="torch is an extra")

GUIDE = (Path(__file__).parents[1] / "docs/train.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("## A training that goes on after a kill\n")[2].partition("\n## ")[0]

#: Runs the two blocks of the guide; `losses` counts steps, notes what each one is given, and ends all at one of them.
TRAINING = """
import json, os, signal, sys
import torch
from visprep.loaders import CocoS3Dataset, FrameDataset, S3VTONDataset

torch.set_num_threads(1)
last, workers, log, first, second = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
names = {"CocoS3Dataset": CocoS3Dataset, "FrameDataset": FrameDataset, "S3VTONDataset": S3VTONDataset}
exec(first, names)
theirs, weights, steps = names["train"], {}, 0

def told(batch):
    if isinstance(batch, list) and isinstance(batch[0][1], dict):
        return [record["image_info"]["id"] for _, record in batch]
    return batch["stem"] if isinstance(batch, dict) else batch[1]["numbers"].tolist() + batch[1]["episode"]

def train(dataset, model, loss_of, checkpoint):
    def losses(model, batch):
        global steps
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1
        loss = loss_of(model, batch)
        with open(log, "a") as file:
            print(checkpoint, json.dumps(told(batch)), loss.item(), file=file)
        return loss
    theirs(dataset, model, losses, checkpoint, num_workers=workers)
    weights[checkpoint] = [tensor.tolist() for tensor in model.state_dict().values()]

names["train"] = train
exec(second, names)
print(json.dumps(weights))
"""

#: Imports once what each training needs, and forks for each: a line of JSON in, the code that it ended with out.
FORKING = """
import json, os, sys, traceback
import torch, visprep.loaders
for line in sys.stdin:
    program, where, *words = json.loads(line)
    training, code = os.fork(), 1
    if training:
        print(os.waitstatus_to_exitcode(os.waitpid(training, 0)[1]), flush=True)
        continue
    try:
        os.chdir(where)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["", *words]
        exec(program, {"__name__": "__main__"})
        sys.stdout.flush()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
"""


@pytest.fixture
def places(run: Callable[..., Any], tmp_path: Path) -> Path:
    """A directory with what the guide downloads."""
    for config in ("coco", "vton", "frames"):
        assert run("download", "sample", "--config", config, "--output", tmp_path / "data" / config).code == 0
    return tmp_path / "data"


@pytest.fixture
def forking() -> Iterator[subprocess.Popen[str]]:
    """A process that runs trainings."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", FORKING]
    process = subprocess.Popen(
        words, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    yield process
    process.kill()
    process.communicate()


def test_a_killed_training_goes_on_as_if_nothing_had_been(
    places: Path, forking: subprocess.Popen[str], tmp_path: Path
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)

    def go(where: Path, last: int, workers: int) -> int:
        """The code that a training ended with; what it said is in the files `out` and `err`."""
        where.mkdir(exist_ok=True)
        if not (where / "data").exists():
            (where / "data").symlink_to(places)
        words = [TRAINING, str(where), str(last), str(workers), str(where / "log"), *blocks]
        assert forking.stdin
        assert forking.stdout
        print(json.dumps(words), file=forking.stdin, flush=True)
        return int(forking.stdout.readline())

    assert go(tmp_path / "undisturbed", -1, 0) == 0, (tmp_path / "undisturbed/err").read_text()
    lines = (tmp_path / "undisturbed/log").read_text().splitlines()
    assert {line.split()[0] for line in lines} == {"coco.pt", "vton.pt", "frames.pt"}
    rng, killed = random.Random(10), 0
    left = len(lines)
    while killed < kill_count(3) and left > 1:
        last = rng.randrange(1, max(2, min(left, 2 * len(lines) // kill_count(3))))
        ended = go(tmp_path / "killed", last, workers=killed % 2)
        assert ended == -signal.SIGKILL, (tmp_path / "killed/err").read_text()
        killed, left = killed + 1, left - last
    assert go(tmp_path / "killed", -1, 0) == 0, (tmp_path / "killed/err").read_text()
    assert killed >= 3
    assert (tmp_path / "killed/log").read_text().splitlines() == lines
    outs = [json.loads((tmp_path / name / "out").read_text()) for name in ("killed", "undisturbed")]
    assert outs[0] == outs[1] != {}
