"""`visprep export-metadata`: Croissant and cards say what is there, so that others find the same records."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from PIL import Image

import visprep
from visprep.errors import BadRecord, DiskError, PlaceMissing, UnknownContent, UnknownName, UsageError, WouldOverwrite
from visprep.metadata.licenses import hub_license, spdx_url

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import metadata_readers
from metadata_readers import CONFIGS
from reading_croissant import by_hand, files_of, plain

KINDS = (*CONFIGS, "yolo", "voc", "parquet", "webdataset")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A place of every kind; nobody changes them."""
    home = tmp_path_factory.mktemp("described")
    for config in CONFIGS:
        visprep.download("sample", home / config, config=config)
    for kind, to in (("coco", "yolo"), ("coco", "voc"), ("tasks", "parquet"), ("tasks", "webdataset")):
        visprep.convert(home / kind, to=to, output=home / to)
    return home


@pytest.fixture
def place(made, tmp_path):
    """`place("coco")` -> a copy of that place."""
    return lambda kind: Path(shutil.copytree(made / kind, tmp_path / kind))


def croissant(place):
    """The document, and the records that it tells of, of a place that it is written to."""
    file = Path(place) / "croissant.json"
    made = visprep.export_metadata(place, to="croissant", output=file, overwrite=True)
    return json.loads(made.text), by_hand(file)


def card(place):
    """The YAML of a card, and the rest of it."""
    _, head, body = visprep.export_metadata(place, to="hf-card").text.split("---\n", 2)
    return yaml.safe_load(head), body


def edited(path, change):
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


# What Croissant says of files


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_in_it_once_with_its_own_digest(made, kind):
    document = json.loads(visprep.export_metadata(made / kind, to="croissant").text)
    paths = sorted(path.relative_to(made / kind).as_posix() for path in (made / kind).rglob("*") if path.is_file())
    told = Counter()
    for one in document["distribution"]:
        if one["@type"] == "cr:FileSet":
            found = files_of(one, paths)
            size = sum((made / kind / path).stat().st_size for path in found)
            assert one["description"].endswith(f": {len(found)} file{'s' * (len(found) != 1)} of {size:,} bytes")
            told.update(found)
            continue
        data = (made / kind / one["contentUrl"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(data).hexdigest()
        assert one["contentSize"] == f"{len(data)} B"
        told[one["contentUrl"]] = 1  # a document for each of its lists
    data = {path for path in paths if not path.startswith(".visprep/") and path != "README.md"}
    assert told == dict.fromkeys(data, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_its_ids_are_its_own_and_lead_somewhere(made, kind):
    document = json.loads(visprep.export_metadata(made / kind, to="croissant").text)
    tables = document.get("recordSet", [])
    fields = [field for table in tables for field in table["field"]]
    ids = [one["@id"] for one in (*document["distribution"], *tables, *fields)]
    assert len(ids) == len(set(ids))
    assert not any(sign in id for id in ids for sign in " :?#")
    sources = {(field["source"].get("fileSet") or field["source"]["fileObject"])["@id"] for field in fields}
    keys = {key["@id"] for table in tables for key in [table.get("key")] if key}
    assert sources | keys <= set(ids)


def test_what_visprep_keeps_aside_is_not_among_the_images(place):
    coco = place("coco")
    aside = coco / ".visprep/quarantine/train2017/000000001000.jpg"
    aside.parent.mkdir(parents=True)
    aside.write_bytes((coco / "train2017/000000001000.jpg").read_bytes())
    _, records = croissant(coco)
    assert len(records["train2017_pictures"]) == 10


def test_names_that_are_patterns_mean_themselves(place, tmp_path):
    images = tmp_path / "shots"
    for name in ("a[1]", "a1", "b c"):
        (images / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(images / name / "x.png")
    _, records = croissant(images)
    assert {id: [row["path"] for row in rows] for id, rows in records.items()} == {
        "a_1_images": ["a[1]/x.png"],
        "a1_images": ["a1/x.png"],
        "b_c_images": ["b c/x.png"],
    }


def test_without_a_record_digests_are_computed(place):
    bare = place("coco")
    before = croissant(bare)[0]
    shutil.rmtree(bare / ".visprep")
    after = croissant(bare)[0]
    assert after["distribution"] == before["distribution"]
    (bare / "dataset.json").unlink()
    document = croissant(bare)[0]
    assert not {"license", "url", "dateCreated", "dateModified"} & document.keys()
    assert document["description"].startswith("16 images with 29 annotations: train2017 10, val2017 6. Classes: ")


# What it says of records


def of_table(records, id):
    return [{key: value for key, value in row.items() if value is not None} for row in records[id]]


def test_the_records_of_coco_are_those_of_its_files(made, place):
    coco = place("coco")
    _, records = croissant(coco)
    for split in ("train2017", "val2017"):
        truth = json.loads((made / f"coco/annotations/instances_{split}.json").read_bytes())
        captions = json.loads((made / f"coco/annotations/captions_{split}.json").read_bytes())
        assert records[f"{split}_images"] == truth["images"]
        for one in truth["annotations"]:
            del one["segmentation"]  # some are polygons, some are runs
        assert records[f"instances_{split}"] == truth["annotations"]
        assert records[f"captions_{split}"] == captions["annotations"]
        pictures = {Path(row["path"]).name: row["image"] for row in records[f"{split}_pictures"]}
        assert pictures == {
            one["file_name"]: plain(Image.open(coco / split / one["file_name"])) for one in truth["images"]
        }
    truth = json.loads((made / "coco/annotations/instances_val2017.json").read_bytes())
    assert records["instances_train2017_categories"] == truth["categories"]


def test_outlines_are_told_where_all_are_polygons(place):
    coco = place("coco")
    file = coco / "annotations/instances_val2017.json"
    notes = visprep.export_metadata(coco, to="croissant").notes
    assert [one.partition(":")[0] for one in notes] == [
        f"annotations/instances_{split}.json" for split in ("train2017", "val2017")
    ]
    edited(file, lambda document: [one.update(segmentation=[[1, 2, 3, 4.5, 6, 7]]) for one in document["annotations"]])
    document, records = croissant(coco)
    assert {str(row["segmentation"]) for row in records["instances_val2017"]} == {"[[1, 2, 3, 4.5, 6, 7]]"}
    field = next(one for table in document["recordSet"] for one in table["field"] if one["name"] == "segmentation")
    assert field["dataType"] == "sc:Float"
    assert field["repeated"] is True


def test_every_key_has_the_type_of_all_its_values(place):
    coco = place("coco")
    rows = [
        {"whole": 1, "mixed": 1, "real": 1, "text": "a", "yes": True, "list": [1], "odd": 1, "where": 1, "a b": 1},
        {"whole": -2, "mixed": "x", "real": 2.5e3, "text": "{", "yes": False, "list": [1.5], "odd": {"a": 1}},
        {"whole": None, "bbox": [1, 2, 3, 4], "list": []},
    ]

    def change(document):
        for number, one in enumerate(document["annotations"]):
            one.update(rows[number % 3])

    edited(coco / "annotations/captions_val2017.json", change)
    document, records = croissant(coco)
    table = next(one for one in document["recordSet"] if one["@id"] == "captions_val2017")
    types = {one["name"]: (one["dataType"], one.get("repeated")) for one in table["field"]}
    assert types == {
        "image_id": ("sc:Integer", None),
        "id": ("sc:Integer", None),
        "caption": ("sc:Text", None),
        "whole": ("sc:Integer", None),
        "real": ("sc:Float", None),
        "text": ("sc:Text", None),
        "yes": ("sc:Boolean", None),
        "list": ("sc:Float", True),
        "bbox": ("cr:BoundingBox", None),
    }
    told = next(one for one in visprep.export_metadata(coco, to="croissant").notes if "captions" in one)
    assert "mixed, odd, where, a b" in told
    assert [row["list"] for row in records["captions_val2017"]][:3] == [[1], [1.5], []]


def test_a_file_that_cannot_be_read_is_told_and_stays_a_file(place):
    coco = place("coco")
    (coco / "annotations/instances_val2017.json").write_text('{"images": [{"id": 1},')
    made = visprep.export_metadata(coco, to="hf-card")
    assert "annotations/instances_val2017.json" in made.notes[0]
    document, records = croissant(coco)
    assert "instances_val2017" not in records
    assert "annotations/instances_val2017.json" in {one.get("contentUrl") for one in document["distribution"]}


def test_tasks_are_known_by_their_directory(place):
    tasks = place("tasks")
    _, records = croissant(tasks)
    homes = sorted(file.parent for file in tasks.glob("*_task/*/prompt.txt"))
    assert records["prompts"] == [
        {
            "path": f"{home.relative_to(tasks).as_posix()}/prompt.txt",
            "task": home.relative_to(tasks).as_posix(),
            "domain": home.parent.name.removesuffix("_task"),
            "prompt": (home / "prompt.txt").read_text(),
        }
        for home in homes
    ]
    assert [row["image"] for row in records["final_frames"]] == [
        plain(Image.open(home / "final_frame.png")) for home in homes
    ]


def test_triplets_and_frames_are_known_by_their_names(made, place):
    _, records = croissant(place("vton"))
    for id in ("persons", "cloths", "try_ons"):
        assert {(row["directory"], row["stem"]) for row in records[id]} == {
            (f"{level}/{who}", f"00{number}")
            for level in ("easy", "hard")
            for who in ("female", "male")
            for number in sorted({row["stem"] for row in records["persons"]}) and (1, 2)
        }
    _, records = croissant(place("frames"))
    numbers = {row["path"]: (row["episode"], row["number"]) for row in records["frames"]}
    assert numbers == {
        path.relative_to(made / "frames").as_posix(): (
            path.parent.relative_to(made / "frames").as_posix(),
            int(path.stem.partition("_")[2]),
        )
        for path in (made / "frames").rglob("*.png")
    }


def test_mlcroissant_reads_the_same(capsys):
    pytest.importorskip("mlcroissant", reason="mlcroissant is not installed here; make readers tries it")
    assert metadata_readers.main(["--here"]) == 0
    assert capsys.readouterr().out.count("fine") == len(CONFIGS) + 1  # and an archive


def put(place, **files):
    """A place of these files; their names have no ending, and a directory before two underscores."""
    for name, content in files.items():
        file = place / name.replace("__", "/")
        file = file.with_suffix(".json" if isinstance(content, dict) else ".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            file.write_text(json.dumps(content))
        else:
            Image.new("RGB", content).save(file)
    return place


@pytest.mark.parametrize(
    ("document", "tables"),
    [
        ({"images": [], "annotations": [], "categories": []}, set()),
        ({"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{}]}, {"val2017_images", "images_pictures"}),
        ({"images": [{"id": 1, "file_name": "b.png"}]}, {"val2017_images"}),  # it is not there
        ({"images": [1], "annotations": ["x"]}, set()),
        ({"images": [{"id": 1}], "annotations": [{"id": 1, "image_id": 1}], "categories": {}}, set()),
    ],
)
def test_poor_documents_are_described_as_far_as_they_go(tmp_path, document, tables):
    place = put(tmp_path / "poor", annotations__instances_val2017=document, a=(4, 4))
    described, records = croissant(place)
    assert records.keys() == tables
    assert {one.get("contentUrl") for one in described["distribution"]} >= {"annotations/instances_val2017.json"}
    assert card(place)[0]["pretty_name"] == "poor"


def test_records_at_the_top_of_a_place(tmp_path):
    _, records = croissant(put(tmp_path / "run", frame_1=(4, 4), frame_12=(4, 4)))
    assert [row["number"] for row in records["frames"]] == [1, 12]
    _, records = croissant(
        put(
            tmp_path / "shop",
            initial_image__1_person=(4, 4),
            cloth_image__1_cloth_a=(4, 4),
            try_on_image__1_vton=(4, 4),
        )
    )
    assert {id: rows[0]["stem"] for id, rows in records.items()} == dict.fromkeys(("persons", "cloths", "try_ons"), "1")
    _, records = croissant(put(tmp_path / "shots", train__a=(4, 4), val__b=(4, 4), val__c__d=(4, 4)))
    assert {id: len(rows) for id, rows in records.items()} == {"train_images": 1, "val_images": 2}
    many = {f"n{number}": (4, 4) for number in range(60)}
    _, records = croissant(put(tmp_path / "many", **many))
    assert len(records["images"]) == 60
    _, records = croissant(put(tmp_path / "both", a=(4, 4), cats__b=(4, 4), dogs__c=(4, 4)))
    assert {id: len(rows) for id, rows in records.items()} == {"images": 3}


def test_many_files_of_no_table_are_told_by_their_endings(tmp_path):
    place = put(tmp_path / "odd", cats__a=(4, 4))
    (place / "one.csv").write_text("a")
    (place / "notes").mkdir()
    for number in range(51):
        (place / f"n{number}.txt").write_text("x")
        (place / f"notes/n{number}").write_text("x")
    document, _ = croissant(place)
    told = sorted(one.get("contentUrl") or one["includes"] for one in document["distribution"])
    assert told == ["[!.]*.txt", "cats/*.png", "notes/*", "one.csv"]


# Where from


def test_it_says_what_the_record_says(made, monkeypatch):
    document = json.loads(visprep.export_metadata(made / "coco", to="croissant").text)
    step = json.loads((made / "coco/dataset.json").read_bytes())["steps"][0]
    assert document["license"] == "https://spdx.org/licenses/Apache-2.0.html"
    assert document["dateCreated"] == document["dateModified"] == step["date"]
    assert f"visprep download sample (splits train2017, val2017) on {step['date'][:10]}" in document["description"]


def test_a_place_that_is_called_like_a_source_is_not_that(made):
    document = json.loads(visprep.export_metadata(made / "yolo", to="croissant").text)
    assert "url" not in document  # its one step says: convert, source coco
    assert "common objects" not in document["description"]
    assert visprep.export_metadata(made / "yolo", to="croissant").unknown == ("license", "home page")


def test_a_source_tells_its_home(place):
    coco = place("coco")
    edited(
        coco / "dataset.json",
        lambda document: document["steps"][0].update(source="videothinkbench", license="MIT", revision="abc"),
    )
    document = croissant(coco)[0]
    assert document["url"].startswith("https://huggingface.co/datasets/")
    assert "revision abc" in document["description"]
    told, _ = card(coco)
    assert told["source_datasets"] == [document["url"].removeprefix("https://huggingface.co/datasets/")]


@pytest.mark.parametrize(
    ("said", "hub", "name", "url"),
    [
        ("Apache-2.0", ("apache-2.0",), None, "Apache-2.0"),
        ("mit", ("mit",), None, "MIT"),
        ("odbl", ("odbl",), None, "ODbL-1.0"),
        ("ODbL-1.0", ("odbl",), None, "ODbL-1.0"),
        ("mit, cc-by-4.0", ("mit", "cc-by-4.0"), None, None),
        ("unknown", ("unknown",), None, None),
        ("annotations CC-BY-4.0; images as each says (Flickr)", ("other",),
         "annotations-cc-by-4.0-images-as-each-says-flickr", None),
    ],
)  # fmt: skip
def test_licenses_are_called_as_the_hub_calls_them(said, hub, name, url):
    assert hub_license(said) == (hub, name)
    assert spdx_url(said) == (f"https://spdx.org/licenses/{url}.html" if url else None)


# Cards


def test_a_card_says_what_the_hub_searches_by(made):
    told, body = card(made / "coco")
    assert told == {
        "pretty_name": "coco",
        "license": "apache-2.0",
        "task_categories": ["object-detection", "image-segmentation", "image-to-text"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train2017", "path": "train2017/**"},
                    {"split": "val2017", "path": "val2017/**"},
                ],
                "drop_labels": True,
            }
        ],
    }
    assert "| `train2017` | 10 | 19 |" in body
    truth = Counter()
    for split in ("train2017", "val2017"):
        document = json.loads((made / f"coco/annotations/instances_{split}.json").read_bytes())
        names = {one["id"]: one["name"] for one in document["categories"]}
        truth.update(names[one["category_id"]] for one in document["annotations"])
    rows = re.findall(r"^\| (.+) \| (\d+) \|$", body.partition("## Classes")[2].partition("##")[0], re.MULTILINE)
    assert {name: int(count) for name, count in rows} == truth
    assert "| Attribution License | 8 |" in body


def test_a_split_is_told_once_though_its_captions_are_of_other_images(place):
    coco = place("coco")

    def others(document):
        gone = document["images"].pop(0)["id"]
        document["annotations"] = [one for one in document["annotations"] if one["image_id"] != gone]
        document["images"] += [document["images"][0] | {"id": 9000 + at, "file_name": f"{at}.jpg"} for at in range(2)]

    edited(coco / "annotations/captions_val2017.json", others)
    _, body = card(coco)
    told = visprep.stats(coco, pixels="none")
    assert [(one.name, one.records) for one in told.splits] == [("train2017", 10), ("val2017", 8)]
    assert f"18 images with {told.annotations} annotations: train2017 10, val2017 8." in body
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| \d+ \|$", body, re.MULTILINE)
    assert rows == [("train2017", "10"), ("val2017", "8")]
    licenses = body.partition("## License")[2].partition("## Files")[0]
    assert sum(map(int, re.findall(r"\| (\d+) \|$", licenses, re.MULTILINE))) == 18


def test_masks_without_an_outline_are_none(place):
    """What is made of boxes alone often has an empty list, or null, where the outline would be."""
    coco = place("coco")
    for split, empty in (("train2017", []), ("val2017", None)):
        file = coco / f"annotations/instances_{split}.json"
        edited(file, lambda document, empty=empty: [one.update(segmentation=empty) for one in document["annotations"]])
    assert card(coco)[0]["task_categories"] == ["object-detection", "image-to-text"]


@pytest.mark.parametrize(
    ("kind", "uses", "size"),
    [
        ("tasks", ["image-to-image"], ["n<1K"]),
        ("vton", ["image-to-image"], ["n<1K"]),
        ("open-images", ["object-detection", "image-segmentation"], ["n<1K"]),
        ("frames", None, ["n<1K"]),
        ("voc", ["object-detection"], ["n<1K"]),
        ("parquet", None, None),
    ],
)
def test_cards_of_other_kinds(made, kind, uses, size):
    told, _ = card(made / kind)
    assert (told.get("task_categories"), told.get("size_categories")) == (uses, size)


def test_the_hub_library_reads_a_card_and_writes_the_same(made):
    hub = pytest.importorskip("huggingface_hub")
    text = visprep.export_metadata(made / "coco", to="hf-card").text
    read = hub.DatasetCard(text)
    assert read.data.license == "apache-2.0"
    assert read.data.to_dict() == card(made / "coco")[0]
    assert "# coco" in read.text


@pytest.mark.parametrize(
    ("kind", "splits"),
    [("coco", {"train2017": 10, "val2017": 6}), ("open-images", {"train": 10, "validation": 6, "test": 4}),
     ("parquet", {"train": 32}), ("webdataset", {"train": 32})],
)  # fmt: skip
def test_datasets_loads_what_a_card_says_it_does(place, kind, splits, monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    described = place(kind)
    visprep.export_metadata(described, to="hf-card", output=described / "README.md", overwrite=True)
    found = datasets.load_dataset(str(described), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in found.items()} == splits


def test_a_card_shows_names_as_they_are(place):
    coco = place("coco")

    def change(document):
        document["categories"][0]["name"] = "<b>|_*`x`"
        document["licenses"][0]["name"] = "a | b"

    for split in ("train2017", "val2017"):
        edited(coco / f"annotations/instances_{split}.json", change)
    _, body = card(coco)
    assert r"| \<b\>\|\_\*\`x\`" in body
    assert r"| a \| b | 8 |" in body


# Files, places and errors


def test_it_does_not_describe_itself(place):
    coco = place("coco")
    for to, name in (("croissant", "croissant.json"), ("hf-card", "README.md")):
        first = visprep.export_metadata(coco, to=to, output=coco / name)
        again = visprep.export_metadata(coco, to=to, output=coco / name)
        assert (first.changed, again.changed) == (True, False)
        assert (coco / name).read_text() == first.text == again.text
    assert not visprep.verify(coco).failed
    assert not any(one.code == "unexpected-file" for one in visprep.verify(coco).findings)


def test_it_replaces_what_it_wrote_and_nothing_else(made, run, tmp_path):
    file = tmp_path / "README.md"
    for to in ("hf-card", "croissant", "hf-card"):  # each over the other
        assert run("export-metadata", made / "coco", "--to", to, "--output", file).code == 0
    ours = file.read_text()
    file.write_text(ours.replace("sports ball", "ball"))
    refused = run("export-metadata", made / "coco", "--to", "hf-card", "--output", file)
    assert refused.code == 3
    assert "[would-overwrite]" in refused.err
    assert "sports ball" not in file.read_text()
    assert run("export-metadata", made / "coco", "--to", "hf-card", "--output", file, "--overwrite").code == 0
    assert file.read_text() == ours
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".visprep-part"] == []


def test_a_large_file_of_others_is_not_read(made, run, tmp_path):
    with (tmp_path / "train.tar").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing
    argv = ("export-metadata", made / "coco", "--to", "hf-card", "--output", tmp_path / "train.tar")
    assert run(*argv).code == 3
    assert run(*argv, "--overwrite").code == 0
    assert (tmp_path / "train.tar").read_text().startswith("---")


def test_an_output_that_cannot_be(made, run, tmp_path):
    for output, code in (("s3://bucket/card.md", 2), (tmp_path, 3), (tmp_path / "none" / "card.md", 3)):
        ended = run("export-metadata", tmp_path / "nowhere", "--to", "hf-card", "--output", output)
        assert (ended.code, "nowhere" in ended.err) == (code, False)


def test_to_stdout(made, run):
    ended = run("export-metadata", made / "tasks", "--to", "croissant")
    assert ended.code == 0
    assert json.loads(ended.out)["name"] == "tasks"
    assert ended.out == visprep.export_metadata(made / "tasks", to="croissant").text
    assert "home page" in ended.err
    assert run("export-metadata", made / "tasks", "--to", "croissant", "--quiet").err == ""


def test_a_bucket_tells_the_same(made, run, bucket):
    target = f"s3://{bucket}/coco"
    assert run("upload", made / "coco", target).code == 0
    for to in ("croissant", "hf-card"):
        assert visprep.export_metadata(target, to=to).text == visprep.export_metadata(made / "coco", to=to).text


@pytest.mark.parametrize(
    ("kind", "end", "media_type"), [("zip", "zip", "application/zip"), ("gztar", "tar.gz", "application/x-tar")]
)
def test_an_archive_holds_what_is_told_of(made, tmp_path, kind, end, media_type):
    shutil.make_archive(str(tmp_path / "coco"), kind, made / "coco")
    name = f"coco.{end}"
    document = json.loads(visprep.export_metadata(tmp_path / name, to="croissant").text)
    archive, *others = document["distribution"]
    assert document["name"] == "coco"
    assert archive["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert archive["encodingFormat"] == media_type
    assert {one["containedIn"]["@id"] for one in others} == {archive["@id"]} == {name}
    plainly = json.loads(visprep.export_metadata(made / "coco", to="croissant").text)
    assert [one | {"containedIn": {"@id": name}} for one in plainly["distribution"]] == others
    assert document["recordSet"] == plainly["recordSet"]


def test_errors(made, place, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text/notes.md").write_text("x")
    for error, arguments in (
        (UnknownName, {"place": made / "coco", "to": "Croissant"}),
        (PlaceMissing, {"place": tmp_path / "nowhere", "to": "croissant"}),
        (PlaceMissing, {"place": tmp_path / "empty", "to": "croissant"}),
        (PlaceMissing, {"place": tmp_path / "text/notes.md", "to": "croissant"}),
        (UnknownContent, {"place": tmp_path / "text", "to": "hf-card"}),
        (UsageError, {"place": made / "coco/annotations/instances_val2017.json", "to": "croissant"}),
        (UsageError, {"place": made / "coco", "to": "hf-card", "output": "s3://bucket/README.md"}),
        (DiskError, {"place": made / "coco", "to": "hf-card", "output": tmp_path}),
        (WouldOverwrite, {"place": made / "coco", "to": "hf-card", "output": tmp_path / "text/notes.md"}),
    ):
        with pytest.raises(error):
            visprep.export_metadata(**arguments)
    broken = place("coco")
    (broken / "dataset.json").write_text("{}")
    with pytest.raises(BadRecord):
        visprep.export_metadata(broken, to="croissant")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_nothing_is_put_in_place_of_a_pipe_or_a_device(run, made, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for more in (["--overwrite"], []):
        ended = run("export-metadata", made / "coco", "--to", "hf-card", "--output", pipe, *more)
        assert (ended.code, "[disk-error]" in ended.err, pipe.is_fifo()) == (3, True, True)
    assert (
        "[usage]" in run("export-metadata", made / "coco", "--to", "hf-card", "--output", "s3://bucket/README.md").err
    )


def test_a_card_shows_names_as_they_are_and_takes_no_markup_from_them(tmp_path):
    folder = tmp_path / "shots" / "a`<img src=x>_b"
    folder.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "x.png")
    card = visprep.export_metadata(tmp_path / "shots", to="hf-card").text
    row = next(line for line in card.splitlines() if "png" in line)
    assert row.startswith("| ``a`<img src=x>_b/*.png`` | The images (a\\`\\<img src=x\\>\\_b/) | 1 |")


def test_names_that_are_no_unicode_are_no_traceback(tmp_path):
    home = os.fsencode(tmp_path) + b"/shots/\xff\xfe"
    Path(os.fsdecode(home)).mkdir(parents=True)
    picture = Path(tmp_path / "one.png")
    Image.new("RGB", (4, 4)).save(picture)
    shutil.copy(picture, home + b"/x.png")
    for to in ("croissant", "hf-card"):
        made = visprep.export_metadata(tmp_path / "shots", to=to, output=tmp_path / to)
        assert "??/*.png" in made.text
        assert not visprep.export_metadata(tmp_path / "shots", to=to, output=tmp_path / to).changed


def test_a_place_with_a_command_under_way_says_so(place):
    coco = place("coco")
    assert not visprep.export_metadata(coco, to="hf-card").notes
    (coco / ".visprep/in-progress").write_text("")
    assert "has not ended" in visprep.export_metadata(coco, to="hf-card").notes[0]


def test_a_published_place_tells_of_the_version_that_counts(made, run, bucket):
    target = f"s3://{bucket}/published"
    assert run("publish", made / "coco", target).code == 0
    there, here = (json.loads(visprep.export_metadata(place, to="croissant").text) for place in (target, made / "coco"))
    assert there["name"] == "published"
    assert there["distribution"] == here["distribution"]
    assert there["recordSet"] == here["recordSet"]
