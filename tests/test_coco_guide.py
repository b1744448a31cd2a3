"""The guide to COCO: its commands run, in order, against a mirror."""

import shlex
from pathlib import Path

from doc_pages import commands
from visprep import archive_download, noted_pieces
from visprep.sources.coco import MIRRORS
from visprep.unzipping import _HELD, _MOST

GUIDE = (Path(__file__).parents[1] / "docs/coco.md").read_text()
COMMANDS = commands(GUIDE)


def test_its_commands_run(run, coco_mirror, bucket, tmp_path):
    assert len(COMMANDS) == 8
    for line in COMMANDS:
        words = shlex.split(line.replace("s3://bucket", f"s3://{bucket}"))[1:]
        if words[0] == "download":
            words += ["--mirror", coco_mirror.url, "--checksums", tmp_path / "upstream/SHA256SUMS"]
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
