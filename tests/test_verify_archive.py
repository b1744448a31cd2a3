"""verify of a zip: what is in it, as in a directory, and what of it could not be unpacked."""

import json
import subprocess
import sys
import zlib

import pytest

import visprep
from conftest import tree
from visprep.images import encode_png
from visprep.rules import archives
from zip_forge import Entry, deflate, deflated, write_zip


@pytest.fixture
def members(tmp_path):
    """The files of two sound tasks, as members of an archive."""
    visprep.download("sample", tmp_path / "place", limit=2)
    paths = tree(tmp_path / "place")
    return {path: deflated(path.encode(), data) for path, data in paths.items() if "_task/" in path}


def found(archive, **options):
    return [(finding.level, finding.code, finding.path) for finding in visprep.verify(archive, **options).findings]


def test_sound_tasks_have_no_findings_at_any_depth(tmp_path, members):
    archive = write_zip(tmp_path / "a.zip", members.values())
    assert visprep.verify(archive).depth == "decode"
    for depth in ("names", "sizes", "headers", "decode", "content"):
        assert found(archive, depth=depth) == []


def test_pixels_are_looked_at_unasked(tmp_path, members):
    path = next(path for path in members if path.endswith("final_frame.png"))
    frame = zlib.decompress(members[path].held, -15)
    members[path] = deflated(path.encode(), frame[:-40])
    archive = write_zip(tmp_path / "a.zip", members.values())
    assert [code for _, code, _ in found(archive)] == ["frame-undecodable"]


REFUSED = [
    (Entry(b"../up", b"1"), "../up", "unsafe-path"),
    (Entry(b"a_task/../../up", b"1"), "a_task/../../up", "unsafe-path"),
    (Entry(b"/etc/passwd", b"1"), "/etc/passwd", "unsafe-path"),
    (Entry(b"..\\up", b"1"), "..\\up", "unsafe-path"),
    (Entry(b"C:/up", b"1"), "C:/up", "unsafe-path"),
    (Entry(b"a_task/link", b"/etc/passwd", mode=0o120777), "a_task/link", "unsafe-path"),
    (Entry(b"a_task/secret", b"1", flags=1), "a_task/secret", "access-denied"),
    (Entry(b"a_task/lzma", b"1", method=14), "a_task/lzma", "wrong-content"),
    (Entry(b"a_task/lie", deflate(bytes(100)), method=8, size=10**9, crc=0), "a_task/lie", "wrong-content"),
]


@pytest.mark.parametrize(("bad", "path", "slug"), REFUSED, ids=[path for _, path, _ in REFUSED])
def test_what_download_refuses_is_one_error(run, tmp_path, members, bad, path, slug):
    archive = write_zip(tmp_path / "a.zip", [*members.values(), bad])
    for depth in ("names", "decode", "content"):
        assert found(archive, depth=depth) == [("error", "member-refused", path)]
    ended = run("verify", archive, "--json")
    assert ended.code == 1
    (finding,) = json.loads(ended.out)["findings"]
    assert finding["where"] == {"error": slug}
    loaded = run("download", archive, "--output", tmp_path / "out")
    assert (loaded.code, f"{path}: " in loaded.err) == (3, True)
    assert len([path for path in tree(tmp_path / "out") if not path.startswith(".")]) == len(members)


def test_of_two_with_one_name_and_of_a_file_that_is_a_directory_too(run, tmp_path, members):
    names = ["a_task/twice", "a_task/twice", "b_task/x", "b_task/x/y/z"]
    archive = write_zip(tmp_path / "a.zip", [*members.values(), *(Entry(name.encode(), b"1") for name in names)])
    errors = [path for level, code, path in found(archive, select=["member-refused"]) if level == "error"]
    assert errors == ["a_task/twice", "b_task/x"]
    loaded = run("download", archive, "--output", tmp_path / "out")
    assert loaded.code == 3
    assert (tmp_path / "out/b_task/x/y/z").read_bytes() == b"1"
    assert not (tmp_path / "out/a_task/twice").exists()


def test_a_frame_that_is_refused_is_named_once_and_the_rest_of_the_task_is_looked_at(tmp_path, members):
    first = next(path for path in members if path.endswith("first_frame.png"))
    prompt = first.replace("first_frame.png", "prompt.txt")
    members[first] = Entry(first.encode(), b"/x/first_frame.png", mode=0o120777)
    members[prompt] = Entry(prompt.encode(), b" \n")
    archive = write_zip(tmp_path / "a.zip", members.values())
    assert sorted(found(archive)) == [("error", "member-refused", first), ("error", "prompt-blank", prompt)]
    assert ("error", "task-file-unreadable", first) in found(archive, ignore=["member-refused"])


def test_these_are_the_cases_of_every_rule_of_archives():
    assert [rule.code for rule in archives.RULES] == ["member-refused"]
    assert REFUSED
    assert NEAR


NEAR = [b"..up", b"a..b/..c", b"C:", b"ab:/c", b"a_task/c:/d", b"dir.png/", b"a_task/x/", b"a_task/x"]


def test_odd_names_that_lead_nowhere_else_are_no_errors(run, tmp_path, members):
    # The last two are a directory that is said to be there and a file: another archive for each
    for names in (NEAR[:-1], NEAR[:-2] + NEAR[-1:]):
        entries = [Entry(name, b"" if name.endswith(b"/") else b"1") for name in names]
        archive = write_zip(tmp_path / "a.zip", [*members.values(), *entries])
        assert "member-refused" not in {code for _, code, _ in found(archive)}
        assert run("download", archive, "--output", tmp_path / f"out{len(entries)}{names[-1].decode()[-1:]}").code == 0


def test_a_directory_among_the_members_may_say_whatever_it_is(tmp_path, members):
    entries = [Entry(b"a_task/", mode=0o100644), Entry(b"b_task/empty/", mode=0o100644)]
    assert "member-refused" not in {
        code for _, code, _ in found(write_zip(tmp_path / "a.zip", [*members.values(), *entries]))
    }


def test_of_a_large_frame_only_the_head_is_made(tmp_path, members):
    """A member of 400 MB, in as many kilobytes: a look at its header takes no more memory than one at any other."""
    from PIL import Image

    path = next(path for path in members if path.endswith("final_frame.png"))
    size = 400 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = encode_png(Image.new("RGB", (64, 64)))
    pieces = [head, *[bytes(1 << 20)] * 399, bytes((1 << 20) - len(head))]
    held = b"".join([*map(packer.compress, pieces), packer.flush()])
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    assert sum(map(len, pieces)) == size
    small = write_zip(tmp_path / "small.zip", members.values())
    members[path] = Entry(path.encode(), held, method=8, size=size, crc=crc)
    large = write_zip(tmp_path / "large.zip", members.values())
    code = "import resource, sys, visprep; visprep.verify(sys.argv[1], depth='headers')"
    code += "; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    peaks = [
        int(subprocess.run([sys.executable, "-c", code, archive], capture_output=True, text=True, check=True).stdout)
        for archive in (small, large)
    ]
    assert peaks[1] - peaks[0] < size / 4 / 1024
