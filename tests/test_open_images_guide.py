"""What docs/open-images.md says about trying it offline: its commands run, against the web server that it names."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from visprep.testing.open_images_sample import lay_out

SECTION = (Path(__file__).parents[1] / "docs/open-images.md").read_text().partition("## Trying it offline")[2]
COMMANDS = re.search(r"```sh\n(.*?)```", SECTION, re.DOTALL)[1].splitlines()


@pytest.fixture
def port(tmp_path):
    """Of the server that the guide starts, which serves what the demo lays out."""
    lay_out(tmp_path / "work/data/demo/upstream")
    words = shlex.split(COMMANDS[1].removesuffix(" &").replace("8000", "0"))
    server = subprocess.Popen(
        [sys.executable, "-u", *words[1:]], cwd=tmp_path / "work", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield re.search(rb"port (\d+)", server.stdout.readline())[1].decode()
    finally:
        server.kill()
        server.communicate()


def test_a_plain_web_server_is_a_mirror(run, port, tmp_path):
    assert [line.split()[0] for line in COMMANDS] == ["visprep", "python3", "visprep", "visprep"]
    assert COMMANDS[0] == "visprep demo"
    for line in COMMANDS[2:]:
        ended = run(*shlex.split(line.replace("8000", port))[1:])
        assert ended.code == 0, f"{line}: {ended.err}"
    labels = (tmp_path / "work/data/demo/upstream/openimages/v7/oidv7-class-descriptions-boxable.csv").read_text()
    assert all(line.split(",")[1] in SECTION for line in labels.splitlines()[1:])
    found = json.loads((tmp_path / "work/data/toys/annotations/instances_validation.json").read_bytes())
    mids = {one["id"]: one["name"] for one in found["categories"]}
    images = {one["image_id"] for one in found["annotations"] if mids[one["category_id"]] in ("Toy", "Kite")}
    assert images == {one["id"] for one in found["images"]} != set()
