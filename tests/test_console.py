"""What people see: on a terminal, into a pipe, with --quiet, with --verbose and --log."""

import json
import os
import pty
import subprocess
import sys

import pytest

from visprep.console import size

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
    assert "Writing tasks" in seen
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
