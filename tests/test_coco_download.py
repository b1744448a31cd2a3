"""Downloading COCO: from a mirror in the official layout, whole, cut, killed, and with everything that can be wrong."""

import json

import pytest

from conftest import tree
from visprep.testing import Mirror
from visprep.testing.coco import lay_out


@pytest.fixture
def upstream(tmp_path):
    sums = lay_out(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as mirror:
        mirror.sums = sums
        yield mirror


def options(upstream, *more):
    return ("download", "coco", "--mirror", upstream.url, "--checksums", upstream.sums, *more)


def data(place):
    return {path: content for path, content in tree(place).items() if not path.startswith(".visprep")}


def test_a_split_comes_with_its_annotations(run, upstream, tmp_path):
    ended = run(*options(upstream, "--split", "val2017,train2017", "--output", tmp_path / "coco", "--json"))
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    there = data(tmp_path / "coco")
    assert said["files"] == 20
    assert said["checked"] == dict.fromkeys(("annotations_trainval2017", "train2017", "val2017"), "sha256")
    assert len([path for path in there if path.startswith("val2017/")]) == 6
    for path, content in there.items():
        if path.endswith(".jpg"):
            assert content == (tmp_path / "upstream" / path).read_bytes()
