from __future__ import annotations

import contextlib
import io
import itertools
import json
import random
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from coco_documents import base, captions, in_memory, instances, look, on_disk, panoptic, written
from visprep.errors import FileMissing, UnknownName, WrongContent
from visprep.formats.coco_json import MISSING, Index, JsonFile, Subset, index
from visprep.formats.coco_polygons import outlines, parsed
from visprep.formats.coco_scan import Closed, Malformed, Opened, Records, Value, scan


def indexed(document: Any) -> Index:
    return index(in_memory(document))


def test_an_index_tells_ids_names_and_where_each_record_is() -> None:
    document = instances()
    data = written(document)
    found = indexed(data)
    assert found.keys == ("info", "licenses", "images", "annotations", "categories")
    assert found.others == {"info": document["info"]}
    assert found.images.ids.tolist() == [image["id"] for image in document["images"]]
    assert found.images.file_names == tuple(image["file_name"] for image in document["images"])
    assert found.images.coco_urls == tuple(image["coco_url"] for image in document["images"])
    assert found.images.widths.tolist() == [640] * 3
    assert found.images.licenses.tolist() == [4] * 3
    assert found.annotations.ids.tolist() == [one["id"] for one in document["annotations"]]
    assert found.annotations.category_ids.tolist() == [one["category_id"] for one in document["annotations"]]
    assert [(one.id, one.name) for one in found.categories] == [(1, "person"), (18, "dog")]
    assert [one.url for one in found.licenses] == ["http://creativecommons.org/licenses/by/2.0/"]
    for number, record in enumerate(document["annotations"]):
        start, length = int(found.annotations.starts[number]), int(found.annotations.lengths[number])
        assert json.loads(data[start : start + length]) == record == found.record("annotations", number)


def test_what_a_record_does_not_say_is_missing() -> None:
    assert indexed(captions()).annotations.category_ids.tolist() == [MISSING] * 3
    assert indexed(panoptic()).annotations.ids.tolist() == [MISSING] * 3
    bare = indexed({"images": [{"id": 7}]})
    assert (bare.images.widths.tolist(), bare.images.file_names, len(bare.annotations)) == ([MISSING], (None,), 0)


def test_classes_go_by_name_and_the_nearest_one_is_named() -> None:
    found = indexed(instances())
    assert found.classes(["dog", "person", "dog"]) == (18, 1)
    assert found.images_with([18]).tolist() == [True, True, True]
    assert found.images_with([90]).tolist() == [False] * 3
    with pytest.raises(UnknownName) as refused:
        found.classes(["persn"])
    assert refused.value.hint == "did you mean person?"


def test_whole_numbers_written_as_floats_count() -> None:
    document = instances()
    document["annotations"][0]["id"] = 908400416500.0
    assert indexed(document).annotations.ids[0] == 908400416500


def test_urls_that_nobody_can_fetch_are_left_out() -> None:
    document = instances()
    document["images"][1] |= {"flickr_url": "http://x/" + "a" * 5_000, "coco_url": "http://x/" + "a" * 4_087}
    found = indexed(document)
    assert found.images.flickr_urls == (document["images"][0]["flickr_url"], None, document["images"][2]["flickr_url"])
    assert found.images.coco_urls[1] == document["images"][1]["coco_url"]
    assert b"".join(found.select(found.images.ids > 0).chunks()) == written(document)


def test_licenses_are_taken_as_they_are() -> None:
    document = instances()
    odd = [{"name": "a"}, {"id": None}, {"id": "5"}, {"id": True}, {"id": 10**400}, {"id": 5.0, "name": 7, "url": "u"}]
    document["licenses"] += [*odd, 17, None]
    assert [(one.id, one.name, one.url) for one in indexed(document).licenses[1:]] == [(5, None, "u")]
    with pytest.raises(WrongContent, match="/licenses/2 at byte"):
        indexed(written(document).replace(b'"id": null', b'"id": nil'))


def test_what_no_record_depends_on_may_be_anything() -> None:
    document = instances()
    for odd in ("x", True, 2.5, {"id": 4}, [4]):
        document["images"][1]["license"] = document["categories"][0]["supercategory"] = odd
        found = indexed(document)
        assert found.images.licenses[1] == MISSING
        assert found.images.licenses[0] == document["images"][0]["license"]
        assert found.categories[0].supercategory == (odd if odd == "x" else None)
        assert found.categories[1].supercategory == document["categories"][1].get("supercategory")
        assert b"".join(found.select(found.images.ids > 0).chunks()) == written(document)


def test_numbers_that_an_index_does_not_need_may_be_of_any_size() -> None:
    document = instances()
    document["annotations"][0] |= {"id": 7.0, "score": 0.5}
    found = indexed(written(document).replace(b'"score": 0.5', b'"score": 1e400'))
    assert found.annotations.ids[0] == 7


def test_a_file_that_becomes_shorter_is_not_read_on(tmp_path: Path) -> None:
    file = JsonFile.on_disk(on_disk(tmp_path, instances()))
    data = file.read(0, file.size)
    Path(tmp_path / "a.json").write_bytes(data[:-10])
    with pytest.raises(WrongContent, match="became shorter"):
        index(file)
    assert file.read(0, len(data) - 10) == data[:-10]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "holds nothing"),
        (b"[]", "a list, not an object with images"),
        (b"{}", "no list of images"),
        (b'{"images": 1}', "'images' is no list"),
        (b'{"images": [], "images": []}', "'images' stands there twice"),
        (b'{"images": [1]}', "/images/0 at byte 12"),
        (b'{"images": [{"file_name": "\\ud800"}]}', "half of a surrogate pair"),
        (b'{"images": [{"id": "a"}]}', "/images/0 at byte 12"),
        (b'{"images": [{"id": 9223372036854775808}]}', "/images/0 at byte 12"),
        (b'{"images": [{"id": 1, "id": NaN}]}', "/images/0 at byte 12"),
        (b'{"images": [{"file_name": "%b"}]}' % (b"a" * 5_000), "more than 4,096 characters"),
        (b'{"images": [], "categories": [{"id": -1e300, "name": "a"}]}', "/categories/0 at byte 30"),
        (b'{"images": []', "line 1, column 14, byte 13"),
        (b'{"images": [\n{"id": 1},\n]}', "line 3, column 1, byte 24"),
        (b'{"images": [], "x": [tru]}', "an element of 'x' is no JSON"),
        (b'{"images": [], "x": tru}', "the value of 'x' is no JSON"),
    ],
)
def test_a_file_without_an_index_is_refused_in_words(document: bytes, words: str) -> None:
    with pytest.raises(WrongContent) as refused:
        indexed(document)
    assert words in refused.value.message
    assert refused.value.hint == "visprep verify says all that is wrong with it"


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        index(JsonFile.on_disk(tmp_path / "none.json"))


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    home = tmp_path / "here"
    home.mkdir()
    (tmp_path / "link.json").symlink_to(on_disk(home, instances()))
    assert len(index(JsonFile.on_disk(tmp_path / "link.json")).images) == 3


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("seed", range(6))
def test_a_subset_is_the_file_without_the_records_left_out(tmp_path: Path, indent: int | None, seed: int) -> None:
    dice = random.Random(seed)
    document = {**instances(40), "extra": [1, {"a": 2}], "note": "ü"}
    document["annotations"][3]["attributes"] = {"rare": [1.50]}
    data = json.dumps(document, indent=indent, ensure_ascii=False).encode()
    found = indexed(data)
    kept = np.array([dice.random() < (0, 0.1, 0.5, 0.9, 1, 0.3)[seed] for _ in range(40)])
    subset = found.select(kept)
    ids = {image["id"] for image, one in zip(document["images"], kept, strict=True) if one}
    wanted = {
        **document,
        "images": [image for image in document["images"] if image["id"] in ids],
        "annotations": [one for one in document["annotations"] if one["image_id"] in ids],
    }
    size = subset.write(tmp_path / "subset.json")
    cut = (tmp_path / "subset.json").read_bytes()
    assert len(cut) == size
    assert json.loads(cut) == wanted
    assert list(json.loads(cut)) == list(document)
    if indent is not None and ids:
        assert cut.decode() == json.dumps(wanted, indent=indent, ensure_ascii=False)  # also between the records
    if kept.all():
        assert cut == data


def test_a_subset_may_keep_only_some_classes() -> None:
    document = instances()
    found = indexed(document)
    cut = json.loads(b"".join(found.select(found.images.ids > 0, found.classes(["dog"])).chunks()))
    assert cut["images"] == document["images"]
    assert cut["annotations"] == [one for one in document["annotations"] if one["category_id"] == 18]


def test_a_subset_of_a_file_of_many_blocks_has_the_same_bytes() -> None:
    document = instances(3_000)
    for one in document["annotations"]:
        one["note"] = "x" * (one["id"] % 400)
    data = written(document)
    assert len(data) > 2 * 2**20
    found = indexed(data)
    kept = found.images.ids % 3 != 0
    ids = set(found.images.ids[kept].tolist())
    document["images"] = [image for image in document["images"] if image["id"] in ids]
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in ids]
    assert b"".join(found.select(kept).chunks()) == written(document)


# The scanner

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
)
VALUES = st.recursive(
    LEAVES | st.sampled_from(['},{"id"', "[", '"', "\\", "]"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["images", "annotations", "info", "é"]), VALUES | st.lists(VALUES), max_size=4
)


@settings(deadline=None, max_examples=200)
@given(DOCUMENTS | st.lists(VALUES, max_size=5), st.sampled_from([None, 0, 2]), st.booleans(), st.data())
def test_a_scan_hands_on_every_value_where_it_stands(
    document: Any, indent: int | None, ascii_: bool, data: Any
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=4)) | {0, len(text)})
    pieces = [piece for a, b in itertools.pairwise(cuts) if (piece := text[a:b])]
    decoders = {"annotations": msgspec.json.Decoder(list[dict[str, int]])}
    whole: dict[str, Any] = {}
    for event in scan(pieces, decoders):
        if isinstance(event, Opened):
            assert text[event.offset :].startswith(b"[")
            whole[event.key] = []
        elif isinstance(event, Closed):
            assert text[event.offset :].startswith(b"]")
            assert event.count == len(whole[event.key])
        elif isinstance(event, Value):
            assert text[event.offset :].startswith(event.data)
            assert event.line == text.count(b"\n", 0, event.offset) + 1
            assert event.column == event.offset - text.rfind(b"\n", 0, event.offset)
            whole[event.key] = event.decoded()
        else:
            assert isinstance(event, Records)
            starts, lengths = event.spans()
            found = [text[start : start + length] for start, length in zip(starts, lengths, strict=True)]
            assert [(start, len(one)) for start, one in event.elements()] == list(zip(starts, lengths, strict=True))
            assert (event.first, event.count) == (len(whole[event.key]), len(found))
            whole[event.key] += map(json.loads, found)
    assert whole == (document if isinstance(document, dict) else {"": document})


@pytest.mark.parametrize(
    ("text", "reason", "byte", "line", "column"),
    [
        (b"", "empty", 0, 1, 1),
        (b"\n ", "empty", 2, 2, 2),
        (b"\xef\xbb\xbf{}", "encoding", 0, 1, 1),
        (b'{"a":\n [{"b": "\xff"}]}', "encoding", 15, 2, 10),
        (b'{"a": [1,\n 2', "cut", 12, 2, 3),
        (b'{"a": [1, 2 3]}', "syntax", 12, 1, 13),
        (b'{"a": 1,}', "syntax", 8, 1, 9),
        (b'{"a": 1} x', "syntax", 9, 1, 10),
        (b'{"a" 1}', "syntax", 5, 1, 6),
        (b"17", "syntax", 0, 1, 1),
        (b'{"a": [' + b"[" * 6_000, "deep", 5_007, 1, 5_008),
    ],
)
def test_where_a_text_cannot_be_read_on(text: bytes, reason: str, byte: int, line: int, column: int) -> None:
    with pytest.raises(Malformed) as wrong:
        list(scan([text], {}))
    found = wrong.value
    assert (found.reason, found.offset, found.line, found.column) == (reason, byte, line, column)


# Polygons by their bytes

PLAIN = st.one_of(
    st.integers(0, 10**8 - 1).map(str),
    st.tuples(st.integers(0, 9999), st.integers(0, 999)).map(lambda pair: f"{pair[0]}.{pair[1]}"),
    st.floats(0, 640).map(lambda number: f"{number:.2f}"),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(PLAIN, min_size=1, max_size=40))
def test_numbers_are_turned_to_the_last_bit(numbers: list[str]) -> None:
    blob, starts, ends = " " * 8, [], []
    for number in numbers:
        starts.append(len(blob))
        blob += number
        ends.append(len(blob))
        blob += ","
    found = parsed(blob.encode(), np.array(starts), np.array(ends))
    assert found is not None
    assert found.tolist() == [float(number) for number in numbers]


def test_a_few_long_numbers_are_turned_too_and_many_are_left_to_others() -> None:
    few = outlines([f"[[{','.join(['1.5'] * 98)},296.65000000000003,7]]".encode()])
    assert few is not None
    assert few.high.tolist() == [[296.65000000000003, 7.0]]
    assert outlines([b"[[296.65000000000003,1,2,3]]"]) is None


def test_outlines_tell_whose_polygon_reaches_where() -> None:
    found = outlines([b"[[1,2,3,4]]", b"[ [5.5, 6,\n7.25,8.125,9,10], [1,2,3], [] ]"])
    assert found is not None
    assert found.owners.tolist() == [0, 1, 1, 1]
    assert found.lengths.tolist() == [4, 6, 3, 0]
    assert found.low[:2].tolist() == [[1, 2], [5.5, 6]]
    assert found.high[:2].tolist() == [[3, 4], [9, 10]]


@pytest.mark.parametrize(
    "text", ["[]", "[1,2]", "[[1],2]", "[[[1,2]]]", "[[-1,2]]", "[[1e5,2]]", '[["a"]]', "[{}]", "[null]"]
)
def test_what_is_no_list_of_plain_polygons_is_left_to_others(text: str) -> None:
    assert outlines([b"[[1,2,3,4]]", text.encode()]) is None


def test_half_of_real_annotations_loads_elsewhere(real_coco: Path, tmp_path: Path) -> None:
    found = index(JsonFile.on_disk(real_coco / "annotations" / "instances_train2017.json"))
    kept = np.arange(len(found.images)) % 2 == 0
    found.select(kept).write(tmp_path / "half.json")
    assert look((tmp_path / "half.json").read_bytes()).findings == ()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, about what pycocotools does
        loaded = COCO(str(tmp_path / "half.json"))
        assert sorted(loaded.imgs) == sorted(found.images.ids[kept].tolist())
        assert all(loaded.annToMask(one).any() for one in loaded.dataset["annotations"])


def test_base_documents_are_what_they_claim() -> None:
    assert len(base(5)["images"]) == 5


@pytest.mark.parametrize("gap", [", ", ",\n"])
def test_a_subset_of_a_file_of_many_megabytes_is_cut_at_the_same_places(gap: str) -> None:
    # 24 MB: records far apart and close together, a run of them that is longer than what is read at once, and one
    # record that is.
    sizes = [6_000_000 if number == 40 else 100_000 for number in range(180)]
    records = [f'{{"id": {number}, "image_id": 0, "pad": "{"x" * size}"}}' for number, size in enumerate(sizes)]
    head, tail = '{"images": [{"id": 0}], "annotations": [', '], "categories": []}'
    found = indexed((head + gap.join(records) + tail).encode())
    numbers = np.arange(180)
    for mask in (numbers % 2 == 0, numbers >= 0, numbers < 1, numbers % 70 == 69, (numbers > 20) & (numbers < 130)):
        wanted = head + gap.join(record for record, kept in zip(records, mask, strict=True) if kept) + tail
        pieces = list(Subset(found, np.ones(1, np.bool_), mask).chunks())
        assert b"".join(pieces) == wanted.encode()
        assert max(map(len, pieces)) <= 4 << 20
