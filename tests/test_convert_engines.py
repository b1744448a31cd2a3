"""Conversions whose files are made by other processes: the same bytes, and only what kills its worker is not there."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import coco_place
import visprep
from conftest import tree
from convert_origins import WAYS, Origins
from test_engines import until
from visprep import provenance
from visprep.convert_output import Shard, writing
from visprep.converting import Losses, PartlyConverted, Wish
from visprep.engines.processes import Processes
from visprep.stores.local import LocalStore


@pytest.fixture(autouse=True)
def one_day(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    return Origins(tmp_path_factory.mktemp("origins"))


@pytest.fixture(scope="module")
def processes():
    with Processes(2) as engine:
        yield engine


class Deadly:
    """A file that kills who writes it, as long as there is `trap`."""

    def __init__(self, trap):
        self.trap = trap

    def write(self, path):
        if self.trap.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        path.write_bytes(b"x" * 100)


@pytest.mark.parametrize(("kind", "to", "options"), WAYS, ids=[f"{kind}-{to}" for kind, to, _ in WAYS])
def test_the_same_comes_of_it(origins, processes, tmp_path, kind, to, options):
    here = visprep.convert(origins.of(kind), to=to, output=tmp_path / "here", **options)
    there = visprep.convert(origins.of(kind), to=to, output=tmp_path / "there", engine=processes, **options)
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
    assert (there.files, there.linked, there.copied, there.losses) == (
        here.files, here.linked, here.copied, here.losses,
    )  # fmt: skip
    again = visprep.convert(origins.of(kind), to=to, output=tmp_path / "there", engine=processes, **options)
    assert (again.files, again.kept) == (0, here.files)


def test_many_images_are_made_by_processes_of_this_machine(tmp_path):
    origin = coco_place.make(tmp_path / "coco", train=200, val=1)
    workers, others = set(), {one.pid for one in multiprocessing.active_children()}

    def heard(_):
        workers.update(one.name for one in multiprocessing.active_children() if one.pid not in others)

    visprep.convert(origin, to="coco", output=tmp_path / "one", max_side=60, jobs=1, progress=heard)
    assert not workers
    visprep.convert(origin, to="coco", output=tmp_path / "two", max_side=60, jobs=2, progress=heard)
    assert workers == {"visprep-worker"}
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


def test_straight_to_s3_too(origins, tmp_path, bucket):
    with Processes(2) as engine:  # which know the bucket's server
        visprep.convert(origins.of("coco"), to="coco", output=f"s3://{bucket}/there", engine=engine, max_side=60)
    visprep.sync(f"s3://{bucket}/there", tmp_path / "back")
    visprep.convert(origins.of("coco"), to="coco", output=tmp_path / "here", max_side=60)
    images = {path: data for path, data in tree(tmp_path / "here").items() if path.endswith(".jpg")}
    assert images
    assert images.items() <= tree(tmp_path / "back").items()


def test_what_kills_its_worker_fails_alone_and_is_named(processes, tmp_path):
    traps = {3: tmp_path / "trap"}
    traps[3].touch()

    def put():
        step = provenance.step("convert", "x", options={"to": "y"})
        with writing(LocalStore(tmp_path / "new"), step, Wish("y", engine=processes)) as output:
            output.plan(lambda: (Shard(f"{n}.bin", Deadly(traps.get(n, tmp_path / "none"))) for n in range(40)))
            output.put()
        return output.result("x", "y", "x", Losses("y"))

    with pytest.raises(PartlyConverted) as caught:
        put()
    assert [(path, error.slug) for path, error in caught.value.failures] == [("3.bin", "worker-lost")]
    assert caught.value.result.files == 39
    traps[3].unlink()
    assert (put().files, len(list((tmp_path / "new").glob("*.bin")))) == (1, 40)


def test_killed_with_its_workers_it_ends_in_the_same_bytes(tmp_path):
    """The driver at some moments of its work; nobody works on without it."""
    coco_place.make(tmp_path / "origin", 300, 60)
    visprep.convert(tmp_path / "origin", to="coco", output=tmp_path / "whole", max_side=90)
    program = """if __name__ == "__main__":
        import sys, visprep
        from visprep.engines.processes import Processes
        with Processes(2) as engine:
            visprep.convert(sys.argv[1], to="coco", output=sys.argv[2], max_side=90, engine=engine)"""
    (tmp_path / "driver.py").write_text(program)
    new, killed = tmp_path / "new", 0
    for seconds in (0.05, 0.0, 100.0):
        before = len(list(new.rglob("*.jpg")))
        driver = subprocess.Popen([sys.executable, tmp_path / "driver.py", tmp_path / "origin", new])
        while driver.poll() is None and len(list(new.rglob("*.jpg"))) == before:
            time.sleep(0.005)
        try:
            driver.wait(seconds)
        except subprocess.TimeoutExpired:
            driver.kill()
            driver.wait()
            killed += 1
    assert killed
    assert driver.returncode == 0
    assert tree(new) == tree(tmp_path / "whole")
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in _read(one)]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.xdist_group("ray")
def test_on_two_nodes_of_which_one_dies(ray_cluster, tmp_path):
    coco_place.make(tmp_path / "origin", 400, 60)
    visprep.convert(tmp_path / "origin", to="coco", output=tmp_path / "here", max_side=90)
    made = []

    def kill():
        until(lambda: any((tmp_path / "there").rglob("*.jpg")))
        made.extend((tmp_path / "there").rglob("*.jpg"))
        ray_cluster.kill_a_node()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    done = visprep.convert(
        tmp_path / "origin", to="coco", output=tmp_path / "there", max_side=90, engine="ray",
        ray_address=ray_cluster.address,
    )  # fmt: skip
    killer.join()
    assert 0 < len(made) < 400  # in the middle
    assert done.files == len(tree(tmp_path / "here")) - 2
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
