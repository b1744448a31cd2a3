"""The README and the pages that belong to it are true: commands run, code works, tables say what the code says."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path

import boto3
import pytest
import typer.main

import visprep
from doc_pages import named, table
from s3_door import Door, action, error
from visprep import cli, errors
from visprep.cli.application import CANNOT, FINDINGS, INTERRUPTED, commands_of
from visprep.formats.tasks import LAYOUTS
from visprep.manifest import DATASET, RECORD_DIR
from visprep.rules import Depth, archives
from visprep.rules import files as file_rules
from visprep.rules import tasks as task_rules
from visprep.testing import LocalHub
from vtb_upstream import REPOSITORY, upstream_files

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "visprep"
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Pages whose commands and code are run here too, one after the other, each from its top.
GUIDES = ("places.md", "sources.md", "sync.md", "tasks.md", "verify.md", "videothinkbench.md")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def page(name):
    """The text of a page of docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(language, text=README):
    """The code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line]


def commands(*beginning):
    """The words of every command that begins so, after these words."""
    words = [shlex.split(line) for line in COMMANDS]
    return [line[len(beginning) :] for line in words if tuple(line[: len(beginning)]) == beginning]


def expect_table(first_heading, rows, text=README):
    """The table must hold just these rows; the message of a failure is the table as it should be."""
    right = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    there = "\n".join(f"| {' | '.join(row)} |" for row in table(text, first_heading))
    assert there == right, f"the table {first_heading} should be:\n{right}"


@pytest.fixture
def world(run, bucket, s3_server, monkeypatch):
    """A hub with VideoThinkBench, a bucket for each name that the README speaks of, and its servers' addresses."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    with LocalHub() as hub:
        hub.add(REPOSITORY).commit(upstream_files(4, row_group_size=2))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        names = {"my-bucket": bucket, "a-public-bucket": bucket, "http://localhost:9000": s3_server}

        def here(text):
            for name, stand_in in names.items():
                text = text.replace(name, stand_in)
            return text

        yield here


# Commands


def test_it_opens_with_two_commands():
    assert [line for line in COMMANDS if line.startswith(("make", "visprep"))][:2] == ["make demo", "make test"]
    assert len(README.partition("```sh")[0].splitlines()) < 12


def test_a_new_user_reads_it_to_the_end():
    assert len(README.splitlines()) <= 250
    assert README.index("docs/pictures/terminal.svg") < README.index("\n## ")
    assert len(README.partition("\n## ")[0].splitlines()) <= 40


def test_every_command_is_of_a_kind_that_is_run_here():
    kinds = {tuple(shlex.split(line)[:2]) for line in COMMANDS}
    verbs = {("visprep", name) for name in typer.main.get_command(cli.app).commands}
    targets = {("make", name) for name in make_targets()}
    assert kinds <= verbs | targets | {("pip", "install")}


def test_the_shell_commands_run(run, world, tmp_path):
    lines = [line for line in COMMANDS if line.startswith("visprep ")]
    assert len(lines) >= 10
    for line in lines:
        ended = run(*shlex.split(world(line))[1:])
        assert ended.code == 0, f"{line}: {ended.err}"
    work = tmp_path / "work"
    assert len(list((work / "data/questions").glob("*_task/*/prompt.txt"))) == 10
    assert len(list((work / "elsewhere").glob("*_task/*/prompt.txt"))) == 10


def test_the_python_code_runs(run, world, tmp_path, capsys):
    for block in blocks("python"):
        exec(compile(world(block), "README.md", "exec"), {"__name__": "readme"})
    assert "place-missing" in capsys.readouterr().out
    assert len(list((tmp_path / "work/data/questions").glob("*_task/*/prompt.txt"))) == 10


@pytest.mark.parametrize("name", GUIDES)
def test_the_pages_run(run, world, name):
    done = 0
    for language, text in re.findall(r"^```(sh|python)\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL):
        if language == "python":
            exec(compile(world(text), name, "exec"), {"__name__": "guide"})
        for words in map(shlex.split, world(text).splitlines() if language == "sh" else ()):
            assert words[0] == "visprep", words
            ended = run(*words[1:])
            assert ended.code == 0, f"{name}: {words}: {ended.err}"
        done += 1
    assert done


def make_targets():
    return re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)


def test_make_lists_and_knows_every_target():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make ([a-z-]+)", listed, re.MULTILINE) == make_targets()
    assert {target for (target,) in commands("make")} == set(make_targets())
    planned = subprocess.run(["make", "-n", *make_targets()], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "visprep demo" in planned.stdout
    assert "pytest" in planned.stdout


def test_ci_runs_what_the_readme_says():
    (call,) = re.findall(r"`\.ci/run`, which is `([^`]+)`", README)
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == call
    assert set(call.split()[1:]) <= set(make_targets())


def test_pip_installs_extras_that_there_are():
    extras = PROJECT["optional-dependencies"]
    assert [cell.strip("`") for cell, _ in table(README, "Extra")] == list(extras)
    assert set(named(dict(table(README, "Extra"))["`all`"])) == set(re.findall(r"\w+", extras["all"][0])) - {"visprep"}
    for words in commands("pip", "install"):
        *options, what = words
        found = re.fullmatch(r"(\.|visprep)(?:\[(\w+)\])?", what)
        assert found, what
        assert found[2] is None or found[2] in extras
        assert options in ([], ["--constraint", "constraints.txt"])
    assert (ROOT / "constraints.txt").is_file()


def test_every_link_leads_somewhere():
    anchors = {re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-") for line in headings()}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target[1:] in anchors if target.startswith("#") else (ROOT / target).is_file()


def headings():
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.+)$", prose, re.MULTILINE)


# Tables


def test_commands():
    rows = []
    for name, command in commands_of(typer.main.get_command(cli.app)).items():
        arguments = [one.metavar for one in command.params if one.param_type_name == "argument"]
        rows.append((f"`{' '.join(['visprep', name, *arguments])}`", inspect.cleandoc(command.help)))
    expect_table("Command", rows)


def test_options():
    takers = defaultdict(list)
    listed = commands_of(typer.main.get_command(cli.app))
    for name, command in listed.items():
        for one in command.params:
            if one.param_type_name == "option":
                spelled = ", ".join(f"`{spelling}`" for spelling in sorted(one.opts, key=len, reverse=True))
                takers[spelled, one.help.split("  [")[0]].append(name)
    rows = []
    for (spelled, said), names in takers.items():
        rows.append((spelled, "all" if names == list(listed) else ", ".join(names), said))
    expect_table("Option", rows, page("commands.md").partition("\n## Options, and who takes them\n")[2])


def test_sources():
    rows = []
    for source in visprep.list_sources():
        splits = ", ".join(f"`{split}` ({source.counts[split]:,})" for split in source.splits)
        configs = ", ".join(f"`{config}`" for config in source.configs) or "-"
        rows.append((f"`{source.name}`", splits, configs, source.license, source.title))
    expect_table("Source", rows, page("sources.md"))


def test_layouts():
    rows = []
    for layout in LAYOUTS.values():
        files = (", ".join(f"`{name}`" for name in names) for names in (layout.required, layout.optional))
        rows.append((f"`{layout.name}`", *files))
    expect_table("Layout", rows, page("tasks.md"))


def test_depths():
    assert [depth.strip("`") for depth, _ in table(page("verify.md"), "Depth")] == [depth.value for depth in Depth]


def test_findings():
    rules = sorted((*archives.RULES, *file_rules.RULES, *task_rules.RULES), key=lambda rule: rule.code)
    rows = [(f"[`{rule.code}`](findings.md#{rule.code})", rule.level, rule.depth, rule.what) for rule in rules]
    expect_table("Code of a finding", rows, page("tasks.md"))


def test_errors():
    rows = table(page("errors.md"), "Slug")
    listed = {named(slug)[0]: int(code) for slug, code, _ in rows}
    assert len(listed) == len(rows)
    assert listed == {error.slug: error.exit_code for error in raised_errors()}
    assert all(when for _, _, when in rows)
    sections = re.findall(r"^## `([a-z-]+)`$", page("errors.md"), re.MULTILINE)
    assert list(listed) == [slug for slug in sections if slug in listed]
    assert [slug for slug, _, _ in rows] == [f"[`{slug}`](#{slug})" for slug in listed]


ERRORS = {
    name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, errors.VisprepError)
}


def chosen(value):
    """All that stands in what is assigned, but for what `isinstance` asks for."""
    yield value
    asked = isinstance(value, ast.Call) and getattr(value.func, "id", None) == "isinstance"
    for node in value.args[:1] if asked else ast.iter_child_nodes(value):
        yield from chosen(node)


def raised_errors():
    """The classes of `errors` that the code makes instances of: called somewhere, or chosen to be."""
    classes = {name: value for name, value in vars(errors).items() if name in ERRORS}
    used = set()
    for path in SRC.rglob("*.py"):
        if path.name == "errors.py" or "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                used.add(node.func)
                used.add(getattr(node.func, "value", node.func))  # `Incomplete.of(...)`
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
                used.update(chosen(node.value))
    names = {getattr(node, "attr", None) or getattr(node, "id", None) for node in used}
    return [classes[name] for name in sorted(names & set(classes), key=str)]


def test_exit_codes():
    listed = [int(code) for code, _ in table(page("commands.md"), "Code")]
    declared = {error.exit_code for error in raised_errors()} | {
        0,
        FINDINGS,
        CANNOT,
        INTERRUPTED,
    }
    assert listed == sorted(declared)
    (said,) = re.findall(r"Exit code (0 .*?)\.\n", README, re.DOTALL)
    assert [int(code) for code in re.findall(r"\d+", said)] == listed


def test_the_files_on_disk(run, tmp_path):
    from visprep import changes, manifest

    ours = {value for value in vars(changes).values() if isinstance(value, str) and value.startswith(f"{RECORD_DIR}/")}
    listed = {f"{RECORD_DIR}/{file.strip('`/')}" for file, _ in table(page("places.md"), "File")}
    assert listed == ours | {manifest.MANIFEST}
    assert f"`{DATASET}`" in page("places.md")


# S3


def policy(index):
    """The actions on the bucket and on its objects that a policy of docs/s3.md allows, and where the objects are."""
    on_bucket, on_objects = json.loads(blocks("json", page("s3.md"))[index])["Statement"]
    assert {one["Effect"] for one in (on_bucket, on_objects)} == {"Allow"}
    assert on_bucket["Resource"] == "arn:aws:s3:::my-bucket"
    assert on_objects["Resource"].startswith("arn:aws:s3:::my-bucket/")
    return set(on_bucket["Action"]), set(on_objects["Action"]), on_objects["Resource"].partition("my-bucket/")[2]


@pytest.fixture
def guarded(s3_server, bucket):
    """A door that lets pass what a policy allows, and a set of what was asked for."""

    def guard(index):
        on_bucket, on_objects, where = policy(index)

        def answer(seen):
            allowed = on_bucket if seen.path == f"/{bucket}" else on_objects
            inside = seen.path == f"/{bucket}" or fnmatchcase(seen.path, f"/{bucket}/{where}")
            return None if inside and action(seen) in allowed else error(403, "AccessDenied")

        return Door(s3_server, answer)

    return guard


def asked_for(door):
    return {action(seen) for seen in door.seen}


def test_the_policies_allow_all_that_is_needed_and_nothing_else(run, bucket, guarded, tmp_path):
    place, url = tmp_path / "place", f"s3://{bucket}/datasets/large"
    assert run("download", "sample", "--limit", "1", "--output", place).code == 0
    (place / "large.bin").write_bytes(os.urandom(visprep.S3Settings().part_size + 1))
    for _ in range(2):  # an upload that was broken off before, and a stale one
        boto3.client("s3").create_multipart_upload(
            Bucket=bucket, Key="datasets/large/large.bin", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
        )
    with guarded(0) as door:
        assert run("upload", place, url, "--endpoint-url", door.url).code == 0
    assert asked_for(door) == set.union(*policy(0)[:2])
    with guarded(1) as door:
        reading = (("download", url, "--output", tmp_path / "back"), ("sync", url, tmp_path / "synced"))
        for command in (*reading, ("ls", url), ("verify", url)):
            assert run(*command, "--endpoint-url", door.url).code == 0
    assert asked_for(door) == set.union(*policy(1)[:2])
    (place / "large.bin").unlink()
    with guarded(0) as door:
        done = run("sync", place, url, "--delete", "--yes", "--endpoint-url", door.url)
        assert (done.code, "1 deleted" in done.err) == (0, True)


def test_the_size_of_a_part_is_the_one_that_is_told():
    assert f"files above {visprep.S3Settings().part_size // 1024**2} MiB go in parts" in page("s3.md")


# Elsewhere


def test_the_changelog_speaks_of_this_version():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{PROJECT['version']}]" in changes


def test_the_module_is_a_command_too():
    ended = subprocess.run([sys.executable, "-m", "visprep", "--version"], capture_output=True, text=True, check=True)
    assert ended.stdout == f"visprep {PROJECT['version']}\n"


def test_the_only_buckets_are_placeholders():
    text = "".join([README, *map(page, GUIDES)])
    assert set(re.findall(r"s3://([a-z-]+)", text)) == {"my-bucket", "a-public-bucket", "bucket"}


def test_the_picture_shows_what_the_commands_print():
    command = [sys.executable, ROOT / "scripts/make_pictures.py", "--check"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
