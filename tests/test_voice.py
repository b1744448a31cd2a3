"""How visprep speaks while it works, and when it is stopped."""

import io
import logging
import os
import pickle
import pty
import re
import subprocess
import sys
import tomllib
import traceback
from pathlib import Path

import pyte
import pytest
from rich.console import Console

import visprep
from test_taste import COMMANDS
from visprep.amounts import duration
from visprep.bars import INTERVAL, Bars, Lines
from visprep.cli.stopping import KEPT, READING, farewell
from visprep.console import screen
from visprep.errors import UsageError
from visprep.progress import Progress
from visprep.traffic import Traffic

VISPREP = [sys.executable, "-m", "visprep"]


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


def work(lines, clock, stage, total, unit, seconds, steps=100):
    """A stage of so many seconds, heard of in so many steps."""
    for step in range(1, steps + 1):
        clock.now += seconds / steps
        lines.show(Progress(stage, total * step // steps, total, unit))


def test_a_log_sees_life_every_ten_seconds_with_amount_pace_and_time_left(clock, said):
    lines = Lines(said.append, clock)
    work(lines, clock, "Copying", 6_000_000_000, "bytes", 60)
    lines.close()
    assert said[0] == "Copying: 1.0 GB of 6.0 GB, 100.0 MB/s, 50 s left"
    assert said[-1] == "Copying: 6.0 GB of 6.0 GB in 59 s"  # since it was first heard of
    assert len(said) in (60 / INTERVAL, 60 / INTERVAL + 1)


def test_what_is_done_soon_is_not_told_of(clock, said):
    lines = Lines(said.append, clock)
    for stage in ("Comparing", "Copying"):
        work(lines, clock, stage, 1000, "files", INTERVAL / 4)
    lines.close()
    assert said == []


def test_each_stage_has_its_pace_and_its_end(clock, said):
    lines = Lines(said.append, clock)
    work(lines, clock, "Comparing", 10_000, "files", 12)
    work(lines, clock, "Copying", 100, "files", 12)
    lines.close()
    assert len(said) == 4
    assert said[0].endswith(" of 10,000 files, 833/s, 2 s left")
    assert said[1] == "Comparing: 10,000 of 10,000 files in 12 s"
    assert said[2].endswith(" of 100 files, 8.3/s, 4 s left")
    assert said[3] == "Copying: 100 of 100 files in 12 s"


def test_a_stage_that_comes_again_begins_again(clock, said):
    """Verify and stats both look at images; of a page, one after the other."""
    lines, terminal = Lines(said.append, clock), io.StringIO()
    bars = Bars(Console(file=terminal, force_terminal=True, width=100, get_time=clock))
    for shown in (lines, bars):
        for stage, seconds in (("Looking", 12), ("Reading", 60), ("Looking", 15)):
            work(shown, clock, stage, 100, "files", seconds)
        shown.close()
    assert said[-1] == "Looking: 100 of 100 files in 15 s"
    assert "0:00:14" in terminal.getvalue()  # since it was heard of again


def test_stages_that_take_turns_say_no_more_than_one_would(clock, said):
    lines = Lines(said.append, clock)
    for step in range(1, 2001):
        clock.now += 0.1
        for stage in ("Fetching a.zip", "Fetching b.zip"):
            lines.show(Progress(stage, step, None, "bytes"))
    lines.close()
    assert len(said) in range(18, 22)


def test_the_pace_is_that_of_late(clock, said):
    """What was there already is skipped in no time, and promises nothing."""
    lines = Lines(said.append, clock)
    work(lines, clock, "Writing", 1_000_000, "files", 5)
    for step in range(1000):
        clock.now += 0.1
        lines.show(Progress("Writing", 1_000_000 + step, 1_001_000, "files"))
    assert ", 10/s, " in said[-1]


def test_what_servers_were_asked_is_told_too(clock, said):
    lines = Lines(said.append, clock)
    clock.now += INTERVAL
    lines.show(Progress("Verifying", 7, None, "tasks", Traffic(1200, 3, 5_000_000)))
    assert said == ["Verifying: 7 tasks, 1,200 requests, 5.0 MB"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (-1, "0 s")]
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words


def all_of(terminal):
    """What came to our end of a terminal, whose other end is closed or will be."""
    seen = b""
    try:
        while piece := os.read(terminal, 65536):
            seen += piece
    except OSError:  # Linux says EIO when the other end is closed
        pass
    os.close(terminal)
    return seen


def on_a_terminal(*argv, **environment):
    """What a terminal gets as stderr of a command."""
    ours, theirs = pty.openpty()
    ended = subprocess.Popen([*VISPREP, *map(str, argv)], stderr=theirs, env=os.environ | environment)
    os.close(theirs)
    seen = all_of(ours)
    assert ended.wait(60) == 0
    return seen.decode(errors="replace")


COLOR = re.compile(r"\x1b\[[\d;]*3\d[\d;]*m")


def test_colors_go_where_they_are_not_wanted_and_bars_where_they_cannot_be_drawn(tmp_path):
    download = ("download", "sample", "--limit", "8", "--output")
    plain = {"TERM": "xterm-256color"}
    assert COLOR.search(on_a_terminal(*download, tmp_path / "a", **plain))
    without = on_a_terminal(*download, tmp_path / "b", **plain, NO_COLOR="1")
    assert "Writing" in without
    assert not COLOR.search(without)
    dumb = on_a_terminal(*download, tmp_path / "c", TERM="dumb")
    assert "\x1b" not in dumb
    assert "8 tasks" in dumb


def test_a_log_line_stands_above_the_bars(monkeypatch):
    """Each on a line of its own, whatever is drawn meanwhile."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with screen(quiet=False, verbose=2, log=None) as shown:
            for number in range(1, 4):
                shown.progress(Progress("Copying", number, 3))
                logging.getLogger("visprep.wire").debug("GET %s", number)
        monkeypatch.undo()
    seen = all_of(ours)
    display = pyte.Screen(100, 30)
    pyte.ByteStream(display).feed(seen)
    lines = [line.rstrip() for line in display.display if line.strip()]
    assert [line.rpartition(" DEBUG ")[2] for line in lines[:-1]] == ["GET 1", "GET 2", "GET 3"]
    assert lines[-1].startswith("Copying ")
    assert lines[-1].endswith("3 of 3 files")


def test_every_command_says_what_is_kept_when_it_is_stopped():
    """Whoever adds a command says so in cli/stopping.py."""
    assert set(COMMANDS) - set(KEPT) - set(READING) == set()
    assert not set(KEPT) & set(READING)


@pytest.mark.parametrize(
    ("line", "goes_on", "hints"),
    [
        ("ls place", False, 0),
        ("runs list s3://b/p", False, 0),
        ("download sample", True, 1),
        ("download sample --dry-run", False, 0),
        ("runs pull s3://b/p", True, 1),
        ("sync --apply a.plan", True, 2),
        ("", True, 0),
    ],
)
def test_whoever_stops_a_command_is_told_how_to_go_on(line, goes_on, hints):
    told = list(farewell(line.split()))
    assert told[0].startswith("visprep: interrupted; ")
    assert told[0].endswith("run the same command again to go on") == goes_on
    assert len(told) == 1 + hints
    assert all(one.startswith("hint: ") for one in told[1:])


def test_who_stops_a_command_before_it_is_loaded_sees_no_traceback(tmp_path):
    """The command and the module begin alike; here the first library that is loaded brings the Ctrl-C."""
    (tmp_path / "typer.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, function = project["project"]["scripts"]["visprep"].partition(":")
    source = Path(visprep.__file__).parents[1]
    for how in (["-m", "visprep"], ["-c", f"import sys; from {module} import {function}; sys.exit({function}())"]):
        ended = subprocess.run(
            [sys.executable, *how, "ls"], capture_output=True, text=True, check=False, timeout=60,
            env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{source}"},
        )  # fmt: skip
        assert (ended.returncode, ended.stdout) == (130, "")
        assert ended.stderr == "\nvisprep: interrupted; nothing was changed\n"


def test_a_hint_is_shown_where_nobody_catches_an_error():
    """Python shows it below the message, and `str` of the error does not have it."""
    problem = UsageError("no such thing", hint="take another")
    for one in (problem, pickle.loads(pickle.dumps(problem))):
        assert traceback.format_exception_only(one)[-1] == "hint: take another\n"
        assert str(one) == "no such thing"
    assert len(traceback.format_exception_only(UsageError("alone"))) == 1


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("ls --jsn x", "there is no option --jsn", "did you mean --json? visprep ls --help lists what it takes"),
        ("runs lst x", "there is no command lst", "did you mean list? visprep runs --help lists what it takes"),
        ("bogus", "there is no command bogus", "visprep --help lists what there is"),
        ("runs show", "PLACE is missing", "visprep runs show --help lists what it takes"),
        (
            "convert x --to yollo --output y",
            "--to: 'yollo' is not one of 'coco', 'parquet', 'tasks', 'voc', 'webdataset', 'yolo'",
            "did you mean yolo? visprep convert --help lists what it takes",
        ),
        ("verify x --depth", "--depth needs a value", "visprep verify --help lists what it takes"),
        ("download x --limit a", "--limit: a whole number is needed", "visprep download --help lists what it takes"),
        ("verify x --jobs 0", "--jobs: 1 at least", "visprep verify --help lists what it takes"),
        ("ls x --json=3", "--json takes no value", "visprep ls --help lists what it takes"),
        ("ls a b", "nothing is known to do with: b", "visprep ls --help lists what it takes"),
    ],
)
def test_what_the_parser_refuses_is_said_in_our_words(run, line, message, hint):
    ended = run(*line.split())
    assert (ended.code, ended.out, ended.err) == (2, "", f"visprep: {message} [usage]\nhint: {hint}\n")


def test_no_answer_is_no_yes(tmp_path):
    """Ctrl-D where it is asked whether files may be deleted: nothing is done, and that is no finding."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3", "b/old"):
        (tmp_path / name).write_text(name)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*VISPREP, "sync", str(tmp_path / "a"), str(tmp_path / "b"), "--delete"],
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, b"\x04")
    _, told = process.communicate(timeout=60)
    os.close(ours)
    assert (process.returncode, "[usage]\nhint: say --yes" in told) == (2, True), told
    assert (tmp_path / "b/old").exists()
