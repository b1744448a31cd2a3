from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from visprep import wire
from visprep.errors import AccessDenied
from visprep.findings import Finding, Level
from visprep.formats.task_loading import LoadedTask, load, with_links
from visprep.formats.tasks import TaskDirectory, files_of, find, layout
from visprep.manifest import File
from visprep.records import Task
from visprep.rules import Depth
from visprep.rules.tasks import RULES, Comparison, check, check_place, examine
from visprep.sources import Selection, Upstream
from visprep.sources.sample import Sample
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore
from visprep.video import write_video

Change = Callable[[Path], Any]
Film = Callable[[Image.Image, Image.Image], Iterable[Image.Image]]

SIZE = (24, 16)
TEMPLATE = layout("template")
T0 = "shapes_task/t0"
V0 = "G-1_shapes_data-generator/shapes_task/shapes_00000000"


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def png(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def sixteen_bits(size: tuple[int, int]) -> bytes:
    """An RGB image of 16 bits a channel, which Pillow cannot write."""
    rows = b"".join(b"\0" + os.urandom(size[0] * 6) for _ in range(size[1]))
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", *size, 16, 2, 0, 0, 0), b"IDAT" + zlib.compress(rows), b"IEND")
    packed = (struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def bomb(width: int, height: int) -> bytes:
    """A PNG that declares many pixels and has a single row of them."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"\0"), b"IEND")
    packed = (struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def task(home: str, number: int, **changes: Any) -> Change:
    """Puts a sound task at `home`, unlike that of any other number."""

    def change(root: Path) -> None:
        first, final = png(picture(2 * number)), png(picture(2 * number + 1))
        facts = {"metadata": {"number": number}, "prompt": f"Move shape {number}.", **changes}
        for path, data in files_of(Task("shapes", "t", first_frame=first, final_frame=final, **facts)).items():
            target = root / home / path.rpartition("/")[2]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    return change


def place(root: Path, tasks: int, name: str = "template") -> Path:
    """A clean place with so many tasks; the first is at shapes_task/t0, in the layout vbvr at V0."""
    for number in range(tasks):
        if name == "vbvr":
            home = f"{V0[:-1]}{number}"
            task(home, number, metadata=vbvr_metadata(home, {"radius": 1.5, "name": "größe", "number": number}))(root)
        else:
            task(f"shapes_task/t{number}", number)(root)
    return root


def vbvr_metadata(home: str, parameters: Any, **changes: Any) -> dict[str, Any]:
    generator, _, id_ = home.split("/")
    text = json.dumps(parameters, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    facts = {"parameters": parameters, "param_hash": hashlib.sha256(text.encode()).hexdigest()[:16]}
    generation = {"seed": 7, "git": {"commit": "c", "branch": "main", "repo": "r"}}
    known = {"task_id": id_, "generator": generator, "timestamp": "2026-02-17T06:15:55.000000"}
    return {**known, **facts, "generation": generation, **changes}


def look(root: Path, depth: Depth = Depth.DECODE, name: str = "template") -> list[Finding]:
    """All that the rules say about a place."""
    store = LocalStore(root)
    found = with_links(store, find(store.list(), root.parts))
    findings = check_place(found, layout(name), depth)
    comparison = Comparison()
    for directory in found.directories:
        checked = examine(wire.wait(load(store, directory, depth)), layout(name), depth)
        findings += checked.findings
        findings += comparison.add(checked.directory, checked.prints)
    return findings


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


# What can be done to the first task


def write(name: str, data: bytes, home: str = T0) -> Change:
    return lambda root: (root / home / name).write_bytes(data)


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


def rotated(image: Image.Image, orientation: int = 3) -> bytes:
    return png(image, exif=exif(orientation))


def exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def noted(image: Image.Image, key: str, text: str, *, zip: bool = False) -> bytes:
    """A PNG with a text: XMP as iTXt, as its specification says; a profile as ImageMagick writes it."""
    notes = PngImagePlugin.PngInfo()
    if key.startswith("XML"):
        notes.add_itxt(key, text, zip=zip)
    else:
        notes.add_text(key, text, zip=zip)
    return png(image, pnginfo=notes)


XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{}"/></x:xmpmeta>'


def raw_profile(orientation: int) -> str:
    data = exif(orientation).tobytes()
    return f"\nexif\n{len(data):8}\n{data.hex()}\n"


def almost(image: Image.Image) -> Image.Image:
    pixels = np.array(image)
    pixels[0, 0, 0] ^= 1
    return Image.fromarray(pixels)


def told(**values: Any) -> Change:
    """Writes what metadata.json is to say."""
    return write("metadata.json", json.dumps(values).encode())


def vbvr(home: str = V0, without: tuple[str, ...] = (), **changes: Any) -> Change:
    """Writes metadata.json as a generator does, but for some changes."""
    values = vbvr_metadata(home, {"b": [1, {"c": 0.25}], "a": "ü"}) | changes
    return write("metadata.json", json.dumps({key: values[key] for key in values if key not in without}).encode(), home)


def renamed_vbvr(home: str) -> Change:
    return both(rename(V0, home), vbvr(home))


def new(name: str) -> Change:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")

    return change


def packed(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def chunk(kind: bytes, body: bytes) -> Callable[[bytes], bytes]:
    """Puts a chunk after the header of a PNG."""
    return lambda data: data[:33] + packed(kind, body) + data[33:]


def zeroed(data: bytes, start: int, end: int) -> bytes:
    start, end = start % len(data), end % len(data)
    return data[:start] + bytes(end - start) + data[end:]


def avi_rate(data: bytes, scale: int, rate: int) -> bytes:
    """An AVI with another frame rate in its stream's header, and none for the whole."""
    whole, stream = data.index(b"avih") + 8, data.index(b"strh") + 28
    data = data[:whole] + bytes(4) + data[whole + 4 :]
    return data[:stream] + struct.pack("<II", scale, rate) + data[stream + 8 :]


def padded(image: Image.Image) -> Image.Image:
    """An image with odd sides as some codecs want it: with a row and a column more, copied from the last."""
    width, height = image.width + image.width % 2, image.height + image.height % 2
    larger = image.resize((width, height))
    larger.paste(image)
    return larger


def film(frames: Film, name: str = "ground_truth.avi", codec: str | None = "ffv1", fps: float = 16) -> Change:
    """Makes a video of the frames of the task; of all codecs here ffv1 alone keeps noise as it is."""

    def change(root: Path) -> None:
        shown = [Image.open(io.BytesIO((root / T0 / frame).read_bytes())).convert("RGB") for frame in (FIRST, FINAL)]
        write_video(frames(*shown), root / T0 / name, fps, codec)

    return change


def sound(first: Image.Image, final: Image.Image) -> Iterable[Image.Image]:
    return [first, Image.blend(first, final, 0.5), final]


def smooth(root: Path) -> None:
    """Gives the task two frames without edges, one dark and one bright."""
    for level, name in ((40, FIRST), (200, FINAL)):
        (root / T0 / name).write_bytes(png(Image.new("RGB", (96, 64), (level, level, level))))


def doubted(first: Image.Image, final: Image.Image) -> Iterable[Image.Image]:
    """The final frame, 14 of 255 too dark: 25.2 dB."""
    return [Image.eval(final, lambda value: value - 14)]


def calm(root: Path) -> None:
    """Gives the task two frames of 96 x 64 pixels that codecs keep well."""
    for number, name in enumerate((FIRST, FINAL)):
        scene = Image.new("RGB", (96, 64), "white")
        scene.paste((200, 40, 40), (8 + 40 * number, 16, 40 + 40 * number, 48))
        (root / T0 / name).write_bytes(png(scene))


FIRST, FINAL, PROMPT = "first_frame.png", "final_frame.png", "prompt.txt"
AVI, MP4 = "ground_truth.avi", "ground_truth.mp4"
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
    layout: str = "template"

    @property
    def seen_from(self) -> Depth:
        return self.depth or next(rule.depth for rule in RULES if rule.code == self.code)


CASES = [
    Case("directory-link", "a task", lambda root: (root / "shapes_task/t9").symlink_to(root / T0), "not looked into",
         "shapes_task/t9"),
    Case("directory-link", "a domain", both(
        task(".visprep/zoo_task/t0", 9), lambda root: (root / "zoo_task").symlink_to(root / ".visprep/zoo_task")),
        "symbolic link to a directory", "zoo_task"),
    Case("directory-link", "out of the place", lambda root: (root / "train").symlink_to("/usr"), "train", "train"),
    Case("frame-alpha", "RGBA", write(FINAL, png(picture(1).convert("RGBA"))), "mode RGBA", f"{T0}/{FINAL}"),
    Case("frame-alpha", "color key", write(FIRST, png(picture(0), transparency=(1, 2, 3))), "a transparent color",
         f"{T0}/{FIRST}"),
    Case("frame-alpha", "gray", write(FINAL, png(picture(1).convert("LA"))), "mode LA", f"{T0}/{FINAL}"),
    Case("frame-alpha", "palette", write(FIRST, png(picture(0).convert("P"), transparency=3)), "a transparent color",
         f"{T0}/{FIRST}"),
    Case("frame-animated", "two pictures", write(FIRST, png(picture(0), save_all=True, append_images=[picture(9)])),
         "2 pictures", f"{T0}/{FIRST}"),
    Case("frame-bit-depth", "16 bits", write(FIRST, sixteen_bits(SIZE)), "mode RGB;16", f"{T0}/{FIRST}"),
    Case("frame-bit-depth", "gray", write(FIRST, png(Image.new("I;16", SIZE, 500))), "mode I;16", f"{T0}/{FIRST}"),
    Case("frame-mode", "gray", write(FIRST, png(picture(0).convert("L"))), "mode L", f"{T0}/{FIRST}"),
    Case("frame-mode", "palette", write(FIRST, png(picture(0).convert("P"))), "mode P", f"{T0}/{FIRST}"),
    Case("frame-mode", "black and white", write(FIRST, png(picture(0).convert("1"))), "mode 1", f"{T0}/{FIRST}"),
    Case("frame-not-png", "JPEG", write(FIRST, png(picture(0), "JPEG")), "a JPEG image", f"{T0}/{FIRST}"),
    Case("frame-not-png", "WebP", write(FINAL, png(picture(1), "WEBP")), "a WebP image", f"{T0}/{FINAL}"),
    Case("frame-not-png", "web page", write(FINAL, HTML), "an HTML page", f"{T0}/{FINAL}"),
    Case("frame-not-png", "zeros", write(FINAL, b"\0" * 500), "begins with the bytes 00", f"{T0}/{FINAL}"),
    Case("frame-not-png", "LFS", write(FIRST, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
         "Git LFS pointer", f"{T0}/{FIRST}"),
    Case("frame-rotated", "turned", write(FIRST, rotated(picture(0))), "orientation 3", f"{T0}/{FIRST}"),
    *(Case("frame-rotated", name, write(FIRST, data(picture(0))), "orientation 6", f"{T0}/{FIRST}") for name, data in (
        ("in XMP", lambda image: noted(image, "XML:com.adobe.xmp", XMP.format(6))),
        ("in packed XMP", lambda image: noted(image, "XML:com.adobe.xmp", XMP.format(6), zip=True)),
        ("in a profile of ImageMagick", lambda image: noted(image, "Raw profile type exif", raw_profile(6))),
        ("in a packed profile", lambda image: noted(image, "Raw profile type exif", raw_profile(6), zip=True)))),
    Case("frame-rotated", "after the pixels", edit(FIRST, lambda data: (
        data[:-12] + packed(b"eXIf", exif(8).tobytes()[6:]) + data[-12:])), "orientation 8", f"{T0}/{FIRST}"),
    Case("frame-shared", "in another domain", task("zoo_task/t0", 0, prompt="Feed it."), f"of {T0} too, in domain",
         f"zoo_task/t0/{FIRST}"),
    Case("frame-shared", "the final frame alone", both(
        task("zoo_task/t0", 8), lambda root: shutil.copy(root / T0 / FINAL, root / "zoo_task/t0" / FINAL)),
        "final_frame.png is a frame of", f"zoo_task/t0/{FINAL}"),
    Case("frame-shared", "first there, final here", both(
        task("zoo_task/t0", 8), lambda root: shutil.copy(root / T0 / FIRST, root / "zoo_task/t0" / FINAL)),
        "final_frame.png is a frame of", f"zoo_task/t0/{FINAL}"),
    Case("frame-size-mismatch", "wider", write(FINAL, png(picture(1, (25, 16)))), "24 x 16 pixels", f"{T0}/{FINAL}"),
    Case("frame-size-mismatch", "turned", write(FIRST, png(picture(0, (16, 24)))), "16 x 24 pixels", f"{T0}/{FINAL}"),
    Case("frame-undecodable", "no header", edit(FIRST, lambda data: data[:20]), "header", f"{T0}/{FIRST}"),
    Case("frame-undecodable", "a bomb", write(FIRST, bomb(30_000, 30_000)), "declares more than", f"{T0}/{FIRST}"),
    Case("frame-undecodable", "header flipped", edit(FIRST, lambda data: flipped(data, b"IHDR", 6)), "header",
         f"{T0}/{FIRST}"),
    Case("frame-undecodable", "text mode", edit(FIRST, lambda data: data.replace(b"\r\n", b"\n", 1)), "text mode",
         f"{T0}/{FIRST}"),
    Case("frame-undecodable", "cut off", edit(FINAL, lambda data: data[:-100]), "cut off in chunk IDAT",
         f"{T0}/{FINAL}"),
    Case("frame-undecodable", "no end", edit(FINAL, lambda data: data[:-12]), "end mark", f"{T0}/{FINAL}"),
    Case("frame-undecodable", "flipped", edit(FINAL, lambda data: flipped(data, b"IDAT", 30)),
         "checksum of chunk IDAT", f"{T0}/{FINAL}", Depth.DECODE),
    Case("frames-identical", "copied", lambda root: shutil.copy(root / T0 / FIRST, root / T0 / FINAL), "same picture",
         f"{T0}/{FINAL}"),
    Case("frames-identical", "encoded again", write(FINAL, png(picture(0), compress_level=1)), "same picture",
         f"{T0}/{FINAL}", Depth.DECODE),
    Case("hidden-file", "macOS", write(".DS_Store", b"x"), ".DS_Store", f"{T0}/.DS_Store"),
    Case("hidden-file", "Windows", lambda root: (root / "shapes_task/Thumbs.db").write_bytes(b"x"), "Thumbs.db",
         "shapes_task/Thumbs.db"),
    Case("hidden-file", "a directory of them", both(*(
        new(f".git/{name}") for name in ("HEAD", "config", "refs/heads/main"))), "(files: 3)", ".git"),
    Case("hidden-file", "a notebook's copies", both(*(
        new(f"{T0}/.ipynb_checkpoints/{name}") for name in ("a-checkpoint.png", "b-checkpoint.txt"))),
        "(files: 2)", f"{T0}/.ipynb_checkpoints"),
    Case("metadata-incomplete", "two keys", vbvr(without=("timestamp", "param_hash")), "lacks timestamp, param_hash",
         f"{V0}/metadata.json", layout="vbvr"),
    *(Case("metadata-incomplete", f"{key} of another type", vbvr(**{key: value}), says, f"{V0}/metadata.json",
           layout="vbvr") for key, value, says in (
        ("task_id", 7, "task_id is a number, not text"),
        ("generator", None, "generator is null, not text"),
        ("timestamp", 1739772955.0, "timestamp is a number, not text"),
        ("parameters", [1], "parameters is a list, not an object"),
        ("param_hash", {}, "param_hash is an object, not text"),
        ("generation", "x", "generation is text, not an object"))),
    Case("metadata-large", "a megabyte", write("metadata.json", json.dumps({"a": "x" * 1_000_000}).encode()),
         "1,000,009 bytes", f"{T0}/metadata.json"),
    Case("metadata-mismatch", "another task", told(task_id="t5"), "task_id is 't5', the directory 't0'",
         f"{T0}/metadata.json"),
    Case("metadata-mismatch", "another domain", told(domain="forms", task_id="t0"), "the directory 'shapes_task'",
         f"{T0}/metadata.json"),
    Case("metadata-mismatch", "another id", write("question_metadata.json", b'{"id": "t5", "domain": "shapes"}'),
         "id is 't5'", f"{T0}/question_metadata.json", layout="vmevalkit"),
    Case("metadata-mismatch", "another's frame",
         write("question_metadata.json", b'{"first_image_path": "shapes_task/t5/first_frame.png"}'),
         "first_image_path", f"{T0}/question_metadata.json", layout="vmevalkit"),
    Case("metadata-mismatch", "a frame that is not there",
         write("question_metadata.json", b'{"final_image_path": "shapes_task/t0/final_frame.jpg"}'),
         "which is not there", f"{T0}/question_metadata.json", layout="vmevalkit"),
    Case("metadata-mismatch", "as in question_metadata.json",
         told(id="t5", first_image_path="shapes_task/t5/first_frame.png"), "id is 't5', the directory 't0'; first_",
         f"{T0}/metadata.json", layout="vmevalkit"),
    Case("metadata-mismatch", "another number", told(task_id=7), "task_id is 7, the directory 't0'",
         f"{T0}/metadata.json"),
    Case("metadata-mismatch", "a list", told(task_id=["t0"]), "task_id is a list, which names nothing",
         f"{T0}/metadata.json"),
    Case("metadata-mismatch", "a truth", told(domain=True), "domain is true, which", f"{T0}/metadata.json"),
    Case("metadata-mismatch", "another prompt", told(prompt="Move shape 1."), "prompt is not what prompt.txt says",
         f"{T0}/metadata.json"),
    Case("metadata-mismatch", "no text for a prompt", told(prompt=["Move shape 0."]), "prompt is not what",
         f"{T0}/metadata.json"),
    Case("metadata-mismatch", "another generator", vbvr(generator="G-2_shapes_data-generator"),
         "the directory 'G-1_shapes_data-generator'", f"{V0}/metadata.json", layout="vbvr"),
    Case("metadata-mismatch", "other parameters", vbvr(param_hash="0123456789abcdef"), "that of the parameters is",
         f"{V0}/metadata.json", layout="vbvr"),
    Case("metadata-not-json", "cut off", edit("metadata.json", lambda data: data[:-3]), "not JSON",
         f"{T0}/metadata.json"),
    *(Case("metadata-not-json", name, write("metadata.json", b'{"a": [%s]}' % name.encode()), f"not JSON: {name}",
           f"{T0}/metadata.json") for name in ("NaN", "Infinity", "-Infinity")),
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
    Case("prompt-control", "a LaTeX command that was", write(PROMPT, b"Write \x0crac{1}{2}."),
         "character 6 is the control character U+000C", f"{T0}/{PROMPT}"),
    Case("prompt-control", "two", write(PROMPT, "Move\0 it \x85.".encode()), "U+0000, and 1 more", f"{T0}/{PROMPT}"),
    Case("prompt-empty", "0 bytes", write(PROMPT, b""), "0 bytes", f"{T0}/{PROMPT}"),
    Case("prompt-encoding", "latin-1", write(PROMPT, "Ein Café".encode("latin-1")), "byte 7 (hexadecimal e9)",
         f"{T0}/{PROMPT}"),
    Case("prompt-encoding", "utf-16", write(PROMPT, "Move it.".encode("utf-16")), "UTF-16", f"{T0}/{PROMPT}"),
    Case("prompt-encoding", "cut", write(PROMPT, "Move é".encode()[:-1]), "byte 5", f"{T0}/{PROMPT}"),
    Case("prompt-long", "a character too many", write(PROMPT, ("é" * 2001).encode()), "2,001 characters",
         f"{T0}/{PROMPT}"),
    Case("prompt-long", "half a gigabyte", lambda root: os.truncate(root / T0 / PROMPT, 500_000_000),
         "500,000,000 bytes, of which 1,000,001 were looked at", f"{T0}/{PROMPT}"),
    Case("task-duplicated", "copied", copy(T0, "shapes_task/u0"), f"those of {T0}", "shapes_task/u0"),
    Case("task-duplicated", "in another domain", copy(T0, "zoo_task/t0"), f"those of {T0}", "zoo_task/t0"),
    Case("task-duplicated", "with another answer", both(copy(T0, "shapes_task/u0"), write(FINAL, png(picture(9)))),
         "and another final frame", "shapes_task/u0"),
    Case("task-duplicated", "line ends", both(
        copy(T0, "shapes_task/u0"), edit(PROMPT, lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))),
        f"those of {T0}", "shapes_task/u0"),
    Case("task-file-case", "a required one", rename(f"{T0}/{FIRST}", f"{T0}/First_Frame.PNG"),
         "First_Frame.PNG should be first_frame.png", f"{T0}/First_Frame.PNG"),
    Case("task-file-case", "an optional one", rename(f"{T0}/metadata.json", f"{T0}/Metadata.json"),
         "Metadata.json should be metadata.json", f"{T0}/Metadata.json"),
    Case("task-file-case", "beside the right one", write("PROMPT.txt", b"Move it."), "is there too",
         f"{T0}/PROMPT.txt"),
    Case("task-file-empty", "frame", write(FIRST, b""), "0 bytes", f"{T0}/{FIRST}"),
    Case("task-file-empty", "metadata", write("metadata.json", b""), "0 bytes", f"{T0}/metadata.json"),
    Case("task-file-empty", "video", write(AVI, b""), "0 bytes", f"{T0}/{AVI}"),
    Case("task-file-link", "to the record", both(
        rename(f"{T0}/{PROMPT}", ".visprep/elsewhere.txt"),
        lambda root: (root / T0 / PROMPT).symlink_to(root / ".visprep/elsewhere.txt")), "symbolic link",
        f"{T0}/{PROMPT}"),
    Case("task-file-missing", "frame", remove(FINAL), "final_frame.png is missing", f"{T0}/{FINAL}"),
    Case("task-file-missing", "prompt", remove(PROMPT), "prompt.txt is missing", f"{T0}/{PROMPT}"),
    Case("task-file-missing", "all", lambda root: [path.unlink() for path in (root / T0).iterdir()],
         "none of first_frame.png, final_frame.png, prompt.txt", T0),
    Case("task-file-missing", "other suffix", rename(f"{T0}/{FINAL}", f"{T0}/final_frame.jpg"),
         "final_frame.jpg is there instead", f"{T0}/{FINAL}"),
    Case("task-file-missing", "one deeper", rename(f"{T0}/{PROMPT}", f"{T0}/text/prompt.txt"),
         "text/prompt.txt is there instead", f"{T0}/{PROMPT}"),
    Case("task-file-unreadable", "link to nowhere", link(PROMPT, "nowhere.txt"), PROMPT, f"{T0}/{PROMPT}"),
    Case("task-file-unreadable", "link out of the place", link(FIRST, __file__), FIRST, f"{T0}/{FIRST}"),
    Case("task-file-unreadable", "a frame beyond all measure", lambda root: os.truncate(root / T0 / FIRST, 300_000_000),
         "300,000,000 bytes are more than any frame takes", f"{T0}/{FIRST}", Depth.DECODE),
    Case("task-id-form", "another count of digits", renamed_vbvr(V0.replace("_0000", "_")),
         "'shapes_0000' is not shapes_ and 8 digits", V0.replace("_0000", "_"), layout="vbvr"),
    Case("task-id-gap", "in the middle", both(*(task(f"shapes_task/t{number}", number) for number in (4, 5, 6))),
         "is no t", "shapes_task"),
    Case("task-id-gap", "with zeros", both(*(task(f"zoo_task/z-{number:03}", number) for number in (7, 8, 12, 11))),
         "among the 4 ids from z-007 to z-012 is no z-009 to z-010", "zoo_task"),
    Case("task-id-gap", "one fewer than there are", both(*(
        task(f"zoo_task/z{number}", number + 20) for number in (0, 2))), "among the 2 ids from z0 to z2 is no z1",
        "zoo_task"),
    Case("task-id-gap", "eighteen digits", both(*(
        task(f"zoo_task/{number}", number % 100) for number in (10**17 + 7, 10**17 + 9))), "is no 100000000000000008",
        "zoo_task"),
    Case("task-id-repeated", "other case", copy(T0, "shapes_task/T0"), "'t0' of domain 'shapes'", T0),
    Case("task-id-repeated", "domain in other case", copy(T0, "Shapes_task/t0"), "Shapes_task/t0", T0),
    Case("task-id-repeated", "parents in two cases", both(
        rename("shapes_task", "Train/shapes_task"), task("train/shapes_task/t0", 9)),
        "Train/shapes_task/t0", "train/shapes_task/t0"),
    Case("task-duplicated", "in another split", copy(T0, f"test/{T0}"), f"those of {T0}", f"test/{T0}"),
    Case("task-path", "no domain", rename("shapes_task/t0", "t0"), "'t0'", "t0"),
    Case("task-path", "no suffix", rename("shapes_task/t0", "shapes/t0"), "'shapes/t0'", "shapes/t0"),
    Case("task-path", "no name before the suffix", rename("shapes_task/t0", "_task/t0"), "'_task/t0'", "_task/t0"),
    Case("task-path", "one level too deep", rename("shapes_task/t0", "shapes_task/more/deep/t0"),
         "'shapes_task/more/deep/t0'", "shapes_task/more/deep/t0"),
    Case("unexpected-file", "of another layout", write("goal.txt", b"x"), "the layout template", f"{T0}/goal.txt"),
    Case("unexpected-file", "at the root", lambda root: (root / "notes.md").write_bytes(b"x"), "notes.md", "notes.md"),
    Case("unexpected-file", "a readme among tasks", new("shapes_task/README.md"), "README.md", "shapes_task/README.md"),
    Case("hidden-file", "a .gitignore among tasks", new(f"{T0}/.gitignore"), ".gitignore", f"{T0}/.gitignore"),
    Case("unexpected-file", "a lone prompt", lambda root: (root / PROMPT).write_bytes(b"x"), PROMPT, PROMPT),
    Case("video-first-frame", "begins with the end", film(lambda first, final: [final, first, final]),
         "like final_frame.png in every pixel", f"{T0}/{AVI}"),
    Case("video-first-frame", "another picture", both(
        calm, film(lambda first, final: [picture(5, first.size), final], codec="mjpeg")), "is like first_frame.png by",
        f"{T0}/{AVI}"),
    Case("video-frame-count", "one", film(lambda first, final: [first]), "1 frame", f"{T0}/{AVI}"),
    Case("video-frame-doubtful", "of poor quality", both(
        smooth, film(lambda first, final: [first, *doubted(first, final)], codec="mjpeg")), "where 27 leave no doubt",
        f"{T0}/{AVI}"),
    Case("video-last-frame", "ends with the beginning", film(lambda first, final: [first, final, first]),
         "like first_frame.png in every pixel", f"{T0}/{AVI}"),
    Case("video-last-frame", "stops before the end", both(
        calm, film(lambda first, final: [first, Image.blend(first, final, 0.3)], codec="mpeg4", name=MP4)),
        "like first_frame.png by", f"{T0}/{MP4}"),
    Case("video-rate", "a slip by a thousand", both(
        calm, film(sound, codec="mjpeg"), edit(AVI, lambda data: avi_rate(data, 1, 16000))), "16000 frames a second",
        f"{T0}/{AVI}"),
    *(Case("video-rate", f"{rate} in {scale} seconds", both(
        calm, film(sound, codec="mjpeg"), edit(AVI, lambda data, rate=(scale, rate): avi_rate(data, *rate))),
        "frames a second", f"{T0}/{AVI}") for scale, rate in ((100, 49), (1, 241))),
    Case("video-rate", "none", both(calm, film(sound, codec="mjpeg"), edit(AVI, lambda data: avi_rate(data, 1, 0))),
         "no frame rate", f"{T0}/{AVI}"),
    Case("video-size-mismatch", "rounded up to 16", both(
        calm, film(lambda first, final: [image.resize((112, 64)) for image in (first, final)], MP4, "mpeg4")),
        "112 x 64 pixels, the frames are 96 x 64", f"{T0}/{MP4}"),
    *(Case("video-size-mismatch", f"{width} pixels wide", both(
        calm, film(lambda first, final, size=(width, 64): [one.resize(size) for one in (first, final)], codec="mjpeg")),
        f"{width} x 64 pixels, the frames are 96 x 64", f"{T0}/{AVI}") for width in (95, 97, 98, 99)),
    Case("video-undecodable", "web page", write(MP4, HTML), "an HTML page", f"{T0}/{MP4}"),
    Case("video-undecodable", "a playlist", write(AVI, b"#EXTM3U\n#EXTINF:1,\nfirst_frame.png\n"),
         "neither AVI nor MP4", f"{T0}/{AVI}"),
    Case("video-undecodable", "half of an AVI", both(film(sound), edit(AVI, lambda data: data[: len(data) // 2])),
         "cut off", f"{T0}/{AVI}"),
    Case("video-undecodable", "half of an MP4", both(
        calm, film(sound, MP4, "mpeg4"), edit(MP4, lambda data: data[: len(data) // 2])), "cut off", f"{T0}/{MP4}"),
    Case("video-undecodable", "damaged in its first frame", both(
        film(sound, MP4, "mpeg4"), edit(MP4, lambda data: zeroed(data, 300, 600))), "does not decode", f"{T0}/{MP4}"),
]  # fmt: skip

NEAR_MISSES: list[tuple[str, str, Change]] = [
    ("directory-link", "in the record of visprep", both(
        lambda root: (root / ".visprep").mkdir(exist_ok=True),
        lambda root: (root / ".visprep/cache").symlink_to(root / "shapes_task"))),
    ("frame-alpha", "text, profile and resolution", write(FIRST, texted(picture(0)))),
    ("frame-animated", "an animation of one picture", edit(FIRST, chunk(b"acTL", bytes([0, 0, 0, 1, 0, 0, 0, 0])))),
    ("frame-bit-depth", "the bits that were significant", edit(FIRST, chunk(b"sBIT", b"\x05\x06\x05"))),
    ("frame-bit-depth", "a color profile", write(FIRST, png(picture(0), icc_profile=b"16 bits " * 40))),
    ("frame-mode", "a palette that is only a suggestion", edit(FIRST, chunk(b"PLTE", bytes(range(48))))),
    ("frame-not-png", "bytes after the end", edit(FIRST, lambda data: data + HTML)),
    ("frame-rotated", "EXIF that says upright", write(FIRST, rotated(picture(0), 1))),
    ("frame-rotated", "XMP that says upright", write(FIRST, noted(picture(0), "XML:com.adobe.xmp", XMP.format(1)))),
    ("frame-rotated", "a profile that is none", write(FIRST, noted(picture(0), "Raw profile type exif", "oh\nno"))),
    ("frame-rotated", "another's words", write(FIRST, noted(picture(0), "Comment", XMP.format(6)))),
    ("frame-shared", "two questions of one picture", task("shapes_task/u0", 0, prompt="Where does it go?")),
    ("frame-shared", "the same empty canvas", both(write(FIRST, png(Image.new("RGB", SIZE, "white"))), both(
        task("zoo_task/t0", 9), lambda root: shutil.copy(root / T0 / FIRST, root / "zoo_task/t0" / FIRST)))),
    ("frame-size-mismatch", "both of another size", both(write(FIRST, png(picture(0, (25, 16)))),
                                                         write(FINAL, png(picture(1, (25, 16)))))),
    ("frame-undecodable", "bytes after the end", edit(FINAL, lambda data: data + b"\0" * 1000)),
    ("frame-undecodable", "split into many chunks", write(FINAL, png(picture(1, (24, 16)), compress_level=0))),
    ("frames-identical", "one bit of one pixel", write(FINAL, png(almost(picture(0))))),
    ("hidden-file", "the record of visprep", both(
        lambda root: (root / ".visprep").mkdir(exist_ok=True),
        lambda root: (root / ".visprep/manifest.jsonl").write_bytes(b"x"),
        lambda root: (root / "dataset.json").write_bytes(b"{}"))),
    ("metadata-incomplete", "keys that another layout asks for", told(task_id="t0")),
    ("metadata-large", "just below", write("metadata.json", json.dumps({"a": "x" * 999_991}).encode())),
    ("metadata-mismatch", "upstream's own id, and a domain with its suffix",
     told(id="row-7", domain="shapes_task", task_id="t0", generator="G-9", param_hash="x", parameters={})),
    ("metadata-mismatch", "nothing, and what is not about this layout", told(domain=None, task_id="", generator=[])),
    ("metadata-mismatch", "the number of the directory", both(rename(T0, "shapes_task/7"), write(
        "metadata.json", b'{"task_id": 7}', "shapes_task/7"))),
    ("metadata-mismatch", "the prompt, with other blanks around it", told(prompt="  Move shape 0.\r\n")),
    ("metadata-not-json", "words that are like numbers", told(a="NaN", b="Infinity")),
    ("metadata-not-json", "an empty object", write("metadata.json", b"{}")),
    ("metadata-not-json", "no indent, odd text", write("metadata.json", json.dumps({"ä\ud83d": [None]}).encode())),
    ("no-tasks", "one task in a deep place", rename("shapes_task", "a/b/shapes_task")),
    ("prompt-blank", "one dot among blanks", write(PROMPT, "\ufeff \u3000.\n".encode())),
    ("prompt-control", "tab, line ends, joiners", write(PROMPT, "a\tb\r\nc\rd\n👩\u200d🔬 \u202bx\u202c".encode())),
    ("prompt-empty", "one letter", write(PROMPT, b"x")),
    ("prompt-encoding", "all planes", write(PROMPT, "é 日本 🙂".encode())),
    ("prompt-long", "as long as may be, with blanks around", write(PROMPT, (" \n" + "é" * 2000 + "\r\n\n").encode())),
    ("task-duplicated", "the same question of another picture", task("shapes_task/u0", 9, prompt="Move shape 0.")),
    ("task-duplicated", "the same question in another domain", task("zoo_task/t0", 9, prompt="Move shape 0.")),
    ("task-duplicated", "another question of the same picture", task("shapes_task/u0", 0, prompt="Move shape 0!")),
    ("task-file-case", "ids and domains in capitals", rename(T0, "SHAPES_task/T0")),
    ("task-file-empty", "few bytes", write("metadata.json", b"{}")),
    ("task-file-link", "a second name of the same file", both(
        rename(f"{T0}/{PROMPT}", ".visprep/elsewhere.txt"),
        lambda root: (root / T0 / PROMPT).hardlink_to(root / ".visprep/elsewhere.txt"))),
    ("task-file-missing", "an optional file", remove("metadata.json")),
    ("task-file-unreadable", "nobody may write it", lambda root: (root / T0 / PROMPT).chmod(0o400)),
    ("task-id-gap", "as many as there are", both(*(task(f"zoo_task/z{number}", number + 20) for number in (0, 3)))),
    ("task-id-gap", "nineteen digits", both(*(
        task(f"zoo_task/{number}", number % 100) for number in (10**18 + 7, 10**18 + 9)))),
    ("task-id-repeated", "two splits", both(
        rename("shapes_task", "train/shapes_task"), task("test/shapes_task/t0", 9))),
    ("task-id-form", "under another layout", rename(T0, "shapes_task/shapes_7")),
    ("task-id-gap", "a selection", both(*(task(f"zoo_task/z{number}", number + 20) for number in (0, 2, 5, 9)))),
    ("task-id-gap", "counted from elsewhere", both(*(task(f"zoo_task/z{number}", number) for number in (17, 18, 19)))),
    ("task-id-gap", "hashes", both(*(task(f"zoo_task/{name}", ord(name[0])) for name in ("a7f1", "b7f3", "c902")))),
    ("task-id-repeated", "the same id in another domain", task("forms_task/t0", 9)),
    ("task-id-repeated", "an id that contains the other", task("shapes_task/t0_0", 9)),
    ("task-path", "below a generator", rename("shapes_task/t0", "generator/shapes_task/t0")),
    ("task-path", "odd names", rename("shapes_task/t0", "a_task_task/b_task")),
    ("unexpected-file", "what a repository has at its root", both(*map(new, (
        "README.md", "readme", "LICENSE", "License.txt", ".gitattributes", ".gitignore")))),
    ("hidden-file", "at the root of a place inside", both(*(
        new(f"inner/{name}") for name in (".visprep/manifest.jsonl", "README.md", ".gitattributes")))),
    ("unexpected-file", "both videos", both(calm, film(sound, MP4, "mpeg4"), film(sound))),
    ("unexpected-file", "an empty directory", lambda root: (root / T0 / "sub").mkdir()),
    ("video-first-frame", "as the worst codec shows it", both(calm, film(sound, MP4, "mpeg4"))),
    ("video-first-frame", "an odd side made even", both(
        write(FIRST, png(picture(0, (95, 63)))), write(FINAL, png(picture(1, (95, 63)))),
        film(lambda first, final: [padded(image) for image in (first, final)]))),
    ("video-frame-doubtful", "of the quality that encoders choose", both(smooth, film(sound, MP4, "mpeg4"))),
    ("video-frame-count", "two", film(lambda first, final: [first, final])),
    ("video-last-frame", "it stays at the end", film(lambda first, final: [first, final, final, final])),
    ("video-not-checked", "PyAV is here", film(sound)),
    ("video-rate", "a slide show", both(calm, film(sound, fps=0.5, codec="mjpeg"))),
    ("video-rate", "slow motion", both(calm, film(sound, fps=240, codec="mjpeg"))),
    ("video-size-mismatch", "odd sides made even", both(
        write(FIRST, png(picture(0, (95, 63)))), write(FINAL, png(picture(1, (95, 63)))),
        film(lambda first, final: [image.crop((0, 0, 94, 62)) for image in (first, final)]))),
    ("video-size-mismatch", "smaller frames", both(calm, film(sound, codec="mjpeg"))),
    ("video-undecodable", "bytes after the end", both(film(sound), edit(AVI, lambda data: data + b"more" * 100))),
]  # fmt: skip


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}: {case.name}")
def test_one_fault_gives_one_finding(tmp_path: Path, case: Case, tasks: int) -> None:
    """With one task the directory is minimal; with three it is a change of one in a clean place."""
    root = place(tmp_path, tasks, case.layout)
    case.change(root)
    for depth in Depth:
        findings = look(root, depth, case.layout)
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
    assert len(known) >= 25
    elsewhere = {"video-not-checked"}  # below: it takes a Python without PyAV
    assert {case.code for case in CASES} == known - elsewhere
    assert {code for code, _, _ in NEAR_MISSES} == known


def test_rules_are_sorted_and_have_a_page() -> None:
    assert [rule.code for rule in RULES] == sorted({rule.code for rule in RULES})
    for rule in RULES:
        assert rule.what.endswith(".")
        assert rule.why.endswith(".")
        assert rule.fix
    assert {rule.code for rule in RULES if rule.level is Level.NOTE} == {"task-id-gap", "video-not-checked"}
    assert {rule.code for rule in RULES if rule.level is Level.WARNING} == {
        "frame-shared",
        "frames-identical",
        "hidden-file",
        "metadata-incomplete",
        "metadata-large",
        "metadata-mismatch",
        "prompt-control",
        "prompt-long",
        "task-duplicated",
        "task-file-link",
        "task-id-form",
        "unexpected-file",
        "video-frame-doubtful",
        "video-rate",
        "video-size-mismatch",
    }


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


def test_the_id_of_a_row_is_no_id_of_a_task_in_any_layout(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    told(id="row-7", source="videothinkbench")(root)
    for name in ("template", "vmevalkit"):
        assert look(root, name=name) == []


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


def test_files_of_any_size_are_not_held_in_memory(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    for name in (PROMPT, "metadata.json", FIRST, FINAL):
        os.truncate(root / T0 / name, 400_000_000)  # sparse: on the disk it is small
    tracemalloc.start()
    try:
        found = codes(look(root))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sorted(found) == ["metadata-large", "prompt-long", "task-file-unreadable", "task-file-unreadable"]
    assert peak < 20_000_000


def test_a_video_that_claims_gigabytes_is_not_brought_into_memory() -> None:
    home = "a_task/1"
    names = {FIRST: 70, FINAL: 70, PROMPT: 2, MP4: 2_000_000_000}
    directory = TaskDirectory(home, "a", "1", {name: File(f"{home}/{name}", size) for name, size in names.items()})
    store = MemoryStore(files={f"{home}/{name}": b"x" for name in names})
    loaded = wire.wait(load(store, directory, Depth.DECODE))
    assert (list(loaded.unreadable), list(loaded.videos)) == ([MP4], [])
    (finding,) = [one for one in check(loaded, TEMPLATE, Depth.DECODE) if one.path.endswith(MP4)]
    assert (finding.code, "2,000,000,000 bytes" in finding.message) == ("task-file-unreadable", True)


def test_an_unreadable_file_says_why() -> None:
    directory = TaskDirectory("", "a", "1", {name: File(name, 5) for name in (FIRST, FINAL, PROMPT)})
    loaded = LoadedTask(directory, {}, {PROMPT: AccessDenied("prompt.txt: not ours to read")})
    (finding,) = check(loaded, TEMPLATE, Depth.HEADERS)
    assert (finding.code, finding.message) == ("task-file-unreadable", "prompt.txt: not ours to read")
    assert finding.where == {"error": "access-denied"}


# With other layouts


def test_vbvr_with_and_without_generators(tmp_path: Path) -> None:
    root = place(tmp_path, 3, "vbvr")
    generator = root / "G-1_shapes_data-generator"
    for home in (root, generator, generator / "shapes_task", root / V0):
        for depth in Depth:
            assert look(home, depth, "vbvr") == []
    shutil.copytree(generator, root / "G-2_shapes_data-generator")
    assert codes(look(root, Depth.NAMES, "vbvr")) == []
    assert codes(look(root, Depth.NAMES)) == []


@pytest.mark.parametrize(
    ("code", "home", "changes"),
    [
        ("metadata-incomplete", V0, {"parameters": {}, "extra": None, "timestamp": ""}),
        ("metadata-mismatch", V0, {"domain": "shapes", "prompt": "Move shape 0.", "id": "other"}),
        ("task-id-form", "G-1_a+b.c-generator/a+b.c_task/a+b.c_00000007", {}),
        ("task-id-form", "G-1_7-generator/7_task/7_99999999", {}),
    ],
)
def test_a_near_miss_of_vbvr_gives_nothing(tmp_path: Path, code: str, home: str, changes: dict[str, Any]) -> None:
    root = place(tmp_path, 0)
    values = vbvr_metadata(home, changes.get("parameters", {"number": 1}))
    task(home, 0, metadata=values | changes)(root)
    for depth in Depth:
        assert look(root, depth, "vbvr") == []


def test_both_generations_of_hashes_are_known(tmp_path: Path) -> None:
    root = place(tmp_path, 1, "vbvr")
    parameters = {"b": [1, {"c": 0.1}], "a": "ü", "n": None}
    text = json.dumps(parameters, sort_keys=True, ensure_ascii=False)
    older = hashlib.sha256(text.encode()).hexdigest()[:16]
    for values in (vbvr_metadata(V0, parameters), vbvr_metadata(V0, parameters, param_hash=older)):
        (root / V0 / "metadata.json").write_text(json.dumps(values, indent=2))
        assert look(root, name="vbvr") == []


def test_a_hash_of_numbered_parameters_cannot_be_told(tmp_path: Path) -> None:
    root = place(tmp_path, 1, "vbvr")
    text = json.dumps({2: "b", 10: "a"}, sort_keys=True)  # sorted as numbers, and text ever after
    values = vbvr_metadata(V0, json.loads(text), param_hash=hashlib.sha256(text.encode()).hexdigest()[:16])
    (root / V0 / "metadata.json").write_text(json.dumps(values))
    assert look(root, name="vbvr") == []


def test_parameters_nested_beyond_reason_are_let_be(tmp_path: Path) -> None:
    root = place(tmp_path, 1, "vbvr")
    values = vbvr_metadata(V0, {}, param_hash="x")
    text = json.dumps(values).replace('"parameters": {}', '"parameters": ' + '{"a":' * 700 + "1" + "}" * 700)
    (root / V0 / "metadata.json").write_text(text)
    assert look(root, name="vbvr") == []


def test_clips_must_decode_and_need_not_begin_with_the_frames(tmp_path: Path) -> None:
    root = place(tmp_path, 1, "vbvr")
    write_video([picture(5), picture(6)], root / V0 / "first_video.mp4", codec="mpeg4")
    assert look(root, name="vbvr") == []
    (root / V0 / "last_video.mp4").write_bytes(HTML)
    assert [(one.code, one.path) for one in look(root, name="vbvr")] == [("video-undecodable", f"{V0}/last_video.mp4")]


@pytest.mark.parametrize("home", ["", "shapes_task/t0/", "data\\shapes_task\\t0\\", "s3://bucket/shapes_task/t0/"])
def test_paths_in_metadata_may_begin_anywhere(tmp_path: Path, home: str) -> None:
    root = place(tmp_path, 1)
    values = {"id": "t0", "first_image_path": home + FIRST, "final_image_path": home + FINAL, "goal": None}
    write("question_metadata.json", json.dumps(values).encode())(root)
    assert look(root, name="vmevalkit") == []


# Several findings, and none


def test_a_fade_of_noise_is_not_taken_for_its_other_end(tmp_path: Path) -> None:
    """At the usual quality its last frame is more like the first picture than like its own, by up to 4.8 dB."""
    root = place(tmp_path, 1)
    ends = [picture(seed, (64, 64)) for seed in (30, 31)]
    for name, image in zip((FIRST, FINAL), ends, strict=True):
        write(name, png(image))(root)
    with av.open(root / T0 / MP4, "w") as container:
        stream = container.add_stream("mpeg4", rate=16)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for step in range(8):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.blend(*ends, step / 7))))
        container.mux(stream.encode(None))
    assert codes(look(root)) == []


def test_a_frame_of_tasks_in_no_domain_is_not_shared_by_domains(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    task("loose", 9)(root)
    (root / "loose" / FIRST).write_bytes((root / T0 / FIRST).read_bytes())
    assert codes(look(root)) == ["task-path"]
    rename(T0, "other")(root)
    assert codes(look(root)) == ["task-path"] * 2


def test_ids_that_are_at_fault_are_told_apart_by_their_fingerprints(tmp_path: Path) -> None:
    """So that a baseline, which knows some, does not hide others."""
    root = place(tmp_path, 1, "vbvr")
    for name in ("shapes_1", "shapes_0000002", "x", *(f"zoo_{number:08}" for number in (0, 1, 3, 4, 7))):
        domain = "zoo" if name.startswith("zoo") else "shapes"
        task(f"G-1_shapes_data-generator/{domain}_task/{name}", 20 + len(name))(root)
    found = [one for one in look(root, Depth.NAMES, "vbvr") if one.code.startswith("task-id")]
    assert sorted(codes(found)) == ["task-id-form"] * 3 + ["task-id-gap"] * 2
    assert len({one.fingerprint for one in found}) == 5
    assert [one.where["id"] for one in found if one.code == "task-id-gap"] == [
        "zoo_00000002",
        "zoo_00000005 to zoo_00000006",
    ]


def test_a_video_that_runs_backwards_is_wrong_at_both_ends(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    film(lambda first, final: [final, first])(root)
    assert codes(look(root)) == ["video-first-frame", "video-last-frame"]


def test_a_damaged_frame_is_not_blamed_on_the_video(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    film(sound)(root)
    edit(FIRST, lambda data: data[:-12])(root)
    assert codes(look(root)) == ["frame-undecodable"]
    write(FIRST, png(picture(0, (30, 30))))(root)
    assert codes(look(root)) == ["frame-size-mismatch"]


def test_a_frame_in_the_middle_is_looked_at_with_the_content(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    film(lambda first, final: [first, *[picture(seed) for seed in range(20, 54)], final], MP4, "mpeg4")(root)
    data = (root / T0 / MP4).read_bytes()
    write(MP4, zeroed(data, 3000, 3300))(root)  # key frames stand apart 12 frames
    assert codes(look(root)) == []
    assert codes(look(root, Depth.CONTENT)) == ["video-undecodable"]


def test_a_link_out_of_the_place_is_not_opened_as_a_video(tmp_path: Path) -> None:
    outside = tmp_path / "outside.avi"
    write_video([picture(0), picture(1)], outside)
    root = place(tmp_path / "place", 1)
    (root / T0 / AVI).symlink_to(outside)
    assert codes(look(root)) == ["task-file-unreadable"]
    assert codes(look(root, Depth.HEADERS)) == ["task-file-link"]


def test_frames_of_one_color_are_known_in_every_mode(tmp_path: Path) -> None:
    """An empty canvas is shared by two domains in any manner of writing, and a drawn one is not."""
    gray = Image.new("I;16", (64, 64), 7)
    dotted = gray.copy()
    dotted.putpixel((3, 3), 9)
    drawn = Image.new("RGBA", (64, 64), (9, 9, 9, 255))
    dots = drawn.copy()
    dots.putpixel((3, 3), (9, 9, 9, 0))
    empty = (gray, Image.new("LA", (64, 64)), Image.new("P", (64, 64)), Image.new("1", (64, 64)), drawn)
    for number, (image, shared) in enumerate([*((image, 0) for image in empty), (dotted, 1), (dots, 1)]):
        for end in (FIRST, FINAL):
            root = place(tmp_path / f"{number}{end}", 1)
            task("zoo_task/t0", 9)(root)
            for home in (T0, "zoo_task/t0"):
                write(end, png(image), home)(root)
            assert codes(look(root)).count("frame-shared") == shared


def test_a_link_out_of_the_place_says_how_to_get_the_file(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    link(FIRST, __file__)(root)
    (finding,) = look(root)
    assert (finding.code, "cp -rL" in finding.hint) == ("task-file-unreadable", True)
    link(FIRST, "nowhere")(root)
    (finding,) = look(root)
    assert (finding.code, "cp -rL" in finding.hint) == ("task-file-unreadable", False)


def test_a_place_of_links_alone_is_not_called_empty(tmp_path: Path) -> None:
    root = place(tmp_path / "real", 1)
    (tmp_path / "links").mkdir()
    (tmp_path / "links/shapes_task").symlink_to(root / "shapes_task")
    assert codes(look(tmp_path / "links")) == ["directory-link"]


def test_every_later_copy_is_named_and_the_first_is_not(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    for name in ("u0", "v0", "w0"):
        copy(T0, f"shapes_task/{name}")(root)
    findings = look(root)
    assert codes(findings) == ["task-duplicated"] * 3
    assert [finding.path for finding in findings] == [f"shapes_task/{name}" for name in ("u0", "v0", "w0")]
    assert {finding.where["first"] for finding in findings} == {T0}


def test_large_frames_are_compared_where_they_are_read_whole(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    write(FIRST, png(picture(0, (300, 200)), compress_level=0))(root)
    write(FINAL, png(picture(1, (300, 200)), compress_level=0))(root)
    copy(T0, "shapes_task/u0")(root)
    assert codes(look(root, Depth.HEADERS)) == []
    assert codes(look(root, Depth.DECODE)) == ["task-duplicated"]


def test_frames_may_differ_in_one_pixel_that_no_sample_holds(tmp_path: Path) -> None:
    root = place(tmp_path, 1)
    drawn = Image.new("RGB", (640, 480), "white")
    dotted = drawn.copy()
    dotted.putpixel((1, 1), (254, 255, 255))
    for frames, expected in (((drawn, dotted), []), ((dotted, dotted.copy()), ["frames-identical"])):
        for name, image in zip((FIRST, FINAL), frames, strict=True):
            write(name, png(image, compress_level=7 if name == FIRST else 2))(root)
        assert codes(look(root)) == expected


def test_the_sample_is_clean_at_every_depth(tmp_path: Path) -> None:
    for record in Sample().records(Upstream(), "test", Selection(), None):  # it draws, and asks nobody for content
        for path, data in files_of(record).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
    for name in ("template", "vmevalkit"):
        for depth in Depth:
            assert look(tmp_path, depth, name) == []


def test_real_puzzles_are_clean_each_in_a_domain_of_its_kind(tmp_path: Path, real_vtb: Path) -> None:
    """Four of them share their prompt, across domains."""
    prompts = set()
    count = 0
    for data in sorted(real_vtb.rglob("data.json")):
        for puzzle in json.loads(data.read_bytes()):
            frames = [(data.parent / puzzle[key]).read_bytes() for key in ("image", "solution_image_path")]
            record = Task(data.parent.name, f"vtb_test_{puzzle['id']}", puzzle["prompt"], *frames)
            for path, content in files_of(record).items():
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_bytes(content)
            prompts.add(record.prompt)
            count += 1
    assert count == 10
    assert len(prompts) == 7
    for depth in Depth:
        assert look(tmp_path, depth) == []


SELECTING = """
import sys
sys.modules["av"] = None
from visprep.cli import main
main(["verify", *sys.argv[1:]])
"""


def test_without_pyav_nobody_takes_silence_about_videos_for_praise(tmp_path: Path) -> None:
    root = place(tmp_path, 2)
    write(AVI, b"nobody looks")(root)

    def ended(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-c", SELECTING, str(root), *options]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return found.returncode, found.stdout + found.stderr

    code, said = ended("--select", "frame-mode")
    assert (code, "[video-not-checked]" in said) == (0, True)
    assert "[video-not-checked]" not in ended("--select", "frame-mode", "--ignore", "video-not-checked")[1]
    for codes_ in (("video-last-frame",), ("frame-mode", "video-rate:shapes_task")):
        code, said = ended(*(word for one in codes_ for word in ("--select", one)))
        assert (code, "[missing-extra]" in said, "visprep[video]" in said) == (3, True, True)
    assert ended("--select", "video-last-frame", "--depth", "headers")[0] == 0
    (root / T0 / AVI).unlink()
    assert ended("--select", "video-last-frame")[0] == 0


WITHOUT = """
import json, sys
sys.modules["av"] = None
import visprep
report = visprep.verify(sys.argv[1], depth=sys.argv[2])
findings = visprep.task_directory_findings(sys.argv[1] + "/shapes_task/t0")
print(json.dumps([[[one.code, one.level, one.path, one.message, one.hint] for one in some]
                  for some in (report.findings, findings)]))
"""


@pytest.mark.parametrize(("depth", "notes"), [("headers", 0), ("decode", 1), ("content", 1)])
def test_without_pyav_one_note_says_that_videos_were_not_looked_into(tmp_path: Path, depth: str, notes: int) -> None:
    root = place(tmp_path, 2)
    for name in (AVI, MP4):
        write(name, b"nobody looks")(root)
    copied = root / "shapes_task/t1" / AVI
    copied.write_bytes(b"nobody looks")
    command = [sys.executable, "-c", WITHOUT, str(root), depth]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    verified, one_task = json.loads(ended.stdout)
    message = "{} videos not looked into: PyAV is not installed"
    hint = "pip install 'visprep[video]', then verify again"
    assert verified == [["video-not-checked", "note", ".", message.format(3), hint]] * notes
    assert one_task == [["video-not-checked", "note", ".", message.format(2), hint]]
    for name in (AVI, MP4):
        (root / T0 / name).unlink()
    copied.unlink()
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == [[], []]
