"""What a download of Open Images refuses, and what a wrong command, a bad table or a bad row leaves behind."""

import json
import shutil

import pytest

from conftest import tree
from visprep.errors import SourceError, WouldOverwrite, WrongContent
from visprep.open_images_download import BucketOptions, bring
from visprep.progress import unheard
from visprep.sources import Mirror as UpstreamMirror
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.local import LocalStore
from visprep.testing import Mirror
from visprep.testing.open_images import lay_out


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server of the small upstream, whose tables a test may change."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    root = tmp_path / "upstream"
    root.mkdir()
    with Mirror(root) as server:
        server.upstream = lay_out(root, f"{server.url}/flickr")
        yield server


@pytest.fixture
def get(web, tmp_path):
    def call(output=tmp_path / "oi", original=False, mirrors=(), dry_run=False, may_replace=False, **said):
        urls = [UpstreamMirror(url) for url in mirrors or [web.url]]
        options = BucketOptions("http", original, tuple(urls), None, may_replace, dry_run)
        return bring(OpenImages(), Selection(**said), LocalStore(output), options, unheard)

    return call


def live(web):
    """An image whose original can be had."""
    dead = web.upstream.dead
    return next(one for one in web.upstream.of("validation") if not any(one.id in path for path in dead))


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize("may_replace", [False, True])
def test_originals_and_images_of_the_bucket_do_not_mix(get, web, tmp_path, original, may_replace):
    chosen = {"images": {"validation": (live(web).id,)}}
    get(original=original, **chosen)
    before = tree(tmp_path / "oi")
    web.requests.clear()
    with pytest.raises(WouldOverwrite, match="originals") as refused:
        get(original=not original, may_replace=may_replace, **chosen)
    assert "--output" in refused.value.hint
    assert tree(tmp_path / "oi") == before
    assert not web.requests
    assert get(original=original, **chosen).files == 0


@pytest.mark.parametrize(
    "wrong", [["--classes", "/m/zzz"], ["--licenses", "99"], ["--labels", "points", "--limit", "2"]]
)
def test_a_refused_command_leaves_a_complete_place_as_it_was(run, web, tmp_path, wrong):
    place = tmp_path / "oi"
    words = ["download", "open-images", "--via", "http", "--mirror", web.url, "--output", place]
    assert run(*words, "--limit", "4")[0] == 0
    before = tree(place)
    assert run(*words, *wrong)[0] in (2, 3)
    assert tree(place) == before
    assert json.loads(run("status", place, "--json")[1])["state"] == "complete"


def test_a_refused_command_leaves_no_place_behind(run, web, tmp_path):
    words = ["download", "open-images", "--via", "http", "--mirror", web.url, "--output", tmp_path / "oi"]
    assert run(*words, "--licenses", "99")[0] == 2
    assert not (tmp_path / "oi").exists()


def test_what_a_killed_command_fetched_stays_over_a_refused_one_and_goes_with_the_right_one(run, web, tmp_path):
    place = tmp_path / "oi"
    words = ["download", "open-images", "--via", "http", "--mirror", web.url, "--output", place]
    table = place / ".visprep/cache/tables/v5/validation-annotations-bbox.csv"
    table.parent.mkdir(parents=True)
    table.write_bytes((web.upstream.root / "openimages/v5/validation-annotations-bbox.csv").read_bytes())
    assert json.loads(run("status", place, "--json")[1])["state"] == "unfinished"
    assert "was begun here and not ended" in " ".join(run("doctor", place)[1].split())
    assert run(*words, "--licenses", "99")[0] == 2
    assert table.exists()
    assert run(*words, "--limit", "4")[0] == 0
    table.parent.mkdir(parents=True)
    table.touch()
    assert json.loads(run("status", place, "--json")[1])["state"] == "complete"
    assert run(*words, "--limit", "4")[0] == 0
    assert not (place / ".visprep/cache").exists()


BOXES = "v5/validation-annotations-bbox.csv"
NAMES = "v7/oidv7-class-descriptions-boxable.csv"


def _first_row(change):
    """A change of the first row of a table."""

    def changed(data):
        header, row, *rows = data.splitlines(keepends=True)
        return b"".join([header, change(row), *rows])

    return changed


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (BOXES, _first_row(lambda row: row.replace(b",1,0.", b",1,abc", 1))),
        (BOXES, lambda data: b""),
        (NAMES, lambda data: data.splitlines(keepends=True)[0]),
    ],
)
@pytest.mark.parametrize("mended", ["upstream", "mirror"])
def test_a_table_that_turned_out_wrong_is_fetched_again(get, web, tmp_path, table, change, mended):
    get(tmp_path / "calm")
    path = web.upstream.root / "openimages" / table
    good = path.read_bytes()
    path.write_bytes(change(good))
    assert path.read_bytes() != good
    with pytest.raises(WrongContent, match=table) as told:
        get()
    assert "fetches it anew" in told.value.hint
    if mended == "mirror":  # a good one at another address
        root = tmp_path / "other"
        shutil.copytree(web.upstream.root, root)
        (root / "openimages" / table).write_bytes(good)
        with Mirror(root) as other:
            get(mirrors=[other.url])
    else:
        path.write_bytes(good)
        get()
    for file in ("labels/validation/boxes.csv", "annotations/instances_validation.json", "validation"):
        assert _content(tmp_path / "oi" / file) == _content(tmp_path / "calm" / file)


def _content(path):
    return tree(path) if path.is_dir() else path.read_bytes()


def test_what_lies_in_the_cache_is_held_against_upstream(get, web, tmp_path):
    get(tmp_path / "calm")
    points = web.upstream.root / "openimages/v7/oidv7-val-annotations-point-labels.csv"
    gone = points.rename(points.with_suffix(".gone"))
    with pytest.raises(SourceError, match="point-labels"):
        get(labels=("boxes", "points"))
    cached = tmp_path / "oi/.visprep/cache/tables" / BOXES
    whole = cached.read_bytes()
    assert whole == (web.upstream.root / "openimages" / BOXES).read_bytes()
    cached.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))  # a row less
    gone.rename(points)
    web.requests.clear()
    get(labels=("boxes", "points"))
    boxes = "labels/validation/boxes.csv"
    assert (tmp_path / "oi" / boxes).read_bytes() == (tmp_path / "calm" / boxes).read_bytes()


def test_a_table_that_changed_upstream_meanwhile_is_fetched_again(get, web, tmp_path):
    points = web.upstream.root / "openimages/v7/oidv7-val-annotations-point-labels.csv"
    gone = points.rename(points.with_suffix(".gone"))
    with pytest.raises(SourceError, match="point-labels"):
        get(labels=("boxes", "points"))
    gone.rename(points)
    path = web.upstream.root / "openimages" / BOXES
    new = path.read_bytes().replace(b",1,0.", b",1,0.", 1)[:-2] + b"0\n"  # as long as before
    assert new != path.read_bytes()
    path.write_bytes(new)
    web.requests.clear()
    get(labels=("boxes", "points"))
    assert (tmp_path / "oi/labels/validation/boxes.csv").read_bytes() == new
    fetched = [one.path for one in web.requests if one.method == "GET"]
    names = f"/openimages/{NAMES}"
    assert names not in fetched  # the others were not


def _fetched_images(web):
    return [one.path for one in web.requests if one.path.endswith(".jpg")]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("XMin", "abc", "XMin is 'abc', not a number"),
        ("XMin", "nan", "XMin is 'nan', not a number"),
        ("LabelName", "/m/unknown", "is of class /m/unknown, which is not in the list of classes"),
    ],
)
def test_a_bad_row_is_told_by_upstreams_line_before_images_come(get, web, tmp_path, column, value, told):
    path = web.upstream.root / "openimages" / BOXES
    lines = path.read_text().splitlines()
    other, chosen = (lines[at].partition(",")[0] for at in (1, -1))
    number = next(at for at, line in enumerate(lines) if line.startswith(chosen))
    fields = lines[number].split(",")
    fields[lines[0].split(",").index(column)] = value
    lines[number] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(WrongContent) as wrong:
        get(images={"validation": (chosen,)})
    assert wrong.value.message.startswith(f"{BOXES}, line {number + 1}: ")
    assert told in wrong.value.message
    assert not _fetched_images(web)
    get(images={"validation": (other,)})  # of another image it is no matter


@pytest.mark.parametrize("name", ["nothere.png", "../../../evil.png", "", "{digit}/x.png"])
def test_a_mask_that_can_lie_in_no_archive_is_told_by_its_row(get, web, tmp_path, name):
    table = "v5/validation-annotations-object-segmentation.csv"
    path = web.upstream.root / "openimages" / table
    lines = path.read_text().splitlines()
    fields = lines[2].split(",")
    fields[0] = name.format(digit=fields[1][0])
    path.write_text("\n".join([*lines[:2], ",".join(fields), *lines[3:]]) + "\n")
    with pytest.raises(WrongContent) as wrong:
        get(labels=("masks",))
    assert wrong.value.message.startswith(f"{table}, line 3: MaskPath is {fields[0]!r}")
    assert not _fetched_images(web)


def test_a_json_of_somebody_in_the_way_is_told_before_images_come(get, web, tmp_path):
    path = tmp_path / "oi/annotations/instances_validation.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(WouldOverwrite, match="instances_validation"):
        get()
    assert not _fetched_images(web)
    assert tree(tmp_path / "oi") == {"annotations/instances_validation.json": b"{}"}
    get(may_replace=True)
    assert json.loads(path.read_bytes())["images"]


def test_boxes_turned_round_or_beyond_the_image_are_counted(run, web, tmp_path):
    path = web.upstream.root / "openimages" / BOXES
    lines = path.read_text().splitlines()
    at = {name: number for number, name in enumerate(lines[0].split(","))}
    for number, (low, high) in {1: ("0.9", "0.1"), 2: ("0.5", "1.2")}.items():
        fields = lines[number].split(",")
        fields[at["YMin"]], fields[at["YMax"]] = low, high
        lines[number] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n")
    words = ["download", "open-images", "--via", "http", "--mirror", web.url, "--output", tmp_path / "oi"]
    code, _, told = run(*words)
    assert code == 0
    assert "warning: validation: 2 boxes are turned round or beyond the image" in " ".join(told.split())
    assert "turned round" not in run(*words[:-1], tmp_path / "few", "--ids", _list_of(tmp_path, lines[-1]))[2]


def _list_of(folder, row):
    path = folder / "ids.txt"
    path.write_text(f"validation/{row.partition(',')[0]}\n")
    return path


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("gone", ["*.jpg", "."])
def test_a_split_whose_images_are_all_gone_is_fetched_again(get, run, web, tmp_path, gone, mirror):
    place = tmp_path / "oi"
    get(splits=("validation", "test"), labels=("masks",))
    before = tree(place)
    if gone == ".":
        shutil.rmtree(place / "test")
    for path in place.glob(f"test/{gone}"):
        path.unlink()
    ended = run("fix", place, "--how", "refetch", *(["--mirror", web.url] if mirror else []))
    assert ended.code == 0, ended.err
    assert {path: data for path, data in tree(place).items() if not path.endswith((".json", ".jsonl"))} == {
        path: data for path, data in before.items() if not path.endswith((".json", ".jsonl"))
    }
    assert run("verify", place).code == 0
