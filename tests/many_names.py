"""One copy of a place whose names are computed and whose files hold nothing, and what it cost: to be run, not imported.

`python many_names.py SCENARIO NUMBER DIRECTORY` prints JSON: the counts, seconds, and the peak of the memory in bytes.
"""

import contextlib
import json
import os
import resource
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from visprep._copy import copy_place
from visprep.copying import CopyOptions
from visprep.digests import digest_of
from visprep.errors import AccessDenied, FileMissing, Incomplete, PlaceMissing
from visprep.manifest import DATASET, MANIFEST, RECORD_DIR, File, entry_line, header_line
from visprep.own_record import MARKER
from visprep.provenance import Dataset, Step
from visprep.stores.local import LocalStore

SIZE = 100


def name(number):
    return f"{number // 1000:05}/image-{number:08}.jpg"


def digest(path):
    return f"sha256:{int(path[-12:-4]):064x}"


class Names:
    """A place with the files of these numbers; what is given to it is gone. `record` makes it one with a manifest."""

    def __init__(self, place, numbers, *, size=SIZE, record=False, refuses=False):
        self.place, self.numbers, self.size, self.record, self.refuses = place, numbers, size, record, refuses

    def files(self):
        for number in self.numbers:
            path = name(number)
            yield File(path, self.size, digest(path), 1e9, f'"{number:032x}"')

    def list(self):
        if not self.numbers:
            raise PlaceMissing(f"{self.place}: nothing there")
        return self.files()

    def lines(self):
        dataset = digest_of(wait_free(self.read(DATASET)))
        yield header_line(len(self.numbers), len(self.numbers) * self.size, dataset)
        for file in self.files():
            yield entry_line(file, etag=True)

    async def stat(self, path):
        return File(path, self.size, digest(path))

    async def hash(self, path, algorithm):
        return digest(path) if algorithm == "sha256" else None

    async def read(self, path, offset=0, length=None):
        if self.record and path == DATASET:
            return Dataset((Step("upload", "names"),), "sha256:0").dump()
        raise FileMissing(f"{path}: not there")

    async def fetch(self, file, sink):
        if not self.record or file.path != MANIFEST:
            raise FileMissing(f"{file.path}: not there")
        for line in self.lines():
            sink.write(line)

    async def receive(self, file, origin):
        if self.refuses:
            raise AccessDenied(f"{self.place}/{file.path}: not for you", hint="ask its owner") from OSError(13, "no")
        return File(file.path, file.size, file.digest or "sha256:0", etag=file.etag)

    async def write(self, path, data):
        return File(path, len(data), digest_of(data))

    async def delete(self, path):
        pass


class NamesOnDisk(LocalStore):
    """The same as a directory: its record lies there, its files do not. They were last changed long ago."""

    def __init__(self, place, numbers, **options):
        super().__init__(place)
        self.names = Names(place, numbers, **options)

    def list(self):
        for number in self.names.numbers:
            yield File(name(number), SIZE, None, 1e9, f"{10**18:x}-{10**18:x}-{number:x}")

    async def hash(self, path, algorithm):
        return await self.names.hash(path, algorithm)

    async def receive(self, file, origin):
        if file.path.startswith(RECORD_DIR):
            return await super().receive(file, origin)
        return replace(await self.names.receive(file, origin), etag=None)

    async def delete(self, path):
        if path.startswith(RECORD_DIR):
            await super().delete(path)


def killed(place, numbers):
    """A directory in which a copy was killed when it had made the files of these numbers, and noted each."""
    marker = Path(place, MARKER)
    marker.parent.mkdir(parents=True)
    with marker.open("w") as lines:
        step = asdict(Step("sync", "names/", date="2026-01-01T00:00:00Z"))
        lines.write(json.dumps({"format_version": 1, "step": step}) + "\n")
        for number in numbers:
            path = name(number)
            lines.write(json.dumps({"path": path, "size": SIZE, "digest": digest(path)}) + "\n")
    return NamesOnDisk(place, numbers)


def wait_free(job):
    """The result of a job that never waits."""
    try:
        job.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def scenario(which, count, folder):
    """The origin, the target, and the options of a copy."""
    everything, recorded = range(count), CopyOptions(provenance=True)
    names = Names("names", everything)
    if which == "create":
        return names, Names("new", ()), recorded
    if which == "same":
        return names, Names("copy", everything, record=True), recorded
    if which == "delete":
        half = count // 2
        options = CopyOptions(provenance=False, delete=True, max_delete=count)
        return names, Names("other", range(half, count + half)), options
    if which == "resume":
        return names, killed(f"{folder}/place", range(count * 9 // 10)), recorded
    if which == "remember":
        return NamesOnDisk(f"{folder}/place", everything), Names("copy", everything), CopyOptions(provenance=False)
    if which == "refuse":
        return names, NamesOnDisk(f"{folder}/place", (), refuses=True), recorded
    if which == "large":
        return Names("names", everything, size=2**25), Names("new", ()), recorded
    if which == "plan":
        return names, Names("new", range(1)), CopyOptions(provenance=False, plan=Path(folder, "plan"))
    raise ValueError(which)


def peak():
    """The most bytes that this process ever held."""
    with contextlib.suppress(OSError):  # the peak of getrusage may be that of whoever started us
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(which, count, folder):
    begun, last = time.monotonic(), None

    def heard(progress):
        nonlocal last
        last = progress

    origin, target, options = scenario(which, int(count), folder)
    before = peak()
    try:
        done = asdict(copy_place(origin, target, "sync", options, heard))
    except Incomplete as error:
        done = {"moved": 0, "message": error.message}
    done = {key: done[key] for key in done.keys() & {"moved", "kept", "deleted", "message"}}
    print(json.dumps({**done, "seconds": time.monotonic() - begun, "before": before, "peak": peak()}))


if __name__ == "__main__":
    os.environ.setdefault("SOURCE_DATE_EPOCH", "1700000000")
    main(*sys.argv[1:])
