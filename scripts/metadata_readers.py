"""mlcroissant reads what `visprep export-metadata --to croissant` writes, and finds the records that are there.

It has an environment of its own, as the readers of readers.py, or is taken from this one with `--here`. Each config of
the sample is downloaded, described, and read. The exit code is 1 when it finds other records, an error, or a warning
that is not known, 3 when it could not be tried.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import visprep
from readers import Reader, Skipped, ended, environment, installed_here, last_words, private
from reading_croissant import by_hand

READING = Path(__file__).with_name("reading_croissant.py")
READER = Reader(("mlcroissant==1.1.1", "numpy==2.4.6", "pandas==3.1.1", "pillow==13.0.0"), built=("jsonpath-rw",))
CONFIGS = ("tasks", "coco", "open-images", "vton", "frames")
#: What nobody tells of the places that visprep makes: how to cite them, when they were published, as which version.
UNKNOWN = ("citeAs", "datePublished", "version")


def made(folder: Path) -> list[tuple[Path, Path]]:
    """A place of each config, and an archive; the description of each, and one that tells of the same on a disk."""
    found = []
    for config in CONFIGS:
        visprep.download("sample", folder / config, config=config)
        visprep.export_metadata(folder / config, to="croissant", output=folder / config / "croissant.json")
        found.append((folder / config / "croissant.json",) * 2)
    (folder / "archive").mkdir()
    shutil.make_archive(str(folder / "archive/coco"), "zip", folder / "coco")
    described = folder / "archive/croissant.json"
    visprep.export_metadata(folder / "archive/coco.zip", to="croissant", output=described)
    return [*found, (described, folder / "coco/croissant.json")]


def unexpected(warnings: Sequence[str]) -> list[str]:
    """Warnings about something else than what is unknown."""
    return [one for one in warnings if not any(f'/{name}"' in one for name in UNKNOWN)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the places, have them read, and print a line for each."""
    default = Path(tempfile.gettempdir(), f"visprep-readers-{os.getuid()}")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, default=default, help="where it is kept  [default: %(default)s]")
    parser.add_argument("--here", action="store_true", help="make no environment: use what is installed in this one")
    asked = parser.parse_args(arguments)
    try:
        python = Path(sys.executable) if asked.here else environment(READER, private(asked.keep))
        version = installed_here(READER) if asked.here else READER.pins[0].partition("==")[2]
    except (Skipped, OSError) as reason:
        print(f"{READER.name}: skipped: {reason}")
        return 3
    good = True
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        files = made(Path(folder))
        said = ended([python, "-I", READING, *(str(file) for file, _ in files)], "read", Path(home))
        if said.returncode:
            print(f"{READER.name} {version} fails: {last_words(said.stderr)}")
            return 1
        for (file, same_on_disk), found in zip(files, json.loads(said.stdout.splitlines()[-1]), strict=True):
            there = json.loads(json.dumps(by_hand(same_on_disk)))
            same = found["records"] == there and not unexpected(found["warnings"])
            good &= same
            counts = ", ".join(f"{name} {len(rows)}" for name, rows in found["records"].items())
            print(f"{READER.name} {version}  {file.parent.name:12} {'fine' if same else 'WRONG'}: {counts}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
