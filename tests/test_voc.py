"""Pascal VOC's annotations: what is written is read as the same, and whatever is read, nothing strange is raised."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeled_places import xml
from visprep.errors import WrongContent
from visprep.formats import voc, xml_tree
from visprep.formats.voc import VocAnnotation, VocObject
from visprep.formats.xml_tree import Element, NotXml

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-10, 10_000).map(float)
#: Text that XML can say, and that has no space around it, which is not kept.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=["Cc", "Cs"])).map(
    str.strip
)
NAMES = TEXT.filter(bool)
TAGS = st.sampled_from(["source", "owner", "x", "polygon"])
ELEMENTS = st.recursive(
    st.builds(Element, TAGS, TEXT),
    lambda inner: st.builds(Element, TAGS, st.just(""), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=5,
)
OTHERS = st.lists(ELEMENTS, max_size=2).map(tuple)
FLAGS = st.lists(st.sampled_from(voc.FLAGS), unique=True).flatmap(
    lambda names: st.tuples(
        *(st.tuples(st.just(name), st.integers(0, 1)) for name in sorted(names, key=voc.FLAGS.index))
    )
)
BOXES = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)


def objects(depth: int = 1) -> st.SearchStrategy[VocObject]:
    parts = st.lists(objects(depth - 1), max_size=2).map(tuple) if depth else st.just(())
    return st.builds(VocObject, NAMES, BOXES, st.none() | TEXT, FLAGS, parts, OTHERS)


COUNTS = st.integers(0, 100_000)
ANNOTATIONS = st.builds(
    VocAnnotation,
    filename=st.none() | TEXT,
    size=st.none() | st.tuples(COUNTS, COUNTS),
    depth=st.none() | COUNTS,
    objects=st.lists(objects(), max_size=3).map(tuple),
    folder=st.none() | TEXT,
    segmented=st.none() | st.integers(0, 1),
    others=OTHERS,
)


@SETTINGS
@given(ANNOTATIONS)
def test_annotations_survive_to_the_last_bit(annotation: VocAnnotation) -> None:
    written = voc.write(annotation)
    read, faults = voc.read(written)
    assert {fault.kind for fault in faults} <= {"fraction"}
    assert read == annotation
    assert ElementTree.fromstring(written).tag == "annotation"
    assert voc.write(read) == written


def test_a_file_of_the_usual_shape_is_written_as_it_was() -> None:
    assert voc.write(voc.read(xml("a"))[0]) == xml("a")


def refusal(data: bytes) -> NotXml | None:
    try:
        voc.read(data)
    except NotXml as problem:
        return problem
    return None


@SETTINGS
@given(st.binary(max_size=200) | st.text("<>/&;!?[]ax-='\" \n", max_size=100).map(str.encode))
def test_whatever_a_file_holds_it_is_read_or_refused(data: bytes) -> None:
    problem = refusal(data)
    assert problem is None or (problem.message and problem.line >= 1 and problem.column >= 1)


@SETTINGS
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    text = bytearray(xml("a"))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    problem = refusal(bytes(text))
    assert problem is None or 1 <= problem.line <= text.count(b"\n") + 1


@pytest.mark.parametrize("text", ["\x00", "a\x1bb", "\ud800", "\uffff"])
def test_what_xml_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(WrongContent, match=r"U\+"):
        voc.write(VocAnnotation(objects=(VocObject(text, None),)))


def test_a_root_of_another_name_is_one_fault() -> None:
    read, faults = voc.read(b"<a><object/></a>")
    assert [(fault.kind, fault.line) for fault in faults] == [("form", 1)]
    assert read.objects == ()


def test_entities_are_refused_where_they_are_declared() -> None:
    with pytest.raises(NotXml, match="entity 'e'") as caught:
        xml_tree.read(b"<!DOCTYPE a [\n<!ENTITY e 'x'>\n]>\n<a>&e;</a>")
    assert (caught.value.line, caught.value.refused) == (2, True)


@pytest.mark.parametrize("data", [b"<!DOCTYPE a SYSTEM 'x.dtd'>\n<a>&e;</a>", b"<a>&e;</a>"])
def test_entities_that_nobody_declared_are_damage_or_refused(data: bytes) -> None:
    with pytest.raises(NotXml):
        xml_tree.read(data)


def test_lines_are_those_of_the_file() -> None:
    read, _ = voc.read(xml("a"))
    assert (read.line("size"), read.objects[0].line) == (7, 13)


# Corners and pixels


def some_pixels() -> st.SearchStrategy[float]:
    """Pixels with up to nine decimals."""
    scaled = st.tuples(st.integers(0, 20_000), st.integers(0, 9), st.integers(0, 10**9))
    return scaled.map(lambda drawn: round(drawn[0] + drawn[2] / 10**9, drawn[1]))


@SETTINGS
@given(st.tuples(some_pixels(), some_pixels(), some_pixels(), some_pixels()), st.sampled_from([0, 1]))
def test_pixels_of_nine_decimals_survive_the_way_into_corners(box: voc.Box, first: int) -> None:
    assert voc.pixels(voc.corners(box, first), first) == box


def test_corners_of_voc_count_from_one_and_belong_to_the_box() -> None:
    assert voc.corners((0, 0, 500, 375)) == (1, 1, 500, 375)
    assert voc.corners((0, 0, 500, 375), 0) == (0, 0, 500, 375)


# Sets


@SETTINGS
@given(st.lists(st.text("abc/_-.é0", min_size=1), max_size=9))
def test_sets_survive(stems: list[str]) -> None:
    read = list(voc.read_set(voc.write_set(stems)))
    assert [member.stem for member in read] == stems
    assert [member.line for member in read] == list(range(1, len(stems) + 1))


def test_sets_of_a_class_have_flags() -> None:
    first, second = voc.read_set(b"2008_000008 -1\r\n\r\n2008_000015  1\r\n")
    assert (first.stem, first.flags, first.line) == ("2008_000008", ("-1",), 1)
    assert (second.stem, second.flags, second.line) == ("2008_000015", ("1",), 3)
    with pytest.raises(WrongContent, match="line 2"):
        list(voc.read_set(b"a\n\xff\n"))
