"""Looking at images on S3 at `headers`: what share of planted damage is found, and what share of their bytes is read.

A server on this machine holds photographs, of which every other one has damage of one of seven kinds (`planted_ends`);
it counts what it sends. The table tells, for each kind, how many were found, requests and bytes of an image, and the
share of the bytes. Sound images that errors are told of are false alarms.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections import defaultdict

import boto3
from moto.server import ThreadedMotoServer

import visprep
from planted_ends import planted
from visprep.testing.s3 import FaultyS3

SOUND = "none"


def main() -> None:
    """Plant, verify, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=420)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=2, help="how many images come on one with damage")
    asked = parser.parse_args()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "testing"
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints every request
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    try:
        with FaultyS3(f"http://{host}:{port}") as server:
            os.environ["AWS_ENDPOINT_URL"] = server.url
            measure(server, asked)
    finally:
        moto.stop()


def measure(server: FaultyS3, asked: argparse.Namespace) -> None:
    """One bucket."""
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=server.url)
    client.create_bucket(Bucket="planted")
    kinds, sizes = {}, {}
    for name, data, kind in planted(asked.images, asked.seed, asked.every):
        path = f"val2017/{name}"
        client.put_object(Bucket="planted", Key=path, Body=data)
        kinds[path], sizes[path] = kind or SOUND, len(data)
    images = [
        {"id": number, "file_name": path.partition("/")[2], "width": 640, "height": 480}
        for number, path in enumerate(kinds, 1)
    ]
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "toy"}]}
    client.put_object(Bucket="planted", Key="annotations/instances_val2017.json", Body=json.dumps(document).encode())
    server.requests.clear()
    report = visprep.verify("s3://planted", depth="headers")
    found = {one.path for one in report.findings if one.level == "error"}
    rows: defaultdict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for path, kind in kinds.items():
        sent = [one.sent for one in server.requests if one.path.endswith(f"/{path}")]
        for row in (rows[kind], rows["all"]):
            row[:] = map(sum, zip(row, (1, path in found, len(sent), sum(sent), sizes[path]), strict=True))
    print(f"{'damage':<14}{'images':>8}{'told':>6}{'requests':>10}{'bytes':>9}{'share':>9}")
    for kind, (count, told, requests, read, size) in rows.items():
        print(f"{kind:<14}{count:>8}{told:>6}{requests / count:>10.1f}{read / count:>9,.0f}{read / size:>9.2%}")
    bad = {path for path, kind in kinds.items() if kind != SOUND}
    print(f"found {len(found & bad) / len(bad):.1%} of the damage, with {len(found - bad)} false alarms, by reading")
    print(f"{rows['all'][3] / rows['all'][4]:.2%} of images of {rows['all'][4] / len(kinds) / 1000:.0f} KB on average")
    assert report.traffic is not None
    print(f"{report.traffic.requests:,} requests, {report.traffic.bytes:,} bytes with listing and annotations")


if __name__ == "__main__":
    main()
