"""docs/metadata.md is true: its commands run, and its tables name what is written."""

import json
import re
import shlex

import yaml

import visprep
from test_docs import FENCED, PAGES, named, table
from test_export_metadata import KINDS, made  # noqa: F401 -- a fixture

GUIDE = PAGES["metadata.md"]


def blocks(language):
    return [block for _, found, block in FENCED.findall(GUIDE) if found == language]


def test_its_commands_run_and_its_code_names_what_is_there(run, bucket, tmp_path):
    for place in ("data/coco", f"s3://{bucket}/coco"):
        assert run("download", "sample", "--config", "coco", "--output", place).code == 0
    for block in blocks("sh"):
        for line in block.splitlines():
            ended = run(*shlex.split(line.replace("my-bucket", bucket))[1:])
            assert ended.code == 0, ended.err
    (code,) = blocks("python")
    document = json.loads((tmp_path / "work" / re.search(r'Dataset\("(.+)"\)', code)[1]).read_bytes())
    tables = {one["@id"]: {field["@id"] for field in one["field"]} for one in document["recordSet"]}
    fields = tables[re.search(r'records\("(.+)"\)', code)[1]]
    assert set(re.findall(r'record\["(.+?)"\]', code)) <= fields


def test_its_record_sets_are_those_that_are_written(made):  # noqa: F811
    told = {named(kind)[0]: set(named(sets)) for kind, sets in table(GUIDE, "Kind")}
    for kind in set(KINDS) & told.keys():
        document = json.loads(visprep.export_metadata(made / kind, to="croissant").text)
        ids = {one["@id"] for one in document["recordSet"]}
        if kind == "coco":
            assert {"train2017_images", "train2017_pictures", "instances_train2017"} <= ids
            assert told.pop(kind) == {"SPLIT_images", "DIRECTORY_pictures", "categories"}
        else:
            assert ids <= told[kind]
            assert told.pop(kind) - ids <= {"goals"}
    assert told.keys() == {"images"}


def test_its_keys_are_those_of_cards(made):  # noqa: F811
    keys = set()
    for kind in KINDS:
        keys |= yaml.safe_load(visprep.export_metadata(made / kind, to="hf-card").text.split("---\n")[1]).keys()
    told = {name for cell, *_ in table(GUIDE, "Key") for name in named(cell)}
    assert told - keys == {"source_datasets"}  # none of these is from the hub
    assert keys <= told
