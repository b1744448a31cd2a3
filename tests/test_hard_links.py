"""Hard links to files that change: the digest that is told of one is that of its bytes, or there is an error."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading

import pytest

from visprep import wire
from visprep.errors import ChangedMeanwhile
from visprep.hard_links import links
from visprep.manifest import File
from visprep.renamed import Renamed
from visprep.stores.local import LocalStore


@pytest.fixture
def ends(tmp_path):
    """The store of the origin, and that of the links."""
    for name in ("origin", "target"):
        (tmp_path / name).mkdir()
    return LocalStore(tmp_path / "origin"), LocalStore(tmp_path / "target")


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_digest_of_what_was_there_before_is_not_told_of_what_is_there_now(ends, tmp_path):
    origin, target = ends
    (tmp_path / "origin/a").write_bytes(b"old")
    known = wire.wait(origin.stat("a"))
    known = File("a", known.size, sha256(b"old"), known.mtime, known.etag)
    (tmp_path / "origin/new").write_bytes(b"new")
    (tmp_path / "origin/new").rename(tmp_path / "origin/a")
    ((path, made),) = links(target, [Renamed("train/a", origin, known)])
    assert (path, made.digest) == ("train/a", sha256(b"new"))


def test_a_digest_that_is_known_is_told_without_reading(ends, tmp_path):
    origin, target = ends
    (tmp_path / "origin/a").write_bytes(b"old")
    known = wire.wait(origin.stat("a"))
    ((_, made),) = links(target, [Renamed("a", origin, File("a", 3, "sha256:as told", known.mtime, known.etag))])
    assert made.digest == "sha256:as told"


def test_a_file_that_is_written_to_while_it_is_read_is_told(ends, tmp_path):
    origin, target = ends
    path = tmp_path / "origin/a"
    with path.open("wb") as file:
        file.truncate(400 << 20)  # it takes a while to read
    done = threading.Event()

    def touch():
        for moment in itertools.count(1):
            os.utime(path, ns=(moment, moment))
            if done.wait(0.001):
                return

    writer = threading.Thread(target=touch)
    writer.start()
    try:
        ((_, outcome),) = links(target, [Renamed("a", origin, File("a", 400 << 20))])
    finally:
        done.set()
        writer.join()
    assert isinstance(outcome, ChangedMeanwhile)
