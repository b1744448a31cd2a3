"""The page as text: self-contained, escaped, the same bytes each time."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from page_payloads import EVIL, difference, ill_willed, picture, whole
from visprep.page import is_page, render
from visprep.page.payload import Bar, Chart, FindingRow, FindingsSummary, Item, Pair, Payload, Table, Text, Video, box

# What HTML can fetch with; a page has them with `data:` addresses, fragments, or not at all
_FETCHING = ("src", "srcset", "href", "poster", "action", "background", "cite", "data", "manifest", "ping")


class Elements(HTMLParser):
    """All elements of a page: their names, attributes, and the text at their beginning."""

    def __init__(self, text):
        super().__init__()
        self.all = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.all.append([tag, dict(attrs), ""])
        self.inside = True

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.all[-1][2] += data

    def named(self, name):
        return [(attributes, text) for tag, attributes, text in self.all if tag == name]


def page(payload):
    return "".join(render(payload))


def embedded(text):
    """What the script of a page reads: the head, and all items' bodies."""
    held = {a["id"]: json.loads(body) for a, body in Elements(text).named("script") if "id" in a}
    head = held.pop("data")
    return head, [body for _, bodies in sorted(held.items(), key=lambda one: int(one[0][6:])) for body in bodies]


@pytest.fixture(scope="module")
def full():
    return page(whole(b"film"))


def test_a_page_fetches_nothing(full):
    for tag, attributes, _ in Elements(full).all:
        for name, value in attributes.items():
            link = tag == "a" and name == "href" and value.startswith("https://")
            assert name not in _FETCHING or link or value.startswith("#"), (tag, name, value)
    own = "".join((files("visprep.page") / name).read_text() for name in ("page.css", "page.html"))
    assert not re.search(r"url\(|@import|https?:|<link|<iframe", own)


def test_its_policy_allows_its_own_script_and_style_and_nothing_else(full):
    elements = Elements(full)
    policy = next(a["content"] for a, _ in elements.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (script,) = [text for attributes, text in elements.named("script") if "type" not in attributes]
    (style,) = [text for _, text in elements.named("style")]
    for name, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules.pop(name) == f"'sha256-{digest}'"
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "media-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not [name for _, attributes, _ in elements.all for name in attributes if name.startswith("on")]
    assert not [attributes for _, attributes, _ in elements.all if "style" in attributes]


def test_the_script_sets_text_only_as_text():
    for name in ("drawing.js", "gallery.js", "detail.js", "lists.js"):
        text = (files("visprep.page") / name).read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|fetch\(", text
        )


def test_what_needs_no_script_is_there_without_one(full):
    text = re.sub(r"<script.*?</script>", "", full, flags=re.S)
    for words in ("COCO 2017, 200 images", "s3://vision/coco", "CC BY 4.0", "How it was made", "By seed 7 into train"):
        assert words in text
    assert "139 of 123,287" not in text
    assert "136 of 123,287 are on this page: every image with a finding" in text
    assert '<b>215</b> errors</li> <li class="level warning"><b>1</b> warning<' in text
    assert "<noscript>" in text


def test_a_chart_is_a_table_with_bars():
    text = page(Payload("t", "p", "k", charts=(Chart("Sizes", "images", (Bar("a", 50), Bar("b", 200), Bar("c", 0))),)))
    assert re.findall(r'<th scope="row">(.)</th>.*?<rect width="([\d.]+)".*?<td class="count">(\d+)<', text) == [
        ("a", "25.00", "50"),
        ("b", "100.00", "200"),
        ("c", "0.00", "0"),
    ]
    assert "<details>" not in text


def test_a_long_name_does_not_fill_the_page():
    text = page(Payload("t", "p", "k", charts=(Chart("Classes", "images", (Bar("a" * 100_000, 1),)),)))
    assert re.findall(r'<th scope="row">(.*?)</th>', text) == [f"{'a' * 99}…"]


@pytest.mark.parametrize(("bars", "folded"), [(0, 0), (16, 0), (17, 5), (80, 68)])
def test_a_long_chart_is_folded(bars, folded):
    text = page(Payload("t", "p", "k", charts=(Chart("x", "y", tuple(Bar(str(at), at) for at in range(bars))),)))
    first, _, rest = text.partition("<details>")
    assert (first.count("<rect"), rest.count("<rect")) == (bars - folded, folded)
    assert (f"<summary>{folded} more" in text) == bool(folded)


def test_numbers_in_a_table_are_set_right():
    rows = (("a", "1,000", ""), ("b", "12.5", ""))
    text = page(Payload("t", "p", "k", tables=(Table("T", ("Name", "Count", ""), rows),)))
    assert '<th scope="col">Name</th><th scope="col" class="count">Count</th><td></td></tr>' in text
    assert '<td>a</td><td class="count">1,000</td>' in text


def test_parts_that_are_empty_are_not_there():
    text = page(Payload("Nothing", "data/empty", "coco"))
    assert "<section" not in text
    assert "<nav" not in text
    assert embedded(text)[0]["items"] == []


def test_no_text_leaves_its_element():
    text = page(ill_willed())
    text.encode()  # half of a surrogate pair would not
    elements = Elements(text)
    names = {tag for tag, _, _ in elements.all}
    assert "img" not in names
    assert EVIL in [body for _, body in elements.named("h1")]
    assert len(elements.named("script")) == 3
    assert not [a for _, a, _ in elements.all if "onerror" in a]
    assert [a["href"] for a, _ in elements.named("a") if not a["href"].startswith("#")] == []
    head, bodies = embedded(text)
    assert head["items"][0]["name"] == EVIL
    assert head["findings"][0]["path"] == "\udcff" + EVIL
    assert "href" not in head["findings"][0]
    drawn = bodies[0]["shapes"]
    assert drawn[1]["points"] == [[0, 0, 0], [3.0, 4.0, 2]]
    assert "d" not in drawn[2]


def test_items_come_whole_and_in_order():
    payload = whole(b"film")
    head, bodies = embedded(page(payload))
    assert [item["name"] for item in head["items"]] == [item.name for item in payload.items]
    assert len(bodies) == len(payload.items)
    for told, body, item in zip(head["items"], bodies, payload.items, strict=True):
        assert [one.get("src", "") for one in body.get("pictures", [])] == [one.src for one in item.pictures]
        drawn = [head["classes"][shape["class"]] for shape in body.get("shapes", [])]
        assert drawn == [shape.label for shape in item.shapes]
        assert {head["classes"][at] for at in told.get("classes", [])} == {*drawn, *item.classes}
    assert [row.get("item") for row in head["findings"]] == [0, None, 20, 135, 135]
    assert head["pairs"] == [[1, 10, "Near-duplicates across splits", 3], [2, 11, "Near-duplicates", 0.125]]


def test_the_same_payload_makes_the_same_bytes_in_pieces(full):
    pieces = list(render(whole(b"film")))
    assert "".join(pieces) == full
    assert len(pieces) > len(whole().items) / 20
    assert max(map(len, pieces)) < len(full) / 2


@pytest.mark.parametrize(
    "wrong",
    [
        Payload("", "", "", items=(Item("a", pictures=(replace(picture(1), src="https://example.org/a.jpg"),)),)),
        Payload("", "", "", items=(Item("a", video=Video("file:///etc/passwd")),)),
        Payload("", "", "", items=(Item("a"),), pairs=(Pair(0, 1, "same"),)),
        Payload("", "", "", items=(Item("a"),), pairs=(Pair(-1, 0, "same"),)),
        Payload("", "", "", findings=FindingsSummary({}, (FindingRow("c", "error", "p", "m", item=0),))),
        Payload("", "", "", items=(Item("a", findings=(0,)),)),
    ],
)
def test_a_page_that_would_fetch_or_point_nowhere_is_refused(wrong):
    with pytest.raises(ValueError, match=r"data: address|points? to"):
        page(wrong)


def test_a_page_of_ours_is_known_by_its_beginning(full):
    assert is_page(full.encode()[:1024])
    assert not is_page(b"<!doctype html>\n<html><head><title>visprep page 1</title>")
    assert not is_page(b"")


def test_a_box_is_its_corner_and_its_sides():
    assert box(0, 1, 2.5, 30, 40, "a").d == "M1 2.5h30v40h-30Z"
    assert box(2, 0, 0, 1, 1, "a", state="moved", detail="IoU 0.5").state == "moved"


def test_titles_and_texts_are_the_payloads(full):
    assert ">Differences</h2>" in page(difference())
    assert ">Images</h2>" in full
    assert ">Findings</h2>" in full
    text = page(Payload("t", "p", "k", items=(Item("a", texts=(Text("Prompt", "two\nlines"),)),), total=1))
    assert "The only one is on this page." in text
    assert embedded(text)[0]["items"][0]["texts"] == [["Prompt", "two\nlines"]]
