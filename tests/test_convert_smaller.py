"""Images that are made smaller on the way, and their boxes, polygons, keypoints and masks with them."""

import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import coco_documents
import killing
import visprep
from conftest import tree
from drawn import picture, put, turned
from test_convert_yolo import only, put_coco, small, sound, to_coco, to_yolo
from visprep.errors import Incomplete, UsageError, WrongContent
from visprep.formats import coco_runs
from visprep.formats.coco_scaling import scaled_annotation, scaled_image, shrunk
from visprep.resizing import resized

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SIDES = st.integers(1, 3_000)


def scaled(annotation, old, new):
    return json.loads(scaled_annotation(json.dumps(annotation).encode(), old, new))


# Sizes and annotations


@SETTINGS
@given(SIDES, SIDES, st.integers(1, 2_000))
@example(3_000, 1, 2)
@example(1, 3_000, 2)
@example(3, 2, 2)
def test_sizes_are_those_of_a_thumbnail(width, height, most):
    image = Image.new("1", (width, height))
    image.thumbnail((most, most), Image.Resampling.NEAREST, reducing_gap=None)
    assert (shrunk((width, height), most) or (width, height)) == image.size


@SETTINGS
@given(SIDES, SIDES, st.integers(1, 2_000), st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_shares_of_the_image_stay(width, height, most, parts):
    old = width, height
    new = shrunk(old, most) or old
    x, y, right, low, *joint = (part * old[at % 2] for at, part in enumerate(parts))
    annotation = {
        "bbox": [x, y, right, low], "area": right * low, "segmentation": [[x, y, right, low, *joint]],
        "keypoints": [x, y, 2, *joint, 1, 0, 0, 0], "num_keypoints": 2}  # fmt: skip
    found = scaled(annotation, old, new)
    ratio = new[0] / width, new[1] / height
    for before, after in (
        (annotation["bbox"], found["bbox"]),
        (annotation["segmentation"][0], found["segmentation"][0]),
    ):
        assert after == pytest.approx([one * ratio[at % 2] for at, one in enumerate(before)], abs=1e-8)
    assert found["keypoints"][0::3] == pytest.approx([x * ratio[0], joint[0] * ratio[0], 0], abs=1e-8)
    assert found["keypoints"][1::3] == pytest.approx([y * ratio[1], joint[1] * ratio[1], 0], abs=1e-8)
    assert found["keypoints"][2::3] == [2, 1, 0]
    assert found["area"] == pytest.approx(right * low * ratio[0] * ratio[1], abs=1e-6)


@SETTINGS
@given(st.integers(1, 30), st.integers(1, 30), st.data(), st.booleans())
def test_masks_are_what_the_nearest_pixels_were(width, height, data, compressed):
    most = data.draw(st.integers(1, max(width, height)))
    new = shrunk((width, height), most) or (width, height)
    flat = np.array(data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height)))
    pixels = flat.reshape(height, width)
    runs = _runs(pixels)
    mask = {"counts": coco_runs.compressed(np.array(runs)) if compressed else runs, "size": [height, width]}
    found = scaled({"segmentation": mask, "area": 0}, (width, height), new)
    counts = found["segmentation"]["counts"]
    assert isinstance(counts, str) == compressed
    told = coco_runs.uncompressed(counts) if compressed else counts
    again = np.repeat(np.arange(len(told)) % 2 == 1, told).reshape(new).T
    middles = ((2 * np.arange(side) + 1) * was // (2 * side) for side, was in zip(new, (width, height), strict=True))
    nearest = pixels.T[np.ix_(*middles)].T
    if nearest.any() or not pixels.any():
        assert (again == nearest).all()
    else:
        assert again.sum() == 1  # what is finer than the new pixels does not vanish
        y, x = (int(one[0]) for one in np.nonzero(again))
        left, top, right, low = (
            x * width // new[0],
            y * height // new[1],
            -(-(x + 1) * width // new[0]),
            -(-(y + 1) * height // new[1]),
        )
        assert pixels[top:low, left:right].any()
    assert found["area"] == again.sum()
    assert found["segmentation"]["size"] == [new[1], new[0]]


def _runs(pixels):
    flat = pixels.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    return np.diff([0, *edges, flat.size]).tolist()


def test_all_else_stays_as_it_was_written():
    record = b'{ "bbox":[1.10, 2,3e0,4 ] , "score": 1.10, "id":9007199254740993, "caption": "\\u00e9", "extra": [1.0]}'
    assert scaled_annotation(record, (10, 10), (5, 5)) == (
        b'{ "bbox":[0.55,1,1.5,2] , "score": 1.10, "id":9007199254740993, "caption": "\\u00e9", "extra": [1.0]}'
    )
    assert (
        scaled_image(b'{"width": 10, "x": 1.10, "height" : 20}', (5, 10)) == b'{"width": 5, "x": 1.10, "height" : 10}'
    )
    strange = b'{"bbox": null, "segmentation": [], "keypoints": null, "area": null}'
    assert scaled_annotation(strange, (10, 10), (5, 5)) == strange


@pytest.mark.parametrize(
    "mask", [{"counts": [50], "size": [5, 10]}, {"counts": "~"}, {"counts": [-1, 101]}, {"counts": None},
             {"counts": [99]}, {"counts": [[1]]}, {"size": [10, 11]}])  # fmt: skip
def test_a_mask_that_is_none_is_told(mask):
    with pytest.raises(WrongContent, match="mask"):
        scaled({"segmentation": {"counts": [100], "size": [10, 10], **mask}}, (10, 10), (5, 5))


# Images


def encoded(mode, format, size=(60, 40), **options):
    colors = np.random.default_rng(7).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    image = (
        Image.fromarray(colors).convert("RGB" if mode == "P" else mode).convert(mode)
        if mode != "I;16"
        else Image.fromarray(colors[..., 0].astype(np.uint16))
    )
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_jpeg_keeps_its_chroma_its_exif_and_its_profile(sampling):
    exif = Image.Exif()
    exif[0x010E] = "a picture"
    data = encoded("RGB", "JPEG", subsampling=sampling, exif=exif, icc_profile=b"profile")
    image = Image.open(io.BytesIO(resized(data, (60, 40), (30, 20), 80)))
    assert (image.format, image.size, image.info["icc_profile"]) == ("JPEG", (30, 20), b"profile")
    from PIL import JpegImagePlugin

    assert JpegImagePlugin.get_sampling(image) == sampling
    assert image.getexif()[0x010E] == "a picture"
    sizes = [len(resized(data, (60, 40), (30, 20), quality)) for quality in (30, 60, 95)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("mode", "format", "becomes"),
    [("RGB", "PNG", "RGB"), ("RGBA", "PNG", "RGBA"), ("L", "PNG", "L"), ("LA", "PNG", "LA"), ("P", "PNG", "RGB"),
     ("1", "PNG", "L"), ("I;16", "PNG", "I;16"), ("L", "JPEG", "L"), ("CMYK", "JPEG", "CMYK"), ("RGB", "WEBP", "RGB"),
     ("RGB", "BMP", "RGB"), ("RGB", "TIFF", "RGB")])  # fmt: skip
def test_the_format_stays(mode, format, becomes):
    image = Image.open(io.BytesIO(resized(encoded(mode, format), (60, 40), (30, 20), 90)))
    assert (image.format, image.size, image.mode) == (format, (30, 20), becomes)


def test_one_color_that_is_see_through_becomes_alpha():
    data = encoded("P", "PNG", transparency=0)
    assert Image.open(io.BytesIO(resized(data, (60, 40), (30, 20), 90))).mode == "RGBA"


def test_what_is_turned_is_made_smaller_as_it_is_stored():
    data = turned(3, (60, 40))
    small = Image.open(io.BytesIO(resized(data, (40, 60), (20, 30), 90)))  # told as it is shown
    assert (small.size, small.getexif()[0x0112]) == ((30, 20), 6)
    assert Image.open(io.BytesIO(resized(data, (60, 40), (30, 20), 90))).size == (30, 20)


def test_images_that_cannot_be_made_smaller():
    for data, said in (
        (encoded("RGB", "PNG"), "its annotations say 61 x 40"),
        (encoded("RGB", "PNG", (61, 40))[:-40], "cut off|missing|damaged|decoded"),
        (b"no image", "no image"),
    ):
        with pytest.raises(WrongContent, match=said):
            resized(data, (61, 40), (30, 20), 90)
    frames = [Image.new("RGB", (60, 40), color) for color in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(WrongContent, match="animated"):
        resized(out.getvalue(), (60, 40), (30, 20), 90)


# Places


def test_boxes_fit_what_the_smaller_images_show(tmp_path):
    """Squares are drawn where the annotations say; they are found there again, in each format."""
    document = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "square"}]}
    place = tmp_path / "coco"
    for number, size in enumerate(((300, 200), (200, 300), (90, 60)), 1):
        left, top, right, low = size[0] // 5, size[1] // 4, size[0] // 2, size[1] * 3 // 4
        image = Image.new("RGB", size, "black")
        ImageDraw.Draw(image).rectangle((left, top, right - 1, low - 1), fill="white")
        out = io.BytesIO()
        image.save(out, "PNG")
        put(place, f"train/{number}.png", out.getvalue())
        document["images"].append({"id": number, "file_name": f"{number}.png", "width": size[0], "height": size[1]})
        document["annotations"].append({"id": number, "image_id": number, "category_id": 1, "iscrowd": 0,
            "bbox": [left, top, right - left, low - top], "area": (right - left) * (low - top)})  # fmt: skip
    put(place, "annotations/instances_train.json", coco_documents.written(document))
    to_coco(place, tmp_path / "small", max_side=100)
    to_yolo(place, tmp_path / "yolo", max_side=100)
    to_yolo(place, tmp_path / "large")
    to_coco(tmp_path / "large", tmp_path / "back", max_side=100)
    sound(tmp_path / "yolo")
    assert (tmp_path / "yolo/labels/train/1.txt").read_bytes() == (tmp_path / "large/labels/train/1.txt").read_bytes()
    for made in ("small", "back"):
        sound(tmp_path / made, as_="coco")
        found = only(tmp_path / made)
        assert [(one["width"], one["height"]) for one in found["images"]] == [(100, 67), (67, 100), (90, 60)]
        for one in found["annotations"]:
            pixels = np.asarray(Image.open(tmp_path / made / f"train/{one['image_id']}.png").convert("L")) > 127
            rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
            shown = [columns[0], rows[0], len(columns), len(rows)]
            assert one["bbox"] == pytest.approx(shown, abs=1)
            assert one["area"] == pytest.approx(one["bbox"][2] * one["bbox"][3])
        assert (tmp_path / made / "train/3.png").samefile(place / "train/3.png")


def test_it_goes_on_and_a_second_run_does_nothing(tmp_path):
    place = put_coco(tmp_path / "coco", "train", coco_documents.instances())
    first = to_coco(place, tmp_path / "small", max_side=100, quality=70)
    assert (first.files, first.linked, first.losses) == (4, 0, {})
    before = tree(tmp_path / "small")
    again = to_coco(place, tmp_path / "small", max_side=100, quality=70)
    assert (again.files, again.kept) == (0, 4)
    assert tree(tmp_path / "small") == before
    image = tmp_path / "small/train/000000000101.jpg"
    image.unlink()
    assert to_coco(place, tmp_path / "small", max_side=100, quality=70).files == 1
    assert tree(tmp_path / "small") == before
    step = json.loads((tmp_path / "small/dataset.json").read_bytes())["steps"][-1]
    assert (step["options"]["max_side"], step["options"]["quality"]) == (100, 70)
    sound(tmp_path / "small", as_="coco")
    crowd = only(tmp_path / "small")["annotations"][0]
    assert crowd["segmentation"]["size"] == [75, 100]
    assert crowd["area"] == sum(crowd["segmentation"]["counts"][1::2])


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    place = put_coco(tmp_path / "coco", "train", coco_documents.instances(20))
    to_yolo(place, tmp_path / "whole", max_side=500)
    killed = 0
    for number, seconds in enumerate((0, 0.05, 0.15)):
        output = tmp_path / f"killed-{number}"
        process = killing.visprep("convert", place, "--to", "yolo", "--output", output, "--max-side", "500")
        killed += killing.kill_at_work(process, (output / ".visprep/in-progress").exists, seconds)
        to_yolo(place, output, max_side=500)
        assert tree(output) == tree(tmp_path / "whole")
        assert killing.leftovers(output) == []
    assert killed


def test_an_image_of_another_size_than_told_is_named(tmp_path):
    place = put_coco(tmp_path / "coco", "train", small())
    put(place, "train/000000000002.jpg", picture(5, (70, 50), "JPEG"))
    for convert, to in ((to_coco, "one"), (to_yolo, "two")):
        with pytest.raises(Incomplete, match=r"000000000002\.jpg.* it is 70 x 50 pixels"):
            convert(place, tmp_path / to, max_side=32)
        assert visprep.status(tmp_path / to).state == "unfinished"
    put(place, "train/000000000002.jpg", picture(5, (64, 48), "JPEG"))
    to_coco(place, tmp_path / "one", max_side=32)
    sound(tmp_path / "one", as_="coco")


def test_sizes_that_no_record_tells_are_read(tmp_path):
    document = small()
    place = put_coco(tmp_path / "coco", "train", document)
    for image in document["images"]:
        del image["width"], image["height"]
    put(place, "annotations/instances_train.json", coco_documents.written(document))
    to_coco(place, tmp_path / "small", max_side=32)
    assert only(tmp_path / "small")["annotations"][0]["bbox"] == [0.625, 1, 10.185, 5]
    to_yolo(place, tmp_path / "yolo")
    sound(tmp_path / "yolo")


def test_what_cannot_be_is_refused(tmp_path, run):
    place = put_coco(tmp_path / "coco", "train", small())
    for words, said in (
        (("--quality", "80"), "says nothing without --max-side"),
        (("--max-side", "0"), "--max-side"),
        (("--max-side", "9", "--quality", "101"), "--quality"),
        (("--max-side", "9", "--image-root", "s3://b/p"), "elsewhere"),
    ):
        ended = run("convert", place, "--to", "coco", "--output", "new", *words)
        assert (ended.code, said in ended.err) == (2, True), ended.err
    with pytest.raises(UsageError, match="panoptic"):
        to_coco(
            put_coco(tmp_path / "p", "val2017", coco_documents.panoptic(), "panoptic"), tmp_path / "new", max_side=9
        )
    with pytest.raises(UsageError, match="none of its images is there"):
        to_coco(put_coco(tmp_path / "n", "train", small(), images=False), tmp_path / "new", max_side=9)
    broken = coco_documents.instances()
    broken["annotations"][0]["segmentation"]["size"] = [481, 640]
    with pytest.raises(WrongContent, match="annotation 900100000100: a mask has the size"):
        to_coco(put_coco(tmp_path / "b", "train", broken), tmp_path / "new", max_side=9)
    assert not (tmp_path / "new").exists()
