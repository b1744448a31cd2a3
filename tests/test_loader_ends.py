"""The end of a loader: nothing of it is left, however it came; and while it works, its memory stays as it is."""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loader_places import Photographs, jpeg
from plain_samples import Plain, as_list

torch = pytest.importorskip("torch", reason="torch is an extra")

from visprep.loaders import make_loader  # noqa: E402

PROC = Path("/proc")
on_linux = pytest.mark.skipif(not (PROC / "self/fd").exists(), reason="only Linux tells what a process holds")


@pytest.fixture(autouse=True)
def old_warnings() -> None:
    # Python 3.12 warns of forks in processes with threads, which is what DataLoader does by default
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)


def held() -> tuple[list[str], list[str], list[Any]]:
    """Threads, open files and sockets, and child processes."""
    files = []
    for file in (PROC / "self/fd").iterdir():
        try:
            files.append(str(file.readlink()))
        except OSError:  # that of this very look
            continue
    threads = [thread.name for thread in threading.enumerate()]
    return sorted(threads), sorted(files), multiprocessing.active_children()


def soon(true: Callable[[], bool]) -> bool:
    """Whether something becomes true: what the garbage collector ends takes a moment."""
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    return true()


def small(place: Photographs, workers: int) -> Any:
    dataset = Plain(place.urls, settings=place.settings, max_cache_size=10, decode_threads=2)
    return make_loader(dataset, 4, num_workers=workers, collate_fn=as_list)


@pytest.fixture
def before(photographs: Photographs) -> Any:
    """What is held with everything loaded, and nothing under way."""
    for workers in (0, 2):
        with small(photographs, workers) as loader:
            assert len(list(loader)) == 6
    del loader
    gc.collect()
    return held()


@on_linux
@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_is_left_after_the_end(workers: int, photographs: Photographs, before: Any) -> None:
    loader = small(photographs, workers)
    for _ in range(2):  # closed, it can be used again
        next(iter(loader))
        assert held() != before
        loader.close()
        loader.close()
    del loader
    assert soon(lambda: held() == before), (held(), before)


@on_linux
@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_is_left_after_garbage_collection(workers: int, photographs: Photographs, before: Any) -> None:
    loader = small(photographs, workers)
    batches = iter(loader)
    next(batches)
    next(batches)
    assert held() != before
    del loader, batches
    assert soon(lambda: held() == before), (held(), before)


@on_linux
@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_is_left_after_an_error_in_the_loop(workers: int, photographs: Photographs, before: Any) -> None:
    def train(closing: bool) -> None:
        loader = small(photographs, workers)
        if closing:
            with loader:
                for _ in loader:
                    raise ArithmeticError
        for _ in loader:
            raise ArithmeticError

    for closing in (True, False):
        with pytest.raises(ArithmeticError):
            train(closing)
        assert soon(lambda: held() == before), (held(), before)


INTERRUPTED = """
import sys, time, torch
from plain_samples import Plain, as_list
from visprep import S3Settings
from visprep.loaders import make_loader

workers, methods, endpoint, *urls = sys.argv[1:]
settings = S3Settings(endpoint_url=endpoint, access_key="testing", secret_key="testing", region="us-east-1")
more = [{"num_workers": int(workers), "multiprocessing_context": method} for method in methods.split()]
loaders = [make_loader(Plain(tuple(urls), settings=settings), 2, collate_fn=as_list, **one) for one in more or [{}]]
while True:
    for number, batches in enumerate(zip(*loaders)):
        if number == 2:
            print("at work", flush=True)
"""


def at_work(place: Photographs, workers: int, *methods: str) -> subprocess.Popen[str]:
    """A training that has had some batches, from a loader for each way to start workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(workers), " ".join(methods), place.endpoint, *place.urls],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, as a terminal gives it
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout
    assert process.stdout.readline() == "at work\n"
    return process


@on_linux
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_ends_all_processes(workers: int, photographs: Photographs) -> None:
    process = at_work(photographs, workers, *["fork"] * (workers > 0))
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, words = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT
    assert words.rstrip().endswith("KeyboardInterrupt")
    assert soon(lambda: not _of_group(process.pid))


@on_linux
def test_no_worker_outlives_a_parent_that_was_killed(photographs: Photographs) -> None:
    process = at_work(photographs, 1, "fork", "spawn", "forkserver")
    assert len(_of_group(process.pid)) >= 4
    process.kill()
    try:
        assert soon(lambda: not _of_group(process.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _of_group(group: int) -> list[str]:
    found = []
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[2]) == group and words[0] != "Z":
            found.append(stat.parent.name)
    return found


TWENTY_EPOCHS = """
import gc, json, multiprocessing, os, sys
from plain_samples import Plain, as_list
from visprep.loaders import make_loader

def private(pid):
    lines = open(f"/proc/{pid}/smaps_rollup").read().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

workers, *paths = sys.argv[1:]
more = dict(weights=[1.0] * len(paths), draws=300, collate_fn=as_list, ahead=2)
with make_loader(Plain(tuple(paths)), 20, num_workers=int(workers), **more) as loader:
    for epoch in range(1, 21):
        assert sum(map(len, loader)) == 300
        gc.collect()
        pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
        print(json.dumps({pid: private(pid) for pid in pids}))
"""


@on_linux
@pytest.mark.parametrize("workers", [0, 2])
def test_memory_stays_as_it_is_over_twenty_epochs(workers: int, tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    paths = [str(path) for path in tmp_path.iterdir()]
    ended = subprocess.run(
        [sys.executable, "-c", TWENTY_EPOCHS, str(workers), *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr
    epochs = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [len(sizes) for sizes in epochs] == [1 + workers] * 20
    for pid, size in epochs[-1].items():
        # Of 5,100 samples, or half as many in a worker; a forked one comes to own pages that it only looked at
        assert size - epochs[2][pid] < 1_500_000
