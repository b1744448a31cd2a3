"""The guide to COCO: its commands run, in order, against a mirror."""

import re
import shlex
from pathlib import Path

import pytest

from visprep import archive_download, noted_pieces
from visprep.sources.coco import MIRRORS
from visprep.testing import Mirror
from visprep.testing.coco import lay_out
from visprep.unzipping import _HELD, _MOST

GUIDE = (Path(__file__).parents[1] / "docs/coco.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def mirror(tmp_path):
    lay_out(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as mirror:
        yield mirror


def test_its_commands_run(run, mirror, bucket, tmp_path):
    assert len(COMMANDS) == 8
    for line in COMMANDS:
        words = shlex.split(line.replace("s3://bucket", f"s3://{bucket}"))[1:]
        if words[0] == "download":
            words += ["--mirror", mirror.url, "--checksums", tmp_path / "upstream/SHA256SUMS"]
        ended = run(*words)
        assert ended.code == 0, f"{line}: {ended.err}"
    for place in ("coco", "kites", "free-kites"):
        assert run("verify", f"data/{place}").code == 0
    assert run("verify", f"s3://{bucket}/coco").code == 0


def test_its_numbers_are_those_of_the_code():
    guide = " ".join(GUIDE.split())
    assert f"up to {_MOST} at once" in GUIDE
    assert f"{_HELD // 2**20} MB of memory" in GUIDE
    assert f"up to {noted_pieces._MOST:,} files or {noted_pieces._SECONDS:.0f}" in guide
    assert f"{archive_download._LINES} bytes a file where there are more than {archive_download._FEW:,}" in guide
    assert f"{archive_download.MEMORY // 10**6} MB, and {archive_download._KNOWN:,} bytes a file" in guide
    assert all(mirror.url in GUIDE for mirror in MIRRORS[:2])
