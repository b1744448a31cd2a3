"""Ray alone: nodes that die, nodes that are unfit, and commands on a cluster that do what they do on one machine."""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import engine_work as work
from conftest import tree
from test_engines import alive, descendants, never, until
from visprep.engines import open_engine, sights, slices
from visprep.errors import FileMissing, NodeUnfit, UsageError, WorkerLost
from visprep.stores import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from image_faults import encoded
from planted_images import scene

ON_RAY = pytest.mark.xdist_group("ray")


@pytest.fixture
def engine(ray_cluster):
    from visprep.engines.ray import Ray

    with Ray(address=ray_cluster.address, pause=0.01) as engine:
        yield engine


@pytest.fixture
def place(tmp_path):
    """Pictures of a split in directories, one of which is in two parts."""
    for number in range(12):
        path = tmp_path / "place" / ("train" if number % 2 else "val") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(scene(number % 11)))
    return tmp_path / "place"


@ON_RAY
def test_the_contract_of_engines(engine, tmp_path):
    """What test_engines says of each of them, once."""

    def lost(item, error):
        assert isinstance(error, WorkerLost)
        return f"lost {item}"

    def results(what, items, most=4):
        return itertools.chain.from_iterable(engine.map(what, slices(items, most), lost=lost))

    told = [f"lost {item}" if item == 13 else item * item for item in range(30)]
    assert list(results(work.deadly, range(30), 8)) == told
    what = functools.partial(work.failing, str(tmp_path / "tries"), 2)
    assert list(results(what, [1])) == [random.Random(1).random()]
    got = []
    with pytest.raises(FileMissing, match="13 is missing"):
        got.extend(results(work.missing, range(40), 5))
    assert got == [item * item for item in range(10)]
    with pytest.raises(ZeroDivisionError):
        list(results(work.mistaken, [2, 1, 0]))


@ON_RAY
def test_the_slices_of_a_dead_node_are_run_elsewhere(engine, ray_cluster, tmp_path):
    """Both nodes have work in hand when one of them is killed."""
    nodes = set()

    def kill():
        nodes.update(path.name.partition("-")[2] for path in tmp_path.iterdir())
        if len(nodes) == 2 and not (tmp_path / "go").exists():
            ray_cluster.kill_a_node()
            (tmp_path / "go").touch()

    what = functools.partial(work.held, str(tmp_path))
    results = engine.map(what, slices(range(40), 4), lost=never, meanwhile=kill)
    assert [one for some in results for one in some] == [item * item for item in range(40)]
    assert (tmp_path / "go").exists()


@ON_RAY
def test_every_node_is_asked_what_it_is_and_sees(engine, ray_cluster, place, tmp_path):
    engine.check(open_store(str(place)), open_store(str(tmp_path / "none")))
    metadata = tmp_path / "other" / "visprep-9.9.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: visprep\nVersion: 9.9\n")
    node = ray_cluster.another(PYTHONPATH=f"{tmp_path / 'other'}:{os.environ.get('PYTHONPATH', '')}")
    try:
        with pytest.raises(NodeUnfit, match=r"node .*: visprep 9\.9, not 0\.") as caught:
            engine.check()
    finally:
        ray_cluster.drop(node)
    assert "on every node" in caught.value.hint


def test_another_directory_of_that_name_is_noticed(place):
    seen = sights.of(open_store(str(place)))
    assert sights.missed([sights.Question([seen])]) == [None]
    (place / "val").rename(place / "validation")
    (told,) = sights.missed([sights.Question([seen])])
    assert "val is missing" in told
    place.rename(place.with_name("moved"))
    (told,) = sights.missed([sights.Question([seen])])
    assert told.endswith("is not there")


def test_a_bucket_that_a_node_does_not_see(bucket, monkeypatch):
    store = open_store(f"s3://{bucket}/x")
    assert sights.missed([sights.Question([sights.of(store)])]) == [None]  # not there yet
    seen = sights.Sight(store, there=True)
    assert sights.missed([sights.Question([seen])]) == [f"s3://{bucket}/x is not there"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (told,) = sights.missed([sights.Question([sights.Sight(open_store(f"s3://{bucket}/x"), there=True)])])
    assert told.endswith("[unreachable]")


@ON_RAY
def test_leaks_and_split_on_a_cluster_are_those_of_one_machine(run, ray_cluster, place, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster.address)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    told, written = [], []
    for engine in ("local", "ray"):
        ended = run("leaks", place, "--json", "--certificate", f"{engine}.json", "--engine", engine)
        assert ended.code == 1, ended.err
        told.append(json.loads(ended.out) | {"certificate": None})
        split = ("split", place, "--parts", "train=0.5,test=0.5", "--near-duplicates", "-o", engine)
        assert run(*split, "--engine", engine).code == 1  # it ties the parts that the directories are
        written.append((Path(f"{engine}.json").read_bytes(), tree(engine)))
    assert told[0] == told[1]
    assert written[0] == written[1]
    assert told[0]["findings"]


@ON_RAY
def test_threads_share_the_cluster_and_another_is_refused(ray_cluster, engine, capfd):
    told = []

    def ask(address):
        with open_engine("ray", ray_address=address) as other:
            try:
                told.append(next(other.map(work.squares, [[len(told)]], lost=never)))
            except UsageError as error:
                told.append(str(error))

    def thread(address):
        one = threading.Thread(target=ask, args=(address,))
        one.start()
        return one

    threads = [thread(ray_cluster.address), thread(None)]
    for one in threads:
        one.join()
    engine.check()
    thread("127.0.0.1:9").join()
    assert told[-1].startswith("--ray-address 127.0.0.1:9: this process is in another Ray cluster")
    assert [type(one) for one in told[:2]] == [list, list]
    assert capfd.readouterr() == ("", "")


@ON_RAY
def test_a_cluster_of_our_own_comes_and_goes(place):
    """A command in a process of its own, as a user runs it: no word of Ray's, and nothing left."""
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    command = [sys.executable, "-m", "visprep", "leaks", place, "--json"]
    alone = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    on_ray = [*command, "--engine", "ray", "--jobs", "1"]
    with subprocess.Popen(on_ray, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as ours:
        until(lambda: any(map(_is_ray, descendants(ours.pid))) or ours.poll() is not None)
        started = descendants(ours.pid)
        out, err = ours.communicate(timeout=100)
    assert (ours.returncode, out, err) == (1, alone.stdout, alone.stderr)
    until(lambda: not any(map(alive, started)))


def _is_ray(pid):
    try:
        return "raylet" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
