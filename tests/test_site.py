"""The site of the docs: every page is in its navigation, every link leads somewhere, every command on it is one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from test_docs import COMMANDS, FENCED, GROUPS, anchors, commands_in, prose, split_off

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
sys.path.append(str(ROOT / "scripts"))

import site_pages  # noqa: E402

#: Pages of folders, and the first one; those that lie directly in docs/ are looked at by tests/test_docs.py.
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.glob("*/*.md")}


NAVIGATION = list(site_pages.entries(site_pages.navigation(SITE["nav"], DOCS)))


def test_the_navigation_has_every_page_once():
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | set(site_pages.ABOVE.values())
    assert len(NAVIGATION) == len(set(NAVIGATION))
    assert set(NAVIGATION) == there


def test_a_page_that_nobody_put_there_comes_last(tmp_path):
    (tmp_path / "new").mkdir()
    for name in ("index.md", "new/page.md", "new/another.md"):
        (tmp_path / name).write_text("# New\n")
    nav = [{"Home": "index.md"}, {"Old": [{"Page": "new/page.md"}]}]
    assert site_pages.navigation(nav, tmp_path) == [*nav, {"More": ["new/another.md"]}]
    assert site_pages.navigation([*nav, "new/another.md"], tmp_path)[-1] == "new/another.md"


@pytest.mark.parametrize("name", PAGES)
def test_links_of_folders_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)]+)\)", prose(PAGES[name])):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (DOCS / name).parent / file if file else DOCS / name
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_folders_are_commands(name):
    """Those that no block has: what stands in a block of a tutorial, or in a table, is run by tests of its own."""
    for words in commands_in(FENCED.sub("", PAGES[name]).replace("  # exit code 1", "")):
        called, rest = split_off(words)
        assert called in COMMANDS or words[0] in GROUPS, words
        if rest and "--help" not in rest:
            assert COMMANDS[called].make_context(called, rest).params


def test_links_out_of_docs_lead_to_pages_of_the_site():
    assert site_pages.below("[it](../README.md#s3)", "s3.md") == "[it](./readme.md#s3)"
    assert site_pages.below("[it](../../CHANGELOG.md)", "tutorials/x.md") == "[it](../changelog.md)"
    told = "[S3](docs/s3.md#region), [L](LICENSE), [the web](https://x.org), [here](#below), [log](CHANGELOG.md)"
    assert (
        site_pages.inside(told)
        == "[S3](s3.md#region), L, [the web](https://x.org), [here](#below), [log](changelog.md)"
    )


@pytest.fixture
def build(tmp_path):
    """`build(config)` makes the site as `make site` does -> what mkdocs said, and the directory."""
    pytest.importorskip("material", reason="mkdocs-material is in the docs extra: make site")

    def do(config=ROOT / "mkdocs.yml"):
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", tmp_path / "site"]
        environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False), tmp_path / "site"

    return do


def test_it_builds_and_asks_no_other_server(build):
    ended, site = build()
    assert ended.returncode == 0, ended.stderr
    assert "WARNING" not in ended.stderr
    for page in NAVIGATION:
        html = (site / page).with_suffix(".html").read_text(encoding="utf-8")
        asked = re.findall(r"<(?:script|img|iframe)[^>]* src=\"(https?:[^\"]+)", html)
        asked += re.findall(r"<link[^>]*\"(?:stylesheet|preconnect)\"[^>]* href=\"(https?:[^\"]+)", html)
        assert asked == [], page
    assert (site / "notebooks/visprep-on-colab.ipynb").is_file()


def test_a_link_that_leads_nowhere_stops_it(build, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("[a](nowhere.md) [b](#nothing)\n")
    settings = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[0]
    settings = re.sub(r"hooks: .*", "", settings)
    (tmp_path / "mkdocs.yml").write_text(settings)
    ended, _ = build(tmp_path / "mkdocs.yml")
    assert ended.returncode == 1
    assert "'nowhere.md'" in ended.stderr
    assert "'#nothing'" in ended.stderr
