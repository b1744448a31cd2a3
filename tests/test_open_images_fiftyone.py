"""Images of Open Images by FiftyOne's function: a stand-in for FiftyOne does what that may do, well or badly."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from conftest import tree
from visprep.errors import Incomplete, MissingExtra
from visprep.open_images_download import BucketOptions, bring
from visprep.progress import unheard
from visprep.settings import S3Settings
from visprep.sources import Mirror as UpstreamMirror
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.local import LocalStore
from visprep.testing import FaultyS3, Mirror
from visprep.testing.open_images import lay_out, put_images

#: FiftyOne 1.22's function as far as its caller can tell: it ends at the first image that the bucket does not have.
STAND_IN = """
import os, sys, time, urllib.error, urllib.request
from pathlib import Path

HOW = os.environ.get("STAND_IN", "")
print('{"refused": {}}')  # as noisy as may be
print("a warning", file=sys.stderr)
if HOW == "import":
    raise ImportError("libGL.so.1 is not there")


class ClientError(Exception):
    def __init__(self, status):
        super().__init__(f"An error occurred ({status}) when calling the HeadObject operation")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


def download_open_images_split(
    dataset_dir, split, version="v6", label_types=None, classes=None, image_ids=None, num_workers=None
):
    print("Downloading", len(image_ids), "images")
    with open(os.environ["STAND_IN_CALLS"], "a") as calls:
        print(os.getpid(), version, label_types, *image_ids, file=calls)
    lists = Path(dataset_dir, "metadata")
    known = lists.joinpath("image_ids.csv").read_text().split()[1:]
    assert lists.joinpath("classes.csv").is_file() and lists.joinpath("hierarchy.json").is_file()
    data = Path(dataset_dir, "data")
    data.mkdir(exist_ok=True)
    for number, one in enumerate(sorted(image_ids)):
        said, name = one.split("/")
        assert said == split and f"{name},{split}" in known, one
        file = data / f"{name}.jpg"
        if file.exists():
            continue
        if number == 3:
            if HOW == "exits":
                sys.exit("nothing more today")
            if HOW == "dies":
                print("Segmentation fault", file=sys.stderr, flush=True)
                os._exit(139)
            if HOW == "raises":
                raise RuntimeError("the API of the day")
            if HOW == "hangs":
                time.sleep(3600)
            if HOW == "skips":
                continue
            if HOW == "other":
                file.write_text("<html>captive portal</html>")
                continue
        if HOW == "refuses":
            raise ClientError(403)
        try:
            url = f"{os.environ['AWS_ENDPOINT_URL_S3']}/open-images-dataset/{split}/{name}.jpg"
            with urllib.request.urlopen(url) as answer:
                got = answer.read()
        except urllib.error.HTTPError as problem:
            raise ClientError(problem.code) from None
        if number == 3 and HOW == "breaks":
            file.write_bytes(got[: len(got) * 2 // 3])
            raise OSError("connection reset")
        file.write_bytes(got)
    return len(image_ids), [], True
"""
OTHER_SIGNATURE = "def download_open_images_split(config): pass"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A web server of the small upstream, and the upstream."""
    root = tmp_path_factory.mktemp("upstream")
    with Mirror(root) as server:
        yield server, lay_out(root)


@pytest.fixture(scope="module")
def s3(served, s3_server):
    """The bucket of the images at an S3 on this machine."""
    client = boto3.client(
        "s3", endpoint_url=s3_server, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    put_images(served[1], client)
    return s3_server


@pytest.fixture(autouse=True)
def same_day(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def fiftyone(monkeypatch, tmp_path):
    """`fiftyone("exits")` puts a stand-in that does so in the place of FiftyOne; `fiftyone.calls()` are those of it."""
    packages, calls = tmp_path / "packages", tmp_path / "calls"

    def call(how="", code=STAND_IN):
        package = packages / "fiftyone/utils"
        package.mkdir(parents=True, exist_ok=True)
        (packages / "fiftyone/__init__.py").touch()
        (package / "__init__.py").touch()
        (package / "openimages.py").write_text(code)
        monkeypatch.syspath_prepend(packages)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.setenv("STAND_IN", how)
        monkeypatch.setenv("STAND_IN_CALLS", str(calls))
        return call

    call.calls = lambda: [line.split() for line in calls.read_text().splitlines()] if calls.exists() else []
    call.again = lambda how: monkeypatch.setenv("STAND_IN", how)
    return call


@pytest.fixture
def get(served, s3, tmp_path):
    """`get(place, splits=("validation",))` -> the result; `via`, `endpoint` and `patience` are the road's."""

    def call(output=tmp_path / "oi", via="fiftyone", endpoint=s3, patience=600.0, **said):
        settings = S3Settings(endpoint_url=endpoint)
        options = BucketOptions(via, mirrors=(UpstreamMirror(served[0].url),), s3=settings, patience=patience)
        return bring(OpenImages(), Selection(**said), LocalStore(output), options, unheard)

    return call


def data(place):
    found = {path: content for path, content in tree(place).items() if not path.startswith(".visprep/cache")}
    step = json.loads(found.pop("dataset.json"))["steps"][-1]
    step["origin"].pop("via"), step["origin"].pop("images")
    return found | {".visprep/manifest.jsonl": found[".visprep/manifest.jsonl"].split(b"\n", 1)[1], "step": step}


def journal(place):
    lines = (place / ".visprep/journal.jsonl").read_text().splitlines()
    return {entry["path"]: entry for entry in map(json.loads, lines)}


def test_it_brings_the_same_dataset_as_the_bucket_itself(get, served, fiftyone, tmp_path):
    fiftyone()
    asked = {
        "splits": ("train", "validation"),
        "labels": ("masks", "points"),
        "classes": ("Animal", "Cat", "Car", "Dog"),
    }
    result = get(**asked)
    images = {path.relative_to(tmp_path / "oi").as_posix() for path in (tmp_path / "oi").glob("*/*.jpg")}
    assert result.bytes > sum((tmp_path / "oi" / path).stat().st_size for path in images)
    assert {one for call in fiftyone.calls() for one in call[3:]} == {path.removesuffix(".jpg") for path in images}
    assert {tuple(call[1:3]) for call in fiftyone.calls()} == {("v7", "[]")}
    assert len({call[0] for call in fiftyone.calls()}) == 1
    get(tmp_path / "s3", via="s3", **asked)
    assert data(tmp_path / "oi") == data(tmp_path / "s3")
    assert json.loads((tmp_path / "oi/dataset.json").read_bytes())["steps"][0]["origin"]["via"] == "fiftyone"
    assert not (tmp_path / "oi/.visprep/cache").exists()
    before = len(fiftyone.calls())
    assert (get(**asked).files, len(fiftyone.calls())) == (0, before)


def test_images_that_the_bucket_has_not_are_told_and_all_others_come(get, served, s3, fiftyone, tmp_path):
    fiftyone()
    ids = [image.id for image in served[1].of("train")]
    lost = [ids[0], ids[7], ids[8], ids[19]]
    with FaultyS3(s3) as faulty:
        for one in lost:
            faulty.fail("no-such-key", key=f"train/{one}", times=None)
        with pytest.raises(Incomplete, match="4 of 20 files failed"):
            get(endpoint=faulty.url, splits=("train",))
    told = journal(tmp_path / "oi")
    assert told.keys() == {f"train/{one}.jpg" for one in lost}
    assert {entry["reason"] for entry in told.values()} == {"file-missing"}
    assert all("FiftyOne: An error occurred (404)" in entry["message"] for entry in told.values())
    assert {path.stem for path in (tmp_path / "oi/train").glob("*.jpg")} == set(ids) - set(lost)
    before = len(fiftyone.calls())
    get(splits=("train",))
    assert {one for call in fiftyone.calls()[before:] for one in call[3:]} == {f"train/{one}" for one in lost}
    get(tmp_path / "whole", splits=("train",))
    assert data(tmp_path / "oi") == data(tmp_path / "whole")


@pytest.mark.parametrize(
    ("how", "code", "reason", "came", "said"),
    [
        ("exits", STAND_IN, "source-error", 3, "FiftyOne failed: SystemExit: nothing more today"),
        ("raises", STAND_IN, "source-error", 3, "FiftyOne failed: RuntimeError: the API of the day"),
        ("dies", STAND_IN, "source-error", 3, "FiftyOne failed: it ended with 139: .*Segmentation fault"),
        ("import", STAND_IN, "source-error", 0, "FiftyOne failed: ImportError: libGL.so.1 is not there"),
        ("", OTHER_SIGNATURE, "source-error", 0, "FiftyOne failed: TypeError: .*unexpected keyword argument"),
        ("", "", "source-error", 0, "FiftyOne failed: ImportError: cannot import name"),
        ("skips", STAND_IN, "file-missing", 8, "FiftyOne did not give it, and did not say why"),
        ("other", STAND_IN, "wrong-content", 8, "what FiftyOne gave is no whole image"),
        ("breaks", STAND_IN, None, 3, "FiftyOne failed: OSError: connection reset"),
        ("refuses", STAND_IN, "access-denied", 0, r"An error occurred \(403\)"),
    ],
)  # fmt: skip
def test_whatever_it_does_what_it_gave_is_kept_and_the_rest_told(
    get, served, fiftyone, tmp_path, how, code, reason, came, said
):
    fiftyone(how, code)
    with pytest.raises(Incomplete, match=f"{9 - came} of 9 file"):
        get()
    told = journal(tmp_path / "oi")
    assert len(told) == 9 - came
    assert reason is None or {entry["reason"] for entry in told.values()} == {reason}
    assert any(re.search(said, entry["message"], re.DOTALL) for entry in told.values())
    there = {path.stem: path.read_bytes() for path in (tmp_path / "oi/validation").glob("*.jpg")}
    images = {image.id: image.data for image in served[1].of("validation")}
    assert there.items() <= images.items()
    assert len(there) == came
    assert not (tmp_path / "oi/.visprep/cache/fiftyone").exists()
    found = json.loads((tmp_path / "oi/annotations/instances_validation.json").read_bytes())
    assert {one["open_images_id"] for one in found["images"]} == there.keys()
    fiftyone()
    get()
    get(tmp_path / "s3", via="s3")
    assert data(tmp_path / "oi") == data(tmp_path / "s3")


def test_when_it_hangs_no_more_is_waited_for_and_the_same_command_goes_on(get, fiftyone, tmp_path):
    fiftyone("hangs")
    with pytest.raises(Incomplete, match=r"of 9 files failed: .*FiftyOne gave no image for 3 seconds, \d in all"):
        get(patience=3.0)
    assert {entry["reason"] for entry in journal(tmp_path / "oi").values()} == {"stalled"}
    fiftyone.again("")
    get()
    get(tmp_path / "s3", via="s3")
    assert data(tmp_path / "oi") == data(tmp_path / "s3")


def test_a_bucket_that_refuses_everything_is_not_asked_for_each_image(get, served, fiftyone, tmp_path):
    fiftyone("refuses")
    with pytest.raises(Incomplete, match="20 of 20 files failed"):
        get(splits=("train",))
    assert "all is refused" in str([entry["message"] for entry in journal(tmp_path / "oi").values()])


PROGRAM = """
import sys
from visprep.open_images_download import BucketOptions, bring
from visprep.progress import unheard
from visprep.settings import S3Settings
from visprep.sources import Mirror, Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.local import LocalStore
options = BucketOptions("fiftyone", mirrors=(Mirror(sys.argv[1]),), s3=S3Settings(endpoint_url=sys.argv[2]))
bring(OpenImages(), Selection(), LocalStore(sys.argv[3]), options, unheard)
"""


def runs(process):
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
def test_killed_it_leaves_no_fiftyone_behind_and_goes_on(get, served, s3, fiftyone, tmp_path):
    fiftyone("hangs")
    killed = subprocess.Popen([sys.executable, "-c", PROGRAM, served[0].url, s3, str(tmp_path / "oi")])
    while not fiftyone.calls():
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    while runs(fiftyone.calls()[0][0]):  # the time limit of the test is the only one
        time.sleep(0.02)
    fiftyone.again("")
    get()
    get(tmp_path / "s3", via="s3")
    assert data(tmp_path / "oi") == data(tmp_path / "s3")


# the command line


@pytest.fixture
def command(run, served, s3, tmp_path):
    def call(*more):
        bucket = ("--endpoint-url", s3, "--mirror", served[0].url)
        return run("download", "open-images", "--via", "fiftyone", *bucket, "--output", tmp_path / "oi", *more)

    return call


def test_the_command_brings_it_and_verify_finds_nothing(command, run, fiftyone, tmp_path):
    fiftyone()
    ended = command("--limit", "4")
    assert ended.code == 0, ended.err
    assert "note: validation: 4 images" in ended.err
    assert "Downloading" not in ended.err + ended.out  # what FiftyOne prints is not ours
    assert run("verify", tmp_path / "oi").code == 0


@pytest.mark.skipif(importlib.util.find_spec("fiftyone") is not None, reason="FiftyOne is installed")
def test_without_fiftyone_the_command_says_how_to_get_it(command, get, served, tmp_path, monkeypatch):
    (tmp_path / "packages/fiftyone").mkdir(parents=True)  # a directory of that name is no package
    monkeypatch.syspath_prepend(tmp_path / "packages")
    served[0].requests.clear()
    ended = command()
    assert ended.code == 3
    assert "pip install 'visprep[fiftyone]'" in ended.err
    assert served[0].requests == []
    assert not (tmp_path / "oi").exists()
    with pytest.raises(MissingExtra):
        get()


# the real one


@pytest.mark.skipif(importlib.util.find_spec("fiftyone") is None, reason="FiftyOne is not installed: 1 GB")
def test_the_real_fiftyone_brings_the_same_and_tells_what_is_not_there(get, served, s3, tmp_path):
    lost = [image.id for image in served[1].of("validation")][4]
    with FaultyS3(s3) as faulty:
        faulty.fail("no-such-key", key=f"validation/{lost}", times=None)
        with pytest.raises(Incomplete, match=r"1 of 9 files failed: .*FiftyOne: An error occurred \(404\)"):
            get(endpoint=faulty.url)
    assert len(list((tmp_path / "oi/validation").glob("*.jpg"))) == 8
    get()
    get(tmp_path / "s3", via="s3")
    assert data(tmp_path / "oi") == data(tmp_path / "s3")
