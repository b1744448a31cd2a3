"""What all tests share: a clean environment, the command line as a function, a hub and an S3 on this machine."""

import gc
import multiprocessing
import os
import shutil
import signal
import subprocess
import uuid
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from json_outputs import check as check_json
from loader_places import photographs, s3_process  # noqa: F401 -- fixtures of all tests of loaders
from moto_servers import forget, moto_server
from privileges import permissions_count
from ray_cluster import dying_cluster, ray_cluster, turn, two_nodes  # noqa: F401 -- one cluster for all tests

Outcome = namedtuple("Outcome", "code out err")

_FOREIGN = ("AWS_", "HF_", "HUGGING", "S3_", "DATA_DIR", "SPLITS_DIR", "SOURCE_DATE_EPOCH", "RAY_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def pytest_configure():
    """Ctrl-C is heard: a shell makes what it starts with `&` deaf to it, and what that starts in turn.

    Drawn examples may take their time: a machine that stands still is no finding.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")


def pytest_collection_modifyitems(items):
    """Tests on a Ray cluster come first: workers steal from the end, so one of them runs all these on one cluster."""
    items.sort(key=turn)


def pytest_collection_finish():
    """What is there before the first test stays: looking for garbage in it took a quarter of a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """No setting of this machine reaches a test, and no test reaches beyond this machine."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) or name in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session", autouse=True)
def warm_fork_server():
    """What processes of the fork server import is imported once, by the server."""
    multiprocessing.set_forkserver_preload(["torch", "visprep.loaders"])


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """`run("verify", place)` -> exit code, stdout, stderr; in an empty working directory."""
    from visprep.cli import main

    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    monkeypatch.chdir(work)

    def call(*argv):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([os.fspath(one) for one in argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        check_json([os.fspath(one) for one in argv], out)
        return Outcome(ended.value.code, out, err)

    return call


@pytest.fixture
def coco_mirror(tmp_path):
    """COCO's web server in small; what it serves lies in `upstream/`."""
    from visprep.testing import Mirror
    from visprep.testing.coco import lay_out

    lay_out(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as mirror:
        yield mirror


@pytest.fixture(scope="session")
def s3_server():
    """The URL of an S3 on this machine."""
    with moto_server() as url:
        yield url


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """The name of a fresh bucket, with an environment in which it can be reached."""
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=name)
    yield name
    forget(name)


@pytest.fixture(scope="session")
def real_vtb():
    """Real VideoThinkBench puzzles, where the machine has them."""
    place = Path(__file__).parents[2] / "shared" / "real" / "vtb"
    if not place.is_dir():
        pytest.skip("the real puzzles are not on this machine")
    return place


@pytest.fixture(scope="session")
def real_coco():
    """Real images and annotations of COCO, where the machine has them."""
    place = Path(__file__).parents[2] / "shared" / "real" / "coco"
    if not place.is_dir():
        pytest.skip("the real images are not on this machine")
    return place


def tree(root):
    """Every file below a directory with its bytes, but for what design exempts: journal, cache, marker, quarantine."""
    exempt = (".visprep/journal.jsonl", ".visprep/cache/", ".visprep/in-progress", ".visprep/quarantine/")
    return {
        path: file.read_bytes()
        for file in sorted(Path(root).rglob("*"))
        if file.is_file() and not (path := file.relative_to(root).as_posix()).startswith(exempt)
    }


@pytest.fixture
def bound():
    """Permissions count, also for root."""
    with permissions_count() as counting:
        if not counting:
            pytest.skip("root may overlook permissions, and cannot give that up here")
        yield


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, which `mount -o remount,size=...` can enlarge."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small disk is not allowed here")
    yield disk
    subprocess.run(["umount", disk], check=True)
