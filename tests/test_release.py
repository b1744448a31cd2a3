"""What is released: a wheel and an sdist that hold what they must, and that run where nothing else is installed.

Nothing is fetched: the wheel goes into an empty environment, and the packages that it asks for are linked into that
from the one that runs the tests, those alone. `make release` does the same with pip, and walks the demo there.
"""

from __future__ import annotations

import email
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="builds the wheel; the extra dev brings it")
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import contract  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: What an extra brings, `dev` among them, by the name with which it is imported.
OF_EXTRAS = {
    "av",
    "datasets",
    "fiftyone",
    "huggingface_hub",
    "mlcroissant",
    "moto",
    "pyarrow",
    "pytest",
    "ray",
    "torch",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist of this clone, and the wheel that is built from the sdist."""
    home = tmp_path_factory.mktemp("built")
    hatch(ROOT, "sdist", home)
    (sdist,) = home.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        packed.extractall(home / "unpacked", filter="data")
    (unpacked,) = (home / "unpacked").iterdir()
    hatch(unpacked, "wheel", home)
    (wheel,) = home.glob("*.whl")
    return sdist, wheel, unpacked


def hatch(source, target, directory):
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(directory)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="module")
def metadata(built):
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(wheel.read(name))


@pytest.fixture(scope="module")
def empty(built, metadata, tmp_path_factory):
    """An environment with the wheel and what it asks for, and nothing else; the directory of its programs."""
    home = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    programs = home / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet", "--no-compile"]
    offline = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *offline, str(built[1])], check=True)
    (site,) = (home / "lib").glob("python*/site-packages")
    for name in asked_for(metadata.get_all("Requires-Dist")):
        link(importlib.metadata.distribution(name), site)
    return programs


def asked_for(requirements):
    """The names of the packages that some requirements bring, without any extra, and those that these bring."""
    left, found = [Requirement(one) for one in requirements], set()
    while left:
        one = left.pop()
        extras = one.extras or {""}
        if one.name in found or not any(not one.marker or one.marker.evaluate({"extra": "", "x": x}) for x in extras):
            continue
        found.add(one.name)
        left += [Requirement(more) for more in importlib.metadata.distribution(one.name).requires or ()]
    return found


def link(distribution, site):
    tops = {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}
    for top in tops:
        if not (site / top).exists():
            (site / top).symlink_to(Path(distribution.locate_file(top)))


def call(empty, *words, cwd):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(empty / words[0]), *words[1:]]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


# What they hold


def test_the_wheel_holds_the_package_and_nothing_else(built):
    ours = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "visprep").rglob("*")}
    ours = {name for name in ours if (ROOT / "src" / name).is_file() and "__pycache__" not in name}
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == ours
    assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"} == {
        name.partition("/")[2] for name in about
    }


def test_the_sdist_holds_what_its_tests_need(built):
    """Of all that git knows it lacks what only a clone needs."""
    names = {path.relative_to(built[2]).as_posix() for path in built[2].rglob("*") if path.is_file()}
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if known.returncode:
        pytest.skip("not a clone")
    left_out = {name.split("/")[0] for name in set(known.stdout.splitlines()) - names}
    assert left_out <= {".ci", "data"}


def test_the_version_is_said_once(metadata):
    assert metadata["Version"] == PROJECT["version"] == importlib.metadata.version("visprep")
    written = [
        path
        for path in (ROOT / "src").rglob("*.py")
        if re.search(rf"['\"]{re.escape(PROJECT['version'])}['\"]", path.read_text())
    ]
    assert written == []


def test_the_changelog_begins_with_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[([^]]+)\]", changelog, re.MULTILINE)[1] in (PROJECT["version"], "Unreleased")


# In an empty environment


def test_the_command_runs_with_the_core_packages_alone(empty, tmp_path):
    assert call(empty, "visprep", "--version", cwd=tmp_path).stdout == f"visprep {PROJECT['version']}\n"
    helped = call(empty, "visprep", "--help", cwd=tmp_path)
    assert helped.returncode == 0
    assert {name.split()[0] for name in contract.contract()["commands"]} <= set(helped.stdout.split())


def test_every_module_can_be_imported_without_extras(empty, tmp_path):
    """But for those that an extra is for; a package that we use and do not ask for would be missing."""
    code = f"""
import importlib, pkgutil, visprep
missing = {{}}
for one in pkgutil.walk_packages(visprep.__path__, "visprep.", onerror=lambda name: None):
    if one.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(one.name)
    except ModuleNotFoundError as problem:
        if problem.name.partition(".")[0] not in {OF_EXTRAS!r}:
            missing[one.name] = problem.name
print(visprep.__file__, missing)
"""
    ended = call(empty, "python", "-W", "error", "-c", code, cwd=tmp_path)
    assert ended.stderr == ""
    where, _, missing = ended.stdout.strip().partition(" ")
    assert Path(where).is_relative_to(empty.parent)
    assert missing == "{}"


def test_the_sample_is_downloaded_and_verified(empty, tmp_path):
    for words in (["download", "sample", "--output", "sample"], ["verify", "sample"]):
        ended = call(empty, "visprep", *words, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr


def test_the_demo_says_which_extra_it_lacks(empty, tmp_path):
    ended = call(empty, "visprep", "demo", cwd=tmp_path)
    assert (ended.returncode, "[missing-extra]" in ended.stderr) == (3, True)
    assert "visprep[demo]" in ended.stderr


# The container


def test_the_container_is_made_of_what_is_there():
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    stages = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert len(stages) == 2
    assert len(set(stages)) == 1  # an environment runs with the Python that made it
    (python,) = (line.partition("=")[2] for line in lines if line.startswith("ARG PYTHON="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    allowed = re.findall(r"^!(.+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(allowed) == sorted(name for names in copied for name in names)
    assert all((ROOT / name).exists() for name in allowed)
    assert [line for line in lines if line.startswith("USER ")] == ["USER visprep"]
    (extras,) = (line.partition("=")[2] for line in lines if line.startswith("ARG EXTRAS="))
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


# What scripts rely on


def gone(before, now):
    """What was noted at the last release and is not there now, or is another: each in the words of the page."""
    yield from (f"visprep {name}" for name in before["commands"] if name not in now["commands"])
    for name in set(before["commands"]) & set(now["commands"]):
        lost = set(before["commands"][name].split()) - set(now["commands"][name].split())
        yield from (f"visprep {name} {option}" for option in sorted(lost))
    for kind in ("findings", "errors"):
        yield from (name for name, what in before[kind].items() if now[kind].get(name) != what)
    yield from (f"visprep.{name}" for name in before["names"] if name not in now["names"])


def test_nothing_goes_away_that_is_not_on_the_page():
    page = (ROOT / "docs" / "deprecation.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([^`]+)` \|", page.partition("## What has gone\n")[2], re.MULTILINE)
    assert set(gone(json.loads(contract.NOTED.read_text(encoding="utf-8")), contract.contract())) <= set(told)


def test_what_goes_away_would_be_noticed():
    now = contract.contract()
    before = json.loads(json.dumps(now))
    before["commands"]["verify"] += " --bogus"
    before["commands"]["bogus"] = ""
    before["findings"] |= {"bogus-finding": "error", "box-outside-image": "note"}
    before["errors"]["bogus-error"] = 3
    before["names"].append("bogus")
    assert set(gone(before, now)) == {
        "visprep verify --bogus",
        "visprep bogus",
        "bogus-finding",
        "box-outside-image",
        "bogus-error",
        "visprep.bogus",
    }
