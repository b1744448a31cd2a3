"""Every parser against damaged input: what comes is a result or an error of ours, never anything else.

`make fuzz` tries many more examples than CI does, and new ones each time.
"""

import contextlib
import json
import os
import re
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import visprep
from visprep.errors import ServerFailed, VisprepError
from visprep.messages import Response
from visprep.stores import s3_answers

EXAMPLES = int(os.environ.get("VISPREP_FUZZ", "0"))
#: What a hand, a disk or an attacker may leave in a file.
TOKENS = [
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"-1", b"0", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b"[[]]",
    b'""', b'"', b"\\", b"\n", b"\r\n", b",", b":", b"9" * 30, b"9" * 5000, b"0.1", b"\xe2\x80\xae", b"../../x",
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"[" * 3000, b"a" * 70_000, b"\xed\xa0\x80", b'"\\ud800"', b"s3://",
    b"/etc/passwd", b"%zz",
]  # fmt: skip
#: Of most formats one value: a number, a text in quotes, a word, what stands between two tags.
VALUE = re.compile(rb'-?\d+(?:\.\d+)?|"[^"\n]*"|(?<=>)[^<\n]+(?=<)|[A-Za-z_]{2,}')

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["value", "insert", "replace", "delete", "repeat", "cut"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(TOKENS) | st.binary(max_size=8),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=3,
)


def edited(data, edits):
    """The bytes with some edits, each at a place that is a fraction of their length."""
    for how, where, token, length in edits:
        at = int(where * len(data))
        if how == "value" and (values := list(VALUE.finditer(data))):
            value = values[int(where * len(values))]
            data = data[: value.start()] + token + data[value.end() :]
        elif how == "insert":
            data = data[:at] + token + data[at:]
        elif how == "replace":
            data = data[:at] + token + data[at + length :]
        elif how == "delete":
            data = data[:at] + data[at + length :]
        elif how == "repeat":
            data = data[: at + length] + data[at:]
        elif how == "cut":
            data = data[:at]
    return data


def fuzzed(look, data):
    """Look at many edits of some bytes; nothing but errors of ours may come."""

    @settings(
        max_examples=EXAMPLES or 12,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(EDITS)
    def tried(edits):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with contextlib.suppress(VisprepError):
                look(edited(data, edits))

    tried()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A small place of each kind, as our own commands make it."""
    root = tmp_path_factory.mktemp("fuzz")
    for config in ("tasks", "coco", "open-images"):
        visprep.download("sample", root / config, config=config)
    for to in ("yolo", "voc"):
        visprep.convert(root / "coco", to=to, output=root / to)
    visprep.split(root / "tasks", output=root / "tasks-parts", parts="train=0.5,val=0.5")
    with zipfile.ZipFile(root / "tasks.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((root / "tasks").rglob("*0000/*.*")):
            archive.write(file, file.relative_to(root / "tasks"))
    for name, mode in (("tasks.tar", "w"), ("tasks.tar.gz", "w:gz")):
        with tarfile.open(root / name, mode) as archive:
            for file in sorted((root / "tasks").rglob("*0000/*.*")):
                archive.add(file, file.relative_to(root / "tasks"))
    visprep.sync(root / "tasks-parts", root / "copy", plan=root / "plan.jsonl", dry_run=True)
    return root


def first(place, pattern):
    return sorted(Path(place).rglob(pattern))[0]


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("coco", "instances_val2017.json"),
        ("coco", "captions_val2017.json"),
        ("coco", "person_keypoints_val2017.json"),
        ("coco", "dataset.json"),
        ("open-images", "boxes.csv"),
        ("open-images", "images.csv"),
        ("open-images", "instances_*.json"),
        ("yolo", "*.txt"),
        ("yolo", "*.yaml"),
        ("voc", "*.xml"),
        ("tasks", "manifest.jsonl"),
        ("tasks", "prompt.txt"),
        ("tasks", "first_frame.png"),
        ("tasks-parts", "split.json"),
        ("tasks-parts", "train.txt"),
    ],
)
def test_files_of_places(places, tmp_path, place, file):
    here = tmp_path / place
    shutil.copytree(places / place, here)
    damaged = first(here, file)

    def look(data):
        damaged.write_bytes(data)
        visprep.verify(here, depth="headers")
        visprep.verify(damaged) if damaged.name.endswith(".json") else visprep.status(here)

    fuzzed(look, damaged.read_bytes())


@pytest.mark.parametrize(("place", "file"), [("coco", "instances_val2017.json"), ("yolo", "*.txt"), ("voc", "*.xml")])
def test_conversions(places, tmp_path, place, file):
    here = tmp_path / place
    shutil.copytree(places / place, here)
    damaged = first(here, file)

    def look(data):
        damaged.write_bytes(data)
        target = tmp_path / "made"
        try:
            visprep.convert(here, to="voc" if place == "coco" else "coco", output=target)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    fuzzed(look, damaged.read_bytes())


@pytest.mark.parametrize("name", ["tasks.zip", "tasks.tar", "tasks.tar.gz"])
def test_archives(places, tmp_path, name):
    damaged = tmp_path / name

    def look(data):
        damaged.write_bytes(data)
        list(visprep.ls(damaged))
        visprep.verify(damaged, depth="headers")

    fuzzed(look, (places / name).read_bytes())


def test_plans(places, tmp_path):
    damaged = tmp_path / "plan.jsonl"

    def look(data):
        damaged.write_bytes(data)
        visprep.sync(apply=damaged, dry_run=True)

    fuzzed(look, (places / "plan.jsonl").read_bytes())


def test_baselines(places, tmp_path):
    damaged = tmp_path / "baseline.json"
    finding = {"code": "task-file-missing", "level": "error", "path": "a/b", "where": {}, "message": "x", "hint": "y"}
    told = {"format_version": 1, "place": "x", "counts": {"error": 1, "warning": 0, "note": 0}, "findings": [finding]}

    def look(data):
        damaged.write_bytes(data)
        visprep.verify(places / "tasks", depth="names", baseline=damaged)

    fuzzed(look, json.dumps(told, indent=1).encode())


LISTING = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>p/</Prefix><KeyCount>2</KeyCount>
<MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
<NextContinuationToken>t</NextContinuationToken><Contents><Key>p/a%20b.jpg</Key>
<LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>
<Size>5</Size><StorageClass>STANDARD</StorageClass></Contents><Contents><Key>p/c.jpg</Key>
<LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>"x-2"</ETag><Size>7</Size></Contents>
<CommonPrefixes><Prefix>p/d/</Prefix></CommonPrefixes></ListBucketResult>"""
UPLOADS = b"""<ListMultipartUploadsResult><Bucket>b</Bucket><IsTruncated>false</IsTruncated><Upload><Key>p/a</Key>
<UploadId>u</UploadId><Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload></ListMultipartUploadsResult>"""
PARTS = b"""<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker><Part>
<PartNumber>1</PartNumber><ETag>"x"</ETag><Size>5242880</Size><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part><Part>
<PartNumber>2</PartNumber><ETag>&quot;y&quot;</ETag><Size>7</Size></Part></ListPartsResult>"""
CREATED = b"""<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>p/a</Key><UploadId>u</UploadId>
<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType></InitiateMultipartUploadResult>"""
REFUSED = b"""<Error><Code>SlowDown</Code><Message>no &amp; no</Message><Region>eu-central-1</Region><ETag>"x"</ETag>
<ActualObjectSize>12345</ActualObjectSize></Error>"""


def refused(answer):
    """All that is read of a refusal."""
    s3_answers.passes(answer), s3_answers.region_of(answer), s3_answers.etag_in(answer), s3_answers.size_beyond(answer)


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (lambda answer: list(s3_answers.listing(answer, "p/").files), LISTING),
        (lambda answer: s3_answers.folders(answer, "p/"), LISTING),
        (s3_answers.uploads, UPLOADS),
        (s3_answers.parts, PARTS),
        (lambda answer: s3_answers.created(answer, "p/a"), CREATED),
        (refused, REFUSED),
    ],
)
def test_answers_of_s3(read, body):
    fuzzed(lambda data: read(Response(416 if body is REFUSED else 200, {}, data, "http://127.0.0.1/b")), body)


DEEP = b"[" * 100_000


@pytest.mark.parametrize("line", [0, 1])
def test_a_manifest_that_nests_too_deep(places, tmp_path, line):
    shutil.copytree(places / "tasks", tmp_path / "tasks")
    manifest = tmp_path / "tasks" / ".visprep" / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    lines[line] = DEEP + b"\n"
    manifest.write_bytes(b"".join(lines))
    assert [one.code for one in visprep.verify(tmp_path / "tasks", depth="names").findings] == ["manifest-damaged"]


def test_an_answer_of_s3_in_an_encoding_that_nobody_knows():
    with pytest.raises(ServerFailed):
        s3_answers.listing(Response(200, {}, LISTING.replace(b"UTF-8", b"UT-1F-8"), "http://127.0.0.1/b"), "p/")
