"""Files that are written whole: two commands at once, and what a killed one left."""

import os
import subprocess
import sys

import pytest

from visprep import whole_files
from visprep.errors import DiskFull
from visprep.stores import PART_SUFFIX, is_part

KILLED = """
import os, signal, sys
from visprep import whole_files
def pieces():
    yield "half"
    os.kill(os.getpid(), signal.SIGKILL)
whole_files.write(sys.argv[1], pieces())
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "page.html"


def parts(file):
    return [one for one in file.parent.iterdir() if one.name.endswith(PART_SUFFIX)]


def age(file):
    for part in parts(file):
        os.utime(part, (0, 0))


def test_two_who_write_one_file_at_once_write_it_whole(file):
    def slowly():
        yield "the first, "
        age(file)  # it is held all the same
        assert whole_files.write(file, ["the second"]) == 10
        assert whole_files.in_the_way(file) == file
        assert file.read_text() == "the second"
        yield "and its end"

    assert whole_files.write(file, slowly()) == 22
    assert file.read_text() == "the first, and its end"
    assert parts(file) == []


def test_what_a_killed_one_left_goes_with_the_next(file):
    (file.parent / f".{'0' * 24}{PART_SUFFIX}").write_text("of another file")
    subprocess.run([sys.executable, "-c", KILLED, file], check=False)
    (left,) = [one for one in parts(file) if "000000" not in one.name]
    assert is_part(left.name)
    whole_files.write(file, ["young"])
    assert left in parts(file)  # one that is just made, and not yet held, looks the same
    age(file)
    whole_files.write(file, ["old"])
    assert [one.read_text() for one in parts(file)] == ["of another file"]


@pytest.mark.parametrize("pieces", [["x" * 70_000], ["x" * 1_000] * 100], ids=["at once", "in small pieces"])
def test_a_full_disk_is_told_of_the_file(small_disk, pieces):
    with pytest.raises(DiskFull, match=r"page\.html"):
        whole_files.write(small_disk / "page.html", pieces)
    assert list(small_disk.iterdir()) == []
