"""The contract of engines, held to this process and to processes of this machine; test_ray holds it to a cluster."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import engine_work as work
import visprep
from visprep.engines import guard, open_engine, slices
from visprep.engines.local import Local
from visprep.engines.processes import Processes
from visprep.errors import FileMissing, MissingExtra, ServerFailed, UnknownName, Unreachable, UsageError, WorkerLost
from visprep.testing import Mirror

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from image_faults import encoded
from planted_images import scene


@pytest.fixture(params=["local", "processes"])
def engine(request):
    with contextlib.closing(Local(2) if request.param == "local" else Processes(2, pause=0.01)) as engine:
        yield engine


@pytest.fixture
def spreading():
    """An engine whose workers are other processes."""
    with Processes(2, pause=0.01) as engine:
        yield engine


def never(item, error):
    raise AssertionError(f"{item} was lost: {error}")


def outcomes(engine, what, items, most=4, lost=never):
    return [list(results) for results in engine.map(what, slices(items, most), lost=lost)]


def alive(pid):
    """Whether a process is there, and no mere zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(true, seconds=60):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)
    return found


# All engines


def test_results_come_in_order(engine):
    assert outcomes(engine, work.squares, range(50)) == [
        [item * item for item in range(first, min(first + 4, 50))] for first in range(0, 50, 4)
    ]
    assert outcomes(engine, work.squares, []) == []  # and it can be asked again


def test_no_more_slices_are_drawn_than_may_wait(engine):
    drawn = itertools.count()
    many = ([number] for number in iter(lambda: next(drawn), 10_000))
    results = engine.map(work.squares, many, lost=never)
    assert next(results) == [0]
    assert next(results) == [1]
    taken = next(drawn)
    results.close()
    assert taken <= 50
    assert next(drawn) == taken + 1  # nothing is drawn when nobody asks


def test_an_error_comes_where_its_results_would_have(engine):
    results = engine.map(work.missing, slices(range(40), 5), lost=never)
    assert list(next(results)) == [0, 1, 4, 9, 16]
    assert list(next(results)) == [25, 36, 49, 64, 81]
    with pytest.raises(FileMissing, match="13 is missing") as caught:
        next(results)
    assert caught.value.hint == "bring it"


def test_a_mistake_of_ours_is_not_hidden(engine):
    with pytest.raises(ZeroDivisionError):
        outcomes(engine, work.mistaken, [2, 1, 0])


def test_something_else_is_done_while_it_waits(engine):
    turns = []
    list(engine.map(work.squares_slowly, [[1], [2], [3]], lost=never, meanwhile=lambda: turns.append(1)))
    assert turns


# Engines whose workers are other processes


def test_what_kills_its_worker_is_told_alone(spreading):
    def lost(item, error):
        assert isinstance(error, WorkerLost)
        assert error.hint
        return f"lost {item}"

    got = list(itertools.chain(*outcomes(spreading, work.deadly, range(30), most=8, lost=lost)))
    assert got == [f"lost {item}" if item == 13 else item * item for item in range(30)]
    assert outcomes(spreading, work.squares, [1, 2]) == [[1, 4]]


def test_who_dies_of_something_else_is_not_blamed(spreading, tmp_path):
    what = functools.partial(work.deadly_once, str(tmp_path / "died"))
    assert outcomes(spreading, what, range(6), most=1) == [[item * item] for item in range(6)]
    assert (tmp_path / "died").exists()


def test_the_worker_tries_the_network_again_and_leaves_random_numbers_alone(spreading, tmp_path):
    what = functools.partial(work.failing, str(tmp_path / "tries"), 2)
    assert outcomes(spreading, what, [1]) == [[random.Random(1).random()]]
    assert len((tmp_path / "tries").read_text().splitlines()) == 3


def test_a_network_that_stays_away_is_an_error(spreading, tmp_path):
    what = functools.partial(work.failing, str(tmp_path / "tries"), 9)
    with pytest.raises(ServerFailed):
        outcomes(spreading, what, [1])
    assert len((tmp_path / "tries").read_text().splitlines()) == 3


@pytest.mark.parametrize("asleep", [work.asleep, work.asleep_in_a_destructor])
def test_who_stops_listening_ends_the_work(spreading, tmp_path, capfd, asleep):
    def begun():
        return [int(path.name) for path in tmp_path.iterdir()]

    class Stopped(BaseException):
        pass

    def stop():
        if len(begun()) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        list(spreading.map(functools.partial(asleep, str(tmp_path)), [[1], [2], [3]], lost=never, meanwhile=stop))
    spreading.close()
    until(lambda: not any(map(alive, begun())))
    assert capfd.readouterr().err == ""


DRIVER = """
import functools, sys
import engine_work as work
from visprep.engines.processes import Processes

if __name__ == "__main__":
    with Processes(2) as engine:
        what = functools.partial(work.asleep, sys.argv[1])
        list(engine.map(what, [[1], [2]], lost=lambda item, error: None))
"""


def descendants(pid):
    """The processes that a process started, and those that these started."""
    tree = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            tree.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
        except OSError:
            continue  # it ended
    found = []
    for child in tree.get(pid, []):
        found += [child, *descendants(child)]
    return found


def test_workers_end_with_a_driver_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{Path(work.__file__).parent}:{Path(work.__file__).parents[1] / 'src'}")
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "begun").mkdir()
    with subprocess.Popen([sys.executable, tmp_path / "driver.py", tmp_path / "begun"]) as driver:
        until(lambda: len(list((tmp_path / "begun").iterdir())) == 2 or driver.poll() is not None, seconds=100)
        started = descendants(driver.pid)
        assert {int(path.name) for path in (tmp_path / "begun").iterdir()} <= set(started)
        driver.send_signal(signal.SIGKILL)
    until(lambda: not any(map(alive, started)))


def test_workers_do_not_run_the_script_that_starts_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{Path(work.__file__).parent}:{Path(work.__file__).parents[1] / 'src'}")
    (tmp_path / "script.py").write_text("""
import engine_work as work
from visprep.engines.processes import Processes
with Processes(2) as engine:
    print(list(engine.map(work.squares, [[1], [2], [3]], lost=lambda item, error: None)))
""")
    ended = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[[1], [4], [9]]\n", "")


HOLDING = """
import os, subprocess, sys, time
held = open(sys.argv[1] + "/held", "w")
guard = subprocess.Popen([sys.executable, "-I", sys.argv[2], sys.argv[1]], stdin=subprocess.PIPE)
marked = os.environ | {"VISPREP_CLUSTER": sys.argv[1]}
print(subprocess.Popen(["sleep", "600"], stdout=held, start_new_session=True, env=marked).pid, guard.pid, flush=True)
if sys.argv[3] == "ends":
    guard.communicate()
else:
    time.sleep(600)
"""


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_the_guard_ends_what_a_driver_left(how, tmp_path):
    """Whether the driver lives or not, and it leaves a driver that lives alone."""
    of_cluster = tmp_path / "cluster"
    of_cluster.mkdir()
    command = [sys.executable, "-c", HOLDING, of_cluster, guard.__file__, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        started = [int(pid) for pid in driver.stdout.readline().split()]
        if how == "is killed":
            driver.kill()
    assert driver.returncode == (0 if how == "ends" else -signal.SIGKILL)
    until(lambda: not any(map(alive, started)))
    assert not of_cluster.exists()


@pytest.fixture
def sleeping():
    """Start a process that writes into a directory, as one of its cluster or not."""
    with contextlib.ExitStack() as stack:

        def start(directory, mark):
            held = stack.enter_context((Path(directory) / "held").open("w"))
            one = subprocess.Popen(
                ["sleep", "600"], stdout=held, env=os.environ | ({guard.MARK: directory} if mark else {})
            )
            stack.callback(one.wait)
            stack.callback(one.kill)
            return one

        yield start


def test_what_driver_and_guard_left_is_swept(tmp_path, sleeping):
    """And nobody else: who is only looking, whose driver lives, and who has no lock yet."""
    left, lock = guard.own(tmp_path)
    os.close(lock)  # as when both were killed
    lives, held = guard.own(tmp_path)
    unknown, old = tmp_path / f"{guard.PREFIX}unknown", tmp_path / f"{guard.PREFIX}old"
    for one in (unknown, old):  # nobody has locked it: not yet, or not any more
        (one / "logs").mkdir(parents=True)
    os.utime(old, (0, 0))
    (tmp_path / f"{guard.PREFIX}link").symlink_to(lives)
    ended, looking, owned = sleeping(left, True), sleeping(left, False), sleeping(lives, True)
    guard.sweep(tmp_path)
    assert ended.wait(10) == -signal.SIGTERM
    assert (looking.poll(), owned.poll()) == (None, None)
    assert [Path(one).exists() for one in (left, old, lives, unknown)] == [False, False, True, True]
    os.close(held)


def test_a_guard_that_is_killed_is_followed_by_another(sleeping):
    ours = guard.Guard()
    of_cluster = sleeping(ours.directory, True)

    def guards():
        lines = ((pid, Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in descendants(os.getpid()) if alive(pid))
        return [pid for pid, line in lines if line.endswith(f"{guard.__file__}\0{ours.directory}\0".encode())]

    (first,) = until(guards)
    os.kill(first, signal.SIGKILL)
    until(lambda: guards() not in ([], [first]))
    ours.end()
    assert of_cluster.wait(10) < 0
    assert not Path(ours.directory).exists()


CRASHING = """
import hashlib, os
def decode_jpeg(data, *_, **__):
    if hashlib.sha256(data).hexdigest() == {digest!r}:
        os.kill(os.getpid(), 9)
    raise ValueError("so Pillow does it")
"""


def test_an_image_that_kills_its_worker_is_named(tmp_path, monkeypatch):
    """The workers' decoder crashes on one of the images, as libraries in C do."""
    for number in range(6):
        path = tmp_path / "place" / ("train" if number % 2 else "val") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(scene(number % 5)))
    digest = hashlib.sha256((tmp_path / "place/val/4.jpg").read_bytes()).hexdigest()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "simplejpeg.py").write_text(CRASHING.format(digest=digest))
    monkeypatch.syspath_prepend(tmp_path / "other")
    with Processes(1) as engine:
        found = visprep.leaks(tmp_path / "place", engine=engine)
    told = {(one.path, one.where.get("error"), one.where.get("kind")) for one in found.findings}
    assert told == {("val/4.jpg", "worker-lost", None), ("val/0.jpg", None, "bytes")}


# Opening one


def test_engines_by_name():
    with open_engine() as engine:
        assert (engine.name, engine.spreads, engine.jobs) == ("local", False, None)
    with open_engine("local", jobs=3) as engine:
        assert engine.jobs == 3
    given = Processes(1)
    with open_engine(given) as engine:
        assert engine is given
    with pytest.raises(UnknownName, match="'rai'") as caught, open_engine("rai"):
        pass
    assert "ray" in caught.value.hint
    with pytest.raises(UsageError, match="--jobs 0"), open_engine("ray", jobs=0):
        pass


def test_an_address_that_is_none(tmp_path):
    pytest.importorskip("ray")
    for address in ("ray://host:1", "nonsense", "host:65536", ""):
        with pytest.raises(UsageError, match=address or "''"), open_engine("ray", ray_address=address):
            pass
    with pytest.raises(UsageError, match="needs --engine ray"), open_engine(ray_address="127.0.0.1:9"):
        pass
    with open_engine("ray", ray_address="127.0.0.1:9") as engine:
        assert outcomes(engine, work.squares, []) == []  # which takes no cluster
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
            engine.check()
    with Mirror(tmp_path) as web:
        what = open_engine("ray", ray_address=web.url.removeprefix("http://"))
        with what as engine, pytest.raises(Unreachable, match="no Ray"):
            engine.check()


def test_an_address_without_its_engine(run, tmp_path, monkeypatch):
    """One that was typed is a mistake; one in the environment is for whenever it is asked for."""
    (tmp_path / "place").mkdir()
    ended = run("leaks", tmp_path / "place", "--ray-address", "127.0.0.1:9")
    assert ended.code == 2
    assert "needs --engine ray" in ended.err
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    assert "ray" not in run("leaks", tmp_path / "place").err
    monkeypatch.setenv("RAY_ADDRESS", "ray://host:1")
    ended = run("leaks", tmp_path / "place", "--engine", "ray")
    assert (ended.code, "RAY_ADDRESS ray://host:1: not HOST:PORT" in ended.err) == (2, True)


def test_without_ray():
    code = """
import sys
sys.modules["ray"] = None
from visprep.engines import open_engine
try:
    open_engine("ray").__enter__()
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.startswith(MissingExtra.__name__), ended.stderr
    assert "--engine ray needs the extra 'ray'" in ended.stderr


def test_slices():
    assert list(slices([])) == []
    assert list(slices("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    sizes = [3, 3, 9, 1, 1, 1]
    assert list(slices(sizes, 3, 6, size=int)) == [[3, 3], [9], [1, 1, 1]]
    assert list(slices(sizes, 2, 6, size=int)) == [[3, 3], [9], [1, 1], [1]]
