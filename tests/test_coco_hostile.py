"""COCO JSON that nobody wrote in good faith: whatever it holds, there are findings, in little memory."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coco_documents import base, captions, codes, in_memory, instances, keypoints, look, on_disk, panoptic, written
from visprep.errors import WrongContent
from visprep.findings import Level
from visprep.formats.coco_json import JsonFile, index
from visprep.manifest import File
from visprep.stores.memory import MemoryStore

LOADED = (base, instances, keypoints, captions)
MAKERS = (*LOADED, panoptic)
ODD: tuple[Any, ...] = (
    "a" * 5_000,
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 10**400, 0.5, -0.0, 1e308, 1e-320),
    *("", "../../x", "a\0b", "é", "\U0001f600", "1", "NaN", '"', "\\", [], {}, [[]], [{}], {"": []}, [1, [2]]),
    *([1, 2, 3, 4], [[1, 2, 3, 4, 5, 6]], {"size": [480, 640], "counts": "04"}, {"size": [-1, 2**70], "counts": []}),
    *({"size": [1], "counts": [-1]}, {"counts": "\u00e9", "size": [480, 640]}, [[1e308] * 6], [[-1e308, 1e308] * 3]),
)
PIECES = (b"", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\xff", b"\0", b"NaN", b"e9", b"-")
SETTINGS = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container within a value, with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(value, key) for key in keys] + [found for key in keys for found in places(value[key])]


@st.composite
def documents(draw: Any) -> Any:
    """A document of some kind, with a few values replaced, dropped or doubled."""
    document = draw(st.sampled_from(MAKERS))()
    for _ in range(draw(st.integers(0, 4))):
        found = places(document)
        if not found:
            break
        container, key = found[draw(st.integers(0, len(found) - 1))]
        how = draw(st.integers(0, 3))
        if how == 0:
            del container[key]
        elif how == 1 and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        else:
            container[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return document


@st.composite
def damaged(draw: Any) -> bytes:
    """The bytes of such a document, some of them changed."""
    indent = draw(st.sampled_from([None, None, 1]))
    data = bytearray(json.dumps(draw(documents()), indent=indent, ensure_ascii=draw(st.booleans())).encode())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.sampled_from(PIECES))
    return bytes(data)


def holds(data: bytes) -> None:
    """What is true of any file: it is checked and indexed without a surprise, and both agree on whether it is JSON."""
    checked = look(data)
    for finding in checked.findings:
        assert finding.message
        assert finding.path == "a.json"
        assert 0 <= finding.where.get("byte", 0) <= len(data)
        json.dumps(dict(finding.where))
        assert finding.fingerprint
    try:
        json.loads(data, parse_constant=lambda name: [][0])
        sound = True
    except (ValueError, IndexError, RecursionError):
        sound = False
    broken = {"json-cut", "json-empty", "json-encoding", "json-syntax", "json-not-finite", "json-deep"}
    assert sound == broken.isdisjoint(finding.code for finding in checked.findings)
    try:
        found = index(in_memory(data))
    except WrongContent:
        assert not checked.readable or checked.kind == "results" or "json-list-missing" in codes(data)
    else:
        whole = found.select(found.images.ids == found.images.ids)
        assert {**json.loads(data), "annotations": []} == {**json.loads(b"".join(whole.chunks())), "annotations": []}


@SETTINGS
@given(documents())
def test_any_values_give_findings_and_nothing_else(document: Any) -> None:
    holds(written(document))


@SETTINGS
@given(damaged())
def test_any_bytes_give_findings_and_nothing_else(data: bytes) -> None:
    holds(data)


@settings(SETTINGS, max_examples=150)
@given(documents())
def test_what_is_clean_loads_elsewhere(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    checked = look(document)
    if any(finding.level is not Level.NOTE for finding in checked.findings) or checked.kind == "panoptic":
        return
    loads_elsewhere(on_disk(tmp_path_factory.mktemp("clean"), document))


def loads_elsewhere(path: str) -> None:
    """pycocotools and faster-coco-eval load a file, and make a mask of everything that has one."""
    from faster_coco_eval import COCO as Faster
    from pycocotools.coco import COCO

    for reader in (COCO, Faster):
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, about what they do
            loaded = reader(path)
            for annotation in loaded.dataset.get("annotations", ()):
                loaded.loadImgs(annotation["image_id"])
                if "segmentation" in annotation:
                    image = loaded.imgs[annotation["image_id"]]
                    assert loaded.annToMask(annotation).shape == (image["height"], image["width"])


@pytest.mark.parametrize("make", LOADED)
def test_every_kind_loads_elsewhere(tmp_path: Path, make: Callable[[], Any]) -> None:
    document = make()
    assert codes(document) == []
    loads_elsewhere(on_disk(tmp_path, document))


class Endless(MemoryStore):
    """A file whose bytes are made when they are asked for: what comes first, then a pattern for ever, or nearly so."""

    def __init__(self, head: bytes, pattern: bytes, size: int, tail: bytes = b"") -> None:
        super().__init__()
        self.head, self.pattern, self.size, self.tail = head, pattern * (2**21 // len(pattern) + 1), size, tail
        self.step = len(pattern)

    async def stat(self, path: str) -> File:
        return File(path, self.size)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        assert length is not None
        made = bytearray(self.head[offset : offset + length])
        while len(made) < min(length, self.size - offset):
            at = (offset + len(made) - len(self.head)) % self.step
            made += self.pattern[at : at + length - len(made)]
        return bytes(made[: self.size - offset])


@pytest.mark.parametrize(
    ("head", "pattern", "code"),
    [
        (b'{"images": [{"id": 1, "file_name": "', b"a", "json-large"),
        (b'{"info": "', b"\\n", "json-large"),
        (b'{"annotations": [{"segmentation": [[', b"1,", "json-large"),
        (b'{"annotations": [{"segmentation": ', b"[", "json-deep"),
        (b'{"', b"k", "json-large"),
        (b"{", b'"k": 1,', "json-large"),
        (b"", b" ", "json-empty"),
        (b"", b"\0", "json-syntax"),
    ],
)
def test_a_file_of_a_gigabyte_that_makes_no_sense_takes_little_memory(head: bytes, pattern: bytes, code: str) -> None:
    size = 10**9 if code != "json-empty" else 10**8
    tracemalloc.start()
    try:
        found = codes_of(JsonFile(Endless(head, pattern, size), "a.json"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert code in found
    assert peak < 100_000_000


def codes_of(file: JsonFile) -> set[str]:
    from visprep.rules.coco import check

    return {finding.code for finding in check(file).findings}


def test_a_thousand_findings_of_a_kind_are_told_and_the_rest_counted() -> None:
    document = instances(2_000)
    for annotation in document["annotations"]:
        annotation["image_id"] = 1
    findings = look(document).findings
    assert len(findings) == 1_001
    assert {finding.code for finding in findings} == {"annotation-image-unknown"}
    assert findings[-1].message == "and 3,000 more of this kind, not told one by one"
    assert findings[-1].where == {"count": 3_000}


def test_what_is_cited_is_cut_short() -> None:
    document = base()
    document["images"][0]["date_captured"] = document["images"][1]["file_name"] = "x" * 1_000_000
    findings = look(document).findings
    assert [finding.code for finding in findings] == ["image-date", "image-name-unsafe"]
    assert all(len(finding.message) <= 500 for finding in findings)


def test_a_key_that_stands_there_a_hundred_thousand_times_is_one_finding() -> None:
    document = written(base()).replace(b'"license": 4', b'"k": 1, ' * 100_000 + b'"license": 4', 1)
    assert codes(document) == ["json-key-repeated"]


def test_records_may_lie_across_all_borders_of_blocks() -> None:
    document = instances(1)
    document["annotations"] *= 6_000
    for number, annotation in enumerate(document["annotations"]):
        document["annotations"][number] = {**annotation, "id": number + 1, "note": "x" * (number % 37)}
    picks = random.Random(4).sample(range(12_000), 20)
    for number in picks:
        document["annotations"][number]["image_id"] = 7
    data = written(document)
    assert len(data) > 2 * 2**20
    findings = look(data).findings
    assert {finding.where["pointer"] for finding in findings} == {f"/annotations/{number}/image_id" for number in picks}
    assert all(data[finding.where["byte"] :].startswith(b"7,") for finding in findings)


@pytest.mark.parametrize("digits", [400, 4_000])
@pytest.mark.parametrize(("table", "key"), [("images", "id"), ("categories", "id"), ("licenses", "id")])
def test_a_number_of_many_digits_is_not_told_in_full(table: str, key: str, digits: int) -> None:
    document = {**instances(), "licenses": [{"id": 1, "name": "a"}]}
    document[table][0][key] = -(10 ** (digits - 1))
    told = [one for one in look(document).findings if one.code == "json-number-range"]
    assert told
    words = [str(value) for one in told for value in (one.message, *one.where.values())]
    assert max(map(len, words)) < 100
    assert f"-10000000000... ({digits} digits)" in words
