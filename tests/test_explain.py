"""`explain`, the pages of findings and errors, and the documents made of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import visprep
from test_taste import all_errors
from visprep import error_pages, errors
from visprep.rules.all_rules import OF_ALL, OF_CONVERSIONS, OF_FORMAT, OF_PARTS

ROOT = Path(__file__).parents[1]


def test_every_public_error_has_a_page_and_no_page_is_left_over():
    assert list(error_pages.PAGES) == [error.slug for error in all_errors()]


def test_every_page_is_whole():
    for page in visprep.explain():
        assert page.what.endswith("."), page.code
        assert page.why.endswith("."), page.code
        assert page.fix
        assert not page.fix.endswith("."), page.code  # it is a hint, too


def test_every_finding_has_a_bad_case_and_a_near_miss_in_words():
    for page in visprep.explain():
        for case in (page.bad, page.near):
            assert (case is not None) == (page.kind == "finding"), page.code
            assert case is None or (case.endswith(".") and len(case) < 120), page.code


def test_every_rule_and_error_is_listed_once():
    listed = [(page.kind, page.code) for page in visprep.explain()]
    rules = sorted({rule.code for rules in (OF_ALL, OF_CONVERSIONS, OF_PARTS, *OF_FORMAT.values()) for rule in rules})
    slugs = sorted(error.slug for error in all_errors())
    assert listed == [("finding", code) for code in rules] + [("error", slug) for slug in slugs]


def test_a_finding_says_level_and_depth_and_an_error_its_exit_code():
    (finding,) = visprep.explain("frame-mode")
    assert (finding.kind, finding.level, finding.depth, finding.exit_code) == ("finding", "error", "headers", None)
    (error,) = visprep.explain("usage")
    assert (error.kind, error.level, error.depth, error.exit_code) == ("error", None, None, 2)


def test_a_code_that_means_both_has_both_pages():
    assert [page.kind for page in visprep.explain("file-missing")] == ["finding", "error"]


def test_a_code_may_be_typed_as_it_is_shown():
    assert visprep.explain("[Place-Busy]") == visprep.explain("place-busy")


@pytest.mark.parametrize(
    ("typed", "hint"), [("frame-mod", "mean frame-mode?"), ("qqq", "lists all codes"), ("", "lists")]
)
def test_an_unknown_code_names_the_nearest(typed, hint):
    with pytest.raises(errors.UnknownName) as raised:
        visprep.explain(typed)
    assert hint in raised.value.hint


def test_command(run):
    shown = run("explain", "frame-mode")
    (page,) = visprep.explain("frame-mode")
    assert shown.code == 0
    assert all(
        text in shown.out
        for text in (page.what, page.bad, page.near, page.fix, "frame-mode (finding, error, from depth")
    )
    listed = run("explain")
    assert [line.split()[:2] for line in listed.out.splitlines()] == [[p.code, p.kind] for p in visprep.explain()]
    document = json.loads(run("explain", "place-incomplete", "--json").out)
    assert document["format_version"] == 1
    assert [page["kind"] for page in document["pages"]] == ["finding", "error"]
    assert document["pages"][1]["exit_code"] == 3
    refused = run("explain", "fil-missing")
    assert (refused.code, refused.out) == (2, "")
    assert "did you mean file-missing?" in refused.err


def test_a_stale_document_is_noticed_and_written_again(tmp_path):
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts/make_docs.py"
    made_by = ("doc_tables", "json_schemas", "make_docs", "site_pages", "source_facts", "split_balance")
    for name in (f"{one}.py" for one in made_by):
        (script.parent / name).write_text((ROOT / "scripts" / name).read_text())
    for name in ("mkdocs.yml", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    damaged = (ROOT / "README.md").read_text().replace("| `visprep demo` |", "| `visprep dmo` |")
    (tmp_path / "README.md").write_text(damaged)
    checked = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert checked.returncode == 1
    assert "docs/commands.md, docs/findings.md, docs/errors.md, docs/split-balance.md" in checked.stderr
    assert ", README.md; run" in checked.stderr
    assert (tmp_path / "README.md").read_text() == damaged
    assert not (tmp_path / "docs").exists()
    subprocess.run([sys.executable, script], check=True)
    assert "| `visprep demo` |" in (tmp_path / "README.md").read_text()
    made = [path for path in (tmp_path / "docs").rglob("*.*") if path.is_file()]
    assert {"commands.md", "findings.md", "errors.md", "split-balance.md", "verify.json"} < {one.name for one in made}
    for one in made:
        assert one.read_text() == (ROOT / one.relative_to(tmp_path)).read_text()
