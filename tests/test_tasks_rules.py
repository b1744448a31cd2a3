from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from visprep import wire
from visprep.errors import AccessDenied
from visprep.findings import Finding, Level
from visprep.formats.tasks import LoadedTask, TaskDirectory, files_of, find, layout, load
from visprep.manifest import File
from visprep.records import Task
from visprep.rules import Depth
from visprep.rules.tasks import RULES, check, check_place
from visprep.stores.local import LocalStore

Change = Callable[[Path], Any]

SIZE = (24, 16)
TEMPLATE = layout("template")


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def png(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def place(root: Path, tasks: int) -> Path:
    """A clean place with so many tasks; the first is at shapes_task/t0."""
    for number in range(tasks):
        first, final = png(picture(2 * number)), png(picture(2 * number + 1))
        record = Task("shapes", f"t{number}", f"Move shape {number}.", first, final, metadata={"number": number})
        for path, data in files_of(record).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
    return root


def look(root: Path, depth: Depth = Depth.DECODE, name: str = "template") -> list[Finding]:
    """All that the rules say about a place."""
    store = LocalStore(root)
    found = find(store.list(), root.parts)
    findings = check_place(found, layout(name))
    for directory in found.directories:
        findings += check(wire.wait(load(store, directory, depth)), layout(name), depth)
    return findings


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


# What can be done to the first task


def write(name: str, data: bytes) -> Change:
    return lambda root: (root / "shapes_task/t0" / name).write_bytes(data)


def remove(name: str) -> Change:
    return lambda root: (root / "shapes_task/t0" / name).unlink()


def rename(name: str, to: str) -> Change:
    def change(root: Path) -> None:
        target = root / to
        target.parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(target)

    return change


def copy(name: str, to: str) -> Change:
    return lambda root: shutil.copytree(root / name, root / to)


def link(name: str, to: str) -> Change:
    def change(root: Path) -> None:
        path = root / "shapes_task/t0" / name
        path.unlink()
        path.symlink_to(to)

    return change


def edit(name: str, how: Callable[[bytes], bytes]) -> Change:
    def change(root: Path) -> None:
        path = root / "shapes_task/t0" / name
        path.write_bytes(how(path.read_bytes()))

    return change


def both(*changes: Change) -> Change:
    return lambda root: [change(root) for change in changes]


def empty_place(root: Path) -> None:
    shutil.rmtree(root / "shapes_task")


def flipped(data: bytes, marker: bytes, offset: int) -> bytes:
    at = data.index(marker) + offset
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


def texted(image: Image.Image) -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "drawn " * 100, zip=True)
    return png(image, pnginfo=notes, dpi=(300, 300), icc_profile=b"profile" * 20)


def rotated(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3
    return png(image, exif=exif)


def almost(image: Image.Image) -> Image.Image:
    pixels = np.array(image)
    pixels[0, 0, 0] ^= 1
    return Image.fromarray(pixels)


FIRST, FINAL, PROMPT = "first_frame.png", "final_frame.png", "prompt.txt"
HTML = b"<!DOCTYPE html><html><title>404 Not Found</title></html>"


@dataclass(frozen=True)
class Case:
    """A fault: seen from `depth` on, or from the depth of its rule; `says` stands in the message."""

    code: str
    name: str
    change: Change
    says: str
    path: str
    depth: Depth | None = None

    @property
    def seen_from(self) -> Depth:
        return self.depth or next(rule.depth for rule in RULES if rule.code == self.code)


T0 = "shapes_task/t0"
CASES = [
    Case("frame-mode", "gray", write(FIRST, png(picture(0).convert("L"))), "mode L", f"{T0}/{FIRST}"),
    Case("frame-mode", "alpha", write(FINAL, png(picture(1).convert("RGBA"))), "mode RGBA", f"{T0}/{FINAL}"),
    Case("frame-mode", "palette", write(FIRST, png(picture(0).convert("P"))), "mode P", f"{T0}/{FIRST}"),
    Case("frame-mode", "black and white", write(FIRST, png(picture(0).convert("1"))), "mode 1", f"{T0}/{FIRST}"),
    Case("frame-mode", "16 bits", write(FIRST, png(Image.new("I;16", SIZE))), "mode I;16", f"{T0}/{FIRST}"),
    Case("frame-mode", "color key", write(FIRST, png(picture(0), transparency=(1, 2, 3))), "transparency",
         f"{T0}/{FIRST}"),
    Case("frame-mode", "animated", write(FIRST, png(picture(0), save_all=True, append_images=[picture(9)])),
         "2 animation frames", f"{T0}/{FIRST}"),
    Case("frame-mode", "turned", write(FIRST, rotated(picture(0))), "EXIF orientation 3", f"{T0}/{FIRST}"),
    Case("frame-not-png", "JPEG", write(FIRST, png(picture(0), "JPEG")), "a JPEG image", f"{T0}/{FIRST}"),
    Case("frame-not-png", "WebP", write(FINAL, png(picture(1), "WEBP")), "a WebP image", f"{T0}/{FINAL}"),
    Case("frame-not-png", "web page", write(FINAL, HTML), "an HTML page", f"{T0}/{FINAL}"),
    Case("frame-not-png", "zeros", write(FINAL, b"\0" * 500), "begins with the bytes 00", f"{T0}/{FINAL}"),
    Case("frame-not-png", "LFS", write(FIRST, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
         "Git LFS pointer", f"{T0}/{FIRST}"),
    Case("frame-size-mismatch", "wider", write(FINAL, png(picture(1, (25, 16)))), "24 x 16 pixels", f"{T0}/{FINAL}"),
    Case("frame-size-mismatch", "turned", write(FIRST, png(picture(0, (16, 24)))), "16 x 24 pixels", f"{T0}/{FINAL}"),
    Case("frame-undecodable", "no header", edit(FIRST, lambda data: data[:20]), "header", f"{T0}/{FIRST}"),
    Case("frame-undecodable", "header flipped", edit(FIRST, lambda data: flipped(data, b"IHDR", 6)), "header",
         f"{T0}/{FIRST}"),
    Case("frame-undecodable", "text mode", edit(FIRST, lambda data: data.replace(b"\r\n", b"\n", 1)), "text mode",
         f"{T0}/{FIRST}"),
    Case("frame-undecodable", "cut off", edit(FINAL, lambda data: data[:-100]), "cut off in chunk IDAT",
         f"{T0}/{FINAL}", Depth.DECODE),
    Case("frame-undecodable", "no end", edit(FINAL, lambda data: data[:-12]), "end mark", f"{T0}/{FINAL}",
         Depth.DECODE),
    Case("frame-undecodable", "flipped", edit(FINAL, lambda data: flipped(data, b"IDAT", 30)),
         "checksum of chunk IDAT", f"{T0}/{FINAL}", Depth.DECODE),
    Case("frames-identical", "copied", lambda root: shutil.copy(root / T0 / FIRST, root / T0 / FINAL), "same picture",
         f"{T0}/{FINAL}"),
    Case("frames-identical", "encoded again", write(FINAL, png(picture(0), compress_level=1)), "same picture",
         f"{T0}/{FINAL}", Depth.DECODE),
    Case("metadata-not-json", "cut off", edit("metadata.json", lambda data: data[:-3]), "not JSON",
         f"{T0}/metadata.json"),
    Case("metadata-not-json", "list", write("metadata.json", b"[1, 2]"), "JSON list", f"{T0}/metadata.json"),
    Case("metadata-not-json", "encoding", write("metadata.json", '{"a": "é"}'.encode("latin-1")), "byte 7",
         f"{T0}/metadata.json"),
    Case("no-tasks", "nothing", empty_place, "no task", "."),
    Case("no-tasks", "something else", both(empty_place, lambda root: (root / "photo.jpg").write_bytes(b"x")),
         "other files: 1", "."),
    Case("prompt-blank", "line feed", write(PROMPT, b"\n"), "characters: 1", f"{T0}/{PROMPT}"),
    Case("prompt-blank", "unicode", write(PROMPT, " \u00a0\u2003\u3000\u2028\n".encode()), "characters: 6",
         f"{T0}/{PROMPT}"),
    Case("prompt-blank", "byte order mark", write(PROMPT, b"\xef\xbb\xbf"), "characters: 1", f"{T0}/{PROMPT}"),
    Case("prompt-blank", "zero width", write(PROMPT, "\u200b\u2060\r\n".encode()), "characters: 4", f"{T0}/{PROMPT}"),
    Case("prompt-empty", "0 bytes", write(PROMPT, b""), "0 bytes", f"{T0}/{PROMPT}"),
    Case("prompt-encoding", "latin-1", write(PROMPT, "Ein Café".encode("latin-1")), "byte 7 (hexadecimal e9)",
         f"{T0}/{PROMPT}"),
    Case("prompt-encoding", "utf-16", write(PROMPT, "Move it.".encode("utf-16")), "UTF-16", f"{T0}/{PROMPT}"),
    Case("prompt-encoding", "cut", write(PROMPT, "Move é".encode()[:-1]), "byte 5", f"{T0}/{PROMPT}"),
    Case("task-file-empty", "frame", write(FIRST, b""), "0 bytes", f"{T0}/{FIRST}"),
    Case("task-file-empty", "metadata", write("metadata.json", b""), "0 bytes", f"{T0}/metadata.json"),
    Case("task-file-empty", "video", write("ground_truth.avi", b""), "0 bytes", f"{T0}/ground_truth.avi"),
    Case("task-file-missing", "frame", remove(FINAL), "final_frame.png is missing", f"{T0}/{FINAL}"),
    Case("task-file-missing", "prompt", remove(PROMPT), "prompt.txt is missing", f"{T0}/{PROMPT}"),
    Case("task-file-missing", "all", lambda root: [path.unlink() for path in (root / T0).iterdir()],
         "none of first_frame.png, final_frame.png, prompt.txt", T0),
    Case("task-file-missing", "other case", rename(f"{T0}/{FIRST}", f"{T0}/First_Frame.PNG"),
         "First_Frame.PNG is there instead", f"{T0}/{FIRST}"),
    Case("task-file-missing", "other suffix", rename(f"{T0}/{FINAL}", f"{T0}/final_frame.jpg"),
         "final_frame.jpg is there instead", f"{T0}/{FINAL}"),
    Case("task-file-missing", "one deeper", rename(f"{T0}/{PROMPT}", f"{T0}/text/prompt.txt"),
         "text/prompt.txt is there instead", f"{T0}/{PROMPT}"),
    Case("task-file-unreadable", "link to nowhere", link(PROMPT, "nowhere.txt"), PROMPT, f"{T0}/{PROMPT}"),
    Case("task-file-unreadable", "link out of the place", link(FIRST, __file__), FIRST, f"{T0}/{FIRST}"),
    Case("task-id-repeated", "other case", copy(T0, "shapes_task/T0"), "'t0' of domain 'shapes'", T0),
    Case("task-id-repeated", "domain in other case", copy(T0, "Shapes_task/t0"), "Shapes_task/t0", T0),
    Case("task-id-repeated", "two parents", copy(T0, f"backup/{T0}"), f"backup/{T0}", T0),
    Case("task-path", "no domain", rename("shapes_task/t0", "t0"), "'t0'", "t0"),
    Case("task-path", "no suffix", rename("shapes_task/t0", "shapes/t0"), "'shapes/t0'", "shapes/t0"),
    Case("task-path", "no name before the suffix", rename("shapes_task/t0", "_task/t0"), "'_task/t0'", "_task/t0"),
    Case("task-path", "one level too deep", rename("shapes_task/t0", "shapes_task/more/deep/t0"),
         "'shapes_task/more/deep/t0'", "shapes_task/more/deep/t0"),
    Case("unexpected-file", "macOS", write(".DS_Store", b"x"), ".DS_Store", f"{T0}/.DS_Store"),
    Case("unexpected-file", "Windows", lambda root: (root / "shapes_task/Thumbs.db").write_bytes(b"x"), "Thumbs.db",
         "shapes_task/Thumbs.db"),
    Case("unexpected-file", "of another layout", write("goal.txt", b"x"), "the layout template", f"{T0}/goal.txt"),
    Case("unexpected-file", "at the root", lambda root: (root / "notes.md").write_bytes(b"x"), "notes.md", "notes.md"),
    Case("unexpected-file", "a lone prompt", lambda root: (root / PROMPT).write_bytes(b"x"), PROMPT, PROMPT),
]  # fmt: skip

NEAR_MISSES: list[tuple[str, str, Change]] = [
    ("frame-mode", "text, profile and resolution", write(FIRST, texted(picture(0)))),
    ("frame-not-png", "bytes after the end", edit(FIRST, lambda data: data + HTML)),
    ("frame-size-mismatch", "both of another size", both(write(FIRST, png(picture(0, (25, 16)))),
                                                         write(FINAL, png(picture(1, (25, 16)))))),
    ("frame-undecodable", "bytes after the end", edit(FINAL, lambda data: data + b"\0" * 1000)),
    ("frame-undecodable", "split into many chunks", write(FINAL, png(picture(1, (24, 16)), compress_level=0))),
    ("frames-identical", "one bit of one pixel", write(FINAL, png(almost(picture(0))))),
    ("metadata-not-json", "an empty object", write("metadata.json", b"{}")),
    ("metadata-not-json", "no indent, odd text", write("metadata.json", json.dumps({"ä\ud83d": [None]}).encode())),
    ("no-tasks", "one task in a deep place", rename("shapes_task", "a/b/shapes_task")),
    ("prompt-blank", "one dot among blanks", write(PROMPT, "\ufeff \u3000.\n".encode())),
    ("prompt-empty", "one letter", write(PROMPT, b"x")),
    ("prompt-encoding", "all planes, and NUL", write(PROMPT, "é 日本 🙂 \0".encode())),
    ("task-file-empty", "one byte", write("ground_truth.mp4", b"x")),
    ("task-file-missing", "an optional file", remove("metadata.json")),
    ("task-file-unreadable", "a link within the place", both(
        rename(f"{T0}/{PROMPT}", ".visprep/elsewhere.txt"),
        lambda root: (root / T0 / PROMPT).symlink_to(root / ".visprep/elsewhere.txt"))),
    ("task-id-repeated", "the same id in another domain", copy(T0, "forms_task/t0")),
    ("task-id-repeated", "an id that contains the other", copy(T0, "shapes_task/t0_0")),
    ("task-path", "below a generator", rename("shapes_task/t0", "generator/shapes_task/t0")),
    ("task-path", "odd names", rename("shapes_task/t0", "a_task_task/b_task")),
    ("unexpected-file", "the record of visprep", both(
        lambda root: (root / ".visprep").mkdir(exist_ok=True),
        lambda root: (root / ".visprep/manifest.jsonl").write_bytes(b"x"),
        lambda root: (root / "dataset.json").write_bytes(b"{}"))),
    ("unexpected-file", "both videos", both(write("ground_truth.avi", b"x"), write("ground_truth.mp4", b"x"))),
    ("unexpected-file", "an empty directory", lambda root: (root / T0 / "sub").mkdir()),
]  # fmt: skip


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}: {case.name}")
def test_one_fault_gives_one_finding(tmp_path: Path, case: Case, tasks: int) -> None:
    """With one task the directory is minimal; with three it is a change of one in a clean place."""
    root = place(tmp_path, tasks)
    case.change(root)
    for depth in Depth:
        findings = look(root, depth)
        if not depth.reaches(case.seen_from):
            assert findings == []
            continue
        (finding,) = findings
        assert finding.code == case.code
        assert case.says in finding.message
        assert finding.path == case.path
        assert finding.hint
        rule = next(rule for rule in RULES if rule.code == case.code)
        assert finding.level == rule.level


@pytest.mark.parametrize(("code", "name", "change"), NEAR_MISSES, ids=[f"{miss[0]}: {miss[1]}" for miss in NEAR_MISSES])
def test_a_near_miss_gives_nothing(tmp_path: Path, code: str, name: str, change: Change) -> None:
    root = place(tmp_path, 1)
    change(root)
    for depth in Depth:
        assert look(root, depth) == []


def test_every_rule_has_a_fault_and_a_near_miss() -> None:
    known = {rule.code for rule in RULES}
    assert {case.code for case in CASES} == known
    assert {code for code, _, _ in NEAR_MISSES} == known


def test_rules_are_sorted_and_have_a_page() -> None:
    assert [rule.code for rule in RULES] == sorted({rule.code for rule in RULES})
    for rule in RULES:
        assert rule.what.endswith(".")
        assert rule.why.endswith(".")
        assert rule.fix
    warnings = {rule.code for rule in RULES if rule.level is not Level.ERROR}
    assert warnings == {"frames-identical", "unexpected-file"}


@pytest.mark.parametrize("cut", ["", "shapes_task", "shapes_task/t1"])
def test_clean_places_of_every_kind_give_nothing(tmp_path: Path, cut: str) -> None:
    root = place(tmp_path, 3)
    for depth in Depth:
        assert look(root / cut, depth) == []


def test_a_task_that_is_itself_the_place(tmp_path: Path) -> None:
    root = place(tmp_path, 1) / T0
    (root / FIRST).unlink()
    (root / "notes.md").write_bytes(b"x")
    assert sorted((finding.code, finding.path) for finding in look(root)) == [
        ("task-file-missing", FIRST),
        ("unexpected-file", "notes.md"),
    ]
    loose = tmp_path / "loose"
    (tmp_path / T0).rename(loose)
    (loose / "first_frame.png").write_bytes(png(picture(0)))
    (loose / "notes.md").unlink()
    assert [(finding.code, finding.path) for finding in look(loose)] == [("task-path", ".")]


def test_vmevalkit_asks_for_less_and_takes_more(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    (root / T0 / FINAL).unlink()
    (root / T0 / "goal.txt").write_bytes(b"Be there.")
    (root / T0 / "question_metadata.json").write_bytes(b'{"domain": "shapes"}')
    assert look(root, name="vmevalkit") == []
    assert sorted(codes(look(root))) == ["task-file-missing", "unexpected-file", "unexpected-file"]
    (root / T0 / "question_metadata.json").write_bytes(b"nothing")
    assert codes(look(root, name="vmevalkit")) == ["metadata-not-json"]


def test_faults_that_have_nothing_to_do_with_each_other_are_all_named(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    for change in (
        write(FIRST, png(picture(0, (9, 9)).convert("L"))[:-12]),
        write(PROMPT, b"\xff"),
        write("metadata.json", b""),
        write("x", b"x"),
    ):
        change(root)
    expected = ["frame-mode", "frame-size-mismatch", "frame-undecodable", "prompt-encoding", "task-file-empty"]
    assert sorted(codes(look(root))) == [*expected, "unexpected-file"]


def test_two_equal_pages_are_not_called_identical_frames(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    write(FIRST, HTML)(root)
    write(FINAL, HTML)(root)
    assert codes(look(root)) == ["frame-not-png", "frame-not-png"]


def test_two_equal_damaged_frames_are_not_called_identical(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    data = png(picture(0))[:-12]
    write(FIRST, data)(root)
    write(FINAL, data)(root)
    assert codes(look(root)) == ["frame-undecodable", "frame-undecodable"]


def test_where_a_fault_is_can_be_read_by_machines(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    write(FINAL, png(picture(1, (25, 16))))(root)
    write(PROMPT, b"abc\xff")(root)
    where = {finding.code: dict(finding.where) for finding in look(root)}
    assert where == {"frame-size-mismatch": {"first": [24, 16], "final": [25, 16]}, "prompt-encoding": {"byte": 3}}


@pytest.mark.parametrize(
    ("digests", "expected"), [(("sha256:1",) * 2, 1), (("sha256:1", "sha256:2"), 0), ((None, None), 0)]
)
def test_large_frames_are_identical_at_headers_only_if_the_listing_says_so(
    tmp_path: Path, digests: tuple[str | None, str | None], expected: int
) -> None:
    root = place(tmp_path, 1)
    data = png(picture(0, (300, 200)), compress_level=0)
    assert len(data) > 2 * 64 * 1024
    write(FIRST, data)(root)
    write(FINAL, data)(root)
    store = LocalStore(root)
    (directory,) = find(store.list()).directories
    files = dict(directory.files)
    for name, digest in zip((FIRST, FINAL), digests, strict=True):
        files[name] = File(files[name].path, files[name].size, digest)
    told = TaskDirectory(directory.path, directory.domain, directory.id, files)
    loaded = wire.wait(load(store, told, Depth.HEADERS))
    assert codes(check(loaded, TEMPLATE, Depth.HEADERS)) == ["frames-identical"] * expected
    loaded = wire.wait(load(store, told, Depth.DECODE))
    assert codes(check(loaded, TEMPLATE, Depth.DECODE)) == ["frames-identical"]


def test_ids_that_differ_in_composition_only_are_repeated(tmp_path: Path) -> None:
    directories = [
        File(f"shapes_task/{name}/{file}", 5)
        for name in ("caf\u00e9", "cafe\u0301", "CAFE")
        for file in (FIRST, PROMPT)
    ]
    (finding,) = check_place(find(sorted(directories, key=lambda file: file.sort_key)), TEMPLATE)
    assert finding.code == "task-id-repeated"


def test_an_empty_file_of_unknown_size_is_found_by_reading() -> None:
    directory = TaskDirectory("a_task/1", "a", "1", {name: File(f"a_task/1/{name}") for name in (FIRST, FINAL, PROMPT)})
    contents = {FIRST: b"", FINAL: png(picture(1)), PROMPT: b""}
    findings = check(LoadedTask(directory, contents), TEMPLATE, Depth.DECODE)
    assert [(finding.code, finding.path) for finding in findings] == [
        ("task-file-empty", f"a_task/1/{FIRST}"),
        ("prompt-empty", f"a_task/1/{PROMPT}"),
    ]


def test_an_unreadable_file_says_why() -> None:
    directory = TaskDirectory("", "a", "1", {name: File(name, 5) for name in (FIRST, FINAL, PROMPT)})
    loaded = LoadedTask(directory, {}, {PROMPT: AccessDenied("prompt.txt: not ours to read")})
    (finding,) = check(loaded, TEMPLATE, Depth.HEADERS)
    assert (finding.code, finding.message) == ("task-file-unreadable", "prompt.txt: not ours to read")
    assert finding.where == {"error": "access-denied"}
