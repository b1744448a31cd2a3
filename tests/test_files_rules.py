from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from visprep.digests import digest_of
from visprep.findings import Finding, Level
from visprep.manifest import File, Manifest, diff
from visprep.rules import Depth
from visprep.rules.files import FILE_UNREADABLE, MANIFEST_DAMAGED, PLACE_INCOMPLETE, RULES, check

Files = dict[str, File]
CLEAN = {
    path: File(path, len(data), digest_of(data))
    for path, data in {"a/x.png": b"picture", "a/y.txt": b"text", "b": b"", "é.txt": b"more"}.items()
}


def found(have: Files, depth: Depth = Depth.CONTENT) -> list[Finding]:
    listing = sorted(have.values(), key=lambda file: file.sort_key)
    return list(check(diff(Manifest.of(CLEAN.values()).files, listing), depth))


def without(path: str) -> Callable[[Files], Files]:
    return lambda files: {name: file for name, file in files.items() if name != path}


def added(path: str) -> Callable[[Files], Files]:
    return lambda files: {**files, path: File(path, 3)}


def changed(path: str, **facts: object) -> Callable[[Files], Files]:
    return lambda files: {**files, path: replace(files[path], **facts)}


@pytest.mark.parametrize(
    ("code", "path", "change", "says"),
    [
        ("file-missing", "a/x.png", without("a/x.png"), "7 bytes"),
        ("file-missing", "é.txt", without("é.txt"), "the manifest lists it"),
        ("file-unlisted", "a/new", added("a/new"), "it is not in the manifest"),
        ("file-unlisted", "a/dataset.json", added("a/dataset.json"), "it is not in the manifest"),
        ("file-size", "a/y.txt", changed("a/y.txt", size=5), "has 5 bytes, the manifest says 4"),
        ("file-size", "a/y.txt", changed("a/y.txt", size=0, digest=digest_of(b"")), "has 0 bytes"),
        ("file-changed", "a/y.txt", changed("a/y.txt", digest=digest_of(b"tExt")), digest_of(b"tExt")),
    ],
)
def test_one_fault_gives_one_finding(code: str, path: str, change: Callable[[Files], Files], says: str) -> None:
    rule = next(rule for rule in RULES if rule.code == code)
    for depth in Depth:
        findings = found(change(CLEAN), depth)
        assert [(finding.code, finding.path) for finding in findings] == (
            [(code, path)] if depth.reaches(rule.depth) else []
        )
        for finding in findings:
            assert says in finding.message
            assert (finding.level, finding.hint) == (rule.level, rule.fix)


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files,
        changed("a/y.txt", digest=None),
        changed("a/y.txt", size=None),
        changed("a/y.txt", digest="md5:1cb251ec0d568de6a929b520c4aed8d1"),
        changed("a/y.txt", mtime=1.0, etag='"x"'),
        added("dataset.json"),
        added(".visprep/manifest.jsonl"),
        added(".visprep/in-progress"),
        added("empty/"),
    ],
)
def test_a_near_miss_gives_nothing(change: Callable[[Files], Files]) -> None:
    assert found(change(CLEAN)) == []


def test_all_faults_are_found_in_order() -> None:
    files = changed("b", size=1)(added("zzz")(added("0")(without("a/x.png")(CLEAN))))
    assert [(finding.code, finding.path) for finding in found(files)] == [
        ("file-unlisted", "0"),
        ("file-missing", "a/x.png"),
        ("file-size", "b"),
        ("file-unlisted", "zzz"),
    ]


def test_an_empty_place_lacks_everything_and_an_empty_manifest_nothing() -> None:
    assert [finding.code for finding in found({})] == ["file-missing"] * len(CLEAN)
    assert [finding.level for finding in check(diff((), CLEAN.values()))] == [Level.NOTE] * len(CLEAN)


def test_rules_are_sorted_and_have_a_page() -> None:
    assert [rule.code for rule in RULES] == [
        "file-changed",
        "file-missing",
        "file-size",
        "file-unlisted",
        "file-unreadable",
        "manifest-damaged",
        "place-incomplete",
    ]
    for rule in RULES:
        assert rule.what.endswith(".")
        assert rule.why.endswith(".")
        assert rule.fix


def test_the_record_itself_may_be_at_fault() -> None:
    for rule in (FILE_UNREADABLE, MANIFEST_DAMAGED, PLACE_INCOMPLETE):
        assert rule in RULES
        finding = rule.at(".visprep/manifest.jsonl", "line 3: not a JSON object")
        assert (finding.code, finding.level, finding.hint) == (rule.code, Level.ERROR, rule.fix)
