"""COCO straight to S3: how long it takes, and how much memory and disk, beside the bytes that pass.

The upstream is drawn from a seed, in the official layout: images in one archive, and annotations in another, deflated.
It lies on disk, behind a web server of its own process. The bucket is a server that keeps nothing but names and sizes,
so that only we are measured. Memory is the peak of the process; the disk is what appears in its temporary directory,
looked at while it runs.

`--images N --annotations MB` say how much; 10,000 images of 150 kB and 500 MB of annotations unless told otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from visprep.testing.mirror import Mirror
from visprep.testing.serving import Handler, LocalServer

RUN = """
import resource, sys
import visprep
result = visprep.download("coco", sys.argv[1], split="val2017", mirror=sys.argv[2], checksums=sys.argv[3])
usage = resource.getrusage(resource.RUSAGE_SELF)
print(result.files, usage.ru_maxrss // 1024, round(usage.ru_utime + usage.ru_stime, 1))
"""


class SinkHandler(Handler):
    """Takes objects and parts, keeps their names."""

    def respond(self) -> None:
        """Answer as S3 would, of what there is."""
        path, _, query = self.entry.path.partition("?")
        owner = self.owner
        etag = f'"{hashlib.md5(path.encode()).hexdigest()}"'
        if self.command == "GET" and path.count("/") == 1:
            name = "ListMultipartUploadsResult" if "uploads" in query else "ListBucketResult"
            self.answer(200, f"<{name}><IsTruncated>false</IsTruncated></{name}>".encode(), Content_Type="text/xml")
            return
        self.discard_upload()
        if self.command in ("GET", "HEAD"):
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", Content_Type="text/xml")
        elif self.command == "DELETE":
            self.answer(204)
        elif self.command == "POST" and re.search(r"(^|&)uploads", query):
            body = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            self.answer(200, body, Content_Type="text/xml")
        elif self.command == "POST":
            owner.names.add(path)
            body = f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
            self.answer(200, body.encode(), Content_Type="text/xml")
        else:
            if "partNumber" not in query:
                owner.names.add(path)
            owner.bytes += self.entry.received
            self.answer(200, b"", ETag=etag)


class Sink(LocalServer):
    """The bucket: `names` of its objects, and how many `bytes` came."""

    handler = SinkHandler

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.bytes = 0


def draw(folder: Path, images: int, megabytes: int) -> None:
    """Write both archives and their checksums."""
    rng = random.Random(1)
    (folder / "zips").mkdir()
    (folder / "annotations").mkdir()
    with zipfile.ZipFile(folder / "zips/val2017.zip", "w") as archive:
        for number in range(images):
            archive.writestr(f"val2017/{number:012}.jpg", rng.randbytes(rng.randrange(100_000, 200_000)))
    with zipfile.ZipFile(folder / "annotations/annotations_trainval2017.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("captions", "person_keypoints"):
            archive.writestr(f"annotations/{name}_val2017.json", b"{}")
        with archive.open("annotations/instances_val2017.json", "w", force_zip64=True) as out:
            for _ in range(megabytes):
                piece = " ".join(f"{rng.random():.6f}" for _ in range(20_000)).encode()
                out.write((piece * 7)[:1_000_000])
    with (folder / "SHA256SUMS").open("w") as told:
        for path in sorted(folder.glob("*/*.zip")):
            with path.open("rb") as file:
                told.write(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")


def measure(folder: Path) -> None:
    """Bring it, and say what that took."""
    size = sum(path.stat().st_size for path in folder.glob("*/*.zip"))
    settings = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true"}
    with Mirror(folder) as mirror, Sink() as sink, tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, **settings, "AWS_ENDPOINT_URL": sink.url, "TMPDIR": scratch}
        argv = [sys.executable, "-c", RUN, "s3://bucket/coco", mirror.url, str(folder / "SHA256SUMS")]
        began, disk = time.perf_counter(), 0
        process = subprocess.Popen(argv, env=env, cwd=scratch, stdout=subprocess.PIPE, text=True)
        while process.poll() is None:
            time.sleep(0.05)
            disk = max(disk, sum(path.stat().st_size for path in Path(scratch).rglob("*") if path.is_file()))
        seconds = time.perf_counter() - began
        files, memory, busy = process.communicate()[0].split()
        asked = sum(one.sent for one in mirror.requests)
        moved = f"{sink.bytes / 1e6:,.0f} MB sent, {asked / 1e6:,.0f} MB asked for"
        print(f"{files} files, {size / 1e6:,.0f} MB of archives, {moved}")
        print(f"{seconds:.1f} s ({sink.bytes / 1e6 / seconds:.0f} MB/s), {busy} s of processor")
        print(f"peak memory {memory} MB, peak disk {disk / 1e6:.1f} MB, {len(sink.names)} objects")


def main() -> None:
    """Draw, bring, say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--annotations", type=int, default=500, metavar="MB")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), asked.images, asked.annotations)
        measure(Path(folder))


if __name__ == "__main__":
    main()
