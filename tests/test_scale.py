"""Places of very many files: what a copy holds in memory does not grow with them.

Each copy is a process of its own that tells its peak. VISPREP_NAMES sets how many files; `make scale` runs ten million.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from visprep.spool import Spool

PROGRAM = Path(__file__).with_name("many_names.py")
FEW, MANY = 20_000, int(os.environ.get("VISPREP_NAMES", 100_000))
MEGABYTE = 1_000_000


def test_what_is_longer_than_memory_is_sorted_all_the_same():
    numbers = [(number * 7919 % 50_021, number) for number in range(100_003)]
    spool = Spool(tuple, tuple)
    for pair in numbers:
        spool.append(pair)
    by_first = list(spool.sorted(lambda pair: pair[0].to_bytes(4, "big")))
    assert by_first == sorted(numbers, key=lambda pair: pair[0])
    assert list(spool) == numbers
    # More runs than are merged at once, or fewer: what is equal stays as it was appended
    for run, together in ((1_000, 4), (7_919, 2), (50_000, 3)):
        assert list(spool.sorted(lambda pair: pair[0] % 97, run=run, together=together)) == sorted(
            numbers, key=lambda pair: pair[0] % 97
        )


def copied(scenario, count, folder):
    """What a copy in a process of its own did, and what that cost."""
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, PROGRAM, scenario, str(count), folder], capture_output=True, text=True, check=False,
        env=os.environ | {"TMPDIR": str(folder)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    print(f"{scenario}: {count:,} files, {told['seconds']:.0f} s, {told['peak'] / MEGABYTE:.0f} MB")
    return told


@pytest.mark.parametrize(
    ("scenario", "moved", "kept", "deleted", "share"),
    [
        ("create", 1, 0, 0, 1),
        ("same", 0, 1, 0, 1),
        ("delete", 0.5, 0.5, 0.5, 1),
        ("resume", 0.1, 0.9, 0, 1),
        ("remember", 0, 1, 0, 0.5),
        ("large", 1, 0, 0, 0.5),
        ("refuse", 0, 0, 0, 0.5),
    ],
)
def test_memory_does_not_grow_with_the_files(tmp_path, scenario, moved, kept, deleted, share):
    few, many = (copied(scenario, count, tmp_path / str(count)) for count in (FEW, int(MANY * share)))
    count = MANY * share
    assert (many["moved"], many.get("kept", 0), many.get("deleted", 0)) == (
        moved * count, kept * count, deleted * count,
    )  # fmt: skip
    assert many["peak"] < 300 * MEGABYTE
    assert many["peak"] - few["peak"] < 40 * MEGABYTE * max(1, MANY / 1_000_000)


def test_every_failure_is_counted_and_journaled_though_not_all_are_held(tmp_path):
    told = copied("refuse", FEW, tmp_path / "x")
    assert f"{FEW} of {FEW} files failed" in told["message"]
    lines = (tmp_path / "x/place/.visprep/journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["access-denied"] * FEW
