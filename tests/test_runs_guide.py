"""docs/runs.md is true: its code and its commands run in order, its policy is the least, its rules are understood."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from fnmatch import fnmatchcase

import boto3
import pytest

import visprep
from left_runs import record
from s3_door import Door, action, error
from test_docs import FENCED, PAGES, named, table
from visprep import runs
from visprep.runs import ending, saves

torch = pytest.importorskip("torch")

GUIDE = PAGES["runs.md"]
BLOCKS = [(language, text) for _, language, text in FENCED.findall(GUIDE)]
CODE = [text for language, text in BLOCKS if language == "python"]
TRAINING = CODE[0]
POLICY, LIFECYCLE = (json.loads(text) for language, text in BLOCKS if language == "json")


@pytest.fixture
def work(run, tmp_path):
    """The directory that everything runs in, with a drive that another tool wrote to."""
    drive = tmp_path / "work/drive/trainings/checkpoints_easy"
    drive.mkdir(parents=True)
    torch.save({"weights": torch.ones(3)}, drive / "best_model.pt")
    return tmp_path / "work"


def execute(code, bucket, names=None):
    names = {"__name__": "guide"} if names is None else names
    exec(compile(code.replace("my-bucket", bucket), "docs/runs.md", "exec"), names)
    return names


def test_it_runs(run, bucket, work, capsys):
    names = {"__name__": "guide"}
    said = ""
    for language, text in BLOCKS:
        if language == "python":
            execute(text, bucket, names)
            said += capsys.readouterr().out
        for line in text.splitlines() if language == "sh" else ():
            ended = run(*shlex.split(line.replace("my-bucket", bucket))[1:])
            assert ended.code == 0, f"{line}: {ended.err}"
    assert said == "going on with epoch 3\n['model', 'optimizer', 'random']\n"
    place = f"s3://{bucket}/runs"
    told = {one.experiment: one for one in runs.list_runs(place)}
    assert set(told) == {"first", "easy", "easy-again"}
    assert (told["first"].epoch, told["first"].checkpoints) == (2, 3)
    assert set(told["first"].metrics) == {"loss"}
    assert runs.load_checkpoint(f"{place}/checkpoints/easy/checkpoint_best.pt")["weights"].tolist() == [1, 1, 1]
    lines = list(runs.logs(place, experiment="first"))
    assert [re.search(r"epoch (\d): loss", line)[1] for line in lines] == ["0", "1", "2"]
    assert runs.show(work / "first-run").checkpoints[-1].epoch == 2
    assert len(list(runs.logs(f"s3://{bucket}/another", metrics=True))) == 3


def test_what_lies_where(bucket, work):
    execute(TRAINING, bucket)
    (tree,) = (text for language, text in BLOCKS if not language)
    patterns = []
    for line in tree.splitlines():
        folder = ""
        for name in line.partition("    ")[0].split(", "):
            folder = folder or name.rpartition("/")[0]
            path = f"{folder}/{name.rpartition('/')[2]}".replace("{experiment}", "first")
            patterns.append(re.sub(r"\{[^}]+\}", "*", f"runs/{path}") + "*" * path.endswith("/"))
    keys = [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert not [key for key in keys if not any(fnmatchcase(key, one) for one in patterns)]
    written = [one for one in patterns if "tensorboard" not in one]
    assert not [one for one in written if not any(fnmatchcase(key, one) for key in keys)]


# Permissions


def allowed(seen, bucket):
    """Whether the policy lets a request pass."""
    for one in POLICY["Statement"]:
        resource = one["Resource"].removeprefix("arn:aws:s3:::").replace("my-bucket", bucket)
        prefixes = one.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"])
        if (
            action(seen) in one["Action"]
            and fnmatchcase(seen.path.lstrip("/"), resource)
            and any(fnmatchcase(seen.query.get("prefix", ""), prefix) for prefix in prefixes)
        ):
            return True
    return False


@pytest.fixture
def guarded(s3_server, bucket, monkeypatch):
    """Lets pass what the policy allows, but for `without`; all that was asked for is in `seen`."""

    def guard(*without):
        def answer(seen):
            return None if action(seen) not in without and allowed(seen, bucket) else error(403, "AccessDenied")

        return Door(s3_server, answer)

    return guard


def asked_for(door):
    return {action(seen) for seen in door.seen}


def test_the_policy_is_the_least_for_a_training(run, bucket, work, guarded, monkeypatch):
    boto3.client("s3").create_multipart_upload(
        Bucket=bucket, Key=f"runs/checkpoints/first/checkpoint_step_00000001.{'a' * 8}.pt",
        ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT",
    )  # fmt: skip
    # Of five, one goes in any case: the last three and the best stay
    more = TRAINING.replace("range(3)", "range(5)").replace('"random"', '"much": torch.zeros(2_500_000), "random"')
    with guarded() as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        execute(more, bucket)
        execute(CODE[1], bucket, {"model": torch.nn.Linear(8, 8), "optimizer": None} | stand_ins())
        assert run("runs", "push", "drive/trainings", f"s3://{bucket}/runs").code == 0
        denied = [seen for seen in door.seen if not allowed(seen, bucket)]
    assert not denied
    every = {name for one in POLICY["Statement"] for name in one["Action"]}
    assert every - asked_for(door) <= {"s3:AbortMultipartUpload"}  # see the next test
    assert asked_for(door) <= every
    assert runs.show(f"s3://{bucket}/runs", experiment="first").checkpoints[-1].epoch == 4


def stand_ins():
    """An optimizer whose state is that of the training."""
    model = torch.nn.Linear(8, 8)
    return {"model": model, "optimizer": torch.optim.AdamW(model.parameters())}


def test_what_was_begun_and_left_is_dropped(bucket, guarded, monkeypatch):
    from visprep.runs.committing import Committer
    from visprep.runs.layout import RunLayout
    from visprep.runs.run_address import open_runs

    place = f"s3://{bucket}/runs"
    with guarded() as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        store = open_runs(place)
        first = Committer(store, RunLayout(), "first", writer="a", stale=0)
        first.claim()
        path = first.new_path(1)
        boto3.client("s3").create_multipart_upload(
            Bucket=bucket, Key=f"runs/{path}", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
        )
        before = len(store.unfinished())
        Committer(store, RunLayout(), "first", writer="b", stale=0).claim()
        assert (before, len(store.unfinished())) == (1, 0)
    assert "s3:AbortMultipartUpload" in asked_for(door)


def test_looking_and_fetching_takes_less(run, bucket, work, guarded):
    execute(TRAINING, bucket)
    place = f"s3://{bucket}/runs"
    with guarded("s3:PutObject", "s3:DeleteObject", "s3:ListBucketMultipartUploads") as door:
        for words in (("list",), ("show",), ("logs",), ("tensorboard",), ("pull", "-o", "out")):
            assert run("runs", words[0], place, *words[1:], "--endpoint-url", door.url).code == 0
    assert asked_for(door) == {"s3:ListBucket", "s3:GetObject"}


def test_without_deleting_all_stays(run, s3_server, bucket, work, guarded, monkeypatch):
    with guarded("s3:DeleteObject") as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        execute(TRAINING.replace("range(3)", "range(6)"), bucket)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    assert "s3:DeleteObject" in asked_for(door)
    keys = [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert len([key for key in keys if "_epoch_" in key]) == 6


# Lifecycle, costs, troubles


def test_all_that_is_written_is_encrypted_as_asked(s3_server, bucket, work, monkeypatch):
    (settings,) = re.findall(r"s3=(visprep\.S3Settings\([^`]*?\))\)`", GUIDE)
    with Door(s3_server) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        how = eval(settings, {"visprep": visprep})
        with runs.RunStore(f"s3://{bucket}/runs", experiment="first", s3=how) as run:
            run.log_metrics({"loss": 1.0}, 1)
            (run.tensorboard_dir / "events.out.tfevents.1.a").write_bytes(record(b"brain.Event:2"))
            for step, size in enumerate((10, 2_500_000)):
                run.save_checkpoint({"weights": torch.zeros(size)}, step, wait=True, is_best=not step)
    making = [
        seen
        for seen in door.seen
        if (seen.method == "PUT" and "partNumber" not in seen.query)
        or (seen.method == "POST" and "uploads" in seen.query)
    ]
    told = {seen.path.rpartition("/")[2].partition("_2")[0].partition("_step")[0] for seen in making}
    assert told == {"checkpoint", "checkpoint_best.pt", "checkpoint_latest.pt", "checkpoints.json", "metrics",
                    "metrics.jsonl", "events.out.tfevents.1.a"}  # fmt: skip
    keys = {seen.headers.get("x-amz-server-side-encryption-aws-kms-key-id") for seen in making}
    assert (keys, {seen.headers.get("x-amz-server-side-encryption") for seen in making}) == (
        {"alias/runs"},
        {"aws:kms"},
    )


def test_the_lifecycle_is_taken(bucket):
    client = boto3.client("s3")
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=LIFECYCLE)
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [one["ID"] for one in rules] == [one["ID"] for one in LIFECYCLE["Rules"]]
    expiring = [one["Filter"]["Prefix"] for one in rules if "Expiration" in one]
    assert not any("runs/checkpoints/".startswith(one) for one in expiring)


def test_how_many_requests_a_save_takes(s3_server, bucket, work, monkeypatch):
    with Door(s3_server) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        with runs.RunStore(f"s3://{bucket}/runs", experiment="first", log_every=600) as run:
            counts = []
            for step, size in enumerate((10, 10, 10, 10_000_000)):
                before = len(door.seen)
                run.save_checkpoint({"weights": torch.zeros(size)}, step, wait=True)
                counts.append(Counter(seen.method == "DELETE" for seen in door.seen[before:])[False])
    parts = -(-40_000_000 // visprep.S3Settings().part_size)
    assert max(counts[1:3]) <= 6
    assert counts[3] <= 6 + parts + 3
    assert f"one more for every {visprep.S3Settings().part_size // 2**20} MiB" in GUIDE


def test_the_troubles_are_errors():
    slugs = [named(cell)[0] for cell, *_ in table(GUIDE, "Slug")]
    assert len(slugs) == len(set(slugs))
    assert set(slugs) <= {page.code for page in visprep.explain() if page.kind == "error"}


def test_the_numbers_are_those_of_the_code():
    import inspect

    defaults = {name: one.default for name, one in inspect.signature(runs.RunStore).parameters.items()}
    assert (defaults["keep_last"], defaults["log_every"], defaults["fallback"]) == (3, 30.0, "runs")
    assert "`keep_last=3`" in GUIDE
    assert (f"After {ending.GRACE:.0f} seconds" in GUIDE, f"{saves._SMALL // 2**20} MiB" in GUIDE) == (True, True)
    assert "30 seconds (`log_every`)" in " ".join(GUIDE.split())


def test_other_endings_are_told():
    from visprep.runs.run_address import ENDINGS

    assert all(f"`{one}`" in GUIDE for one in ENDINGS)
