"""Downloads by two nodes of a Ray cluster, one of which is killed meanwhile, make what one process makes."""

import threading
import time

import pytest

from conftest import tree
from visprep.testing import Mirror
from visprep.testing.open_images import lay_out

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(autouse=True)
def one_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def test_open_images_while_a_node_dies(run, ray_cluster, tmp_path):
    with Mirror(tmp_path / "upstream") as web:
        lay_out(tmp_path / "upstream", f"{web.url}/flickr", {"train": 1, "validation": 600, "test": 1})
        words = ["--via", "http", "--mirror", web.url, "--split", "validation"]
        assert run("download", "open-images", *words, "--output", tmp_path / "calm").code == 0
        web.fault("GET /open-images-dataset", times=None, delay=0.02)

        there = []

        def kill():
            until = time.monotonic() + 60
            while not list((tmp_path / "oi").glob("validation/*.jpg")) and time.monotonic() < until:
                time.sleep(0.01)
            there.extend((tmp_path / "oi").glob("validation/*.jpg"))
            ray_cluster.kill_a_node()

        killer = threading.Thread(target=kill)
        killer.start()
        more = ["--engine", "ray", "--ray-address", ray_cluster.address]
        ended = run("download", "open-images", *words, "--output", tmp_path / "oi", *more)
        killer.join()
    assert 0 < len(there) < 600  # in the middle
    assert ended.code == 0, ended.err
    assert tree(tmp_path / "oi") == tree(tmp_path / "calm")
