"""Copies out of tar files by the command line: the same files, kills in the middle, and what cannot be."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from conftest import tree
from killing import kill_count, random_kills, visprep
from tar_forge import END, member, tar, zipped
from visprep import download, ls
from visprep.errors import Incomplete, WouldOverwrite, WrongContent

_SKEWED = bytes(byte * byte // 260 for byte in range(256))


def photographs(count, size=200_000):
    noise = random.Random(3)
    return {f"train/{number:05}.jpg": noise.randbytes(size).translate(_SKEWED) for number in range(count)}


def data(place):
    return {path: held for path, held in tree(place).items() if path != "dataset.json" and ".visprep" not in path}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
def test_download_verify_and_ls_take_one_like_a_directory(tmp_path, name):
    files = photographs(5)
    packed = tar(files)
    (tmp_path / name).write_bytes(packed if name == "a.tar" else zipped(packed))
    assert [one.path for one in ls(tmp_path / name)] == sorted(files)
    result = download(f"{tmp_path}/{name}", tmp_path / "out")
    assert (result.moved, result.kept) == (5, 0)
    assert data(tmp_path / "out") == files
    assert download(f"{tmp_path}/{name}", tmp_path / "out").kept == 5
    assert not list((tmp_path / "out/.visprep").rglob("archive-contents*"))


def test_without_a_name_the_target_is_called_like_the_archive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cats.tar.gz").write_bytes(zipped(tar({"a/b.txt": b"1"})))
    download("./cats.tar.gz")
    assert data(tmp_path / "data/cats") == {"a/b.txt": b"1"}


def test_a_sound_file_beside_a_hostile_one_comes(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(zipped(member(b"../up", b"x") + member(b"down", b"y") + END))
    with pytest.raises(Incomplete, match="unsafe-path"):
        download(f"{tmp_path}/a.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/down").read_bytes() == b"y"
    assert not (tmp_path / "up").exists()


def test_a_damaged_archive_leaves_nothing(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(zipped(tar(photographs(3)))[:-100])
    with pytest.raises(WrongContent, match="cut off"):
        download(f"{tmp_path}/a.tar.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_others_stay(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar({"a": b"new"}))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_bytes(b"old")
    with pytest.raises(WouldOverwrite):
        download(f"{tmp_path}/a.tar", tmp_path / "out")
    assert tree(tmp_path / "out") == {"a": b"old"}


@pytest.mark.parametrize("command", [["upload", "{dir}", "{tar}"], ["sync", "{dir}", "{tar}"]])
def test_nothing_is_written_into_one(tmp_path, command):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(b"1")
    argv = [word.format(dir=tmp_path / "in", tar=tmp_path / "b.tar.gz") for word in command]
    ended = subprocess.run([sys.executable, "-m", "visprep", *argv], capture_output=True, text=True, check=False)
    assert ended.returncode in (2, 3)
    assert "hint" in ended.stderr
    assert not (tmp_path / "b.tar.gz").exists()


def test_killed_it_does_not_inflate_from_the_beginning(tmp_path):
    files = photographs(300)
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(zipped(tar(files), 1))
    for attempt in range(5):  # a kill that comes when all is done is one too late
        place = tmp_path / f"out{attempt}"
        process = visprep("download", archive, "--output", place)
        while process.poll() is None:
            with contextlib.suppress(OSError):
                noted = (place / ".visprep/in-progress").read_text()
                if all(path in noted for path in sorted(files)[:60]):
                    process.kill()
                    break
            time.sleep(0.002)
        process.communicate()
        if not (place / ".visprep/manifest.jsonl").exists():
            break
    assert process.returncode == -signal.SIGKILL
    assert (place / ".visprep/cache/archive-contents").exists()
    facts = archive.stat()
    with archive.open("r+b") as spoiled:  # what nobody needs any more
        spoiled.write(bytes(5_000_000))
    os.utime(archive, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    ended = visprep("download", archive, "--output", place)
    _, words = ended.communicate(timeout=100)
    assert ended.returncode == 0, words
    assert data(place) == files


def test_killed_at_random_it_ends_the_same(tmp_path):
    files = photographs(200)
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(zipped(tar(files), 1))

    def at_work(number):
        return (tmp_path / f"out{number}/.visprep/in-progress").exists()

    def check(number):
        assert data(tmp_path / f"out{number}") == files

    def command(number):
        return ["download", archive, "--output", tmp_path / f"out{number}"]

    random_kills(command, at_work, check, 5, tries=kill_count(6), longest=0.3)


@pytest.mark.parametrize("name", ["out.zip", "out.tar", "out.tar.gz", "out.tgz"])
def test_nothing_is_written_into_an_archive(run, tmp_path, name):
    done = run("download", "sample", "--output", tmp_path / name)
    assert done.code == 2
    assert "nothing is written into an archive" in done.err
    assert not (tmp_path / name).exists()
