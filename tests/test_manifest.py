"""Manifests and the one question asked of two of them."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visprep.errors import BadRecord
from visprep.manifest import Change, File, Manifest, compare, diff, entry_line, read_lines

GOLD = b"""\
{"format_version": 1, "files": 2, "bytes": 12, "dataset": "sha256:abc"}
{"path": "a.txt", "size": 5, "digest": "sha256:aa"}
{"path": "a/\\u00fc", "size": 7}
"""


def test_gold():
    manifest = Manifest.of([File("a/ü", 7, mtime=3.0), File("a.txt", 5, "sha256:aa", etag='"x"')], "sha256:abc")
    assert manifest.dump() == GOLD
    assert Manifest.load(GOLD) == manifest


def test_digest_does_not_depend_on_the_dataset():
    files = [File("a", 1, "sha256:0")]
    assert Manifest.of(files).digest == Manifest.of(files, "sha256:1").digest != Manifest.of([]).digest


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "line 1"),
        (GOLD[:-1], "cut off"),
        (b"\n", "line 1"),
        (b"[]\n", "line 1"),
        (GOLD.replace(b'"format_version": 1', b'"format_version": 2'), "format_version 2"),
        (GOLD.replace(b'"files": 2', b'"files": 3'), "3 files announced"),
        (GOLD.replace(b'"path": "a.txt"', b'"path": "b.txt"'), "out of order"),
        (GOLD.replace(b'"size": 7', b'"size": -7'), "line 3"),
        (GOLD.replace(b'"size": 7', b'"size": "7"'), "line 3"),
        (GOLD.replace(b'"path": "a.txt"', b'"path": ""'), "line 2"),
        (GOLD.replace(b"sha256:aa", b"aa"), "line 2"),
        (GOLD.replace(b"a.txt", b"\xff.txt"), "line 2"),
    ],
)
def test_damage_is_named(data, complaint):
    with pytest.raises(BadRecord, match=complaint) as caught:
        Manifest.load(data)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("want", "have", "change"),
    [
        (File("a", 1, "md5:1"), File("a", 1, "md5:1"), Change.SAME),
        (File("a", 1, "md5:1"), File("a", 2, "md5:1"), Change.SIZE),
        (File("a", 1, "md5:1"), File("a", 1, "md5:2"), Change.CONTENT),
        (File("a", 1, "md5:1"), File("a", 1, "sha256:1"), Change.UNKNOWN),
        (File("a", 1), File("a", 1, "sha256:1"), Change.UNKNOWN),
        (File("a", None, "md5:1"), File("a", 2, "md5:1"), Change.SAME),
    ],
)
def test_compare(want, have, change):
    assert compare(want, have) is change


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
lists = st.dictionaries(names, st.tuples(st.integers(0, 3), st.sampled_from(["md5:1", "md5:2", None])), max_size=20)


@given(lists, lists)
def test_diff_is_what_dictionaries_say(want, have):
    def files(listed):
        return sorted((File(path, *facts) for path, facts in listed.items()), key=lambda file: file.sort_key)

    found = list(diff(files(want), files(have)))
    assert [one.path for one in found] == sorted({*want, *have})
    for one in found:
        expected = (
            Change.EXTRA
            if one.path not in want
            else Change.MISSING
            if one.path not in have
            else compare(File(one.path, *want[one.path]), File(one.path, *have[one.path]))
        )
        assert one.change is expected


@given(lists)
def test_round_trip(listed):
    files = [File(path, *facts) for path, facts in listed.items()]
    random.Random(0).shuffle(files)
    manifest = Manifest.of(files, "sha256:1")
    assert Manifest.load(manifest.dump()) == manifest


@pytest.mark.parametrize("paths", [["b", "a"], ["a", "a"]])
def test_diff_refuses_lists_out_of_order(paths):
    with pytest.raises(ValueError, match="out of order"):
        list(diff([File(path) for path in paths], []))


def many(count=1200):
    return [File(f"n{at:05d}", at, f"sha256:{at:064x}", None, f"{at:x}") for at in range(count)]


def lines_of(files):
    header = json.dumps({"format_version": 1, "files": len(files)}).encode() + b"\n"
    return [header, *(entry_line(file, etag=True) for file in files)]


def test_a_long_manifest_is_read_as_a_short_one_is():
    _, files = read_lines(lines_of(many()))
    assert list(files) == many()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (b'{"path": "n00600", "size": "1"}\n', "line 602: not a file entry"),
        (b'{"path": "n00600", "size": -1, "digest": "sha256:00"}\n', "line 602: not a file entry"),
        (b'{"path": "n00600", "size": 1, "digest": "crc:00"}\n', "line 602: not a file entry"),
        (b'{"path": "", "size": 1, "digest": "sha256:00"}\n', "line 602: not a file entry"),
        (b'{"size": 1, "digest": "sha256:00"}\n', "line 602: not a file entry"),
        (b'{"path": "n00000", "size": 1, "digest": "sha256:00"}\n', "out of order"),
        (b'{"path": "n00600", "size": 1}, {"path": "n00600x", "size": 1}\n', "line 602: not a JSON object"),
        (b"[]\n", "line 602: not a JSON object"),
        (b"not JSON\n", "line 602: not a JSON object"),
    ],
)
def test_damage_in_a_long_manifest_is_named_by_its_line(entry, words):
    lines = lines_of(many())
    lines[601] = entry
    with pytest.raises(BadRecord, match=words):
        list(read_lines(lines)[1])


def test_what_is_unusual_in_a_long_manifest_is_read_all_the_same():
    files = many()
    files[600] = File("n00600", None, None)
    files[700] = File("n00700é", 7, "md5:" + "0" * 32)
    assert list(read_lines(lines_of(files))[1]) == files
