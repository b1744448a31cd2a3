"""verify of a place of Open Images: a download is green, and each rule has its bad case and its near miss."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import visprep
from visprep.errors import Incomplete
from visprep.formats.open_images_csv import open_table
from visprep.formats.open_images_rows import rows as rows_of
from visprep.formats.open_images_tables import IMAGES
from visprep.open_images_download import BucketOptions, bring
from visprep.progress import unheard
from visprep.rules.open_images import RULES
from visprep.sources import Mirror as UpstreamMirror
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.local import LocalStore
from visprep.testing import Mirror
from visprep.testing.open_images import lay_out

Change = Callable[[Path], Any]
LABELS = ("boxes", "masks", "relationships", "image-labels", "points")
ROWS = "labels/train"
JSON = "annotations/instances_train.json"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("upstream")
    with Mirror(root) as server:
        yield server, lay_out(root, f"{server.url}/flickr")


@pytest.fixture(scope="module")
def downloaded(served, tmp_path_factory):
    """A download of two splits with all labels."""
    place = tmp_path_factory.mktemp("downloaded") / "oi"
    options = BucketOptions("http", mirrors=(UpstreamMirror(served[0].url),))
    bring(OpenImages(), Selection(splits=("train", "validation"), labels=LABELS), LocalStore(place), options, unheard)
    return place


@pytest.fixture
def place(downloaded, tmp_path):
    """The files of it without visprep's record, so that nothing but the rules of data speaks."""
    shutil.copytree(downloaded, tmp_path / "oi", ignore=shutil.ignore_patterns(".visprep", "dataset.json"))
    return tmp_path / "oi"


def read(place: Path, kind: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO((place / ROWS / f"{kind}.csv").read_text(), newline="")))


def write(place: Path, kind: str, rows: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    (place / ROWS / f"{kind}.csv").write_bytes(out.getvalue().encode())


def cell(kind: str, column: str, value: str, row: int = 3) -> Change:
    """Another value in a column of a row."""

    def change(place: Path) -> None:
        rows = read(place, kind)
        rows[row][rows[0].index(column)] = value
        write(place, kind, rows)

    return change


def line(kind: str, change: Callable[[list[str]], list[str]], row: int = 3) -> Change:
    """Other fields in a row."""

    def changed(place: Path) -> None:
        rows = read(place, kind)
        rows[row] = change(rows[row])
        write(place, kind, rows)

    return changed


def document(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Another JSON."""

    def changed(place: Path) -> None:
        told = json.loads((place / JSON).read_bytes())
        change(told)
        (place / JSON).write_text(json.dumps(told))

    return changed


def mask(draw: Callable[[Image.Image], Image.Image]) -> Change:
    """Another picture in place of a mask."""

    def changed(place: Path) -> None:
        path = place / "masks/train" / read(place, "masks")[3][0]
        draw(Image.open(io.BytesIO(path.read_bytes()))).save(path, "PNG")

    return changed


def first_image(place: Path) -> Path:
    """One that has boxes."""
    return place / f"train/{read(place, 'boxes')[3][0]}.jpg"


def moved(place: Path) -> None:
    """A cleaned JSON, as fix writes it, and one image away."""
    image = first_image(place)
    told = json.loads((place / JSON).read_bytes())
    gone = next(one for one in told["images"] if one["file_name"].endswith(image.name))
    told["images"].remove(gone)
    told["annotations"] = [one for one in told["annotations"] if one["image_id"] != gone["id"]]
    (place / "annotations/instances_train.cleaned.json").write_text(json.dumps(told))
    image.unlink()


def also(path: str, data: Callable[[Path], bytes]) -> Change:
    return lambda place: (place / path).write_bytes(data(place))


def also_listed(place: Path) -> None:
    """One image, and its mask, that no row lists."""
    shutil.copy(first_image(place), place / f"train/{'f' * 16}.jpg")


def nothing(place: Path) -> None:
    pass


def renumbered(place: Path) -> None:
    def change(told: dict[str, Any]) -> None:
        for one in told["images"]:
            one["id"] += 100
        for one in told["annotations"]:
            one["image_id"] += 100

    document(change)(place)


def shifted(by: float) -> Change:
    return document(lambda told: told["annotations"][2]["bbox"].__setitem__(0, told["annotations"][2]["bbox"][0] + by))


def without_one(place: Path) -> None:
    """An image missing, and the JSON without it, as a download leaves it that could not have it."""
    moved(place)
    (place / "annotations/instances_train.cleaned.json").replace(place / JSON)


def attribute(place: Path) -> None:
    cell("relationships", "LabelName2", "/m/02gy9n")(place)
    cell("relationships", "RelationshipLabel", "is")(place)


def only_matching(place: Path) -> None:
    """Rows and categories of one class alone."""
    mid = "/m/0k4j"
    for kind in ("boxes", "masks"):
        rows = read(place, kind)
        write(place, kind, [rows[0], *(row for row in rows[1:] if mid in row)])
    for name in {path.name for path in (place / "masks/train").iterdir()} - {row[0] for row in read(place, "masks")}:
        (place / "masks/train" / name).unlink()

    def change(told: dict[str, Any]) -> None:
        (number,) = (one["id"] for one in told["categories"] if one["LabelName"] == mid)
        told["categories"] = [one for one in told["categories"] if one["id"] == number]
        told["annotations"] = [one for one in told["annotations"] if one["category_id"] == number]
        for id, one in enumerate(told["annotations"], 1):
            one["id"] = id

    document(change)(place)


def repeated(kind: str) -> Change:
    def change(place: Path) -> None:
        rows = read(place, kind)
        write(place, kind, [*rows, rows[3]])

    return change


def extra_column(place: Path) -> None:
    rows = read(place, "points")
    write(place, "points", [[*row, "x"] for row in rows])


#: Code, path, what is bad, what is near
CASES: list[tuple[str, str, Change, Change]] = [
    (
        "annotation-unlike-row",
        JSON,
        document(
            lambda told: told["annotations"][2].__setitem__("category_id", 9 - told["annotations"][2]["category_id"])
        ),
        shifted(0.005),
    ),
    ("annotation-unlike-row", JSON, shifted(0.5), shifted(-0.005)),
    ("annotations-unlike-rows", JSON, document(lambda told: told["annotations"].pop()), nothing),
    (
        "boxes-without-json",
        f"{ROWS}/boxes.csv",
        lambda place: (place / JSON).unlink(),
        lambda place: [(place / one).unlink() for one in (JSON, f"{ROWS}/boxes.csv")],
    ),
    (
        "category-unlike-list",
        JSON,
        document(lambda told: told["categories"][1].__setitem__("name", "Tiger")),
        only_matching,
    ),
    (
        "image-not-in-json",
        JSON,
        document(lambda told: told["images"].pop(0)),  # the first has no boxes
        without_one,
    ),
    (
        "image-not-in-rows",
        JSON,
        lambda place: write(
            place, "images", [row for row in read(place, "images") if row[0] != read(place, "images")[1][0]]
        ),
        nothing,
    ),
    ("image-put-aside", f"{ROWS}/images.csv", moved, nothing),
    ("image-row-repeated", f"{ROWS}/images.csv", repeated("images"), nothing),
    (
        "mask-blank",
        "masks/train",
        mask(lambda image: Image.new("1", image.size)),
        nothing,
    ),
    (
        "mask-damaged",
        "masks/train",
        lambda place: (lambda path: path.write_bytes(path.read_bytes()[:60]))(
            place / "masks/train" / read(place, "masks")[3][0]
        ),
        mask(lambda image: image.convert("P")),
    ),
    (
        "mask-lost",
        f"{ROWS}/masks.csv",
        lambda place: (place / "masks/train" / read(place, "masks")[3][0]).unlink(),
        lambda place: [shutil.rmtree(place / "masks/train"), (place / ROWS / "masks.csv").unlink()],
    ),
    ("mask-outside-box", "masks/train", mask(lambda image: Image.new("1", image.size, 1)), nothing),
    (
        "mask-shape",
        "masks/train",
        mask(lambda image: image.resize((image.width * 2, image.height))),
        mask(lambda image: image.resize((image.width * 2, image.height * 2))),
    ),
    ("mask-without-box", "masks/train", cell("masks", "BoxXMin", "0.000001"), cell("masks", "Clicks", "")),
    ("numbers-unlike-rows", JSON, renumbered, without_one),
    ("row-class", f"{ROWS}/image-labels.csv", cell("image-labels", "LabelName", "/m/0zzzz"), attribute),
    ("row-class", f"{ROWS}/relationships.csv", cell("relationships", "LabelName2", "/m/02gy9n"), nothing),
    (
        "row-confidence",
        f"{ROWS}/image-labels.csv",
        cell("image-labels", "Confidence", "7"),
        cell("image-labels", "Confidence", "0.5"),
    ),
    ("row-coordinates", f"{ROWS}/boxes.csv", cell("boxes", "XMin", "0.999"), cell("relationships", "XMin1", "0")),
    ("row-coordinates", f"{ROWS}/boxes.csv", cell("boxes", "YMax", "1.5"), cell("relationships", "YMax1", "1")),
    ("row-coordinates", f"{ROWS}/points.csv", cell("points", "X", "-0.1"), cell("points", "X", "0")),
    ("row-coordinates", f"{ROWS}/masks.csv", cell("masks", "BoxXMax", "3"), nothing),
    ("row-flag", f"{ROWS}/boxes.csv", cell("boxes", "IsOccluded", "2"), cell("boxes", "IsOccluded", "-1")),
    ("row-flag", f"{ROWS}/boxes.csv", cell("boxes", "IsInside", ""), nothing),
    ("row-image", f"{ROWS}/points.csv", cell("points", "ImageId", "0" * 16), nothing),
    ("row-malformed", f"{ROWS}/boxes.csv", line("boxes", lambda row: row[:3]), nothing),
    ("row-malformed", f"{ROWS}/boxes.csv", cell("boxes", "XMin", "left"), nothing),
    ("row-malformed", f"{ROWS}/points.csv", cell("points", "ImageId", "abc"), cell("points", "TextLabel", "a, b\nc")),
    ("row-split", f"{ROWS}/images.csv", cell("images", "Subset", "test"), cell("images", "Author", "")),
    ("table-malformed", f"{ROWS}/points.csv", cell("points", "X", "x", row=0), extra_column),
    (
        "table-missing",
        f"{ROWS}/images.csv",
        lambda place: (place / ROWS / "images.csv").unlink(),
        lambda place: (place / ROWS / "points.csv").unlink(),
    ),
    (
        "table-missing",
        f"{ROWS}/boxes.csv",
        lambda place: [
            shutil.rmtree(place / "masks/train"),
            *((place / ROWS / f"{one}.csv").unlink() for one in ("boxes", "masks")),
        ],
        nothing,
    ),
    (
        "table-missing",
        "labels",
        lambda place: [path.unlink() for path in (place / "labels").glob("*.csv")],
        lambda place: next((place / "labels").glob("*boxable*")).rename(
            place / "labels/class-descriptions-boxable.csv"
        ),
    ),
    # What other rules say of places like these
    ("image-missing", f"{ROWS}/images.csv", lambda place: first_image(place).unlink(), nothing),
    ("image-unlisted", "train", also_listed, also("train/README.txt", lambda _: b"mine")),
    (
        "image-unlisted",
        "masks/train",
        also("masks/train/other.png", lambda place: (place / "masks/train" / read(place, "masks")[3][0]).read_bytes()),
        nothing,
    ),
    (
        "image-truncated",
        "train",
        lambda place: first_image(place).write_bytes(first_image(place).read_bytes()[:-40]),
        nothing,
    ),
]
IDS = [f"{code}-{number}" for number, (code, *_) in enumerate(CASES)]


def codes(place: Path, **said: Any) -> list[tuple[str, str]]:
    return [(one.code, one.path) for one in visprep.verify(place, **said).findings]


def test_a_download_is_green_and_taken_for_open_images(downloaded, run):
    report = visprep.verify(downloaded, depth="content")
    assert (report.format, report.findings) == ("open-images", ())
    tables = [list(csv.reader(io.StringIO(path.read_text(), newline=""))) for path in downloaded.glob("labels/*/*.csv")]
    assert report.checked["rows"] == sum(len(rows) - 1 for rows in tables)
    as_coco = visprep.verify(downloaded, as_="coco")  # masks are no images, and lists of classes no annotations
    assert (as_coco.format, list(as_coco.findings)) == ("coco", [])
    ended = run("verify", downloaded, "--as", "open-images")
    assert (ended.code, "(as open-images, depth decode)" in ended.out) == (0, True)


@pytest.mark.parametrize(("code", "path", "bad", "near"), CASES, ids=IDS)
def test_bad_is_found_once(place, code, path, bad, near):
    bad(place)
    found = codes(place)
    also = ["annotations-set-aside"] if code == "image-put-aside" else []
    assert [one for one, _ in found] == [*also, code]
    assert found[-1][1] == path or found[-1][1].startswith(f"{path}/")


@pytest.mark.parametrize(("code", "path", "bad", "near"), CASES, ids=IDS)
def test_near_is_not_found(place, code, path, bad, near):
    near(place)
    assert code not in [one for one, _ in codes(place)]


def test_every_rule_has_its_case():
    assert {code for code, *_ in CASES} >= {rule.code for rule in RULES}


# what verify finds, put right


@pytest.fixture
def copied(downloaded, tmp_path):
    """A copy of the download with its record."""
    shutil.copytree(downloaded, tmp_path / "oi")
    return tmp_path / "oi"


def damaged(place: Path) -> tuple[Path, bytes]:
    """An image whose end is missing, and what it was."""
    image = first_image(place)
    data = image.read_bytes()
    image.write_bytes(data[:-40])
    return image, data


def test_a_bad_image_is_put_aside_and_rows_stay_as_they_were(copied, run):
    rows = {path: path.read_bytes() for path in copied.glob("labels/**/*.csv")}
    image, data = damaged(copied)
    mask = copied / "masks/train" / read(copied, "masks")[3][0]
    cut = mask.read_bytes()[:60]
    mask.write_bytes(cut)  # no image, so nobody takes it away
    assert run("verify", copied).code == 1
    fixed = visprep.fix(copied, "quarantine")
    assert (fixed.quarantined, fixed.written) == (
        (f"train/{image.name}",),
        ("annotations/instances_train.cleaned.json",),
    )
    assert mask.read_bytes() == cut
    assert {path: path.read_bytes() for path in copied.glob("labels/**/*.csv")} == rows
    left = visprep.verify(copied)
    assert {one.code for one in left.findings if one.level == "error"} == {"mask-damaged", "file-size"}
    assert {one.path for one in left.findings if one.level == "error"} == {f"masks/train/{mask.name}"}
    aside = [one for one in left.findings if one.code == "image-put-aside"]
    assert [one.where["file"] for one in aside] == [f"train/{image.name}"]
    visprep.fix(copied, undo=True)
    assert image.read_bytes() == data[:-40]
    assert not (copied / "annotations/instances_train.cleaned.json").exists()


def test_bad_missing_and_changed_images_are_fetched_again(copied, served, run):
    image, data = damaged(copied)
    others = [path for path in sorted((copied / "train").iterdir()) if path != image][:2]
    kept = [path.read_bytes() for path in others]
    others[0].unlink()
    Image.new("RGB", Image.open(io.BytesIO(kept[1])).size).save(others[1], "JPEG")
    served[0].requests.clear()
    fixed = visprep.fix(copied, "refetch")
    assert len(fixed.refetched) == 3
    assert image.read_bytes() == data
    assert [path.read_bytes() for path in others] == kept
    assert len([one for one in served[0].requests if "/open-images-dataset/train/" in one.line]) == 3
    assert visprep.verify(copied, depth="content").findings == ()
    ended = run("fix", copied, "--how", "refetch")
    assert (ended.code, "nothing" in ended.out + ended.err) == (0, True)


def test_images_of_a_place_without_a_record_come_from_a_mirror(place, served):
    image, data = damaged(place)
    fixed = visprep.fix(place, "refetch", mirror=served[0].url)
    assert (fixed.refetched, image.read_bytes()) == ((f"train/{image.name}",), data)


def test_an_image_that_no_origin_has_is_told(copied, served):
    image, data = damaged(copied)
    served[0].fault(f"GET /open-images-dataset/train/{image.stem}", times=None, status=404)
    try:
        with pytest.raises(Incomplete, match="1 of 1 file"):
            visprep.fix(copied, "refetch", mirror=served[0].url)
    finally:
        served[0].clear_faults()
    assert image.read_bytes() == data[:-40]


def test_originals_are_fetched_again_from_where_they_were(served, tmp_path):
    upstream = served[1]
    ids = tuple(image.id for image in upstream.of("train") if image.facts[11] in ("0.0", ""))[:3]
    options = BucketOptions("http", original=True, mirrors=(UpstreamMirror(served[0].url),))
    chosen = Selection(splits=("train",), images={"train": ids})
    bring(OpenImages(), chosen, LocalStore(tmp_path / "oi"), options, unheard)
    image = tmp_path / f"oi/train/{ids[0]}.jpg"
    data = image.read_bytes()
    image.unlink()
    assert visprep.fix(tmp_path / "oi", "refetch").refetched == (f"train/{ids[0]}.jpg",)
    assert image.read_bytes() == data


# rows however they lie


def test_lines_are_those_of_the_file_whatever_stands_before(place):
    """Titles with quotes and line breaks, rows that cannot be read, and empty lines come before what is wrong."""
    path = place / ROWS / "images.csv"
    rows = read(place, "images")
    title = rows[0].index("Title")
    rows[4][title] = 'one "two"\nthree,\n\nfour'
    rows[9][1] = "test"
    write(place, "images", rows)
    data = path.read_text()
    path.write_text(data.replace(f"{rows[6][0]},", f"\n{rows[6][0]},broken,", 1))
    told = {one.code: one for one in visprep.verify(place, depth="names").findings if one.path == f"{ROWS}/images.csv"}
    lines = path.read_text().split("\n")
    assert lines[told["row-malformed"].where["line"] - 1].startswith(rows[6][0])
    assert lines[told["row-split"].where["line"] - 1].startswith(rows[9][0])
    assert (told["row-malformed"].where["line"], told["row-split"].where["line"]) > (7, 7)


@pytest.mark.parametrize("which", ["rows", "annotations", "both"])
def test_rows_and_annotations_in_another_order_are_the_same(place, which):
    if which != "annotations":
        rows = read(place, "boxes")
        write(place, "boxes", [rows[0], *sorted(rows[1:], key=lambda row: row[0], reverse=True)])
    if which != "rows":
        document(lambda told: told["annotations"].sort(key=lambda one: (-one["image_id"], one["id"])))(place)
    assert visprep.verify(place).findings == ()


def test_what_is_wrong_in_every_row_is_told_a_thousand_times_and_counted(place):
    rows = read(place, "points")
    sound = rows[3]
    far = [*sound[:1], "7", *sound[2:]]
    write(place, "points", [*rows, *[far] * 1_500, sound[:2]])
    told = visprep.verify(place).findings
    assert len([one for one in told if one.code == "row-coordinates"]) == 1_001
    (rest,) = [one for one in told if one.where.get("count")]
    assert (rest.where["count"], rest.message) == (500, "and 500 more of this kind, not told one by one")
    (malformed,) = [one for one in told if one.code == "row-malformed"]
    assert malformed.where["line"] == len(rows) + 1_501


def test_blocks_of_any_size_give_the_same_rows(place):
    path = place / ROWS / "images.csv"
    data = path.read_bytes()
    id = read(place, "images")[5][0].encode()
    path.write_bytes(data.replace(id + b",", id[:5] + b",", 1))
    file = open_table(path, IMAGES)

    def found(size):
        some = list(rows_of(file, IMAGES, ("ImageID",), size))
        images = [one for each in some if each.batch for one in each.batch.images.tolist()]
        return (
            images,
            [at for each in some for at in each.offsets.tolist()],
            [one for each in some for one in each.wrong],
        )

    assert found(400) == found(1_000) == found(1 << 20)
    images, offsets, wrong = found(400)
    assert len(images) == len(offsets) == 19
    ids = [data[at : at + 16].decode() for at in offsets if at < wrong[0][0]]
    assert ids == [f"{one:016x}" for one in images[:4]]
    assert "the id of an image" in wrong[0][1]


# places of other kinds


def test_a_zip_and_a_bucket_are_looked_at_too(place, run, bucket, tmp_path):
    cell("boxes", "XMin", "0.999")(place)
    shutil.make_archive(str(tmp_path / "oi"), "zip", place)
    told = [("row-coordinates", f"{ROWS}/boxes.csv")]
    assert codes(tmp_path / "oi.zip") == told
    visprep.upload(place, f"s3://{bucket}/oi")
    assert codes(f"s3://{bucket}/oi") == told


def test_of_points_alone_there_is_no_json(served, tmp_path):
    options = BucketOptions("http", mirrors=(UpstreamMirror(served[0].url),))
    bring(OpenImages(), Selection(splits=("test",), labels=("points",)), LocalStore(tmp_path / "oi"), options, unheard)
    report = visprep.verify(tmp_path / "oi", depth="content")
    assert (report.format, report.findings) == ("open-images", ())


def test_an_image_that_never_came_is_told_once_and_how_to_get_it(served, tmp_path, run):
    lost = served[1].of("validation")[3].id
    served[0].fault(f"GET /open-images-dataset/validation/{lost}", times=None, status=404)
    options = BucketOptions("http", mirrors=(UpstreamMirror(served[0].url),))
    try:
        with pytest.raises(Incomplete):
            bring(OpenImages(), Selection(labels=("masks",)), LocalStore(tmp_path / "oi"), options, unheard)
    finally:
        served[0].clear_faults()
    told = visprep.verify(tmp_path / "oi").findings
    assert [one.code for one in told] == ["place-incomplete", "image-missing"]
    assert "run the same download, or convert, again" in (told[1].hint or "")
    assert told[1].where["file"] == f"validation/{lost}.jpg"


def test_counts_are_held_against_official_ones_or_a_file(downloaded, run, tmp_path):
    ended = run("verify", downloaded, "--expect", "official", "--depth", "names", "--format", "json")
    found = json.loads(ended.out)["findings"]
    assert {one["path"] for one in found} == {
        f"labels/{split}/{kind}.csv" for split in ("train", "validation") for kind in ("images", "boxes", "masks")
    }
    assert {one["code"] for one in found} == {"count-unexpected"}
    assert (ended.code, any("was not read" in one["message"] for one in found)) == (1, False)
    counts = tmp_path / "counts.json"
    boxes = len(read(downloaded, "boxes")) - 1
    told = {JSON: {"annotations": boxes}, f"{ROWS}/boxes.csv": {"rows": boxes}, "train": {"files": 20}}
    counts.write_text(json.dumps(told))
    assert run("verify", downloaded, "--expect", counts).code == 0
    counts.write_text(json.dumps({**told, f"{ROWS}/boxes.csv": {"rows": boxes + 1}}))
    ended = run("verify", downloaded, "--expect", counts)
    assert (ended.code, f"it has {boxes} rows, {boxes + 1} are expected" in ended.out) == (1, True)


def test_a_directory_without_tables_is_told_as_such(tmp_path, run):
    (tmp_path / "none/labels").mkdir(parents=True)
    (tmp_path / "none/labels/tree.json").write_text("{}")
    assert codes(tmp_path / "none", as_="open-images") == [("table-missing", ".")]


def test_only_what_changed_is_looked_at(place, run):
    def git(*argv):
        subprocess.run(["git", "-C", place, "-c", "user.name=a", "-c", "user.email=a@b.c", *argv], check=True)

    git("init", "-q")
    cell("points", "X", "7")(place)
    git("add", ".")
    git("commit", "-q", "-m", "as it came")
    damaged(place)
    assert [code for code, _ in codes(place, only_changed="HEAD")] == ["image-truncated"]


def test_a_plan_reads_nothing(downloaded):
    plan = visprep.verify(downloaded, dry_run=True)
    sizes = sum(path.stat().st_size for path in downloaded.rglob("*") if path.is_file() and ".visprep" not in str(path))
    assert plan.findings == ()
    assert 0 < plan.checked["bytes"] <= sizes


# gather


def test_gather_brings_verifies_and_splits(run, served, tmp_path):
    argv = (
        "gather", "open-images", "--split", "train", "--classes", "Animal,Car,Person", "--via", "http",
        "--mirror", served[0].url, "--parts", "train=0.5,test=0.5", "--method", "exact",
    )  # fmt: skip
    ended = run(*argv)
    assert ended.code == 0, ended.err
    work = tmp_path / "work/data"
    whole = json.loads((work / "open-images" / JSON).read_bytes())
    parts = [json.loads((work / f"cleaned_splits/instances_{part}.json").read_bytes()) for part in ("train", "test")]
    assert sorted(one["id"] for part in parts for one in part["images"]) == [one["id"] for one in whole["images"]]
    again = run(*argv)
    assert (again.code, "nothing to do: all was there" in again.err) == (0, True)
    cell("boxes", "XMin", "0.999", row=1)(work / "open-images")
    stopped = run(*argv, "--skip-download")
    assert stopped.code == 1
    assert "row-coordinates" in stopped.out + stopped.err


def test_gather_goes_on_after_an_image_that_never_came(run, served, tmp_path):
    lost = served[1].of("validation")[3].id
    served[0].fault(f"GET /open-images-dataset/validation/{lost}", times=None, status=404)
    argv = ("gather", "open-images", "--via", "http", "--mirror", served[0].url, "--parts", "train=1,test=1")
    try:
        ended = run(*argv)
    finally:
        served[0].clear_faults()
    assert (ended.code, "to go on: visprep gather open-images" in ended.err) == (3, True)
    assert run(*argv).code == 0


def test_gather_of_labels_without_boxes_is_refused_before_anything_comes(run, served, tmp_path):
    ended = run("gather", "open-images", "--labels", "points", "--parts", "train=1,test=1", "--output", tmp_path / "oi")
    assert (ended.code, "made of boxes" in ended.err) == (2, True)
    assert not (tmp_path / "oi").exists()
