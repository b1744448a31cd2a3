"""Downloading COCO from mirrors that fail one way or another, and what is done about it."""

import json

import pytest

from conftest import tree
from visprep.sources.sample_coco import Split, draw
from visprep.testing import Mirror
from visprep.testing.coco import lay_out, pack


@pytest.fixture
def root(tmp_path):
    lay_out(tmp_path / "upstream")
    return tmp_path / "upstream"


@pytest.fixture
def get(run, root, tmp_path):
    """`get(mirrors, "--limit", 3)` -> exit code, what the JSON says, stderr."""

    def call(mirrors, *more, sums=root / "SHA256SUMS", output=tmp_path / "coco"):
        said = ("--checksums", sums) if sums else ()
        ended = run("download", "coco", "--mirror", mirrors, *said, "--output", output, "--json", *map(str, more))
        return ended.code, json.loads(ended.out) if ended.out else {}, ended.err

    return call


@pytest.fixture
def other(tmp_path):
    """The same, but val2017.zip has other images, of the same sizes."""
    lay_out(tmp_path / "other")
    images = draw()["val2017"].images
    pack(
        tmp_path / "other/zips/val2017.zip",
        {f"val2017/{name}": data[:-20] + bytes(18) + data[-2:] for name, data in images.items()},
    )
    return tmp_path / "other"


def data(place):
    return {path: content for path, content in tree(place).items() if not path.startswith(".visprep")}


def test_a_mirror_that_is_gone_is_followed_by_the_next_for_single_images_too(get, tmp_path):
    sample = draw()["val2017"]
    said = json.loads(sample.labels["instances"])
    # So many that their archive's directory costs more than asking for a few
    said["images"] = [{**said["images"][0], "id": one, "file_name": f"{one:012}.jpg"} for one in range(1, 3001)]
    said["annotations"] = []
    names = {one["file_name"] for one in said["images"][:40]}
    image = next(iter(sample.images.values()))
    split = Split(dict.fromkeys(sorted(names), image), {"instances": json.dumps(said).encode()})
    sums = lay_out(tmp_path / "large", {"val2017": split})
    with Mirror(tmp_path / "large") as half, Mirror(tmp_path / "large") as good:
        half.fault("GET /val2017/", times=None, cut=0.0, reset=True)
        argv = ("--labels", "instances", "--limit", 40, "--jobs", 4)
        code, _, err = get(f"{half.url},{good.url}", *argv, sums=sums)
    assert code == 0, err
    assert len([path for path in data(tmp_path / "coco") if path.endswith(".jpg")]) == 40
    assert [one for one in good.requests if one.line.startswith("GET /val2017/")]


def test_a_wrong_archive_of_a_server_that_sends_no_parts_is_followed_by_the_next(get, root, other, tmp_path):
    with Mirror(other, ranges=False) as bad, Mirror(root) as good:
        code, said, err = get(f"{bad.url},{good.url}", "--labels", "instances")
    assert code == 0, err
    assert said["files"] == 7
    there = data(tmp_path / "coco")
    assert all(there[path.relative_to(root).as_posix()] == path.read_bytes() for path in root.glob("val2017/*"))
