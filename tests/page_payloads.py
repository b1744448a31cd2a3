"""Payloads that tests of pages show: one with everything on it, one with a great many items, one full of ill will."""

import base64
import io
from functools import cache

import numpy
from PIL import Image, ImageDraw

from visprep.page.payload import (
    Bar,
    Chart,
    Code,
    Fact,
    FindingRow,
    FindingsSummary,
    Item,
    Pair,
    Payload,
    Picture,
    Shape,
    Step,
    Table,
    Text,
    Video,
    box,
    polygons,
)

#: A name that tries to leave its element, and runs a script that a page must not run
EVIL = "</script><img src=x onerror=\"window.broken='yes'\">&amp;'`\u202egpj.exe"

_SKELETON = ((0, 1), (0, 2), (1, 3), (2, 4))


def _address(image, padding):
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(kept.getvalue() + bytes(padding)).decode()


@cache
def picture(seed, width=640, height=480, label="", padding=0):
    """A picture of hills and a ball below a sky, of a color that the seed gives, 320 pixels wide at most."""
    draws = numpy.random.default_rng(seed)
    small = (320, round(320 * height / width))
    image = Image.new("RGB", small, tuple(int(value) for value in draws.integers(120, 230, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(3):
        middle, high = draws.integers(0, small[0]), draws.integers(small[1] // 3, small[1])
        color = tuple(int(value) for value in draws.integers(40, 140, 3))
        pen.ellipse([middle - 160, high, middle + 160, high + 300], fill=color)
    x, y = 0.55 * small[0], 0.35 * small[1]
    pen.ellipse([x, y, x + 60, y + 60], fill=(250, 210, 60))
    return Picture(label or "Image", _address(image, padding), width, height)


def _boxed(at):
    group = ("train2017", "val2017")[at % 2]
    keypoints = ((150, 90, 2), (120, 130, 2), (185, 130, 2), (110, 190, 1), (195, 190, 2), (0, 0, 0))
    shapes = (
        box(0, 350, 165, 125, 125, "ball", detail=f"id {at}"),
        polygons(0, ((20, 440, 120, 260, 260, 250, 420, 440), (150, 400, 200, 330, 260, 400)), "hill"),
        box(0, 90, 60, 130, 200, "person", detail="crowd"),
        Shape(0, "keypoints", "person", points=keypoints, skeleton=_SKELETON, detail="5 of 6 points"),
    )
    texts = (Text("Caption", f"A ball above the hills, number {at}."), Text("Caption", "Somebody looks at it."))
    return Item(
        f"{group}/{at:012}.jpg",
        group,
        pictures=(picture(at % 9),),
        shapes=shapes[: 1 + at % 4],
        texts=texts[: at % 3],
        tags=("crowd",) if at % 7 == 3 else (),
        findings=(at % 3,) if at % 10 == 0 else (),
        classes=("sky",) if at % 2 else (),
    )


def _chart(title, unit, names, note=""):
    return Chart(title, unit, tuple(Bar(name, (at * 7919 + 5) % 1300) for at, name in enumerate(names)), note)


def whole(video=None, many=130):
    """Everything that a page can show; `video` is bytes of an mp4."""
    films = (
        Video("data:video/mp4;base64," + base64.b64encode(video).decode(), note="2 seconds") if video else None,
        Video("data:video/mp4;base64,bm8gdmlkZW8=", note="Cut short."),
        Video("", "video/x-msvideo", "ground_truth.avi: 2.1 MB, a format that browsers do not play."),
    )
    items = [_boxed(at) for at in range(many)]
    for at, film in enumerate(films):
        frames = (picture(11 + at, 512, 512, "First frame"), picture(14 + at, 512, 512, "Final frame"))
        prompt = Text("Prompt", f"Move the ball {at + 1} steps\nto the right.")
        items.append(Item(f"maze_task/maze_{at:04}", "maze", "task", frames, texts=(prompt,), video=film))
    kinds = ("Person", "Garment", "Worn")
    three = tuple(picture(20 + at, 768, 1024, kind) for at, kind in enumerate(kinds))
    items.append(Item("00891_00.jpg", "test", "triplet", three, tags=("upper",)))
    frames = tuple(picture(30 + at, 256, 256, f"Frame {at * 9}") for at in range(5))
    items.append(Item("episode_000004", "train", "episode", frames))
    items.append(
        Item(
            "val2017/broken.jpg",
            "val2017",
            "image",
            (Picture("Image", "", 0, 0, "Cut short"),),
            texts=(Text("image", "id 7"), Text("license", "CC BY 2.0")),
            findings=(3, 4),
        )
    )
    findings = (
        FindingRow("box-outside-image", "error", "annotations/instances.json", "Annotation 8 leaves image 139.",
                   "Clip it, or drop it.", 0, "https://example.org/findings.html#box-outside-image"),
        FindingRow("category-unused", "warning", "annotations/instances.json", "No box is of class 12, parking meter."),
        FindingRow("box-tiny", "note", "annotations/instances.json", "Annotation 9 is smaller than a pixel.", item=20),
        FindingRow("image-truncated", "error", "val2017/broken.jpg", "The file ends before the picture does.",
                   "Fetch it again: visprep fix --how refetch", many + 5),
        FindingRow("image-truncated", "error", "annotations/captions.json", "It is said to be whole.",
                   "Fetch it again: visprep fix --how refetch", many + 5),
    )  # fmt: skip
    codes = (
        Code("box-outside-image", "error", 213), Code("image-truncated", "error", 2),
        Code("category-unused", "warning", 1), Code("box-tiny", "note", 9),
    )  # fmt: skip
    return Payload(
        title="COCO 2017, 200 images",
        place="s3://vision/coco",
        kind="coco",
        summary="123,287 images in 2 splits, 896,782 annotations of 80 classes.",
        facts=(
            Fact("Images", "123,287"),
            Fact("Size", "19.3 GB"),
            Fact("License", "CC BY 4.0 (annotations)", "https://creativecommons.org/licenses/by/4.0/"),
            Fact("Source", "coco", "https://cocodataset.org"),
            Fact("Checked", "at depth decode, nothing skipped"),
            Fact("File list", "sha256 " + "9f86d081884c7d65" * 4),
        ),
        steps=(
            Step("download", "coco, 2 splits.", (Fact("Splits", "train2017, val2017"), Fact("Date", "2026-11-22"))),
            Step("split", "By seed 7 into train, val and test.", (Fact("--method", "exact"),)),
        ),
        charts=(
            _chart("Images a split", "images", ("train2017", "val2017")),
            _chart("Classes", "boxes", [f"class {at}" for at in range(80)]),
            _chart("Box sizes", "boxes", ("small, under 32²", "medium, to 96²", "large"), "By area, as COCO has them."),
            _chart("Brightness", "of 500 sampled images", [f"{at} to {at + 15}" for at in range(0, 256, 16)]),
        ),
        tables=(Table("Slowest files", ("File", "Bytes"), (("a.jpg", "1,200"), ("b.jpg", "900")), "Of all."),),
        findings=FindingsSummary({"error": 215, "warning": 1, "note": 9}, findings, "5 of 225 are listed.", codes),
        items=tuple(items),
        pairs=(Pair(1, 10, "Near-duplicates across splits", 3), Pair(2, 11, "Near-duplicates", 0.125)),
        total=123_287,
        how="every image with a finding, and others by seed 0 so that every class and split is there",
        footer="Made by visprep 0.1.0.",
        titles={"items": "Images", "charts": "Statistics"},
    )


def difference():
    """What a difference of two places looks like."""
    shapes = (
        box(0, 350, 165, 125, 125, "ball", state="moved", detail="IoU 0.71"),
        box(0, 320, 150, 125, 125, "ball", state="was"),
        box(0, 90, 60, 130, 200, "person", state="added"),
        box(0, 20, 300, 200, 150, "hill", state="removed"),
        box(0, 480, 20, 100, 90, "cloud", state="changed", detail="was kite"),
        box(0, 250, 20, 60, 60, "sun", state="same"),
    )
    titles = {"findings": "Differences", "finding": "Difference", "message": "What differs"}
    rows = (FindingRow("annotation-moved", "changed", "annotations/a.json", "Annotation 4: IoU 0.71", item=0),)
    return Payload(
        "What differs", "before → after", "coco", items=(Item("a.jpg", pictures=(picture(3),), shapes=shapes),),
        findings=FindingsSummary({"added": 1, "removed": 1, "changed": 2}, rows), titles=titles,
    )  # fmt: skip


def ill_willed():
    """A payload in which every text is a name that tries to leave its element."""
    shape = Shape(0, "box", EVIL, 'M0 0h9v9z"/><script>window.broken=1</script>', detail=EVIL)
    broken = Shape(0, "keypoints", "nan", points=((float("nan"), 1.0, 2), (3.0, 4.0, 2)), skeleton=((0, 1), (7, 8)))
    nowhere = box(0, float("nan"), float("inf"), 1e300, -1, "nowhere")
    one = Picture(EVIL, picture(1).src, 640, 480, EVIL)
    item = Item(
        EVIL, EVIL, "image", (one, Picture(EVIL, "", 0, 0, EVIL)), (shape, broken, nowhere), (Text(EVIL, EVIL),),
        (EVIL,), Video("", EVIL, EVIL), (0,), (EVIL,),
    )  # fmt: skip
    row = FindingRow(EVIL, EVIL, "\udcff" + EVIL, EVIL, EVIL, 0, "javascript:window.broken=1")
    return Payload(
        EVIL, EVIL, EVIL, (Fact(EVIL, EVIL, "javascript:window.broken=1"), Fact("lone", "\udc80", "http://[")),
        (Step(EVIL, EVIL, (Fact(EVIL, EVIL),)),), (Chart(EVIL, EVIL, (Bar(EVIL, 1), Bar("none", 0)), EVIL),),
        (Table(EVIL, (EVIL,), ((EVIL,),), EVIL),), FindingsSummary({EVIL: 1}, (row,), EVIL), (item, item),
        (Pair(0, 1, EVIL),), 9, EVIL, EVIL, EVIL, {part: f"{EVIL} {part}" for part in ("items", "findings", "pairs")},
    )  # fmt: skip


def many(count=2000):
    """So many items as a page ever has, about 16 MB of pictures."""
    pictures = [picture(at, padding=3000) for at in range(9)]
    shapes = tuple(box(0, 9 * at, 7 * at, 60, 60, f"class {at * 2}") for at in range(30))
    return Payload(
        "Many", "data/many", "coco",
        items=tuple(
            Item(f"{at:06}.jpg", f"split {at % 3}", pictures=(pictures[at % 9],), shapes=shapes[at % 20 :])
            for at in range(count)
        ),
        total=100_000,
    )  # fmt: skip
