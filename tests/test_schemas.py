"""Every `--json` has a schema, and prints what it says; so does every other test that prints JSON (see conftest)."""

import json
import shutil

import jsonschema
import pytest

import visprep
from coco_place import make
from json_outputs import SCHEMAS, closed, schema_file, validator
from left_runs import save
from test_taste import COMMANDS
from visprep.testing import Mirror
from visprep.testing.coco import lay_out

WITH_JSON = [name for name, function in COMMANDS.items() if "json" in function.__annotations__]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Places that nobody changes."""
    root = tmp_path_factory.mktemp("schemas")
    visprep.download("sample", root / "tasks", limit=4)
    visprep.download("sample", root / "fewer", limit=2)
    (next(root.glob("fewer/*/*/prompt.txt"))).write_text("Say something else.\n")
    visprep.download("sample", root / "coco", config="coco")
    make(root / "bad")
    (root / "bad/val2017/000000000007.jpg").write_bytes(b"no picture")
    save(str(root / "runs"), "first", 3, metrics={"loss": 0.25, "gone": float("nan")})
    (root / "left.txt").write_text("left")
    return root


@pytest.fixture
def far(bucket):
    return f"s3://{bucket}/place"


#: command -> lines to run, of which the last one's output is looked at. {m} is a place of `made`, {f} one on S3.
LINES = {
    "demo": [],  # test_road walks it once, and looks at what it prints
    "doctor": ["doctor", "doctor {m}/tasks"],
    "sources": ["sources"],
    "download": [
        "download sample --limit 2 --output here",
        "download {m}/tasks --output here",
        "download sample --config coco --output here",
        "download sample --config coco --output {f}",
    ],
    "status": ["status {m}/tasks", "status {m}/bad"],
    "verify": ["verify {m}/tasks", "verify {m}/bad", "verify {f}", "verify {m}/coco --dry-run"],
    "fix": ["fix here --how quarantine"],
    "split": [
        "split {m}/coco/annotations/instances_train2017.json --parts a=0.5,b=0.5 --method exact --stratify",
        "split {m}/tasks --parts a=0.5,b=0.5",
        "split {m}/bad/annotations/instances_val2017.json --parts a=0.5,b=0.5 --clean --near-duplicates",
    ],
    "leaks": ["leaks {m}/coco", "leaks {m}/coco --against {m}/bad --certificate leaks.json"],
    "gather": [
        "gather sample --output x --splits y --parts a=0.5,b=0.5",
        "gather {m}/bad --skip-download --splits y --parts train=0.5,val=0.5",
    ],
    "convert": ["convert {m}/coco --to yolo --output here", "convert {m}/coco --to voc --output here --lossless"],
    "upload": ["upload {m}/tasks {f}"],
    "publish": ["publish {m}/tasks {f}", "publish {m}/tasks {f} --dry-run"],
    "sync": ["sync {m}/tasks here", "sync {m}/tasks here --dry-run"],
    "diff": [
        "diff {m}/tasks {m}/coco",
        "diff {m}/coco {m}/bad",
        "diff {m}/tasks {m}/fewer",
        "diff {m}/tasks {m}/tasks",
    ],
    "ls": ["ls {m}/tasks", "ls {m}/bad", "ls {f}"],
    "stats": ["stats {m}/tasks", "stats {m}/coco", "stats {m}/bad"],
    "report": ["report {m}/tasks --output page.html"],
    "export-metadata": [
        "export-metadata {m}/tasks --to croissant",
        "export-metadata {m}/coco --to hf-card --output README.md",
    ],
    "rebuild": ["rebuild {m}/tasks/dataset.json --output here", "rebuild {m}/tasks/dataset.json --dry-run"],
    "explain": ["explain", "explain file-missing"],
    "runs list": ["runs list {m}/runs"],
    "runs show": ["runs show {m}/runs"],
    "runs pull": ["runs pull {m}/runs --output here"],
    "runs push": ["runs push {m}/runs {f}"],
    "runs tensorboard": ["runs tensorboard {m}/runs --output here"],
}


def test_every_command_that_prints_json_has_a_schema_and_a_line_here():
    """A new one gets a row in scripts/json_schemas.py, one in docs/json.md, and a line in LINES."""
    assert [name for name in WITH_JSON if not schema_file(name).is_file()] == []
    assert [name for name in WITH_JSON if name not in LINES] == []
    page = (SCHEMAS.parent / "json.md").read_text(encoding="utf-8")
    assert [name for name in WITH_JSON if f"| `visprep {name}`" not in page] == []
    assert sorted(path.name for path in SCHEMAS.iterdir()) == sorted(schema_file(name).name for name in WITH_JSON)


@pytest.mark.parametrize(("command", "line"), [(name, line) for name, lines in LINES.items() for line in lines])
def test_what_is_printed_is_what_the_schema_says(request, run, made, tmp_path, command, line):
    if command == "fix":
        shutil.copytree(made / "bad", tmp_path / "work/here")
    there = {"m": made, "f": request.getfixturevalue("far") if "{f}" in line else None}
    if line in ("verify {f}", "ls {f}"):
        visprep.upload(made / "tasks", there["f"])
    ended = run(*line.format(**there).split(), "--json")
    assert ended.code in (0, 1), ended.err
    document = json.loads(ended.out)
    validator(command, strict=True).validate(document)
    assert document["format_version"] == 1


def test_a_download_out_of_archives_is_what_its_schema_says(run, tmp_path):
    lay_out(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as mirror:
        where = ("--mirror", mirror.url, "--checksums", tmp_path / "upstream/SHA256SUMS", "--json")
        for more in (("--dry-run",), ("--classes", "kite")):
            ended = run("download", "coco", "--split", "val2017", "--output", "coco", *more, *where)
            validator("download", strict=True).validate(json.loads(ended.out))


def test_what_is_not_as_the_schema_says_is_noticed(run, made):
    document = json.loads(run("ls", made / "tasks", "--json").out)
    for wrong in (
        document | {"files": [{"path": 1}]},
        document | {"bytes": None},
        {key: value for key, value in document.items() if key != "format_version"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator("ls").validate(wrong)
    validator("ls").validate(document | {"new": 1})  # fields may be added
    with pytest.raises(jsonschema.ValidationError):
        validator("ls", strict=True).validate(document | {"new": 1})


def test_a_schema_is_closed_all_the_way_down():
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {}}}}}
    assert closed(schema)["properties"]["a"]["items"]["additionalProperties"] is False
