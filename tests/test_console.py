"""What people see: on a terminal, into a pipe, with --quiet, with --verbose and --log."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from visprep import columns
from visprep.console import size, table

VISPREP = [sys.executable, "-m", "visprep"]


def on_a_terminal(*argv):
    """Run with stderr on a terminal of its own: the exit code, stdout, and what the terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*VISPREP, *map(str, argv)], stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:  # Linux says EIO when the other end is closed
        pass
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out.decode(), seen.decode(errors="replace")


def test_a_terminal_sees_progress_and_pipes_do_not(tmp_path):
    code, out, seen = on_a_terminal("download", "sample", "--output", tmp_path / "sample")
    assert (code, out) == (0, "")
    assert "Writing" in seen
    assert "32 tasks" in seen
    code, out, seen = on_a_terminal("verify", tmp_path / "sample")
    assert code == 0
    assert "Verifying" in seen
    assert "32 of 32 tasks" in seen
    assert out.endswith("no findings\n")


def test_quiet_says_nothing_but_data_and_errors(run, tmp_path):
    assert run("download", "sample", "--output", tmp_path / "sample", "--quiet")[1:] == ("", "")
    assert "32 tasks" in run("verify", tmp_path / "sample", "--quiet").out
    assert "[place-missing]" in run("verify", tmp_path / "nowhere", "--quiet").err


def test_verbose_and_log_tell_requests_without_secrets(run, bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-key")
    run("download", "sample", "--output", tmp_path / "sample")
    ended = run("upload", tmp_path / "sample", f"s3://{bucket}/x", "-vv", "--log", tmp_path / "log")
    assert ended.code == 0
    log = (tmp_path / "log").read_text()
    for words in (ended.err, log):
        assert "PUT" in words
        assert "very-secret-key" not in words
        assert "Signature=" not in words
    calm = run("upload", tmp_path / "sample", f"s3://{bucket}/y", "-v")
    assert "PUT" not in calm.err


def test_a_log_that_cannot_be_written(run, tmp_path):
    ended = run("ls", tmp_path, "--log", tmp_path / "no" / "such" / "log")
    assert (ended.code, "[disk-error]" in ended.err) == (3, True)


def test_a_log_goes_to_the_end_of_a_log_and_of_no_other_file(run, bucket, tmp_path):
    log, other = tmp_path / "log", tmp_path / "notes.json"
    run("ls", f"s3://{bucket}/x", "--log", log)
    once = log.read_text()
    run("ls", f"s3://{bucket}/x", "--log", log)
    assert once
    assert log.read_text().startswith(once)
    assert len(log.read_text()) > len(once)
    other.write_text("{}")
    ended = run("ls", f"s3://{bucket}/x", "--log", other)
    assert (ended.code, "[would-overwrite]" in ended.err, other.read_text()) == (3, True, "{}")


@pytest.mark.skipif(os.name == "nt", reason="no such name here")
def test_a_log_may_go_where_the_output_goes(tmp_path):
    """As a schedule's job has it: stderr is a file that holds what came before."""
    (tmp_path / "a.txt").write_text("a")
    with (tmp_path / "err").open("a+") as err:
        print("job 7 starts", file=err, flush=True)
        words = [sys.executable, "-m", "visprep", "ls", tmp_path, "--log", "/dev/stderr"]
        assert subprocess.run(words, stdout=subprocess.PIPE, stderr=err).returncode == 0
    assert (tmp_path / "err").read_text().startswith("job 7 starts\n")


def test_json_goes_to_stdout_with_its_version(run, tmp_path):
    place = tmp_path / "sample"
    for command in (
        ("download", "sample", "--output", place),
        ("verify", place),
        ("ls", place),
        ("sources",),
    ):
        document = json.loads(run(*command, "--json").out)
        assert document["format_version"] == 1


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (2 * 10**15, "2000.0 TB")]
)
def test_sizes_in_words(count, words):
    assert size(count) == words


def test_closed_streams_are_no_failure(tmp_path):
    for closed in (">&-", "2>&-"):
        command = f"{sys.executable} -m visprep download sample --limit 1 --output {tmp_path / 'sample'} {closed}"
        assert subprocess.run(command, shell=True, check=False).returncode == 0
    assert not (tmp_path / "sample/.visprep/in-progress").exists()


@pytest.mark.parametrize("stderr", ["2>&1 | true", "2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [("ls /nonexistent", 3), ("explain bogus", 2), ("bogus", 2), ("ls --bogus", 2), ("verify", 2), ("--help", 0)],
)
def test_an_error_that_nobody_reads_keeps_its_code(arguments, code, stderr):
    command = f"{sys.executable} -m visprep {arguments} {stderr}; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (code, b"")


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        (("verify", "--formt", "json"), "--format"),
        (("download", "sample", "--splt", "test"), "--split"),
        (("ls", "x", "--no-sign-reqest"), "--no-sign-request"),
        (("--versoin",), "--version"),
        (("verfy", "x"), "verify"),
        (("donwload",), "download"),
    ],
)
def test_a_name_that_there_is_not_is_answered_with_the_nearest(run, words, suggested):
    ended = run(*words)
    assert (ended.code, ended.out) == (2, "")
    assert suggested in ended.err.splitlines()[-1]


def test_names_that_are_no_text_can_be_shown(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    for options in ((), ("--json",)):
        ended = subprocess.run(
            [*VISPREP, "ls", str(tmp_path), *options],
            env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"}, capture_output=True, check=False,
        )  # fmt: skip
        assert (ended.returncode, b"caf\\udce9" in ended.stdout) == (0, True), ended.stderr


def test_an_interrupt_that_python_drops_comes_again():
    code = """
import os, signal, sys, time, weakref
from visprep.cli import running as cli
cli._catch_signals()
class Thing: pass
def callback(_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
thing = Thing()
ref = weakref.ref(thing, callback)
del thing  # what is raised in the callback is printed and dropped
try:
    time.sleep(60)
except cli._Stopped:
    cli._calm()  # as main does: Python that ends would be killed by one more
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=50, check=False).returncode == 7


def test_two_interrupts_that_come_together_are_one(tmp_path):
    """Of several signals that came, Python calls one handler after the other: the second while the first is told."""
    code = """
import os, signal, sys
from visprep import console
from visprep.cli import main
class Loud:  # the second signal at every moment in which the first is told
    def __init__(self, out): self.out = out
    def write(self, text):
        os.kill(os.getpid(), signal.SIGTERM)
        return self.out.write(text)
    def __getattr__(self, name): return getattr(self.out, name)
def both():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
sys.addaudithook(lambda event, _: both() if event == "os.scandir" and not done.append(1) and len(done) == 1 else None)
done = []
sys.stderr = Loud(sys.stderr)
main(["ls", sys.argv[1]])
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, timeout=50, check=False, text=True
    )
    assert (ended.returncode, ended.stderr.count("interrupted"), "Traceback" in ended.stderr) == (130, 1, False), ended


ESCAPES = "a\x1b[2J\x9b31m\nhint: rm -rf b"


def test_no_name_reaches_the_terminal_as_more_than_characters(run, tmp_path):
    """Not in listings, not in a status, not in errors: a file name may hold any byte but two."""
    place = tmp_path / "place"
    run("download", "sample", "--limit", "1", "--output", place)
    (place / ESCAPES).write_text("x")
    (place / ".visprep/journal.jsonl").write_text(
        json.dumps({"path": ESCAPES, "reason": "x", "message": ESCAPES, "command": "y", "source": "z"}) + "\n"
    )
    outside = tmp_path / f"odd-{ESCAPES}"
    said = [
        run("ls", place).out,
        run("status", place).out,
        run("ls", outside).err,
        run("verify", outside, "--select", ESCAPES).err,
        run("doctor", outside).out,
    ]
    for one in said:
        assert "[2J" in one
        assert "\x1b" not in one
        assert "\x9b" not in one
        assert not any(line.lstrip().startswith("hint: rm") for line in one.splitlines())
    assert ESCAPES in [file["path"] for file in json.loads(run("ls", place, "--json").out)["files"]]


@pytest.mark.parametrize("width", [200, 110, 80, 60, 40])
def test_no_word_of_a_table_is_broken(width):
    headings, terminal = ("Source", "Splits", "What"), io.StringIO()
    rows = [
        ("videothinkbench", "minitest (750), test (4,149)", "VideoThinkBench: visual and textual puzzles for models"),
        ("hf:ORG/NAME", "-", "Any dataset of the Hugging Face hub that has parquet files"),
        ("日本語", "unlabeled2017 (123,403)", "COCO: common objects in context, with boxes, masks and captions"),
    ]
    columns.show(Console(file=terminal, width=width), headings, rows)
    lines = terminal.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).split()
    assert [word for row in rows for cell in row for word in cell.split() if word not in (*words, "-")] == []


def test_a_table_shows_what_stands_in_its_cells(capsys):
    table(["[bold]"], [["visprep[torch]"], ["a:cat:b"], ["[red]x[/red]"]])
    assert capsys.readouterr().out.split() == ["[bold]", "visprep[torch]", "a:cat:b", "[red]x[/red]"]
