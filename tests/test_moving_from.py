"""docs/moving-from: what stands on the right is typed here, row by row, and does what stands on the left."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import boto3
import pytest

from moto_servers import forget
from visprep.testing import Mirror, open_images, open_images_tools
from visprep.testing.coco import lay_out as lay_out_coco
from visprep.testing.open_images_sample import lay_out as lay_out_open_images

PAGES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in (Path(__file__).parents[1] / "docs/moving-from").glob("*.md")
}
#: What a row may begin with on the left of each page.
PROGRAMS = {
    "aws-s3-sync": r"aws s3 |--|max_",
    "s5cmd": "s5cmd ",
    "datumaro": "datum ",
    "fiftyone": r"fiftyone |foz\.|four\.|fob\.|fo\.|dataset\.",
}


def rows(page):
    """What was typed, and what is to be typed, of every row of a page's tables."""
    for line in PAGES[page].splitlines():
        if line.startswith("| ") and not line.startswith("| You typed") and not line.startswith("| Option"):
            left, right = line.strip("| ").split(" | ")
            yield left, right.strip("`")


def follow(page, run, monkeypatch, names, more=lambda words: ()):
    """Type all that is on the right, in order; what each printed."""
    said = {}
    for left, right in rows(page):
        words = shlex.split(right, comments=True)
        with monkeypatch.context() as setting:
            while re.fullmatch(r"[A-Z_]+=.*", words[0]):
                setting.setenv(*words.pop(0).split("="))
            assert words[0] == "visprep", right
            here = words[1:]
            for name, stand_in in names.items():
                here = [word.replace(name, stand_in) for word in here]
            ended = run(*here, *more(words))
        expected = re.search(r"# exit code (\d)", right)
        assert ended.code == int(expected[1] if expected else 0), f"{left}: {right}\n{ended.out}{ended.err}"
        said[right] = ended
    return said


@pytest.fixture
def coco(run, tmp_path, monkeypatch):
    """The sample of COCO in the working directory, as all pages have it."""
    assert run("download", "sample", "--config", "coco", "--output", "data/coco").code == 0
    Path("classes.txt").write_text("kite = toy\nbook\n")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(
        "[profile work]\naws_access_key_id = testing\naws_secret_access_key = testing\n"
    )


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_left_is_of_the_tool_and_the_right_is_ours(page):
    found = list(rows(page))
    assert len(found) > 10
    for left, right in found:
        assert re.match(rf"`({PROGRAMS[page]})|\(|neither ", left), left
        for piece in re.findall(r"`((?:foz|fob|four|dataset)\.[^`]+)`", left):
            ast.parse(piece)
        assert re.match(r"([A-Z_]+=\S+ )?visprep ", right), right
    assert set(PAGES) == set(PROGRAMS)


@pytest.fixture
def new_bucket(bucket):
    """The name of a bucket that is not there yet."""
    name = f"new-{bucket}"
    yield name
    forget(name)


@pytest.mark.parametrize("page", ["aws-s3-sync", "s5cmd"])
def test_a_bucket_is_kept_the_same(page, run, monkeypatch, coco, bucket, new_bucket, s3_server):
    public = f"s3://{bucket}/public/coco"
    assert run("upload", "data/coco", public, "--acl", "public-read").code == 0
    names = {"s3://a-public-bucket/coco": public, "http://localhost:9000": s3_server}
    names |= {"my-new-bucket": new_bucket, "my-bucket": bucket}
    boto3.client("s3").put_object(Bucket=bucket, Key="stray/coco.txt", Body=b"")
    said = follow(page, run, monkeypatch, names)
    assert run("diff", "copy", "data/coco").code == 0
    assert run("diff", f"s3://{new_bucket}/coco", "fresh").code == 0
    labels = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="labels/")["Contents"]
    assert labels
    assert {one["Key"].rpartition(".")[2] for one in labels if "/.visprep/" not in one["Key"]} == {"json"}
    rarely = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="rarely/annotations/")["Contents"]
    assert {one["StorageClass"] for one in rarely} == {"STANDARD_IA"}
    assert any("--dry-run" in right for right in said)


def test_datumaro(run, monkeypatch, coco):
    follow("datumaro", run, monkeypatch, {})
    renamed = json.loads(Path("data/renamed/annotations/instances_val2017.json").read_bytes())
    assert {one["name"] for one in renamed["categories"]} == {"toy", "book"}
    parts = [Path(f"data/{name}") for name in ("parts", "even", "kept-together")]
    assert all(list(part.glob("*_train*.json")) for part in parts)


def test_fiftyone(run, monkeypatch, tmp_path):
    Path("ids.txt").write_text("2000\n")
    lay_out_coco(tmp_path / "coco")
    lay_out_open_images(tmp_path / "open-images")
    open_images_tools.fiftyone(open_images.lay_out(tmp_path / "upstream"), Path("fiftyone/open-images-v7"))
    with Mirror(tmp_path / "coco") as mirror, Mirror(tmp_path / "open-images") as other:

        def more(words):
            if words[1] != "download":
                return ()
            if words[2] == "coco":
                return ("--mirror", mirror.url, "--checksums", tmp_path / "coco/SHA256SUMS")
            return ("--via", "http", "--mirror", other.url)

        follow("fiftyone", run, monkeypatch, {"Cat": "Kite"}, more)
    assert len(list(Path("data/listed/val2017").glob("*.jpg"))) == 1
    kites = json.loads(Path("data/kites/annotations/instances_val2017.json").read_bytes())
    names = {one["id"]: one["name"] for one in kites["categories"]}
    assert {names[one["category_id"]] for one in kites["annotations"]} == {"kite"}
    assert Path("data/open-images/annotations").is_dir()
