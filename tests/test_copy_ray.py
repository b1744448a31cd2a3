"""Places moved on a Ray cluster of two nodes: a node that dies in the middle, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import boto3
import pytest

import visprep
from conftest import tree
from visprep.testing import FaultyS3

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    root = tmp_path_factory.mktemp("many") / "place"
    for number in range(1_000):
        path = root / f"{number % 10}" / f"{number:04}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{number:04}".encode() * 6)
    return root


def test_a_node_is_killed_in_the_middle(ray_cluster, many, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (many / "dataset.json").write_bytes(b"{}")  # anybody's: it is a file like any other
    killed = []

    def heard(progress):
        if progress.stage == "Copying" and not killed:
            killed.append(progress.done)
            ray_cluster.kill_a_node()

    here = visprep.sync(many, tmp_path / "here")
    there = visprep.sync(many, tmp_path / "there", engine="ray", ray_address=ray_cluster.address, progress=heard)
    assert killed
    assert killed[0] < there.moved == here.moved == 1_001
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


@contextlib.contextmanager
def never_done(cluster, bucket, s3_server, target):
    """A copy of 200 objects on a cluster, in a process of its own; one never comes, so it cannot be over before."""
    client = boto3.client("s3", endpoint_url=s3_server)
    for number in range(200):
        client.put_object(Bucket=bucket, Key=f"place/{number:03}.txt", Body=f"{number}".encode() * 9, ACL="public-read")
    words = ["sync", f"s3://{bucket}/place", target, "--no-sign-request", "--region", "us-east-1"]
    on_ray = ["--engine", "ray", "--ray-address", cluster.address]
    with FaultyS3(s3_server) as proxy:
        proxy.fail("stall", method="GET", key="150", times=None)
        with subprocess.Popen(
            [sys.executable, "-m", "visprep", *words, "--endpoint-url", proxy.url, *on_ray],
            stderr=subprocess.PIPE, env=os.environ | {"RAY_AUTH_MODE": "disabled"}, text=True,
        ) as process:  # fmt: skip
            until = time.monotonic() + 60
            while len(list(target.glob("*.txt"))) < 64 and process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            yield process


def test_ctrl_c_ends_it_and_says_how_to_go_on(ray_cluster, bucket, s3_server, tmp_path):
    target = tmp_path / "target"
    with never_done(ray_cluster, bucket, s3_server, target) as process:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "run the same command again to go on" in told
    assert "Traceback" not in told
    came = len(list(target.glob("*.txt")))
    assert 64 <= came < 200
    s3 = visprep.S3Settings(endpoint_url=s3_server, region="us-east-1", no_sign_request=True)
    done = visprep.sync(f"s3://{bucket}/place", target, engine="ray", ray_address=ray_cluster.address, s3=s3)
    assert (done.moved, done.kept) == (200 - came, came)


def test_a_head_that_dies_ends_it_and_says_how_to_go_on(dying_cluster, bucket, s3_server, tmp_path):
    """Ray itself would end the process after a minute, with 1."""
    target = tmp_path / "target"
    with never_done(dying_cluster, bucket, s3_server, target) as process:
        dying_cluster.kill_the_head()
        _, told = process.communicate(timeout=100)
    assert process.returncode == 3, told
    assert f"the Ray cluster at {dying_cluster.address} went away [unreachable]" in told
    assert "run the same command again" in told
    assert "Traceback" not in told
    came = len(list(target.glob("*.txt")))
    s3 = visprep.S3Settings(endpoint_url=s3_server, region="us-east-1", no_sign_request=True)
    done = visprep.sync(f"s3://{bucket}/place", target, s3=s3)
    assert (done.moved, done.kept) == (200 - came, came)
