"""What a page says of the whole is true, also where not everything can be looked at, listed or shown."""

import json

import coco_place
import visprep
from report_pages import Shown


def page(place, tmp_path, **options):
    visprep.report(place, output=tmp_path / "page.html", **options)
    return Shown(tmp_path / "page.html")


def said(tmp_path, place, findings):
    """A report of verify, with these findings."""
    about = {"format_version": 1, "place": str(place), "format": "coco", "depth": "headers", "dry_run": False}
    made = [{"level": "error", "hint": None, "where": {}, **one} for one in findings]
    (tmp_path / "said.json").write_text(json.dumps({**about, "checked": {}, "findings": made}))
    return tmp_path / "said.json"


def test_what_verify_counts_and_does_not_tell_one_by_one_is_listed(tmp_path):
    place = coco_place.make(tmp_path / "place", train=3, val=1)
    name = "annotations/instances_train2017.json"
    one = {"code": "box-outside-image", "path": name}
    findings = [{**one, "message": f"box {id}", "where": {"image_id": 1}} for id in range(150)]
    rest = {**one, "message": "and 13,209 more of this kind, not told one by one", "where": {"count": 13209}}
    shown = page(place, tmp_path, findings=said(tmp_path, place, [*findings, rest]))
    assert len(shown.findings) == 100
    assert rest["message"] in [one["message"] for one in shown.findings]


def test_counts_are_words_that_fit(tmp_path):
    place = coco_place.make(tmp_path / "place", train=1, val=0)
    assert "headers; 1 image, 2 annotations, " in page(place, tmp_path).section("facts")


def test_what_is_not_counted_is_said_once(tmp_path):
    place = coco_place.make(tmp_path / "place", train=2, val=1)
    with coco_place.edited(place / "annotations/instances_train2017.json") as data:
        data["annotations"][0] = 7
    assert "note not counted: 1 record that cannot be read" in page(place, tmp_path).section("facts")


def test_near_duplicates_are_told_of_pictures_that_were_compared(tmp_path):
    place = coco_place.make(tmp_path / "place", train=5, val=1)
    assert "near-duplicates none among all 6 images" in page(place, tmp_path).section("facts")
    (place / "train2017/000000000002.jpg").unlink()
    (place / "train2017/000000000003.jpg").write_bytes(b"")
    told = page(place, tmp_path).section("facts")
    assert "near-duplicates none among the 4 images whose pictures can be read" in told
    for one in place.rglob("*.jpg"):
        one.unlink()
    assert "near-duplicates" not in page(place, tmp_path).section("facts")


def test_pairs_are_all_counted_and_some_shown(tmp_path):
    place = coco_place.make(tmp_path / "place", train=65, val=1)
    for one in place.rglob("train2017/*.jpg"):
        one.write_bytes((place / "train2017/000000000001.jpg").read_bytes())
    made = visprep.report(place, output=tmp_path / "page.html")
    shown = Shown(tmp_path / "page.html")
    assert (made.pairs, len(shown.pairs)) == (64, 60)
    assert "64 pairs among all 66 images; 60 of them below" in shown.section("facts")


def test_findings_of_another_place_say_of_which(tmp_path):
    place = coco_place.make(tmp_path / "place", train=1, val=1)
    same = page(f"{place}/", tmp_path, findings=said(tmp_path, place, []))
    assert "(taken from said.json)" in same.section("facts")
    other = page(place, tmp_path, findings=said(tmp_path, "s3://bucket/set", []))
    assert "(taken from said.json, of s3://bucket/set)" in other.section("facts")


def test_where_there_is_nothing_to_show_no_option_is_named_that_there_is_not(run, tmp_path):
    (tmp_path / "empty").mkdir()
    ended = run("report", tmp_path / "empty", "--output", tmp_path / "page.html")
    assert (ended.code, "nothing here that visprep can show" in ended.err) == (3, True)
    assert "--as" not in ended.err
