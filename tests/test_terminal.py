"""A long sync as a person sees it: on a terminal that a program reads, with Ctrl-C in the middle."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import zipfile

import pyte
import pytest

import visprep
from visprep.stores import PART_SUFFIX

FILES = 50_000
CALLS = 100_000
LINES, COLUMNS = 30, 200


class Terminal:
    """A terminal with a command on it; `look` is called with its screen whenever that changes."""

    def __init__(self, *argv):
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "visprep", *map(str, argv)],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env=os.environ | {"TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(theirs)

    def press(self, keys):
        os.write(self._ours, keys)

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display).strip()

    def watch(self, look):
        """The exit code, when the command has ended."""
        try:
            while piece := os.read(self._ours, 65536):
                self._stream.feed(piece)
                look(self)
        except OSError:  # Linux says EIO when the other end is closed
            pass
        os.close(self._ours)
        return self._process.wait(60)


def counts(text, stage):
    """The number of files that are done, and of all, as a bar shows them."""
    found = re.search(rf"^{stage} .*?([\d,]+) of ([\d,]+) files", text, re.MULTILINE)
    return tuple(int(number.replace(",", "")) for number in found.groups()) if found else None


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "many.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(FILES):
            file.writestr(f"{number // 1000:02}/{number:05}.txt", f"{number}")
    return path


def test_a_long_sync_shows_how_far_it_is_stops_at_once_and_goes_on(archive, tmp_path):
    target, seen, pressed = tmp_path / "target", [], []

    def stop_in_the_middle(terminal):
        if (now := counts(terminal.text, "Copying")) and now[0] > FILES // 10 and not pressed:
            pressed.append(terminal.screen.cursor.hidden)
            terminal.press(b"\x03")

    first = Terminal("sync", archive, target)
    assert first.watch(stop_in_the_middle) == 130, first.text
    assert pressed == [True]  # the cursor is hidden while bars are drawn
    assert not first.screen.cursor.hidden
    assert "visprep: interrupted; run the same command again to go on" in first.text
    assert counts(first.text, "Comparing") == (FILES, FILES)
    there = [path for path in target.rglob("*") if path.is_file()]
    assert 0 < len(there) < FILES
    assert not [path for path in there if path.name.endswith(PART_SUFFIX)]
    assert all(path.read_bytes() == str(int(path.stem)).encode() for path in there)

    def note(terminal):
        if now := counts(terminal.text, "Copying"):
            seen.append(now)

    again = Terminal("sync", archive, target)
    assert again.watch(note) == 0, again.text
    left = FILES - len(there)
    assert {total for _, total in seen} == {left}
    done = [number for number, _ in seen]
    assert done == sorted(done)
    assert len(set(done)) > 5
    assert done[-1] == left
    assert not again.screen.cursor.hidden
    assert f"{left:,} files copied" in again.text
    assert f"{len(there):,} were there already" in again.text
    assert sum(1 for path in target.rglob("*.txt")) == FILES


@pytest.mark.parametrize("way", ["disk", "up", "down"])
def test_the_bytes_of_a_large_file_advance(way, bucket, tmp_path):
    size = 500_000_000 if way == "disk" else 120_000_000  # so much that there is time to tell of it
    (tmp_path / "a").mkdir()
    (tmp_path / "a/large").write_bytes(os.urandom(1000) * (size // 1000))
    (tmp_path / "a/small").write_bytes(b"x")
    told = []
    url = f"s3://{bucket}/p"
    ends = {"disk": (tmp_path / "a", tmp_path / "b"), "up": (tmp_path / "a", url), "down": (url, tmp_path / "b")}
    if way == "down":
        visprep.sync(*ends["up"])
    visprep.sync(*ends[way], progress=told.append)
    copying = [one for one in told if one.stage == "Copying"]
    assert {(one.unit, one.total) for one in copying} == {("bytes", size + 1)}
    amounts = [one.done for one in copying]
    assert amounts == sorted(amounts)
    assert len(set(amounts)) > 3
    assert amounts[-1] == size + 1


@pytest.mark.parametrize("way", ["disk", "up", "down"])
@pytest.mark.parametrize(("files", "each", "unit"), [(90, 200_000, "bytes"), (90, 20_000, "files")])
def test_pictures_are_told_in_bytes_and_small_files_in_files(way, files, each, unit, bucket, tmp_path):
    """From the moment when the copying begins, so that the pace is known when the first is there."""
    (tmp_path / "a").mkdir()
    for number in range(files):
        (tmp_path / f"a/{number}").write_bytes(bytes([number]) * each)
    url = f"s3://{bucket}/{files}-{each}"
    ends = {"disk": (tmp_path / "a", tmp_path / "b"), "up": (tmp_path / "a", url), "down": (url, tmp_path / "b")}
    if way == "down":
        visprep.sync(*ends["up"])
    told = []
    visprep.sync(*ends[way], progress=told.append)
    copying = [one for one in told if one.stage == "Copying"]
    total = files * each if unit == "bytes" else files
    assert {(one.unit, one.total) for one in copying} == {(unit, total)}
    amounts = [one.done for one in copying]
    assert amounts == sorted(amounts)
    assert (amounts[0], amounts[-1]) == (0, total)
    told.clear()
    visprep.sync(*ends[way], progress=told.append)
    assert "Copying" not in {one.stage for one in told}


def test_bars_are_drawn_now_and_then_and_always_at_their_end(monkeypatch):
    """A hundred thousand calls cost little: few are drawn, the last of every stage among them."""
    from visprep.console import screen
    from visprep.progress import Progress

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with screen(quiet=False, verbose=0, log=None) as shown:
            for stage in ("Comparing", "Copying"):
                for number in range(1, CALLS + 1):
                    shown.progress(Progress(stage, number, CALLS))
    seen = b""
    with contextlib.suppress(OSError):  # Linux says EIO when the other end is closed
        while piece := os.read(ours, 65536):  # a read gives 4,095 bytes at most
            seen += piece
    os.close(ours)
    drawn = seen.decode()
    assert drawn.count("Copying") < 200
    assert counts(re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn).replace("\r", "\n").split("Comparing")[-1], "Copying")
