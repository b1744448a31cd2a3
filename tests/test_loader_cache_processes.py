"""One cache in many processes: no wrong byte, nothing beyond the bounds, nothing left behind, whoever is killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from visprep.loaders.cache import ImageCache
from visprep.loaders.fetch import ImageFile

IMAGES, KEPT = 60, 25


def image(number: int) -> tuple[ImageFile, bytes]:
    return ImageFile(f"s3://bucket/{number}.jpg"), b"%d|" % number * (500 + number * 40)


def churn(cache: ImageCache, seed: int, steps: int) -> int:
    """Get and put at random; how many bytes were wrong."""
    draw, wrong = random.Random(seed), 0
    for step in range(steps):
        file, data = image(draw.randrange(IMAGES))
        next_use = step + draw.randrange(IMAGES)
        found = cache.get(file, next_use)
        if found is None:
            cache.put(file, data, next_use, step)
        else:
            wrong += found != data
    return wrong


def work(cache: ImageCache, seed: int, steps: int) -> None:
    sys.exit(churn(cache, seed, steps))


def churn_for_ever(cache: ImageCache, seed: int) -> None:
    while not churn(cache, seed, 1000):
        seed += 100
    sys.exit(1)


def check(cache: ImageCache) -> None:
    """That what is on disk is what the cache believes, within its bounds, and every byte right."""
    cache.put(*image(0), next_use=1)
    files = [path for path in Path(cache.directory).glob("??/*") if path.is_file()]
    assert len(files) == cache.count <= KEPT
    assert sum(path.stat().st_size for path in files) == cache.held
    found = [number for number in range(IMAGES) if cache.get(image(number)[0]) is not None]
    assert len(found) == len(files)
    assert all(cache.get(image(number)[0]) == image(number)[1] for number in found)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of temporary files that nobody else has."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    monkeypatch.undo()
    tempfile.tempdir = None


def script(text: str, *arguments: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    """Run a program whose first lines import the cache, with `temporary` for temporary files."""
    head = (
        "import os, signal, sys\nfrom visprep.loaders.cache import ImageCache\n"
        "from visprep.loaders.fetch import ImageFile\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + text, *arguments],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("method", "policy"), [("fork", "lru"), ("fork", "ordered"), ("spawn", "lru"), ("forkserver", "ordered")]
)
def test_four_processes_under_churn(tmp_path: Path, method: str, policy: Any):
    cache = ImageCache(tmp_path, max_files=KEPT, policy=policy)
    churn(cache, 0, 50)  # the parent has used it before
    context: Any = multiprocessing.get_context(method)
    processes = [context.Process(target=work, args=(cache, seed, 500)) for seed in range(1, 5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    stats = cache.stats()
    assert stats.hits + stats.misses == 4 * 500 + 50
    assert (stats.corrupt, stats.faults) == (0, 0)
    check(cache)


@pytest.mark.parametrize("policy", ["lru", "ordered"])
def test_processes_killed_at_any_moment(tmp_path: Path, policy: Any):
    cache = ImageCache(tmp_path, max_files=KEPT, policy=policy)
    context = multiprocessing.get_context("fork")
    for turn in range(12):
        processes = [context.Process(target=churn_for_ever, args=(cache, turn * 3 + n)) for n in range(3)]
        for process in processes:
            process.start()
        time.sleep(0.05 + turn * 0.007)
        for process in processes:
            assert process.is_alive()
            process.kill()
        for process in processes:
            process.join()
        check(cache)
    left = os.listdir(tmp_path / "writing")
    after = ImageCache(tmp_path, max_files=KEPT, policy=policy)
    assert os.listdir(tmp_path / "writing") == [], left
    assert cache.stats().corrupt == 0
    check(after)


def test_a_process_killed_in_the_middle_of_a_change(tmp_path: Path):
    # What such a process leaves, made by hand: an entry that the table does not know, and the mark of a change
    cache = ImageCache(tmp_path, max_files=KEPT)
    churn(cache, 0, 100)
    program = """
cache = ImageCache(sys.argv[1], max_files=25)
with cache._opened().index.changing() as table:
    table.remove(table.find(table.name_at(int(table.sizes_array.argmax()))))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = script(program, str(tmp_path), temporary=tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    check(cache)


@pytest.mark.parametrize("policy", ["lru", "ordered"])
def test_a_use_noted_where_an_entry_was_until_now(tmp_path: Path, policy: Any):
    # Whoever notes a use has no lock, so the slot that it looked up may be empty when it writes
    cache = ImageCache(tmp_path, max_files=KEPT, policy=policy)
    churn(cache, 0, 200)
    table = cache._opened().index.table
    assert cache.count == KEPT
    free = [slot for slot in range(table.slots) if not table.sizes[slot]][:3]
    for slot in free:
        table.used[slot], table.due[slot] = 1, 2**61
    churn(cache, 1, 200)
    assert all(table.used[slot] != 1 for slot in free)
    check(cache)


def test_a_half_written_entry_of_a_dead_process_is_swept_and_that_of_a_living_one_is_not(tmp_path: Path):
    cache = ImageCache(tmp_path)
    cache.put(*image(1))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    writing = tmp_path / "writing"
    (writing / f"{dead.pid}-1-0").write_bytes(b"half")
    (writing / f"{os.getpid()}-1-0").write_bytes(b"of another that had this number")
    (writing / f"{os.getpid()}-{mine}-77").write_bytes(b"half")
    (writing / "notes.txt").write_bytes(b"not ours")
    ImageCache(tmp_path)
    assert sorted(os.listdir(writing)) == sorted([f"{os.getpid()}-{mine}-77", "notes.txt"])


def test_a_fork_while_another_thread_is_at_work(tmp_path: Path):
    cache = ImageCache(tmp_path, max_files=KEPT)
    ended = threading.Event()

    def busy() -> None:
        while not ended.is_set():
            churn(cache, 1, 20)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(15):
            if (child := os.fork()) == 0:
                os._exit(churn(cache, turn, 60))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    check(cache)


def test_a_directory_of_its_own_goes_with_close_and_with_the_last_reference(temporary: Path):
    cache = ImageCache()
    cache.put(*image(1))
    assert Path(cache.directory).parent == temporary
    assert Path(cache.directory).stat().st_mode & 0o777 == 0o700
    cache.close()
    assert not Path(cache.directory).exists()
    cache.put(*image(1))
    assert cache.get(image(1)[0]) is None
    assert not Path(cache.directory).exists()

    cache = ImageCache()
    directory, copy = Path(cache.directory), pickle.loads(pickle.dumps(cache))
    cache.put(*image(1))
    del cache
    assert copy.get(image(1)[0]) == image(1)[1]
    del copy
    assert not directory.exists()


def test_a_given_directory_stays_and_the_next_run_finds_it(tmp_path: Path):
    program = """
cache = ImageCache(sys.argv[1])
print(cache.get(ImageFile("a")), cache.stats().hits)
cache.put(ImageFile("a"), b"bytes")
cache.close()
"""
    kept = tmp_path / "deep" / "kept"
    assert script(program, str(kept), temporary=tmp_path).stdout == "None 0\n"
    assert script(program, str(kept), temporary=tmp_path).stdout == "b'bytes' 1\n"


def test_the_process_that_made_it_removes_it_at_exit_and_no_other(temporary: Path):
    program = """
import multiprocessing, pathlib
def end(cache): cache.put(ImageFile("b"), b"bytes")
if __name__ == "__main__":
    cache = ImageCache()
    cache.put(ImageFile("a"), b"bytes")
    if os.fork() == 0:
        assert cache.get(ImageFile("a")) == b"bytes"
        sys.exit(0)  # runs what is registered for the exit
    assert os.wait()[1] == 0
    import subprocess, pickle
    text = "import pickle, sys; cache = pickle.loads(sys.stdin.buffer.read()); print(len(cache.get(cache.wanted)))"
    cache.wanted = ImageFile("a")
    child = subprocess.run([sys.executable, "-c", text], input=pickle.dumps(cache), capture_output=True, check=True)
    print(child.stdout.decode().strip(), cache.get(ImageFile("a")), os.listdir(os.environ["TMPDIR"]) != [])
"""
    done = script(program, temporary=temporary)
    assert done.stdout == "5 b'bytes' True\n", done.stderr
    assert os.listdir(temporary) == []


def test_what_a_killed_process_left_is_swept_by_the_next(temporary: Path):
    program = "cache = ImageCache()\ncache.put(ImageFile('a'), b'b')\nos.kill(os.getpid(), signal.SIGKILL)\n"
    assert script(program, temporary=temporary).returncode == -signal.SIGKILL
    [left] = os.listdir(temporary)
    mine = ImageCache()
    another = ImageCache()
    assert sorted(os.listdir(temporary)) == sorted(Path(cache.directory).name for cache in (mine, another))
    assert left.startswith("visprep-cache-")


def test_the_children_of_a_killed_process_keep_what_they_use(temporary: Path):
    program = """
cache = ImageCache()
cache.put(ImageFile("a"), b"bytes")
if os.fork() == 0:
    sys.stdin.read()
    print(cache.get(ImageFile("a")), flush=True)
    os._exit(0)
print("made", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    head = "import os, signal, sys\nfrom visprep.loaders.cache import ImageCache\n"
    head += "from visprep.loaders.fetch import ImageFile\n"
    process = subprocess.Popen(
        [sys.executable, "-c", head + program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == "made\n"
    assert process.wait() == -signal.SIGKILL
    mine = ImageCache()
    process.stdin.close()
    assert process.stdout.read() == "b'bytes'\n"
    process.stdout.close()
    after = ImageCache()
    assert sorted(os.listdir(temporary)) == sorted(Path(cache.directory).name for cache in (mine, after))


def test_two_runs_with_other_policies_share_a_directory(tmp_path: Path):
    policies: list[Any] = ["lru", "ordered", "static"]
    caches = [ImageCache(tmp_path, max_files=KEPT, policy=policy) for policy in policies]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(cache, n, 500)) for n, cache in enumerate(caches)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 3
    check(caches[0])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if made.returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_that_becomes_full(small_disk: Path):
    cache = ImageCache(small_disk)

    def fill(cache: ImageCache) -> None:
        for number in range(20):
            cache.put(ImageFile(str(number)), b"%02d" % number * 45_000)

    with pytest.warns(RuntimeWarning, match="No space left on device") as told:
        fill(cache)
    assert len(told) == 1
    assert cache.count > 5
    assert os.listdir(small_disk / "writing") == []
    found = [number for number in range(20) if cache.get(ImageFile(str(number))) == b"%02d" % number * 45_000]
    assert found == list(range(cache.count))


def test_a_disk_that_is_full_already(small_disk: Path):
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "large").write_bytes(bytes(2_000_000))
    with pytest.warns(RuntimeWarning, match="No space left on device") as told:
        cache = ImageCache(small_disk / "cache")
    cache.put(*image(1))
    assert cache.get(image(1)[0]) is None
    assert len(told) == 1
