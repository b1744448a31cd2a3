"""Others read what visprep writes: a COCO set, downloaded from a mirror on this machine, in each reader by its own API.

Each reader has a virtual environment of its own, with pinned versions from where pip takes packages; the environments
are kept, so the second run is quick. Some images of train2017 and val2017 of the embedded sample are downloaded, drawn
so that crowds are among them and an image without annotations. The table tells what a reader found and whether it
warned; the first row is what the JSON holds. The exit code is 1 when a reader finds other numbers or fails, 3 when
none could be tried. One that pip cannot install is skipped; so is one that is large, unless it is asked for by name.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import visprep
from reading_coco import Found
from visprep.testing import Mirror
from visprep.testing.coco import lay_out

READING = Path(__file__).with_name("reading_coco.py")
LONGEST = {"install": 1800, "read": 300}


@dataclass(frozen=True)
class Reader:
    """One reader: the pins of its environment, its own first, and why it is left out unless asked for by name.

    `built` are those packages of its environment that there are no wheels of.
    """

    pins: tuple[str, ...]
    large: str = ""
    built: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name as a package."""
        return self.pins[0].partition("==")[0]

    @property
    def module(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_")


READERS = {
    reader.name: reader
    for reader in (
        Reader(("pycocotools==2.0.11", "numpy==2.4.6")),
        Reader(("faster-coco-eval==1.8.0", "numpy==2.4.6")),
        # Named as the build for the CPU: else pip may take the one for CUDA, and gigabytes with it.
        Reader(("torchvision==0.28.0", "torch==2.13.0+cpu", "pycocotools==2.0.11", "numpy==2.4.6", "pillow==13.0.0")),
        Reader(("supervision==0.31.2", "numpy==2.4.6", "pillow==13.0.0", "scipy==1.17.1")),
        Reader(("datumaro==1.13.12", "pycocotools==2.0.11", "numpy==2.4.6", "pillow==12.3.0")),
        Reader(
            ("fiftyone==1.22.1", "fiftyone-db==0.4.5", "pycocotools==2.0.11", "numpy==2.4.6", "pillow==13.0.0"),
            large="1.2 GB",
        ),
    )
}


class Skipped(Exception):
    """A reader cannot be tried here; says why."""


@dataclass(frozen=True)
class Row:
    """What the table tells of one reader; without `found` it read nothing. `good` is None where it was not tried."""

    name: str
    version: str
    found: Found | None
    words: str
    good: bool | None = None

    def __str__(self) -> str:
        numbers = (self.found.images, self.found.annotations, self.found.categories) if self.found else ("-",) * 3
        return "{:18}{:9}{:>8}{:>13}{:>12}  {}".format(self.name, self.version, *numbers, self.words)


def made(folder: Path) -> Path:
    """A COCO set of some images, downloaded by visprep; its place."""
    sums = lay_out(folder / "upstream")
    with Mirror(folder / "upstream") as mirror:
        visprep.download(
            "coco", folder / "coco", split="train2017,val2017", limit=4, seed=1, mirror=mirror.url, checksums=sums
        )
    return folder / "coco"


def splits_of(place: Path) -> list[str]:
    """The splits that have instances."""
    return sorted(file.stem.partition("_")[2] for file in (place / "annotations").glob("instances_*.json"))


def held(place: Path, splits: Sequence[str]) -> tuple[Found, str]:
    """What the JSON holds, and how many of it are what readers stumble over."""
    found, categories, crowds, bare = Found(), set(), 0, 0
    for split in splits:
        document = json.loads((place / f"annotations/instances_{split}.json").read_bytes())
        found.images += len(document["images"])
        found.annotations += len(document["annotations"])
        categories |= {one.get("id") for one in document["categories"]}
        crowds += sum(bool(one.get("iscrowd")) for one in document["annotations"])
        annotated = {one["image_id"] for one in document["annotations"]}
        bare += sum(one["id"] not in annotated for one in document["images"])
    found.categories = len(categories)
    return found, f"crowds: {crowds}, images without annotations: {bare}"


def ended(command: Sequence[str | Path], kind: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, or until it takes too long: its code is that of `timeout` then."""
    env = os.environ | ({"HOME": str(home), "FIFTYONE_DO_NOT_TRACK": "1"} if home else {})
    try:
        return subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST[kind],
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"took longer than {LONGEST[kind]} s")


def last_words(text: str) -> str:
    """The last line that says something; of pip the last one that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["said nothing"]
    return next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1])


def environment(reader: Reader, keep: Path) -> Path:
    """The Python of the environment of a reader, made unless it is there; Skipped when pip cannot install it."""
    mark = hashlib.sha256(repr((sys.version, reader.pins)).encode()).hexdigest()[:12]
    home = keep / f"{reader.name}-{mark}"
    python, complete = home / "bin/python", home / "complete"
    if not complete.exists():
        venv.create(home, clear=True, with_pip=True)
        pip = [str(python), "-I", "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        pip += [f"--no-binary={name}" for name in reader.built]
        installed = ended([*pip, *reader.pins], "install")
        if installed.returncode:
            raise Skipped(last_words(installed.stderr))
        complete.touch()
    return python


def installed_here(reader: Reader) -> str:
    """The version of a reader in this environment; Skipped when there is none."""
    try:
        return importlib.metadata.version(reader.name)
    except importlib.metadata.PackageNotFoundError:
        raise Skipped("it is not installed in this environment") from None


def compared(found: Found, there: Found) -> tuple[bool, str]:
    """Whether a reader found just what is there; and that in words, with what it complained about."""
    pairs = [(getattr(found, kind), getattr(there, kind), kind) for kind in ("images", "annotations", "categories")]
    differences = [f"{theirs} {kind} where there are {ours}" for theirs, ours, kind in pairs if theirs != ours]
    words = f"finds {', '.join(differences)}" if differences else "fine"
    if found.note:
        words += f"; {found.note}"
    if found.complaints:
        more = f" (and {len(found.complaints) - 1} more)" if found.complaints[1:] else ""
        words += f"; complains: {found.complaints[0]}{more}"
    return not differences, words


def read(reader: Reader, place: Path, there: Found, keep: Path | None) -> Row:
    """One reader, in an environment below `keep`, or in this one; whatever happens is told by the row."""
    try:
        if keep is None:
            python, version = Path(sys.executable), installed_here(reader)
        else:
            python, version = environment(reader, keep), reader.pins[0].partition("==")[2]
    except (Skipped, OSError, subprocess.CalledProcessError) as reason:
        return Row(reader.name, "", None, f"skipped: {reason}")
    with tempfile.TemporaryDirectory() as home:
        said = ended([python, "-I", READING, reader.module, place, *splits_of(place)], "read", Path(home))
    if said.returncode:
        return Row(reader.name, version, None, f"fails: {last_words(said.stderr)}", good=False)
    found = Found(**json.loads(said.stdout.splitlines()[-1]))
    good, words = compared(found, there)
    return Row(reader.name, version, found, words, good)


def private(folder: Path) -> Path:
    """The folder, made for this user alone; programs in one of somebody else are not run."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SystemExit(f"{folder} belongs to another user: name another with --keep")
    return folder.resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the set, have it read by every reader, and print the table."""
    default = Path(tempfile.gettempdir(), f"visprep-readers-{os.getuid()}")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="READER", help=f"only these, of {', '.join(READERS)}")
    parser.add_argument(
        "--keep", type=Path, default=default, help="where environments are kept  [default: %(default)s]"
    )
    parser.add_argument("--here", action="store_true", help="make no environments: use what is installed in this one")
    parser.add_argument("--set", type=Path, help="a COCO set that is there already, instead of making one")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(READERS):
        parser.error(f"no such reader: {', '.join(sorted(unknown))}")
    if asked.set and not splits_of(asked.set):
        parser.error(f"no annotations/instances_*.json in {asked.set}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = asked.set.resolve() if asked.set else made(Path(folder))
        there, words = held(place, splits_of(place))
        print(
            "{:18}{:9}{:>8}{:>13}{:>12}  {}".format(
                "reader", "version", "images", "annotations", "categories", "verdict"
            )
        )
        print(Row("the JSON itself", "", there, words), flush=True)
        for name in asked.names or READERS:
            reader = READERS[name]
            if reader.large and not asked.here and name not in asked.names:
                rows.append(Row(name, "", None, f"skipped: {reader.large} large; `readers.py {name}` reads it, too"))
            else:
                rows.append(read(reader, place, there, None if asked.here else private(asked.keep)))
            print(rows[-1], flush=True)
    verdicts = {row.good for row in rows} - {None}
    return 3 if not verdicts else 1 if False in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
