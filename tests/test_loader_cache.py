"""The cache of images: what it keeps, what it lets go, and what it never believes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from visprep.errors import AccessDenied, DiskError, UsageError
from visprep.loaders.cache import ImageCache
from visprep.loaders.fetch import ImageFile
from visprep.loaders.next_uses import NEVER


def image(number: int, length: int = 1000) -> tuple[ImageFile, bytes]:
    """An image, and bytes that belong to no other."""
    return ImageFile(f"s3://bucket/{number}.jpg"), (b"%d|" % number * length)[:length]


def fill(cache: ImageCache, numbers: range | list[int], length: int = 1000) -> None:
    for number in numbers:
        cache.put(*image(number, length))


def held(cache: ImageCache, numbers: range) -> list[int]:
    """Those that it has, each with the bytes that are its own; this is a use of them."""
    found = []
    for number in numbers:
        data = cache.get(image(number)[0])
        if data is not None:
            assert data == image(number, len(data))[1]
            found.append(number)
    return found


def entry_files(cache: ImageCache) -> list[Path]:
    return sorted(path for path in Path(cache.directory).glob("??/*") if path.is_file())


def test_what_was_put_comes_back_and_nothing_else_does(tmp_path: Path):
    cache = ImageCache(tmp_path)
    file, data = image(1)
    assert cache.get(file) is None
    cache.put(file, data)
    assert cache.get(file) == data
    assert cache.get(ImageFile(file.url, version="sha256:other")) is None
    assert cache.get(ImageFile(file.url, size=7)) is None
    assert cache.get(image(2)[0]) is None
    cache.put(image(3)[0], b"")
    assert cache.get(image(3)[0]) == b""


@pytest.mark.parametrize("byte", [b"\x7f", b"\xff", b"\x01"])
def test_damaged_counts_do_not_stop_it(tmp_path: Path, byte: bytes):
    cache = ImageCache(tmp_path)
    fill(cache, [1])
    cache.close()
    counts = tmp_path / "counts"
    counts.write_bytes(byte * counts.stat().st_size)
    again = ImageCache(tmp_path)
    assert held(again, range(3)) == [1]
    assert (again.stats().hits, again.stats().misses) == (1, 2)


def test_what_is_put_again_takes_the_place_of_what_was(tmp_path: Path):
    cache = ImageCache(tmp_path, max_files=2)
    fill(cache, [1, 2])
    cache.put(image(1)[0], b"other")
    assert (cache.get(image(1)[0]), cache.count, len(entry_files(cache))) == (b"other", 2, 2)
    assert cache.held == sum(path.stat().st_size for path in entry_files(cache))


def test_lru_lets_go_what_was_not_used_for_longest(tmp_path: Path):
    cache = ImageCache(tmp_path, max_files=3)
    fill(cache, range(3))
    cache.get(image(0)[0])
    fill(cache, [3])
    assert held(cache, range(4)) == [0, 2, 3]


def test_static_keeps_what_came_first(tmp_path: Path):
    cache = ImageCache(tmp_path, max_files=3, policy="static")
    fill(cache, range(6))
    assert held(cache, range(6)) == [0, 1, 2]
    assert cache.stats().evictions == 0


def test_ordered_lets_go_what_is_needed_last_and_never_takes_what_is_needed_later(tmp_path: Path):
    cache = ImageCache(tmp_path, max_files=2, policy="ordered")
    cache.put(*image(0), next_use=10)
    cache.put(*image(1), next_use=20)
    cache.put(*image(2), next_use=30)
    assert held(cache, range(3)) == [0, 1]
    cache.put(*image(3), next_use=15)
    assert held(cache, range(4)) == [0, 3]
    cache.get(image(0)[0], next_use=40)
    cache.put(*image(4), next_use=35)
    assert held(cache, range(5)) == [3, 4]
    cache.put(*image(5), next_use=NEVER)
    assert held(cache, range(6)) == [3, 4]


def test_ordered_lets_go_first_what_should_have_been_used_by_now(tmp_path: Path):
    cache = ImageCache(tmp_path, max_files=2, policy="ordered")
    cache.put(*image(0), next_use=10)
    cache.put(*image(1), next_use=1000)
    cache.put(*image(2), next_use=2000, now=500)
    assert held(cache, range(3)) == [1, 2]


def test_ordered_without_an_order_keeps_what_came_first(tmp_path: Path):
    cache = ImageCache(tmp_path, max_files=3, policy="ordered")
    fill(cache, range(6))
    assert held(cache, range(6)) == [0, 1, 2]


def test_a_use_that_was_noted_where_an_entry_had_been_is_no_entry(tmp_path: Path):
    for policy in ("lru", "ordered"):
        cache = ImageCache(tmp_path / policy, max_files=3, policy=policy)  # type: ignore[arg-type]
        for number in range(3):
            cache.put(*image(number), next_use=10 + number)
        opened = cache._opened()
        assert opened
        table = opened.index.table
        # As a process leaves it that had found the slot before another one freed it
        slot = int(table.sizes_array.argmin())
        table.used[slot], table.due[slot] = 1, 1_000
        for number in range(3, 6):
            cache.put(*image(number), next_use=5)
        assert cache.count == len(entry_files(cache)) == len(held(cache, range(6))) == 3
        assert cache.held == sum(path.stat().st_size for path in entry_files(cache))


@pytest.mark.parametrize("policy", ["lru", "static", "ordered"])
def test_bounds_hold_by_count_and_by_bytes(tmp_path: Path, policy: str):
    cache = ImageCache(tmp_path, max_files=7, max_bytes=20_000, policy=policy)  # type: ignore[arg-type]
    for number in range(60):
        cache.put(*image(number, 1000 + number % 7 * 900), next_use=60 - number)
        assert len(entry_files(cache)) == cache.count <= 7
        assert sum(path.stat().st_size for path in entry_files(cache)) == cache.held <= 20_000
    assert cache.count >= 3


def test_what_is_larger_than_the_cache_pushes_nothing_out(tmp_path: Path):
    cache = ImageCache(tmp_path, max_bytes=5_000)
    fill(cache, range(3))
    cache.put(*image(9, 6_000))
    assert held(cache, range(10)) == [0, 1, 2]


def test_a_smaller_bound_than_the_last_time_is_kept_to(tmp_path: Path):
    fill(ImageCache(tmp_path, max_files=100), range(100))
    cache = ImageCache(tmp_path, max_files=5)
    fill(cache, [100])
    assert held(cache, range(101)) == [96, 97, 98, 99, 100]


def test_many_more_than_the_first_table_holds(tmp_path: Path):
    cache = ImageCache(tmp_path, max_files=1500)
    fill(cache, range(2000), 10)
    assert held(ImageCache(tmp_path, max_files=1500), range(2000)) == list(range(500, 2000))
    assert len(entry_files(cache)) == 1500


def flipped(data: bytes) -> bytes:
    return data[:500] + bytes([data[500] ^ 1]) + data[501:]


SPOILT = {
    "a byte flipped": flipped,
    "a byte of the header flipped": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "cut": lambda data: data[:-1],
    "cut in the header": lambda data: data[:10],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"x",
    "foreign": lambda data: b"hello",
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_corrupt_entry_is_not_believed_and_can_be_put_again(tmp_path: Path, how: str):
    cache = ImageCache(tmp_path)
    fill(cache, [1, 2])
    file, data = image(1)
    [path] = [path for path in entry_files(cache) if data in path.read_bytes()]
    path.write_bytes(SPOILT[how](path.read_bytes()))
    assert cache.get(file) is None
    assert not path.exists()
    assert (cache.stats().corrupt, cache.count) == (1, 1)
    cache.put(file, data)
    assert held(cache, range(3)) == [1, 2]


def test_an_entry_in_the_place_of_another_is_not_believed(tmp_path: Path):
    cache = ImageCache(tmp_path)
    fill(cache, [1, 2])
    one, two = entry_files(cache)
    one.write_bytes(two.read_bytes())
    assert len(held(cache, range(3))) == 1


INDEX_SPOILT = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:2000]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "noise": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
    "sizes changed": lambda path: path.write_bytes(path.read_bytes()[:-20_000] + b"\1" * 20_000),
}


@pytest.mark.parametrize("how", INDEX_SPOILT)
def test_a_damaged_index_is_made_anew_from_what_is_there(tmp_path: Path, how: str):
    fill(ImageCache(tmp_path, max_files=20), range(20))
    INDEX_SPOILT[how](tmp_path / "index")
    cache = ImageCache(tmp_path, max_files=20)
    fill(cache, range(20, 30))
    assert (cache.count, len(entry_files(cache))) == (20, 20)
    assert set(range(20, 30)) < set(held(cache, range(30)))


def test_a_directory_that_somebody_empties_is_filled_again(tmp_path: Path):
    import shutil

    cache, other = ImageCache(tmp_path / "c", max_files=5), ImageCache(tmp_path / "c", max_files=5)
    fill(cache, range(5))
    assert held(other, range(5)) == [0, 1, 2, 3, 4]
    shutil.rmtree(tmp_path / "c")
    for number in range(5, 20):
        (cache if number % 2 else other).put(*image(number))
    assert held(cache, range(20)) == held(other, range(20))
    assert len(entry_files(cache)) == 5


def test_counts_of_a_directory_that_was_removed_begin_again(tmp_path: Path):
    import shutil

    fill(cache := ImageCache(tmp_path / "c"), range(3))
    assert held(cache, range(9)) == [0, 1, 2]
    later = ImageCache(tmp_path / "c")
    assert (later.stats().puts, pickle.loads(pickle.dumps(later)).stats().hits) == (0, 0)
    shutil.rmtree(tmp_path / "c")
    later.put(*image(0))  # sees that it is gone
    later.put(*image(1))
    assert held(later, range(3)) == [1]
    for cache in (later, pickle.loads(pickle.dumps(later))):
        assert (cache.stats().puts, cache.stats().hits, cache.stats().misses) == (1, 1, 2)


def test_two_caches_on_one_directory_are_one(tmp_path: Path):
    one, two = ImageCache(tmp_path, max_files=10), ImageCache(tmp_path, max_files=10)
    fill(one, range(6))
    fill(two, range(6, 12))
    assert held(one, range(12)) == held(two, range(12)) == list(range(2, 12))
    assert one.count == two.count == len(entry_files(one)) == 10


def test_many_threads_of_one_process(tmp_path: Path):
    cache = ImageCache(tmp_path, max_files=20)
    wrong: list[object] = []

    def work(first: int) -> None:
        for step in range(300):
            file, data = image((first * 7 + step * 13) % 40)
            found = cache.get(file)
            if found is None:
                cache.put(file, data)
            elif found != data:
                wrong.append(file)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = cache.stats()
    assert not wrong
    assert stats.hits + stats.misses == 6 * 300
    assert len(entry_files(cache)) == cache.count == 20
    assert stats.faults == 0


def test_the_hit_rate_is_of_bytes_and_between_two_moments(tmp_path: Path):
    cache = ImageCache(tmp_path)
    assert cache.stats().hit_rate == 0.0
    fill(cache, [1], 3000)
    before = cache.stats()
    cache.get(image(1)[0])
    fill(cache, [2], 1000)
    after = cache.stats() - before
    assert (after.requested_bytes, after.fetched_bytes, after.hits) == (4000, 1000, 1)
    assert after.hit_rate == 0.75
    assert ImageCache(tmp_path).stats().requested_bytes == 0


def test_limits_and_policies_that_make_no_sense(tmp_path: Path):
    for wrong in (
        {"max_files": 0}, {"max_bytes": 0},
        {"max_files": "10"}, {"max_files": 2.5}, {"max_files": True}, {"max_bytes": "1G"},
        {"directory": ""}, {"directory": "s3://bucket/cache"}, {"directory": Path("s3://bucket/cache")},
        {"directory": 5}, {"policy": "fifo"},
    ):  # fmt: skip
        with pytest.raises(UsageError, match=next(iter(wrong)).replace("directory", "local_cache_dir")):
            ImageCache(**{"directory": tmp_path, **wrong})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_the_directory(tmp_path: Path):
    (tmp_path / "here").write_text("a file")
    with pytest.raises(DiskError, match=r"Cannot create cache directory .*here"):
        ImageCache(tmp_path / "here")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_of_another_user():
    script = """
import os, sys
sys.path[:0] = sys.argv[2:]
from visprep.errors import AccessDenied
from visprep.loaders.cache import ImageCache
os.setuid(65534)
try:
    ImageCache(sys.argv[1])
except AccessDenied as problem:
    print(problem.message, "|", problem.hint)
"""
    with tempfile.TemporaryDirectory() as temporary:  # those above tmp_path let no other user through
        Path(temporary).chmod(0o755)
        theirs = Path(temporary, "theirs")
        ImageCache(theirs).close()
        theirs.chmod(0o755)
        done = subprocess.run([sys.executable, "-c", script, str(theirs), *sys.path], capture_output=True, text=True)
    assert f"Cannot create cache directory {theirs}: Permission denied | choose" in done.stdout, done.stderr


def test_a_directory_that_may_not_be_written_to(tmp_path: Path):
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o555)
    with pytest.raises(AccessDenied, match="Cannot create cache directory"):
        ImageCache(tmp_path / "here")


def test_a_disk_that_refuses_is_told_once_and_training_goes_on(tmp_path: Path):
    script = """
import os, resource, sys, warnings
from visprep.loaders.cache import ImageCache
from visprep.loaders.fetch import ImageFile
cache = ImageCache(sys.argv[1])
cache.put(ImageFile("a"), b"a" * 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
def work():
    for name in "bcd":
        cache.put(ImageFile(name), b"b" * 200_000)
        assert cache.get(ImageFile(name)) is None
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    work()
    if (child := os.fork()) == 0:
        work()
        os._exit(len(told) - 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert cache.get(ImageFile("a")) == b"a" * 1000
print([str(warning.message) for warning in told], cache.stats().faults, os.listdir(cache.directory + "/writing"))
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    told = "The image cache is not written to any more: File too large. Training goes on without it."
    assert done.stdout == f"{[told]} 2 []\n", done.stderr
