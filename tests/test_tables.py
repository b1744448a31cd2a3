"""Upstream's tables on their way: the large ones come in ranges, and what broke off goes on."""

import random

import pytest

from visprep.errors import SourceError
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore
from visprep.stores.ranges import LARGE
from visprep.tables import Tables
from visprep.testing import Mirror

DATA = random.Random(5).randbytes(LARGE + 5_000_000)


@pytest.fixture
def upstream(tmp_path):
    (tmp_path / "served" / "v6").mkdir(parents=True)
    (tmp_path / "served" / "v6" / "boxes.csv").write_bytes(DATA)
    (tmp_path / "served" / "classes.csv").write_bytes(b"/m/a,A\n")
    with Mirror(tmp_path / "served") as server:
        yield server


@pytest.fixture
def tables(tmp_path, upstream):
    """`tables()`: anew, with the same directory, as the next command has them."""
    return lambda: Tables(LocalStore(tmp_path / "cache"), [HttpStore(upstream.url)], lambda path, count: None)


def gets(server):
    return [request for request in server.requests if request.method == "GET"]


def test_a_large_table_comes_in_ranges_and_a_small_one_whole(upstream, tables):
    found = tables()
    found.fetch(["v6/boxes.csv", "classes.csv"])
    assert found.path("v6/boxes.csv").read_bytes() == DATA
    assert found.read("classes.csv") == b"/m/a,A\n"
    asked = {request.path: 0 for request in gets(upstream)}
    for request in gets(upstream):
        asked[request.path] += 1
    assert asked == {"/v6/boxes.csv": -(-len(DATA) // (8 * 1024 * 1024)), "/classes.csv": 1}
    upstream.requests.clear()
    tables().fetch(["v6/boxes.csv", "classes.csv"])
    assert gets(upstream) == []  # it is asked whether they are the same there, and not for them


def test_of_a_table_that_broke_off_only_the_rest_is_fetched(upstream, tables):
    # Ranges are asked for all at once: this one is refused when others are here
    upstream.fault("GET /v6/boxes", times=1, after=3, status=404, delay=1)
    with pytest.raises(SourceError):
        tables().fetch(["v6/boxes.csv"])
    assert not tables().path("v6/boxes.csv").exists()
    upstream.requests.clear()
    tables().fetch(["v6/boxes.csv"])
    assert tables().path("v6/boxes.csv").read_bytes() == DATA
    assert sum(request.sent for request in gets(upstream)) < len(DATA)
