"""Unpacking a zip or a tar file: unzip or tar, bsdtar, Python's own module, and visprep, in turn, on the same archive.

The members are cut from JPEGs, stored in one archive and deflated in another; archives and files lie in memory
(/dev/shm), so that it is the unpacking that is timed. Every tool must refuse a damaged member first, where the archive
has CRCs: a plain tar file has none, and of gzip's two tools take no notice. visprep is shown three times: as the
others do it (CRC-32), with the SHA-256 of every file as well (what `transfer.apply` does), and as the whole command
`visprep download`, which writes a manifest too.

Wall seconds are those of the whole process. `start` is the part of them before a Python program can begin (the
interpreter and its imports), a constant that no archive makes longer; ratios are given with and without it.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

from timing import Run, timed

TARGET = 2.0
PEER = "bsdtar"
METHODS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}
#: The archives, and how tarfile calls the form of those that are tar files.
KINDS = {"stored.zip": "", "deflated.zip": "", "plain.tar": "", "zipped.tar.gz": "gz"}

ZIPFILE = """
import sys, time, zipfile
print(time.time(), flush=True)
with zipfile.ZipFile(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2])
"""
TARFILE = """
import sys, tarfile, time
print(time.time(), flush=True)
with tarfile.open(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2], filter="data")
"""
VISPREP = """
import sys, time
from visprep.stores import open_store
from visprep.stores.local import LocalStore
from visprep.plans import Action, Operation
from visprep.transfer import apply, in_threads
print(time.time(), flush=True)
archive, target = open_store(sys.argv[1]), LocalStore(sys.argv[2])
files = list(archive.list())
if sys.argv[3] == "crc32":
    outcomes = in_threads(files, archive, target, digests=False)
else:
    outcomes = apply([Operation(Action.CREATE, file, "") for file in files], archive, target)
failed = [outcome for _, outcome in outcomes if isinstance(outcome, Exception)]
sys.exit(len(failed) > 0)
"""
OWN = {
    "bsdtar": ["bsdtar", "-xf", "{archive}", "-C", "{out}"],
    "visprep": [sys.executable, "-c", VISPREP, "{archive}", "{out}", "crc32"],
    "visprep + SHA-256": [sys.executable, "-c", VISPREP, "{archive}", "{out}", "sha256"],
    "visprep download": [sys.executable, "-m", "visprep", "download", "{archive}", "--output", "{out}", "--quiet"],
}
TOOLS = {
    ".zip": {
        "unzip": ["unzip", "-q", "{archive}", "-d", "{out}"],
        "zipfile": [sys.executable, "-c", ZIPFILE, "{archive}", "{out}"],
        **OWN,
    },
    ".tar": {
        "tar": ["tar", "-xf", "{archive}", "-C", "{out}"],
        "tarfile": [sys.executable, "-c", TARFILE, "{archive}", "{out}"],
        **OWN,
    },
}


def start_of(run: Run) -> float:
    """The part of a run before a Python program can begin, which tells the time when it does; 0 for other tools."""
    return float(run.out) - run.began if run.out else 0.0


def pool(images: Path | None) -> bytes:
    """The bytes that members are cut from: JPEGs of a directory, else JPEGs as large and as dense as photographs."""
    if images:
        return b"".join(path.read_bytes() for path in sorted(images.rglob("*.jp*g")))
    import numpy as np
    from PIL import Image

    rng, made = np.random.default_rng(1), io.BytesIO()
    for _ in range(64):
        coarse = Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((854, 640), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = smooth + rng.normal(0, 4, smooth.shape).astype(np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(made, "JPEG", quality=88, optimize=True)
    return made.getvalue()


def make_archives(folder: Path, images: Path | None, members: int, size: int) -> None:
    """An archive of each kind, of so many members, and of so many bytes together."""
    content, each = pool(images), size // members
    content *= -(-each // len(content)) + 1
    for kind, method in METHODS.items():
        with zipfile.ZipFile(folder / f"{kind}.zip", "w", method) as archive:
            for number in range(members):
                at = number * 100_003 % (len(content) - each)
                archive.writestr(f"train2017/{number:012}.jpg", content[at : at + each])
    for kind, packing in KINDS.items():
        if ".tar" in kind:
            with tarfile.open(folder / kind, f"w:{packing}", **({"compresslevel": 6} if packing else {})) as archive:
                for number in range(members):
                    at = number * 100_003 % (len(content) - each)
                    member = tarfile.TarInfo(f"train2017/{number:012}.jpg")
                    member.size = each
                    archive.addfile(member, io.BytesIO(content[at : at + each]))


def tools(archive: Path) -> dict[str, list[str]]:
    """The commands that unpack an archive of such a name."""
    return TOOLS[".tar" if ".tar" in archive.name else ".zip"]


def run(command: list[str], archive: Path, out: Path) -> Run:
    """Unpack `archive` into the fresh directory `out`."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return timed([part.replace("{archive}", str(archive)).replace("{out}", str(out)) for part in command])


def present(folder: Path, kind: str) -> Iterator[str]:
    """The tools that are there and check CRCs; a line about each that is not, or does not."""
    sound, damaged = folder / f"sound-{kind}", folder / f"damaged-{kind}"
    if ".tar" in kind:
        with tarfile.open(sound, f"w:{KINDS[kind]}") as archive:
            archive.addfile(tarfile.TarInfo("a.jpg"))
        whole = sound.read_bytes()
        damaged.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    else:
        with zipfile.ZipFile(sound, "w") as zipped:
            zipped.writestr("a.jpg", b"one byte of this will be another")
        damaged.write_bytes(sound.read_bytes().replace(b"this", b"thos"))
    for name, command in tools(sound).items():
        if not shutil.which(command[0]):
            print(f"{name}: not on this machine (apt-get install unzip libarchive-tools); left out")
        elif kind == "plain.tar":  # nothing in it tells what its bytes should be
            yield name
        elif ".tar" in kind and run(command, damaged, folder / "out").code == 0:
            print(f"{name}: does not notice that the CRC of a gzip file is wrong; shown all the same")
            yield name
        elif run(command, sound, folder / "out").code != 0:
            print(f"{name}: cannot unpack a sound archive; left out")
        elif run(command, damaged, folder / "out").code == 0:
            print(f"{name}: does not notice a damaged member; left out")
        else:
            yield name


def compare(archive: Path, names: list[str], out: Path, pairs: int, members: int) -> dict[str, list[Run]]:
    """Every tool in turn, `pairs` times; each must leave all members behind."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for _ in range(pairs):
        for name in names:
            result = run(tools(archive)[name], archive, out)
            found = sum(1 for path in (out / "train2017").iterdir() if path.stat().st_size)
            assert (result.code, found) == (0, members), f"{name}: exit code {result.code}, {found} files"
            runs[name].append(result)
    shutil.rmtree(out)
    return runs


def show(kind: str, runs: dict[str, list[Run]], size: int) -> None:
    """Print a table, and how our ratio stands to the target where the peer is there."""
    print(f"\n{kind:<18}  wall s  start s   CPU s  peak MB   GB/s   {PEER}'s wall s / its: whole; without start")
    for name, results in runs.items():
        wall = statistics.median(one.wall for one in results)
        start = statistics.median(start_of(one) for one in results)
        line = f"{name:<18} {wall:7.3f} {start:8.3f} {statistics.median(one.processor for one in results):7.2f}"
        line += f" {max(one.memory for one in results):8.0f} {size / (wall - start) / 1e9:6.2f}"
        if PEER in runs:
            whole = statistics.median(peer.wall / one.wall for peer, one in zip(runs[PEER], results, strict=True))
            bare = ratios(runs[PEER], results)
            line += f"   {whole:.2f}x; {statistics.median(bare):.2f}x ({min(bare):.2f} to {max(bare):.2f})"
        print(line)
    if PEER in runs and "visprep" in runs:
        best = min(one.wall for one in runs[PEER]) / min(one.wall - start_of(one) for one in runs["visprep"])
        reached = statistics.median(ratios(runs[PEER], runs["visprep"]))
        print(f"target: at least {TARGET}x {PEER} on 2 cores; {reached:.2f}x, {best:.2f}x of the best runs of both")


def ratios(peer: list[Run], ours: list[Run]) -> list[float]:
    """How many times as long the peer took in each pair of runs, our start left out."""
    return [one.wall / (other.wall - start_of(other)) for one, other in zip(peer, ours, strict=True)]


def main() -> None:
    """Make the archives, run all tools in turn, and print the tables and the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=3_000, help="files in the archive  [default: %(default)s]")
    parser.add_argument("--size", type=int, default=500, help="megabytes in the archive  [default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=3, help="runs of every tool  [default: %(default)s]")
    parser.add_argument("--images", type=Path, help="a directory of JPEGs to cut members from, instead of made ones")
    asked = parser.parse_args()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    size = asked.size * 1_000_000
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = Path(name)
        # In a process of its own: the memory of this one would count as the peak of its children.
        maker = get_context("spawn").Process(target=make_archives, args=(folder, asked.images, asked.members, size))
        maker.start()
        maker.join()
        cores = len(os.sched_getaffinity(0))
        print(f"{asked.members} members, {asked.size} MB, {asked.pairs} runs each, {cores} cores")
        for kind in KINDS:
            names = list(present(folder, kind))
            busy = os.getloadavg()[0]
            runs = compare(folder / kind, names, folder / "out", asked.pairs, asked.members)
            show(kind, runs, size)
            print(f"load before and after: {busy:.1f}, {os.getloadavg()[0]:.1f}")
    print("download and unpack in one: scripts/bench_remote_archives.py")


if __name__ == "__main__":
    main()
