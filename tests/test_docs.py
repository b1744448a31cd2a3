"""The pages below docs/ are true: links lead somewhere, commands parse, settings and support are those of the code."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main

import visprep
from doc_pages import named, table
from visprep import cli, configuration
from visprep.cli.application import GROUPS, commands_of

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "visprep"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
sys.path.append(str(ROOT / "scripts"))

from source_facts import variables  # noqa: E402

FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def prose(page):
    """A page without its code blocks."""
    return FENCED.sub("", page)


def anchors(page):
    """What `#...` may name, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


# All pages


def test_the_readme_leads_to_every_page_once():
    listed = re.findall(r"\[[^]]+\]\(docs/([a-z0-9/-]+\.md)\)", README.partition("\n## Where to read on\n")[2])
    below = (path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    assert sorted(listed) == sorted(below)


def test_the_first_page_of_the_site_lists_every_page():
    rows = table(PAGES["index.md"], "Page")
    assert sorted(named_page for named_page, _ in rows) == [f"[{name}]({name})" for name in PAGES]
    assert all(about for _, about in rows)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)]+)\)", prose(PAGES[name])):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / "docs" / file) if file else ROOT / "docs" / name
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target


def commands_in(page):
    """Every command of ours on a page: in blocks, where it may stand after other things, and in backticks."""
    blocks = [line for _, _, block in FENCED.findall(page) for line in block.splitlines()]
    for line in blocks:
        found = re.match(r"\s*(?:- |[A-Z_]+=\S+ )*visprep (?!:)(.*)", line)
        if found:
            yield shlex.split(found[1])
    for span in re.findall(r"`visprep ([^`]+)`", prose(page).replace("\n", " ")):
        yield shlex.split(span)


#: Every command by all its words.
COMMANDS = commands_of(typer.main.get_command(cli.app))


def split_off(words):
    """The command that words begin with, by all its words, and what follows."""
    count = 2 if words[0] in GROUPS else 1
    return " ".join(words[:count]), words[count:]


CALLS = [(name, words) for name, page in PAGES.items() if name != "commands.md" for words in commands_in(page)]


def test_the_commands_of_the_pages_are_found():
    assert len(CALLS) > 40
    assert {name for name, _ in CALLS} == set(PAGES) - {"commands.md", "coverage.md"}


@pytest.mark.parametrize(("name", "words"), CALLS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_every_command_on_a_page_is_one(run, name, words):
    """It is parsed for good, and not run; a verb alone may stand for the command as such."""
    if words[0] in ("--version", "--help", *GROUPS) and len(words) == 1:
        return
    if words[0] == "COMMAND":
        words = ["ls", *words[1:]]
    called, rest = split_off(words)
    assert called in COMMANDS, words
    if rest and "--help" not in rest:
        assert COMMANDS[called].make_context(called, rest).params


def test_a_command_that_is_none_would_be_noticed(run):
    page = "Use `visprep verify x --formt json`.\n\n```sh\nvisprep ls x --bogus\nvisprep runs list x --bogus\n```\n"
    for words in commands_in(page):
        called, rest = split_off(words)
        with pytest.raises(Exception, match="No such option"):
            COMMANDS[called].make_context(called, rest)
    assert len(list(commands_in(page))) == 3


# commands.md


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_reference_says_what_help_says(run, verb):
    helped = " ".join(run(*verb.split(), "--help").out.split())
    section = PAGES["commands.md"].partition(f"\n## `visprep {verb}`\n")[2].partition("\n## ")[0]
    options = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", helped.partition("Options:")[2])) - {"-h", "--help"}
    rows = table(section, "Option")
    assert {spelling for spelled, *_ in rows for spelling in named(spelled)} == options
    for spelled, takes, said, _ in rows:
        assert said in helped, spelled
        for choice in named(takes):
            assert choice in helped, spelled
    assert "| Argument |" not in section or all(said in helped for _, said in table(section, "Argument"))


def test_the_reference_is_the_same_on_every_terminal():
    environment = {"TERM": "xterm-256color", "FORCE_COLOR": "1", "PYTHONPATH": str(ROOT / "src")}
    both = """
import os, runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
for os.environ["COLUMNS"] in ("30", "300"):
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, ended
"""
    command = [sys.executable, "-c", both, ROOT / "scripts/make_docs.py", "--check"]
    subprocess.run(command, env=environment, check=True)


# configuration.md


def test_every_environment_variable_is_on_the_page():
    listed = [name for names, *_ in table(PAGES["configuration.md"], "Variable") for name in named(names)]
    # git.py takes variables out of what git sees, of_fiftyone.py adds some to what FiftyOne sees: they read none
    others = ("git.py", "of_fiftyone.py")
    read = set().union(*(variables(path) for path in SRC.rglob("*.py") if path.name not in others))
    assert len(listed) == len(set(listed))
    assert set(listed) == read


def test_which_file_reads_a_variable_is_on_the_page():
    rows = table(PAGES["configuration.md"], "Read by")
    readers = {path: variables(path) for path in SRC.rglob("*.py") if path.name not in ("git.py", "of_fiftyone.py")}
    told = {SRC / named(file)[0]: set(named(names)) for file, names in rows}
    assert told == {path: names for path, names in readers.items() if names}


def test_the_variables_of_others_are_read_by_them():
    page = PAGES["configuration.md"].partition("These are read by what visprep uses")[2]
    rows = table(page, "Variable")
    assert {reader for _, reader, _ in rows} == {"huggingface_hub", "botocore", "libcurl", "rich"}
    for names, reader, _ in rows:
        if reader != "libcurl":  # a compiled library; tests/test_wire.py sees to it
            folder = Path(importlib.import_module(reader).__file__).parent
            source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
            assert all(name in source for name in named(names)), names


def test_every_key_of_the_project_is_on_the_page():
    rows = table(PAGES["configuration.md"], "Key")
    assert [key.strip("`") for key, *_ in rows] == list(configuration.DEFAULTS)
    for key, kind, _, otherwise in rows:
        default = configuration.DEFAULTS[key.strip("`")]
        assert kind == ("string" if isinstance(default, str) else "list of strings")
        assert otherwise == (f"`{default}`" if isinstance(default, str) else otherwise)


def test_the_examples_of_the_page_are_understood(run, tmp_path):
    (example,) = re.findall(r"^```toml\n(.*?)^```$", PAGES["configuration.md"], re.MULTILINE | re.DOTALL)
    assert set(tomllib.loads(example)["tool"]["visprep"]) == set(configuration.DEFAULTS)
    (tmp_path / "work" / "pyproject.toml").write_text(example)
    assert run("download", "sample", "--limit", "1", "--output", "x").code == 0
    assert run("verify", "x").code == 0


def test_how_often_a_request_is_tried_is_the_number_that_is_told():
    from visprep.wire import Patience

    assert f"{Patience().attempts} times otherwise" in PAGES["configuration.md"]


# support.md


def test_the_versions_are_those_of_the_project():
    tested, allowed, refused = (row[0] for row in table(PAGES["support.md"], "Python"))
    assert PROJECT["requires-python"] == f">={tested}"
    assert (allowed, refused) == ("3.12 and newer", "3.10 and older")
    named_there = {one.rpartition(" :: ")[2] for one in PROJECT["classifiers"] if "Python :: 3." in one}
    assert named_there == {tested}
    systems = [one for one in PROJECT["classifiers"] if one.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]


def test_the_extras_are_those_of_the_project():
    listed = {name for names, _ in table(PAGES["support.md"], "Extra") for name in named(names)}
    assert listed == set(PROJECT["optional-dependencies"]) - {"dev", "bench", "browser", "docs", "all"}


def test_the_exit_codes_are_those_of_the_command_line():
    (line,) = re.findall(r"^- \*\*Exit codes\*\*: (.*) mean", PAGES["support.md"], re.MULTILINE)
    codes = [code for code, _ in table(PAGES["commands.md"], "Code")]
    assert re.findall(r"\d+", line) == codes


def test_what_is_public_is_in_all():
    assert "visprep.__all__" in PAGES["support.md"]
    assert all(hasattr(visprep, name) for name in visprep.__all__)
