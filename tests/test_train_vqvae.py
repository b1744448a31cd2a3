"""`scripts/train_vqvae.py` as people run it: its loss falls, it is killed and goes on, in S3 too, and from Python."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from killing import kill_count
from trained import latest, measured, same, state

torch = pytest.importorskip("torch", reason="torch is in the torch extra")

ROOT = Path(__file__).parents[1]
SCRIPTS = str(ROOT / "scripts")
GUIDE = (ROOT / "docs/train-vqvae.md").read_text(encoding="utf-8")
#: The least that the script takes: 49 frames in 7 batches make an epoch.
SMALL = ("--image-size", "8", "--codes", "8", "--batch-size", "8", "--epochs", "2", "--learning-rate", "0.001", "--yes")

#: Runs the script, and kills it after the step that its first argument names, once something is saved.
KILLED = """
import os, pathlib, signal, sys, time
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from train_vqvae import command

last, steps = int(sys.argv[1]), 0

def count(*_):
    global steps
    steps += 1
    if steps == last:
        while not pathlib.Path("runs/checkpoints/killed/checkpoint_latest.pt").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
register_optimizer_step_post_hook(count)
sys.exit(command(sys.argv[2:]))
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two that wait for each other take many times as long where other work is done beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def scripts(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, in a working directory with the sample's frames."""
    monkeypatch.syspath_prepend(SCRIPTS)
    assert run("download", "sample", "--config", "frames", "--output", "pokemon_frames").code == 0
    import train_vqvae

    return train_vqvae


@pytest.fixture
def config(scripts: Any) -> Iterator[Any]:
    """CONFIG, set to what is small as anybody sets it, and afterwards as it was."""
    before = {one.name: getattr(scripts.CONFIG, one.name) for one in fields(scripts.Config)}
    scripts.CONFIG.image_size, scripts.CONFIG.codes, scripts.CONFIG.batch_size = 8, 8, 25
    yield scripts.CONFIG
    for name, value in before.items():
        setattr(scripts.CONFIG, name, value)


@pytest.fixture
def command(scripts: Any) -> Callable[..., int]:
    """`command(...)` with the least options -> exit code."""
    return lambda *more: scripts.command([*SMALL, *map(str, more)])


@pytest.fixture
def after() -> Iterator[Callable[[int, Callable[[], None]], None]]:
    """`after(n, act)`: `act` is called after so many steps from now on."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    hooks = []

    def at(last: int, act: Callable[[], None]) -> None:
        steps = iter(range(1, last + 1))

        def count(*_: Any) -> None:
            if next(steps, None) == last:
                act()

        hooks.append(register_optimizer_step_post_hook(count))

    yield at
    for hook in hooks:
        hook.remove()


def test_its_loss_falls_and_all_of_it_is_kept(scripts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config = scripts.Config(image_size=16, codes=16, batch_size=8, num_epochs=6, learning_rate=1e-3)
    outcome = scripts.main(config)
    assert outcome.loss < 0.5 * outcome.first_loss
    assert (outcome.steps, outcome.epochs, outcome.interrupted) == (42, 6, False)
    kept = state(latest(outcome.experiment))
    assert (kept["step"], kept["loader"]["epoch"], kept["best"]) == (42, 6, outcome.loss)
    index = json.loads(Path(f"runs/checkpoints/{outcome.experiment}/checkpoints.json").read_text())
    assert len(index["checkpoints"]) >= 3
    logs = Path(f"runs/logs/{outcome.experiment}")
    assert re.findall(r"epoch (\d), step (\d+)", (logs / "training_latest.log").read_text())[-1] == ("6", "42")
    metrics = [json.loads(line) for line in (logs / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [7, 14, 21, 28, 35, 42]
    told = capsys.readouterr().out
    assert re.search(r"learning_rate +0\.001$", told, re.M)
    assert re.search(r"frames +49 in 5 episodes$", told, re.M)


def test_killed_it_ends_at_the_weights_of_an_undisturbed_run(command: Callable[..., int]) -> None:
    more = ("--epochs", "3", "--save-every", "2", "--resume", "auto", "--experiment-name")
    assert command(*more, "undisturbed") == 0
    rng = random.Random(11)
    for kill in range(kill_count(2)):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(rng.randrange(4, 8)), *SMALL, *more, "killed"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([SCRIPTS, *sys.path])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert ("on from step" in killed.stderr) == (kill > 0)
        if killed.returncode == 0:  # there were too few steps left
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert kill > 0
    assert command(*more, "killed") == 0
    one, other = state(latest("undisturbed")), state(latest("killed"))
    assert one["step"] == 21
    assert one.keys() == other.keys()
    assert [key for key in one if not same(one[key], other[key])] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_it_saves_and_goes_on(
    command: Callable[..., int], after: Callable[..., None], number: signal.Signals
) -> None:
    assert command("--experiment-name", "undisturbed") == 0
    before = signal.getsignal(number)
    after(5, lambda: os.kill(os.getpid(), number))
    assert command("--experiment-name", "stopped") == 130
    assert signal.getsignal(number) == before
    assert state(latest("stopped"))["step"] == 5
    after(2, lambda: os.kill(os.getpid(), number))  # at the last step of the epoch
    assert command("--resume", "stopped") == 130
    assert state(latest("stopped"))["step"] == 7
    assert command("--resume", latest("stopped")) == 0
    undisturbed, stopped = state(latest("undisturbed")), state(latest("stopped"))
    assert [key for key in undisturbed if not same(undisturbed[key], stopped[key])] == []
    assert measured("stopped") == measured("undisturbed")
    assert len(list(Path("runs/checkpoints").iterdir())) == 2


def test_a_branch_begins_with_a_checkpoint_of_another_run(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--experiment-name", "trunk") == 0
    assert command("--experiment-name", "branch", "--resume", latest("trunk"), "--epochs", 3) == 0
    assert (state(latest("trunk"))["step"], state(latest("branch"))["step"]) == (14, 21)
    capsys.readouterr()
    assert command("--experiment-name", "branch", "--resume", latest("trunk"), "--epochs", 4) == 2
    assert "has checkpoints already" in capsys.readouterr().err


@pytest.fixture
def on_s3(scripts: Any, run: Callable[..., Any], bucket: str) -> str:
    """A bucket with the sample's frames, known by the environment."""
    assert run("sync", "pokemon_frames", f"s3://{bucket}/pokemon_frames").code == 0
    Path("pokemon_frames").rename("elsewhere")
    return bucket


def keys(bucket: str, prefix: str) -> list[str]:
    import boto3

    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return [one["Key"].removeprefix(prefix) for one in listed]


def test_with_s3_as_people_typed_it(
    command: Callable[..., int], on_s3: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = ("--use-s3", "--s3-bucket", on_s3, "--s3-region", "us-east-1", "--frames-dir", "pokemon_frames")
    cache = tmp_path / "pokemon_cache"
    assert command(*given, "--cache-dir", cache, "--experiment-name", "my_s3_experiment") == 0
    assert "place " in (told := capsys.readouterr().out)
    assert f"s3://{on_s3}" in told
    assert sum(1 for file in cache.rglob("*") if file.is_file()) >= 49
    assert {"checkpoint_latest.pt", "checkpoint_best.pt"} <= set(keys(on_s3, "checkpoints/my_s3_experiment/"))
    assert "training_latest.log" in keys(on_s3, "logs/my_s3_experiment/")
    here = latest("my_s3_experiment", f"s3://{on_s3}")
    assert command("--use-s3", "--resume", here, "--epochs", 3) == 0  # whose bucket is known by the URL
    assert state(here)["step"] == 21
    assert keys(on_s3, "checkpoints/")[0].startswith("my_s3_experiment/")


def test_events_go_to_s3_where_tensorboard_is_there(command: Callable[..., int], on_s3: str) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard writes the events")
    assert command("--use-s3", "--s3-bucket", on_s3, "--experiment-name", "seen", "--s3-tensorboard-prefix", "tb") == 0
    assert any("tfevents" in key for key in keys(on_s3, "tb/seen/"))


def test_without_s3_the_run_is_kept_here_and_sent_when_it_is_back(
    command: Callable[..., int], on_s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from visprep.runs import RunWarning

    server = os.environ["AWS_ENDPOINT_URL"]
    given = ("--use-s3", "--s3-bucket", on_s3, "--frames-dir", "./elsewhere", "--experiment-name", "lost")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    with pytest.warns(RunWarning):
        assert command(*given) == 0
    assert "S3Settings" not in "".join(capsys.readouterr())
    assert state(latest("lost"))["step"] == 14
    assert keys_after(monkeypatch, server, on_s3) == []
    assert command(*given, "--resume", "auto", "--epochs", 3) == 0
    assert state(latest("lost", f"s3://{on_s3}"))["step"] == 21
    log = "".join(piece for piece in logs(on_s3, "lost"))
    assert [int(step) for step in re.findall(r"epoch \d, step (\d+)", log)] == [7, 14, 21]


def keys_after(monkeypatch: pytest.MonkeyPatch, server: str, bucket: str) -> list[str]:
    """What there is of runs, once S3 is back."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    return keys(bucket, "checkpoints/")


def logs(bucket: str, experiment: str) -> list[str]:
    """The pieces of the logs, in order."""
    import boto3

    s3, prefix = boto3.client("s3"), f"logs/{experiment}/"
    names = [key for key in keys(bucket, prefix) if re.fullmatch(r"training_2.*\.log", key)]
    return [s3.get_object(Bucket=bucket, Key=prefix + key)["Body"].read().decode() for key in sorted(names)]


def test_it_asks_before_it_starts(
    scripts: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = SMALL[:-1]
    for answer, code in (("n\n", 0), ("\n", 0), ("", 2)):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert scripts.command(asking) == code
        out, err = capsys.readouterr()
        assert "Configuration" in out
        assert ("--yes" in err) == (code == 2)
        assert not Path("runs").exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert scripts.command(asking) == 0
    assert len(list(Path("runs/checkpoints").iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--image-size", "10"), 2, "a multiple of 4"),
        (("--learning-rate", "-1"), 2, "above 0"),
        (("--epochs", "0"), 2, "at least 1"),
        (("--batch-size", "0"), 2, "--batch-size 0"),
        (("--keep-last", "0"), 2, "at least 1"),
        (("--seed", "-1"), 2, "--seed -1"),
        (("--seed", str(2**32)), 2, "from 0 to 4294967295"),
        (("--device", "abacus"), 2, "--device abacus"),
        (("--device", "meta"), 2, "--device meta"),
        (("--frames-dir", "nowhere"), 3, "visprep download sample --config frames --output nowhere"),
        (("--resume", "unknown"), 2, "no checkpoint of 'unknown'"),
        (("--resume", "auto"), 2, "--experiment-name"),
        (("--resume", "unknown.pt"), 3, "visprep runs show runs"),
        (("--resume", "/not/there/unknown.pt"), 3, "/not/there/unknown.pt"),
        (("--resume", "s3://mine/ck/one/a.pt"), 2, "give --use-s3 --s3-bucket mine --s3-checkpoint-prefix ck;"),
        (
            ("--resume", "one", "--experiment-name", "two", "--s3-checkpoint-prefix", "ck/"),
            2,
            "runs/ck/one/checkpoint_",
        ),
        (("--experiment-name", "../up"), 2, "../up"),
        (("--use-s3",), 2, "S3_BUCKET_NAME"),
    ],
)
def test_what_cannot_be_is_told_in_words_before_anybody_is_asked(
    scripts: Any, options: tuple[str, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scripts.command([*SMALL[:-1], *options]) == code
    out, err = capsys.readouterr()
    assert told in err
    assert "Start training?" not in out
    assert not Path("runs").exists()


def test_a_loss_that_is_no_number_ends_it_and_the_log_says_so(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--learning-rate", "1e30", "--epochs", "9", "--experiment-name", "high") == 3
    assert "--learning-rate below 1e+30" in capsys.readouterr().err
    log = Path("runs/logs/high/training_latest.log").read_text()
    assert re.search(r"broken off at step \d+: the loss is (nan|inf)", log)


def test_without_torch_it_says_what_to_install(
    command: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert command() == 3
    out, err = capsys.readouterr()
    assert re.search(r"^problem +torch: not installed: nothing", out, re.M)
    assert "visprep[torch]" in err


def test_a_checkpoint_of_a_run_elsewhere_is_not_made_a_new_run_in_silence(
    command: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ("--runs-dir", "kept", "--s3-checkpoint-prefix", "ck")
    assert command(*there, "--experiment-name", "one", "--epochs", 1) == 0
    file = "kept/ck/one/checkpoint_latest.pt"
    capsys.readouterr()
    assert command("--resume", file, "--runs-dir", "kept") == 2
    (typed,) = re.findall(r"give (--runs-dir \S+ --s3-checkpoint-prefix ck);", capsys.readouterr().err)
    assert command("--resume", file, *typed.split()) == 0
    assert state(file)["step"] == 14
    assert command("--resume", file, "--experiment-name", "new") == 2  # it has as many epochs
    assert "--epochs" in capsys.readouterr().err
    more = (*typed.split(), "--frames-dir", Path("pokemon_frames").resolve(), "--epochs", 3)
    monkeypatch.chdir("kept/ck/one")
    assert command("--resume", "checkpoint_latest.pt", *more) == 0
    assert state("checkpoint_latest.pt")["step"] == 21


def test_what_visprep_warns_of_is_a_line_without_code(scripts: Any) -> None:
    from visprep.runs import RunWarning

    with scripts.warnings_in_words():
        words = "set A, or use --no-sign-request (public buckets); check --endpoint-url"
        told = warnings.formatwarning(words, RunWarning, "a.py", 1)
        assert told == "warning: set A; check AWS_ENDPOINT_URL\n"
        assert "a.py:1" in warnings.formatwarning("it is away", UserWarning, "a.py", 1)


def test_a_name_is_not_used_twice_nor_another_model_taken_up(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--experiment-name", "mine") == 0
    before = Path(latest("mine")).read_bytes()
    for again, told in (
        (("--experiment-name", "mine"), "--resume mine"),
        (("--resume", "mine", "--codes", "16"), "of another model"),
        (("--resume", "mine", "--seed", "5"), "other draws"),
    ):
        capsys.readouterr()
        assert command(*again) == 2
        assert told in capsys.readouterr().err
    assert Path(latest("mine")).read_bytes() == before


def test_config_and_main_from_python_and_twice(scripts: Any, config: Any) -> None:
    config.num_epochs = 1
    first, second = scripts.main(), scripts.main()
    assert first.experiment != second.experiment
    assert same(state(latest(first.experiment))["model"], state(latest(second.experiment))["model"])
    with pytest.raises(AttributeError):
        config.epochs = 3  # misspelled
    with ThreadPoolExecutor() as pool:  # where no signal can be listened for
        assert pool.submit(scripts.main).result().loss == first.loss


@pytest.mark.usefixtures("config")
def test_the_guide_has_all_options_and_runs(scripts: Any) -> None:
    told = dict(re.findall(r"^\| `(--[a-z0-9-]+)` \| `(\w+)` \|", GUIDE, re.M))
    there = {one.metadata["name"] or f"--{one.name.replace('_', '-')}": one.name for one in fields(scripts.Config)}
    assert told == there
    shell = "".join(re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.M | re.S)).replace("\\\n", "")
    ours = [line.split()[2:] for line in shell.splitlines() if line.startswith("python scripts/train_vqvae.py")]
    assert len(ours) >= 4
    for given in ours:
        scripts.parser().parse_args(given)
    (code,) = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.M | re.S)
    exec(compile(code, "docs/train-vqvae.md", "exec"), {})
    assert Path(latest("first")).exists()
