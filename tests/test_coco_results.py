"""Results against ground truth: what has no error evaluates, in pycocotools and in faster-coco-eval."""

from __future__ import annotations

import contextlib
import copy
import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as masks

import visprep
from coco_place import annotations
from visprep.rules import coco_results

WIDTH, HEIGHT = 96, 64


def truth(kind="instances"):
    return annotations([1, 2, 3], {"keypoints": "person_keypoints", "caption": "captions"}.get(kind, "instances"))


def rle(x, y, w, h, height=HEIGHT, width=WIDTH):
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[int(y) : int(y + h), int(x) : int(x + w)] = 1
    packed = masks.encode(mask)
    return {"size": packed["size"], "counts": packed["counts"].decode()}


def results(kind):
    """One result for each annotation of the ground truth, in the form of its kind."""
    made = []
    for number, one in enumerate(truth(kind)["annotations"]):
        if kind == "caption":
            made += [] if number % 2 else [{"image_id": one["image_id"], "caption": one["caption"]}]
            continue
        row = {"image_id": one["image_id"], "category_id": one["category_id"], "score": 0.9 - number / 100}
        if kind in ("bbox", "both"):
            row["bbox"] = one["bbox"]
        if kind in ("segmentation", "both"):
            row["segmentation"] = rle(*one["bbox"])
        if kind == "keypoints":
            row["keypoints"] = one["keypoints"]
        made.append(row)
    return made


@pytest.fixture
def checked(tmp_path):
    """The findings about results against the ground truth of a kind."""

    def check(rows, kind="bbox", told=None):
        told = truth(kind) if told is None else told
        (tmp_path / "gt.json").write_text(told if isinstance(told, str) else json.dumps(told))
        (tmp_path / "results.json").write_text(rows if isinstance(rows, str) else json.dumps(rows))
        return visprep.verify(tmp_path / "results.json", against=tmp_path / "gt.json")

    return check


def evaluate(folder, kind, package):
    """Evaluate as the package's users do; whatever it asserts or stumbles over is raised."""
    if package == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(folder / "gt.json"))
        dt = gt.loadRes(str(folder / "results.json"))
        if kind == "caption":
            return len(dt.getImgIds())
        for what in {"bbox": ["bbox"], "segmentation": ["segm"], "both": ["bbox", "segm"]}.get(kind, ["keypoints"]):
            run = COCOeval(gt, dt, what)
            run.evaluate()
            run.accumulate()
            run.summarize()
    return float(run.stats[0])


KINDS = ("bbox", "segmentation", "both", "keypoints", "caption")
PACKAGES = ("pycocotools", "faster_coco_eval")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sound_evaluates(checked, tmp_path, kind, package):
    report = checked(results(kind), kind)
    assert (report.findings, report.checked["results"]) == ((), len(results(kind)))
    assert evaluate(tmp_path, kind, package) > 0.9


def changed(kind="bbox", at=-1, **changes):
    rows = results(kind)
    rows[at] = {key: value for key, value in (rows[at] | changes).items() if value is not ...}
    return rows


def without(**gone):
    told = truth()
    for key in gone:
        for one in told["annotations"][1:]:
            del one[key]
    return told


CORNERS = [dict(one, bbox=[50, 20, 90, 60]) for one in results("bbox")]
BAD = {
    "results-box-empty": changed(bbox=[10, 10, 0, 5]),
    "results-boxes-outside": CORNERS,
    "results-boxes-tiny": [dict(one, bbox=[0.25, 0.5, 0.1, 0.2]) for one in results("bbox")],
    "results-caption-repeated": [*results("caption"), results("caption")[0]],
    "results-category-unknown": changed(category_id=2),
    "results-empty": [],
    "results-form": {"annotations": results("bbox")},
    "results-image-unknown": changed(image_id="1"),
    "results-incomplete": changed(score=...),
    "results-keypoints": changed("keypoints", keypoints=[1.0] * 34),
    "results-kind-mixed": [*results("bbox"), {"image_id": 1, "caption": "a"}],
    "results-many": [dict(results("bbox")[0], score=n / 200) for n in range(101)],
    "results-mask": changed("segmentation", segmentation=[[1, 2, 3, 4, 5, 6]]),
    "results-repeated": [*results("bbox"), results("bbox")[0]],
    "results-score-range": changed(score=97),
    "results-type": changed(score="0.9"),
}
NEAR = {
    "results-box-empty": changed(bbox=[10, 10, 0.1, 5]),
    "results-boxes-outside": [*(dict(one, score=n / 50) for n in range(20) for one in results("bbox")[:1]),
                              dict(results("bbox")[0], bbox=[80, 10, 30, 30])],
    "results-boxes-tiny": changed(bbox=[0.25, 0.5, 0.1, 0.2]),
    "results-caption-repeated": [dict(one, caption="the same") for one in results("caption")],
    "results-category-unknown": changed(category_id=1),
    "results-empty": results("bbox")[:1],
    "results-form": results("bbox")[:1],
    "results-image-unknown": results("bbox")[2:],
    "results-incomplete": results("caption"),
    "results-keypoints": changed("keypoints", keypoints=[4.0, 5.0, 1.0] * 17),
    "results-kind-mixed": results("both"),
    "results-many": [dict(results("bbox")[0], score=n / 200) for n in range(100)],
    "results-mask": changed("segmentation", segmentation=rle(0, 0, 0, 0)),
    "results-repeated": [*results("bbox"), dict(results("bbox")[0], score=0.123)],
    "results-score-range": changed(score=1),
    "results-type": changed(score=1),
}  # fmt: skip


def kind_of(rows):
    first = rows[0] if isinstance(rows, list) and rows else {"bbox": 0}
    return next((kind for kind in ("caption", "keypoints", "bbox", "segmentation") if kind in first), "bbox")


@pytest.mark.parametrize("code", BAD)
def test_the_least_bad_case_is_found(checked, code):
    rows = BAD[code]
    assert [one.code for one in checked(rows, kind_of(rows)).findings] == [code]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("code", NEAR)
def test_what_comes_close_is_none_and_evaluates(checked, tmp_path, code):
    rows = NEAR[code]
    assert [one.code for one in checked(rows, kind_of(rows)).findings] == []
    for package in PACKAGES:
        evaluate(tmp_path, kind_of(rows), package)


def test_too_many_keypoints_are_as_bad_as_too_few(checked):
    rows = changed("keypoints", keypoints=[1.0] * 54)
    assert [one.code for one in checked(rows, "keypoints").findings] == ["results-keypoints"]


def test_two_boxes_of_six_outside_are_too_many(checked):
    rows = [dict(one, bbox=[80, 10, 30, 30 + n]) if n < 2 else one for n, one in enumerate(results("bbox"))]
    assert [one.code for one in checked(rows).findings] == ["results-boxes-outside"]


@pytest.mark.parametrize("score", ["NaN", "Infinity", "-Infinity", "null", "true", "[1]", f"1{'0' * 400}"])
def test_scores_that_are_no_numbers(checked, score):
    text = json.dumps(results("bbox")).replace("0.88", score)
    (finding,) = checked(text).findings
    assert finding.code in ("results-type", "results-incomplete")
    assert finding.where["pointer"].startswith("/2")


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ({"size": [WIDTH, HEIGHT], "counts": rle(1, 1, 5, 5)["counts"]}, "size"),
        ({"size": [HEIGHT, WIDTH], "counts": "~~"}, "compressed"),
        ({"size": [HEIGHT, WIDTH], "counts": rle(1, 1, 5, 5)["counts"][:-1]}, ""),
        ({"size": [HEIGHT, WIDTH], "counts": [WIDTH * HEIGHT]}, "not compressed"),
        ({"counts": rle(1, 1, 5, 5)["counts"]}, "size"),
        (7, "form"),
    ],
)
def test_masks_that_pycocotools_fails_on(checked, mask, words):
    (finding,) = checked(changed("segmentation", segmentation=mask), "segmentation").findings
    assert (finding.code, words in finding.message) == ("results-mask", True)


def test_a_finding_has_an_address(checked, tmp_path):
    (finding,) = checked(changed(at=3, image_id=99)).findings
    assert finding.path == str(tmp_path / "results.json")
    assert finding.where["pointer"] == "/3/image_id"
    assert (tmp_path / "results.json").read_bytes()[finding.where["byte"] :].startswith(b"99")


@pytest.mark.parametrize("key", ["area", "iscrowd", "bbox", "category_id"])
def test_what_evaluation_looks_up_in_the_ground_truth(checked, key):
    codes = {one.code for one in checked(results("bbox"), told=without(**{key: True})).findings}
    assert "results-truth-lacks" in codes


def test_captions_need_none_of_that(checked):
    assert checked(results("caption"), "caption").findings == ()


@pytest.mark.parametrize("told", ["[]", json.dumps(results("bbox")), "{", "{}"])
def test_what_is_no_ground_truth_passes_nothing(run, checked, tmp_path, told):
    checked(results("bbox"))
    (tmp_path / "gt.json").write_text(told)
    ended = run("verify", tmp_path / "results.json", "--against", tmp_path / "gt.json")
    assert (ended.code, "[results-truth-unsound]" in ended.out) == (1, True)
    assert "nothing was held against it" in ended.out


def test_a_list_that_is_cut_is_called_a_list(checked):
    (finding,) = checked('[{"image_id": 1').findings
    assert "''" not in finding.message
    assert finding.message.endswith("an element of the list")


def test_ground_truth_that_is_not_there(run, checked, tmp_path):
    checked(results("bbox"))
    for name, code, words in (("", 2, "name the JSON file"), ("none.json", 3, "check the path")):
        ended = run("verify", tmp_path / "results.json", "--against", tmp_path / name)
        assert (ended.code, str(tmp_path) in ended.err, words in ended.err) == (code, True, True)


def test_an_unsound_ground_truth_is_told(checked):
    told = truth()
    told["annotations"][0]["bbox"] = [1, 2, 3]
    assert "results-truth-unsound" in {one.code for one in checked(results("bbox"), told=told).findings}


@pytest.mark.parametrize("joints", [5, None, {}, "abc"])
def test_a_ground_truth_whose_joints_are_no_list(checked, joints):
    told = truth("keypoints")
    told["categories"][0]["keypoints"] = joints
    found = {one.code: one for one in checked(results("keypoints"), told=told).findings}
    assert "category-joints" in found["results-truth-unsound"].message
    assert "for 0 joints" in found["results-keypoints"].message


def test_numbers_that_no_float_holds(checked):
    for kind, code in (("bbox", "results-type"), ("keypoints", "results-keypoints")):
        rows = results(kind)
        rows[0][kind][0] = -(10**400)
        assert [one.code for one in checked(rows, kind).findings] == [code]
    told = truth()
    told["categories"][0] |= {"id": float(told["categories"][0]["id"]), "rank": 0.5}
    assert checked(results("bbox"), told=json.dumps(told).replace('"rank": 0.5', '"rank": 1e400')).findings == ()


def test_other_joints_than_those_of_a_person_are_told(checked):
    told = truth("keypoints")
    told["categories"][0]["keypoints"] = told["categories"][0]["keypoints"][:5]
    for one in told["annotations"]:
        one |= {"keypoints": one["keypoints"][:15], "num_keypoints": 5}
    rows = [dict(one, keypoints=one["keypoints"][:15]) for one in results("keypoints")]
    assert [one.code for one in checked(rows, told=told).findings] == ["results-sigmas"]


def test_by_the_command_line(run, tmp_path, checked):
    checked(results("bbox"))
    assert run("verify", tmp_path / "results.json", "--against", tmp_path / "gt.json").code == 0
    ended = run("verify", tmp_path / "results.json")
    assert (ended.code, "--against" in ended.err) == (2, True)
    ended = run("verify", tmp_path, "--against", tmp_path / "gt.json")
    assert (ended.code, "[usage]" in ended.err) == (2, True)
    assert "[file-missing]" in run("verify", tmp_path / "results.json", "--against", "none.json").err
    checked(BAD["results-type"])
    ended = run("verify", tmp_path / "results.json", "--against", tmp_path / "gt.json")
    assert (ended.code, "[results-type]" in ended.out) == (1, True)


def test_no_json_is_a_finding(checked):
    (finding,) = checked('[{"image_id": 1, ').findings
    assert finding.code.startswith("json-")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_changed_anyhow_is_found_or_evaluates(checked, tmp_path, data):
    kind = data.draw(st.sampled_from(KINDS))
    rows = copy.deepcopy(results(kind))
    row = data.draw(st.sampled_from(rows))
    key = data.draw(st.sampled_from(sorted(row)))
    if isinstance(row[key], list) and data.draw(st.booleans()):
        row[key][data.draw(st.integers(0, len(row[key]) - 1))] = data.draw(JUNK)
    else:
        row[key] = data.draw(JUNK)
    if not checked(rows, kind).failed:
        for package in PACKAGES:
            evaluate(tmp_path, kind, package)


def test_every_rule_is_tried():
    elsewhere = {"results-not-checked", "results-sigmas", "results-truth-lacks", "results-truth-unsound"}
    assert {rule.code for rule in coco_results.RULES} == set(BAD) | elsewhere
    assert set(BAD) == set(NEAR)
