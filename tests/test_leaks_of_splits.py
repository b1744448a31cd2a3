"""leaks on what visprep split wrote: its parts are looked at with the pictures of what was split."""

import json
import shutil
from pathlib import Path

import pytest

import scenes
from scenes import COPIES, document, photo, write
from test_leaks import leaks_of, told

PARTS = ("--parts", "train=0.6,test=0.4", "--seed", "1")
FILES = {f"{number:04}.jpg": photo(number) for number in range(20)}
#: Each a copy of the picture of that number.
TWINS = {f"twin-{at:02}.jpg": COPIES["half"](FILES[f"{at:04}.jpg"]) for at in range(20)}


def members(place):
    """Key -> the part that split.json says."""
    said = json.loads((place / "split.json").read_text())["members"]
    return {key: part for part, keys in said.items() for key in keys}


def torn(part_of, parent="{}"):
    """The numbers whose two pictures were split apart."""
    return {at for at in range(20) if part_of[parent.format(f"{at:04}")] != part_of[parent.format(f"twin-{at:02}")]}


def numbers_of(ended):
    """The numbers that are in a leak."""
    pairs = [{name[-2:], first[-2:]} for name, (_, first) in leaks_of(ended).items()]
    assert all(len(pair) == 1 for pair in pairs)
    return {int(*pair) for pair in pairs}


@pytest.fixture
def whole(tmp_path):
    """A COCO dataset in which each picture comes twice."""
    place = tmp_path / "work/coco"
    write(place, {f"images/{name}": data for name, data in {**FILES, **TWINS}.items()})
    write(place, {"annotations/instances_all.json": document([*FILES, *TWINS])})
    return "coco/annotations/instances_all.json"


def test_a_split_by_chance_leaks_and_one_by_groups_does_not(run, whole):
    assert run("split", whole, "--output", "by-chance", *PARTS).code == 0
    ended = run("leaks", "by-chance", "--json")
    assert ended.code == 1
    apart = torn(members(Path("by-chance")), "{}.jpg")
    assert numbers_of(ended) == apart != set()
    first = told(ended)[0]
    assert first["path"].startswith("coco/images/")
    assert first["where"]["parts"] == ["train", "test"]
    assert run("split", whole, "--output", "grouped", "--near-duplicates", *PARTS).code == 0
    grouped = run("leaks", "grouped")
    assert (grouped.code, grouped.out.splitlines()[-1]) == (0, "no findings")


@pytest.mark.parametrize("parts", ["train=0.5,test=0.5", "train=0.4,val=0.3,test=0.3"])
@pytest.mark.parametrize("how", ["ids", "copies"])
def test_names_that_two_splits_share(run, tmp_path, parts, how):
    train = {f"{number:04}.jpg": photo(number) for number in range(8)}
    val = {name: COPIES["half"](data) for name, data in train.items()}
    scenes.coco(tmp_path / "work/data", {"train": train, "val": val})
    assert run("split", "data", "--parts", parts, "--output", "parts", "--how", how, "--method", "exact").code == 0
    part_of = members(Path("parts"))
    apart = {name for name in train if part_of[f"train2017/{name}"] != part_of[f"val2017/{name}"]}
    ended = run("leaks", "parts", "--json")
    found = leaks_of(ended)
    assert found == {Path(name).stem: ("perceptual", Path(name).stem) for name in apart} != {}
    assert all(one["code"] == "leak-across-parts" for one in told(ended))


@pytest.mark.parametrize("how", ["links", "copies"])
def test_links_and_copies_of_images(run, whole, how):
    assert run("split", whole, "--output", "parts", "--how", how, *PARTS).code == 0
    assert numbers_of(run("leaks", "parts", "--json")) == torn(members(Path("parts")), "{}.jpg")


def test_the_files_count_and_not_what_split_json_says(run, whole):
    assert run("split", whole, "--output", "grouped", "--near-duplicates", "--name", "my", *PARTS).code == 0
    part_of = members(Path("grouped"))
    stray = next(key for key, part in part_of.items() if part == "train")
    test = [key for key, part in part_of.items() if part == "test"]
    write(Path("grouped"), {"my_test.json": document([*test, stray])})
    ended = run("leaks", "grouped", "--json")
    assert ended.code == 1
    assert ("record", Path(stray).stem) in leaks_of(ended).values()


def test_a_group_that_is_in_two_parts(run, tmp_path):
    place = tmp_path / "work/coco"
    data = json.loads(document(list(FILES)))
    for number, image in enumerate(data["images"]):
        image["game"] = f"game {number // 4}"
    write(place, {f"images/{name}": data for name, data in FILES.items()})
    write(place, {"instances_all.json": json.dumps(data)})
    whole = "coco/instances_all.json"
    assert run("split", whole, "--output", "parts", "--group-by", "game", "--name", "my", *PARTS).code == 0
    assert run("leaks", "parts").code == 0
    train, test = (json.loads(Path(f"parts/my_{part}.json").read_text()) for part in ("train", "test"))
    moved = train["images"].pop()
    test["images"].append(moved)
    write(Path("parts"), {"my_train.json": json.dumps(train), "my_test.json": json.dumps(test)})
    ended = run("leaks", "parts", "--json")
    assert ended.code == 1
    (one,) = told(ended)
    assert (one["code"], one["where"]["kind"]) == ("leak-across-parts", "group")
    assert f"game {moved['game']!r} is that of coco/images/" in one["message"]


@pytest.mark.parametrize("how", ["links", "copies"])
def test_of_links_and_copies_in_groups_what_lies_in_the_parts_is_looked_at(run, tmp_path, how):
    data = json.loads(document(list(FILES)))
    for number, image in enumerate(data["images"]):
        image["game"] = f"game {number // 4}"
    write(tmp_path / "work/coco", {f"images/{name}": data for name, data in FILES.items()})
    write(tmp_path / "work/coco", {"instances_all.json": json.dumps(data)})
    options = ("--output", "parts", "--group-by", "game", "--how", how)
    assert run("split", "coco/instances_all.json", *options, *PARTS).code == 0
    assert run("leaks", "parts").code == 0
    part_of = members(Path("parts"))
    one, other = (next(key for key, part in part_of.items() if part == name) for name in ("train", "test"))
    (Path("parts/test") / other).unlink()
    write(Path("parts/test"), {other: COPIES["half"](FILES[one])})
    ended = run("leaks", "parts", "--json")
    assert leaks_of(ended) == {Path(other).stem: ("perceptual", Path(one).stem)}
    (Path("parts/test") / other).unlink()
    write(Path("parts/test"), {other: FILES[other]})
    train, test = (json.loads(Path(f"parts/instances_{part}.json").read_text()) for part in ("train", "test"))
    moved = train["images"].pop()
    moved["id"] = 1000
    test["images"].append(moved)
    (Path("parts/train") / moved["file_name"]).rename(Path("parts/test") / moved["file_name"])
    write(Path("parts"), {"instances_train.json": json.dumps(train), "instances_test.json": json.dumps(test)})
    ended = run("leaks", "parts", "--json")
    assert [kind for kind, _ in leaks_of(ended).values()] == ["group"]
    assert f"game {moved['game']!r} is that of train/" in told(ended)[0]["message"]


def test_the_images_of_a_part_are_those_in_its_directory(run, whole):
    options = ("--output", "parts", "--near-duplicates", "--name", "my", "--how", "copies")
    assert run("split", whole, *options, *PARTS).code == 0
    for image in Path("parts/train").iterdir():
        write(Path("parts/test"), {image.name: image.read_bytes()})
    broken = sorted(Path("parts/train").iterdir())[0]
    broken.write_bytes(b"no image")
    (one,) = told(run("leaks", "parts", "--json"))
    assert (one["code"], one["path"]) == ("image-not-compared", f"train/{broken.name}")


@pytest.mark.parametrize("how", ["links", "copies"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_directory_that_is_in_two_parts(run, tmp_path, how, gone):
    for number, (name, data) in enumerate(FILES.items()):
        write(tmp_path / "work/data", {f"g{number // 4}/{name}": data})
    options = ("--output", "parts", "--group-by", "directory", "--how", how)
    assert run("split", "data", *options, *PARTS).code == 0
    if gone:
        Path("data").rename("elsewhere")
    assert run("leaks", "parts").code == 0
    moved = next(Path("parts/train").rglob("*.jpg"))
    there = Path("parts/test") / moved.relative_to("parts/train")
    there.parent.mkdir()
    moved.rename(there)
    ended = run("leaks", "parts", "--json")
    assert ended.code == 1
    assert leaks_of(ended)[moved.stem][0] == "group"
    assert f"directory {moved.parent.name!r} is that of train/" in told(ended)[0]["message"]
    write(Path("parts"), {f"test/{moved.parent.name}/new.jpg": photo(400)})
    assert leaks_of(run("leaks", "parts", "--json"))["new"][0] == "group"


def test_directories_of_one_name_in_two_upstream_parts_are_two_groups(run, tmp_path):
    scenes.images(tmp_path / "work/data", {"train": FILES, "val": {f"{at:04}.jpg": photo(100 + at) for at in range(8)}})
    options = ("--parts", "train=20,val=8", "--output", "parts", "--group-by", "directory", "--how", "copies")
    assert run("split", "data", *options).code == 0
    assert {path.name for path in Path("parts").glob("*/cats")} == {"cats"}
    assert len(list(Path("parts").glob("*/cats"))) == 2
    assert run("leaks", "parts").code == 0


@pytest.mark.parametrize("how", ["ids", "copies"])
def test_groups_of_two_splits_have_nothing_to_do_with_each_other(run, tmp_path, how):
    for at, place in enumerate(("one", "two")):
        for number in range(8):
            write(tmp_path / "work" / place, {f"g{number // 4}/{number}.jpg": photo(500 + 20 * at + number)})
        options = ("--parts", "train=4,test=4", "--group-by", "directory", "--how", how)
        assert run("split", place, "--output", f"of-{place}", *options).code == 0
    assert run("leaks", "of-one", "of-two").code == 0


@pytest.mark.parametrize("how", ["ids", "links"])
@pytest.mark.parametrize("layout", [scenes.images, scenes.vton, scenes.tasks, scenes.frames])
def test_directories(run, tmp_path, layout, how):
    copies = {f"twin-{at:02}.jpg": FILES[f"{at:04}.jpg"] for at in range(20)}
    layout(tmp_path / "work/data", {"all": {**FILES, **copies}})
    assert run("split", "data", "--output", "parts", "--how", how, *PARTS).code == 0
    part_of = {Path(key).stem: part for key, part in members(Path("parts")).items()}
    ended = run("leaks", "parts", "--json")
    assert numbers_of(ended) == torn(part_of) != set()


def test_a_split_on_s3(run, whole, bucket):
    assert run("upload", "coco", f"s3://{bucket}/coco").code == 0
    there = f"s3://{bucket}/parts"
    assert run("split", f"s3://{bucket}/{whole}", "--output", there, *PARTS).code == 0
    assert run("split", whole, "--output", "parts", *PARTS).code == 0
    here = leaks_of(run("leaks", "parts", "--json"))
    assert leaks_of(run("leaks", there, "--json")) == here != {}


def test_what_was_split_is_gone(run, whole):
    assert run("split", whole, "--output", "parts", *PARTS).code == 0
    Path("coco").rename("elsewhere")
    ended = run("leaks", "parts")
    assert ended.code == 3
    assert "parts/split.json is of coco/annotations/instances_all.json" in ended.err


def test_an_image_of_a_split_that_is_gone(run, whole):
    assert run("split", whole, "--output", "grouped", "--near-duplicates", *PARTS).code == 0
    Path("coco/images/0003.jpg").unlink()
    ended = run("leaks", "grouped", "--json")
    assert (ended.code, [one["code"] for one in told(ended)]) == (1, ["image-not-compared"])


def test_part_files_named_by_themselves_lead_to_their_split(run, whole):
    assert run("split", whole, "--output", "grouped", *PARTS).code == 0
    ended = run("leaks", *sorted(map(str, Path("grouped").glob("*_*.json"))), "--json")
    assert ended.code == 1
    assert [one["code"] for one in told(ended)] == ["image-not-compared"] * len(list(Path("grouped").glob("*_*.json")))
    assert {one["hint"] for one in told(ended)} == {"its split.json says where they are: visprep leaks grouped"}


def test_what_split_cleaned_away_is_in_no_part(run, whole):
    data = json.loads(Path(whole).read_text())
    data["images"].append({**data["images"][0], "file_name": "another.jpg"})  # two images with one id
    Path(whole).write_text(json.dumps(data))
    write(Path("coco/images"), {"another.jpg": FILES["0001.jpg"], "0007.jpg": b"no image"})
    options = ("--near-duplicates", "--clean", "--output", "clean")
    assert run("split", whole, *options, *PARTS).code == 0
    said = json.loads(run("leaks", "clean", "--json").out)
    assert (said["result"], said["findings"]) == ("no leaks", [])
    assert sum(part["records"] for part in said["parts"]) == len(members(Path("clean"))) < 40


def test_a_split_json_of_somebody_else(run, tmp_path):
    scenes.coco(tmp_path / "work/data", {"train": FILES, "val": {"a.jpg": photo(50)}})
    write(tmp_path / "work/data", {"split.json": '{"train": 0.8}'})
    assert run("leaks", "data").code == 0
    write(tmp_path / "work/data", {"split.json": '{"format_version": 1, "members": {}, "inputs": []}'})
    ended = run("leaks", "data")
    assert (ended.code, "[bad-record]" in ended.err) == (3, True)


@pytest.mark.parametrize("how", ["ids", "copies"])
@pytest.mark.parametrize("layout", [scenes.tasks, scenes.vton, scenes.frames, scenes.images])
def test_a_member_that_no_part_has_any_more_is_told(run, tmp_path, layout, how):
    layout(tmp_path / "work/data", {"all": FILES})
    assert run("split", "data", "--output", "parts", "--how", how, *PARTS).code == 0
    assert run("leaks", "parts").code == 0
    gone = next(key for key, part in members(Path("parts")).items() if part == "test")
    if how == "ids":
        names = Path("parts/test.txt")
        names.write_text("".join(line for line in names.read_text().splitlines(True) if line.rstrip("\n") != gone))
    else:
        for path in [path for path in Path("parts/test").rglob("*") if path.is_file()]:
            if Path(gone).stem in path.as_posix():
                path.unlink()
    ended = run("leaks", "parts", "--json")
    assert (ended.code, json.loads(ended.out)["result"]) == (1, "incomplete")
    (one,) = told(ended)
    assert (one["code"], one["path"]) == ("image-not-compared", gone)
    assert "split.json names it, and it is in no part" in one["message"]


def test_a_list_without_names_is_told(run, whole):
    assert run("split", whole, "--output", "parts", "--near-duplicates", *PARTS).code == 0
    write(Path("parts"), {"instances_test.json": document([])})
    ended = run("leaks", "parts", "--json")
    count = sum(part == "test" for part in members(Path("parts")).values())
    assert (ended.code, json.loads(ended.out)["result"], len(told(ended))) == (1, "incomplete", count)


@pytest.mark.parametrize("how", ["ids", "copies"])
@pytest.mark.parametrize("layout", [scenes.tasks, scenes.vton, scenes.frames, scenes.images])
def test_a_lost_record_is_told_though_others_end_alike(run, tmp_path, layout, how):
    photos = iter(FILES.values())
    layout(
        tmp_path / "work/data",
        {at: {f"{n}.jpg": next(photos) for n in range(3)} for at in ("easy", "hard", "easy/easy")},
    )
    assert run("split", "data", "--output", "parts", "--how", how, *PARTS).code == 0
    assert run("leaks", "parts").code == 0
    part_of = members(Path("parts"))
    for gone in [key for key in part_of if Path(key).stem == "0"]:
        place = Path(gone.replace("/", "-"))
        shutil.copytree("parts", place)
        if how == "ids":
            names = place / f"{part_of[gone]}.txt"
            names.write_text("".join(f"{key}\n" for key in names.read_text().splitlines() if key != gone))
        else:
            take_out(place / part_of[gone], gone)
        ended = run("leaks", str(place), "--json")
        assert (ended.code, json.loads(ended.out)["result"]) == (1, "incomplete")
        assert [one["where"]["part"] for one in told(ended)] == [part_of[gone]]
        assert told(ended)[0]["path"].endswith(gone)


def take_out(part, key):
    """Remove the files of a record of a part."""
    home, _, stem = key.rpartition("/")
    own = (key, f"{key}/", *(f"{home}/{of}_image/{stem}_" for of in ("initial", "cloth", "try_on")))
    lost = [one for one in part.rglob("*") if one.is_file() and one.relative_to(part).as_posix().startswith(own)]
    assert lost
    for one in lost:
        one.unlink()


def test_a_lost_record_of_two_splits_that_share_names_is_told(run, tmp_path):
    names = list(FILES)[:8]
    val = dict(zip(names, list(FILES.values())[8:16], strict=True))
    scenes.coco(tmp_path / "work/data", {"train": {name: FILES[name] for name in names}, "val": val})
    options = ("--parts", "train=0.5,test=0.5", "--method", "exact", "--how", "copies")
    assert run("split", "data", "--output", "parts", *options).code == 0
    assert run("leaks", "parts").code == 0
    file = Path("parts/instances_train.json")
    data = json.loads(file.read_text())
    for at, image in enumerate(data["images"]):
        file.write_text(json.dumps({**data, "images": data["images"][:at] + data["images"][at + 1 :]}))
        ended = run("leaks", "parts", "--json")
        (one,) = told(ended)
        assert (ended.code, one["code"]) == (1, "image-not-compared")
        assert one["path"].endswith(image["file_name"])
