"""Samples in batches: in worker processes of each kind, with bad images among them, and with the next ones known."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is an extra")
from torch.utils.data import ConcatDataset, DataLoader, DistributedSampler, Subset, random_split

from loader_places import Photographs, drained
from plain_samples import Plain, as_list
from visprep import errors
from visprep.loaders.batches import Batch
from visprep.loaders.warned import DatasetWarning
from visprep.settings import S3Settings


@pytest.fixture(autouse=True)
def old_warnings() -> None:
    # Python 3.12 warns of forks in processes with threads, which is what DataLoader does by default
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)


def plain(place: Photographs, **more: Any) -> Plain:
    return Plain(place.urls, settings=place.settings, **more)


def expected(place: Photographs) -> list[Any]:
    return [(number, number, size) for number, size in enumerate(place.sizes)]


# -- samples


def test_samples_by_any_kind_of_index(photographs: Photographs) -> None:
    dataset, right = plain(photographs), expected(photographs)
    assert [dataset[0], dataset[-1], dataset[np.int64(5)]] == [right[0], right[-1], right[5]]
    assert dataset.__getitems__([3, 3, -1, 0]) == [right[3], right[3], right[-1], right[0]]
    for beyond in (24, -25):
        with pytest.raises(IndexError, match=str(beyond)):
            dataset[beyond]
    with pytest.raises(IndexError):
        Plain(())[0]
    with pytest.raises(TypeError):
        dataset["1"]  # type: ignore[index]
    assert dataset.__getitems__([]) == []
    for again in (pickle.loads(pickle.dumps(dataset)), copy.copy(dataset), copy.deepcopy(dataset)):
        assert again[7] == right[7]
        again.close()


def test_what_wraps_datasets(photographs: Photographs) -> None:
    dataset, right = plain(photographs), expected(photographs)
    first, second = random_split(dataset, [10, 14])
    for wrapped in (Subset(dataset, range(24)), ConcatDataset([first, second])):
        samples = [sample for batch in DataLoader(wrapped, 5, collate_fn=as_list) for sample in batch]
        assert sorted(samples) == right
    parts = [DistributedSampler(dataset, 2, rank, shuffle=False) for rank in range(2)]
    samples = [
        one for part in parts for batch in DataLoader(dataset, 4, sampler=part, collate_fn=as_list) for one in batch
    ]
    assert sorted(samples) == right
    dataset.close()


def test_the_next_batches_set_out_and_come_once(photographs: Photographs) -> None:
    asked: list[str] = []

    class Client:
        def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
            asked.append(Key)
            return photographs.client().get_object(Bucket=Bucket, Key=Key)

    dataset, right = Plain(photographs.urls, s3_client=Client()), expected(photographs)
    first, second = Batch([0, 1], upcoming=(2, 3)), Batch([2, 3])
    assert dataset.__getitems__(first) == right[:2]
    deadline = time.monotonic() + 20
    while len(asked) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(asked) == 4
    assert dataset.__getitems__(second) == right[2:4]
    assert sorted(asked) == [f"images/000{number}.jpg" for number in range(4)]
    dataset.close()


def test_a_cache_spares_the_second_fetch(photographs: Photographs, tmp_path: Path) -> None:
    dataset, right = plain(photographs, local_cache_dir=tmp_path / "cache"), expected(photographs)
    assert dataset.__getitems__([0, 1, 0]) == [right[0], right[1], right[0]]
    photographs.remove(0)
    photographs.remove(5)
    assert dataset.__getitems__([0, 1, 5]) == [right[0], right[1], None]
    photographs.spoil(6)
    assert dataset[6] is None
    photographs.put("images/0006.jpg", photographs.data[6])
    assert dataset[6] == right[6]  # what does not decode is not kept
    dataset.close()
    with pytest.raises(errors.UsageError, match="cache"):
        plain(photographs, cache=dataset.cache, max_cache_size=3)


# -- worker processes


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_after_the_parent_has_read(method: str, photographs: Photographs) -> None:
    photographs.spoil(4)
    photographs.remove(9)
    dataset, right = plain(photographs), expected(photographs)
    right[4] = right[9] = None
    assert dataset[3] == right[3]
    workers = 1 if method == "spawn" else 2  # each begins with the imports
    loader = DataLoader(
        dataset, 5, num_workers=workers, collate_fn=as_list, multiprocessing_context=method, persistent_workers=True
    )
    for _ in range(2):
        assert [sample for batch in loader for sample in batch] == right
    assert dataset[3] == right[3]
    assert sorted(failure.index for failure in dataset.failures) == [4, 9]
    assert {failure.reason for failure in dataset.failures} == {"wrong-content", "file-missing"}
    dataset.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_workers_raise_says_what_to_do(method: str, photographs: Photographs) -> None:
    photographs.remove(9)
    dataset = plain(photographs, handle_errors="raise")
    loader = DataLoader(dataset, 8, num_workers=1, collate_fn=as_list, multiprocessing_context=method)
    with pytest.raises(errors.FileMissing, match=rf"s3://{photographs.bucket}/images/0009\.jpg"):
        drained(loader)
    nowhere = Plain(("s3://no-such-bucket-at-all/key",), settings=photographs.settings)
    with pytest.raises(errors.PlaceMissing, match=r"'no-such-bucket-at-all'[\s\S]*check its name"):
        drained(DataLoader(nowhere, num_workers=1, collate_fn=as_list, multiprocessing_context=method))


def test_the_budget_is_one_for_all_workers(photographs: Photographs) -> None:
    for number in (1, 7, 13, 19):
        photographs.spoil(number)
    fine = plain(photographs, max_failures=4)
    for _ in range(2):  # the same ones do not count again
        assert drained(DataLoader(fine, 6, num_workers=2, collate_fn=as_list)).count(None) == 4
    for most in (3, 0.125):
        dataset = plain(photographs, max_failures=most)
        with pytest.raises(errors.TooManyFailures, match=r"4 of 24 samples failed, 3 may: s3://[\s\S]*write_failures"):
            drained(DataLoader(dataset, 6, num_workers=2, collate_fn=as_list))
    with pytest.raises(errors.TooManyFailures):
        plain(photographs, max_failures=0)[1]


def test_a_killed_worker_ends_the_training_and_leaves_the_dataset_fine(photographs: Photographs) -> None:
    dataset, right = plain(photographs), expected(photographs)
    loader = DataLoader(dataset, 2, num_workers=1, collate_fn=as_list, multiprocessing_context="fork")
    batches = iter(loader)
    assert next(batches) == right[:2]
    os.kill(batches._workers[0].pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"killed|exited"):
        list(batches)
    assert [sample for batch in loader for sample in batch] == right
    dataset.close()


# -- bad samples


@pytest.mark.parametrize("how", ["skip", "return_none"])
def test_none_for_a_bad_image(how: Any, photographs: Photographs, tmp_path: Path) -> None:
    right = expected(photographs)
    photographs.spoil(1)
    photographs.spoil(2, photographs.data[2][:-20])
    dataset = plain(photographs, handle_errors=how)
    assert dataset.__getitems__([0, 1, 2, 3]) == [right[0], None, None, right[3]]
    assert dataset[1] is None
    dataset.write_failures(tmp_path / "failures.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert [(line["index"], line["url"], line["reason"]) for line in lines] == [
        (1, photographs.urls[1], "wrong-content"),
        (2, photographs.urls[2], "wrong-content"),
    ]
    assert "end mark is missing" in lines[1]["message"]


@pytest.mark.filterwarnings("ignore::visprep.loaders.DatasetWarning")
def test_another_sample_for_a_bad_one(photographs: Photographs) -> None:
    bad = range(0, 24, 2)
    for number in bad:
        photographs.spoil(number)
    dataset = plain(photographs, handle_errors="replace")
    drawn = [dataset[number] for number in bad]
    assert all(sample[0] % 2 for sample in drawn)
    assert len({sample[0] for sample in drawn}) > 3
    again = plain(photographs, handle_errors="replace")
    assert [again[number] for number in reversed(bad)] == drawn[::-1]
    assert {failure.index for failure in again.failures} == set(bad)
    other = plain(photographs, handle_errors="replace", seed=1)
    assert [other[number] for number in bad] != drawn
    for number in range(24):
        photographs.spoil(number)
    with pytest.raises(errors.WrongContent, match=r"images/0000\.jpg"):
        plain(photographs, handle_errors="replace")[0]


def test_what_meets_every_sample_is_raised_at_once(photographs: Photographs) -> None:
    url = photographs.endpoint
    for settings, kind in [
        (S3Settings(endpoint_url=url), errors.CredentialsError),
        (S3Settings(endpoint_url=url, profile="none"), errors.CredentialsError),
        (S3Settings(endpoint_url="nonsense", access_key="a", secret_key="b"), errors.UsageError),
    ]:
        with pytest.raises(kind):
            Plain(photographs.urls, settings=settings)[0]
    dataset = Plain(("s3://Bad_Name/x", "/no/such.jpg", "s3://only-bucket"), settings=photographs.settings)
    assert dataset.__getitems__([0, 1, 2]) == [None] * 3
    assert [failure.reason for failure in dataset.failures] == ["bad-place", "file-missing", "bad-place"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"handle_errors": "ignore"}, "return_none"),
        ({"exif": "no"}, "rotate"),
        ({"max_failures": -1}, "count"),
        ({"max_failures": 1.5}, "fraction"),
        ({"max_failures": "3"}, "count"),
        ({"max_failures": float("nan")}, "fraction"),
        ({"in_flight": 0}, "from 1 on"),
        ({"in_flight": "8"}, "from 1 on"),
        ({"max_cache_size": "8"}, "from 1 on"),
        ({"max_cache_bytes": 0.5}, "from 1 on"),
        ({"decode_threads": True}, "from 1 on"),
        ({"shrink_to": 5}, "width"),
        ({"shrink_to": (5, "8")}, "width"),
        ({"s3_client": object()}, "boto3"),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.UsageError) as raised:
        Plain((), **wrong)
    assert said in str(raised.value.hint)


def test_an_argument_that_there_is_not() -> None:
    for name, said in (("s3_region", "S3Settings(region=...)"), ("frames_dir", "first argument"), ("foo", "")):
        with pytest.raises(TypeError, match=rf"^Plain\(\) got an unexpected keyword argument '{name}'") as raised:
            Plain((), **{name: "x"})
        assert said in "".join(getattr(raised.value, "__notes__", ()))


def test_hints_are_for_python(photographs: Photographs) -> None:
    photographs.remove(1)
    photographs.spoil(2, photographs.data[2][:-20])
    dataset = plain(photographs, handle_errors="raise")
    for number, kind, words in ((1, errors.FileMissing, "check the name"), (2, errors.WrongContent, "visprep verify")):
        with pytest.raises(kind) as raised:
            dataset[number]
        assert words in str(raised.value.hint)
        assert raised.value.__notes__ == [raised.value.hint]
    nowhere = Plain(("s3://no-such-bucket-at-all/key",), settings=photographs.settings)
    keyless = Plain(photographs.urls, settings=S3Settings(endpoint_url=photographs.endpoint))
    for one, words in ((nowhere, "S3Settings(endpoint_url=...)"), (keyless, "S3Settings(no_sign_request=True)")):
        with pytest.raises(errors.VisprepError) as raised:
            one[0]
        assert words in str(raised.value.hint)
        assert "--" not in str(raised.value.hint)


def test_many_bad_samples_are_told_of_once(photographs: Photographs) -> None:
    settings = photographs.settings
    dataset = Plain(tuple(f"s3://{photographs.bucket}/no/{n}.jpg" for n in range(24)), settings=settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataset.__getitems__(list(range(9))) == [None] * 9
        assert dataset[3] is None  # the same one is no tenth
    with pytest.warns(DatasetWarning, match=rf"10 samples .*s3://{photographs.bucket}/no/9\.jpg.*\[file-missing\]"):
        assert dataset[9] is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataset[10] is None


def test_no_file_of_failures_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    script = (
        "import os, signal; from plain_samples import Plain; d = Plain(('/no.jpg',)); d[0]; os.kill(os.getpid(), 9)"
    )
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
    assert subprocess.run([sys.executable, "-c", script], env=here, check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.glob("visprep-failures-*")
    dataset = Plain(("/no.jpg",))
    assert not left.exists()
    pickled = pickle.dumps(dataset)
    del dataset
    assert not list(tmp_path.glob("visprep-failures-*"))
    dataset = pickle.loads(pickled)
    assert (dataset[0], len(dataset.failures)) == (None, 1)
    (own,) = tmp_path.glob("visprep-failures-*")
    assert own.stat().st_mode & 0o777 == 0o600
    own.unlink()
    other = pickle.loads(pickle.dumps(dataset))
    assert other[0] is None
    del dataset, other
    assert not list(tmp_path.glob("visprep-failures-*"))


def test_the_file_of_failures_goes_with_the_dataset(
    photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    photographs.spoil(0)
    dataset = plain(photographs)
    assert dataset[0] is None
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    dataset.close()
    del dataset
    assert list((tmp_path / "temporary").iterdir()) == []
    (tmp_path / "temporary").rmdir()
    dataset = plain(photographs)
    assert (dataset[0], [failure.index for failure in dataset.failures]) == (None, [0])
