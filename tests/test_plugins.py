"""Sources of other packages: one that is installed for real (tests/plugin), and some that are up to no good."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import visprep
from visprep import sources
from visprep.errors import MissingExtra, SourceError, UnknownName
from visprep.testing import LocalHub

PLUGIN = Path(__file__).parent / "plugin"
DOCS = Path(__file__).parents[1] / "docs" / "adding-a-source.md"

#: A source that lacks nothing.
GOOD = """
class Source:
    name, title, license, home = "{name}", "Some pictures", "MIT", "https://example.org"
    splits, default_splits, configs, counts = ("test",), ("test",), (), {{}}
    def resolve(self, selection): ...
    def records(self, upstream, split, selection, access): ...
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that pip has installed the package of tests/plugin into."""
    package, site = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "visprep_arrows.py"):
        shutil.copy(PLUGIN / name, package)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    ended = subprocess.run([*pip, "--no-build-isolation", "--target", site, package], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return site


def environment(site: Path) -> dict[str, str]:
    """That of this process, with `site` to import from, and visprep from where it is imported here."""
    paths = [site, Path(visprep.__file__).parents[1], *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(str(path) for path in paths if str(path))}


Bring = Callable[..., None]


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Put a package on the path, with the metadata that an installer leaves, and the source code of its module."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def brought(package: str, name: str, code: str = GOOD, version: str = "1.0") -> None:
        module = re.sub(r"\W", "_", f"{package}_{tmp_path.name}")
        (site / f"{module}.py").write_text(code.format(name=name) if code == GOOD else code)
        info = site / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{sources.plugins.GROUP}]\n{name} = {module}:Source\n")

    return brought


def listed(run) -> dict[str, dict]:
    ended = run("sources", "--json")
    assert ended.code == 0
    return {one["package"] + " " + one["name"]: one for one in json.loads(ended.out)["sources"]}


OURS = {f"visprep {name}" for name in sources.BUILTIN}


class TestInstalled:
    def test_its_own_tests_pass(self, site: Path, tmp_path: Path) -> None:
        shutil.copy(PLUGIN / "test_arrows.py", tmp_path)
        pytest_ = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path]
        ended = subprocess.run(pytest_, cwd=tmp_path, env=environment(site), capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert re.fullmatch(r"1\d passed in .*", ended.stdout.splitlines()[-1])

    def test_it_is_listed_and_downloaded_like_any_other(
        self, site: Path, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(PLUGIN)
        monkeypatch.syspath_prepend(site)  # before the other, so that it is the installed module that is used
        from test_arrows import REPOSITORY, table

        assert listed(run)["visprep-arrows arrows"]["counts"] == {"train": 6, "test": 3}
        assert "Arrows, and how they lie" in run("sources").out
        with LocalHub() as hub:
            hub.add(REPOSITORY).commit({"train.parquet": table("train")})
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            ended = run("download", "arrows", "--output", tmp_path / "place")
        assert (ended.code, "1 row skipped: no first frame" in ended.err) == (0, True)
        assert len(list((tmp_path / "place").glob("arrows_task/*/final_frame.png"))) == 5
        (step,) = json.loads((tmp_path / "place" / "dataset.json").read_text())["steps"]
        assert (step["source"], step["license"]) == ("arrows", "CC-BY-4.0")
        assert step["versions"]["visprep-arrows"] == "1.0"
        assert run("verify", tmp_path / "place", "--depth", "content").code == 0
        assert "did you mean arrows?" in run("download", "arows").err
        assert "did you mean train?" in run("download", "arrows", "--split", "tain").err

    def test_the_docs_say_what_is_there(self) -> None:
        text = DOCS.read_text(encoding="utf-8")
        shown = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        assert set(shown) == {"pyproject.toml", "visprep_arrows.py", "test_arrows.py"}
        for name, block in shown.items():
            assert block == (PLUGIN / name).read_text(encoding="utf-8"), name


def test_nothing_of_theirs_is_imported_before_it_is_asked_for(tmp_path: Path, bring: Bring) -> None:
    trace = tmp_path / "imported"
    bring("noisy", "noisy", f"open({str(trace)!r}, 'a').write('x')\n" + GOOD.format(name="noisy"))
    place = tmp_path / "place"
    for argv, times in ((["--help"], 0), (["download", "sample", "--limit", "1", "-o", place], 0), (["sources"], 1)):
        command = [sys.executable, "-m", "visprep", *map(str, argv)]
        subprocess.run(command, env=environment(tmp_path / "site"), capture_output=True, check=True)
        assert (len(trace.read_text()) if trace.exists() else 0) == times


BROKEN = {
    "raise ImportError('no module named x')": "ImportError: no module named x",
    "this is no python": "SyntaxError: ",
    "import sys; sys.exit(3)": "SystemExit: 3",
    "class Another: ...": "AttributeError: ",
    "class Source:\n    def __init__(self): raise RuntimeError('not today')": "RuntimeError: not today",
    "Source = dict": "lacks name (a str), title (a str)",
    GOOD.format(name="other"): "registered under this name and calls itself 'other'",
    GOOD.format(name="bad").replace("def records", "def rows"): "it lacks records (a callable)",
    GOOD.format(name="bad") + "    title = property(lambda self: 1 / 0)": "ZeroDivisionError",
    GOOD.format(name="bad") + "    splits = 'test'": "it lacks splits (a tuple)",
}


@pytest.mark.parametrize(("code", "words"), BROKEN.items(), ids=BROKEN.values())
def test_one_that_cannot_be_used_is_named_and_does_not_break_the_others(
    run, bring: Bring, code: str, words: str
) -> None:
    bring("bad-package", "bad", code)
    bring("good-package", "good")
    there = listed(run)
    assert set(there) == OURS | {"bad-package bad", "good-package good"}
    assert there["good-package good"]["problem"] is None
    problem = there["bad-package bad"]["problem"]
    assert "'bad' of the package bad-package 1.0 cannot be used" in problem
    assert words in problem
    assert "bad-package" in run("sources").out
    ended = run("download", "bad")
    assert (ended.code, "[source-error]" in ended.err, words in ended.err) == (3, True, True)
    assert run("download", "sample", "--limit", "1").code == 0


WORKING = """
from visprep.records import Files, Skipped, Task
from visprep.sources import Upstream
class Source:
    name, title, license, home = "bad", "Some pictures", "MIT", "https://example.org"
    splits, default_splits, configs, counts = ("test",), ("test",), (), {{}}
    def resolve(self, selection):
        {resolve}
    def records(self, upstream, split, selection, access):
        {records}
"""
FAULTS = {
    ("raise KeyError('sha')", "yield"): "KeyError: 'sha'",
    ("import sys; sys.exit('no\\nmore')", "yield"): "SystemExit: no more",
    ("pass", "yield"): "resolve gave a NoneType, which is no visprep.sources.Upstream",
    ("return Upstream()", "yield 1 / 0"): "ZeroDivisionError: division by zero",
    ("return Upstream()", "raise RuntimeError('at once')"): "RuntimeError: at once",
    ("return Upstream()", "return 7"): "TypeError: 'int' object is not iterable",
    ("return Upstream()", "yield {{}}"): "records gave a dict, which is neither a Task nor Skipped",
    ("return Upstream()", "yield Task('d', 'i', None, b'')"): "prompt of a Task is a NoneType, not str",
    (
        "return Upstream()",
        "yield Task('d', 'i', 'p', b'', 'x.png')",
    ): "final_frame of a Task is a str, not bytes or None",
    ("return Upstream()", "yield Task('d', 7, 'p', b'')"): "id of a Task is a int, not str",
    ("return Upstream()", "yield Skipped('row 1', None)"): "reason of a Skipped is a NoneType, not str",
    ("return Upstream()", "yield Files('k', {'a.png': 'x'})"): "a file of k is no bytes",
    ("return Upstream()", "yield Files('k', None)"): "files of a Files is a NoneType, not Mapping",
}


@pytest.mark.parametrize(("parts", "words"), FAULTS.items(), ids=FAULTS.values())
def test_one_that_fails_at_work_is_named(run, bring: Bring, tmp_path: Path, parts: tuple[str, str], words: str) -> None:
    resolve, records = parts
    bring("bad-package", "bad", WORKING.format(resolve=resolve, records=records).replace("{{}}", "{}"), version="0.3")
    ended = run("download", "bad", "--output", tmp_path / "place")
    assert ended.code == 3
    (said, _) = ended.err.splitlines()
    assert said.startswith("visprep: the source 'bad' of the package bad-package 0.3 failed: ")
    assert words in said
    assert said.endswith("[source-error]")


def test_one_may_bring_records_of_another_kind(run, bring: Bring, tmp_path: Path) -> None:
    files = "yield Files('m/1', {'m/masks.bin': b'x', 'm/more.bin': b'y'})"
    bring("good-package", "bad", WORKING.format(resolve="return Upstream(kind='masks')", records=files))
    ended = run("download", "bad", "--output", tmp_path / "place")
    assert (ended.code, ended.err) == (0, f"{tmp_path / 'place'}: 1 mask, 2 files written, 0 kept\n")
    assert (tmp_path / "place/m/masks.bin").read_bytes() == b"x"


def test_a_file_that_would_leave_the_place_is_refused(run, bring: Bring, tmp_path: Path) -> None:
    bring("bad-package", "bad", WORKING.format(resolve="return Upstream()", records="yield Files('m', {'../x': b''})"))
    ended = run("download", "bad", "--output", tmp_path / "place")
    assert ended.code == 3
    assert not (tmp_path / "x").exists()


def test_an_error_of_ours_that_one_raises_is_left_alone(run, bring: Bring, tmp_path: Path) -> None:
    code = WORKING.format(resolve="from visprep.errors import Stalled; raise Stalled('silence')", records="yield")
    bring("bad-package", "bad", code)
    ended = run("download", "bad", "--output", tmp_path / "place")
    assert (ended.code, ended.err.splitlines()[0]) == (3, "visprep: silence [stalled]")


def test_one_that_says_itself_what_it_lacks(run, bring: Bring) -> None:
    code = "from visprep.errors import MissingExtra\ndef Source(): raise MissingExtra('reading tapes', 'tapes')"
    bring("tapes", "tapes", code)
    with pytest.raises(MissingExtra, match="reading tapes"):
        sources.get("tapes")
    assert "reading tapes" in listed(run)["tapes tapes"]["problem"]


@pytest.mark.parametrize("name", ["Upper", "with space", "a/b", "hf:x", "-x"])
def test_names_that_nobody_could_type(run, bring: Bring, name: str) -> None:
    bring("odd", name)
    assert "lower-case letters" in listed(run)[f"odd {name}"]["problem"]


def test_our_own_win_and_the_clash_is_told(run, bring: Bring, tmp_path: Path) -> None:
    bring("usurper", "sample", version="2.1")
    assert type(sources.get("sample")).__module__ == "visprep.sources.sample"
    there = listed(run)
    assert there["visprep sample"]["problem"] is None
    problem = there["usurper sample"]["problem"]
    assert "'sample' of the package usurper 2.1 cannot be used" in problem
    assert "the package visprep has a source of that name" in problem
    assert run("download", "sample", "--limit", "1", "--output", tmp_path / "place").code == 0
    (step,) = json.loads((tmp_path / "place" / "dataset.json").read_text())["steps"]
    assert "usurper" not in step["versions"]


def test_two_packages_with_one_name(run, bring: Bring) -> None:
    bring("first-package", "twice")
    bring("second-package", "twice", version="3")
    with pytest.raises(SourceError, match=r"first-package 1\.0 and second-package 3") as caught:
        sources.get("twice")
    assert "pip uninstall second-package" in str(caught.value.hint)
    there = listed(run)
    assert set(there) == OURS | {"first-package twice", "second-package twice"}
    assert all(
        "first-package 1.0 and second-package 3" in there[f"{one}-package twice"]["problem"]
        for one in ("first", "second")
    )


def test_unknown_names_are_compared_with_theirs_too(bring: Bring) -> None:
    bring("good-package", "galleries")
    with pytest.raises(UnknownName) as caught:
        sources.get("gallery")
    assert caught.value.hint == "did you mean galleries?"
    with pytest.raises(UnknownName) as caught:
        sources.get("zzz")
    assert caught.value.hint == "there are: coco, hf:ORG/NAME, open-images, sample, videothinkbench, galleries"
    assert sources.package_of("galleries") == "good-package"
    assert [sources.package_of(name) for name in ("sample", "hf:org/name", "nothing")] == [None, None, None]
