"""docs/convert.md is true: what it recognizes, what it says is lost, and where."""

import shlex

import visprep
from test_docs import FENCED, PAGES, named, table
from visprep.formats.class_map import ClassMap
from visprep.formats.open_images_layouts import LAYOUTS
from visprep.formats.task_rows import COLUMNS
from visprep.testing import open_images_tools as tools
from visprep.testing.open_images import lay_out

GUIDE = PAGES["convert.md"]


def test_it_lists_every_tool():
    assert [named(name)[0] for name, *_ in table(GUIDE, "Left by")] == [layout.name for layout in LAYOUTS]


def test_its_commands_run(run, bucket, tmp_path):
    for config, place in ("coco", f"s3://{bucket}/coco"), ("tasks", "data/questions"):
        assert run("download", "sample", "--config", config, "--output", place).code == 0
    upstream = lay_out(tmp_path / "upstream")
    tools.fiftyone(upstream, tmp_path / "work/fiftyone/open-images-v7")
    blocks = FENCED.findall(GUIDE)
    (tmp_path / "work/classes.txt").write_text(next(block for _, language, block in blocks if language == "text"))
    for _, language, block in blocks:
        for line in block.splitlines() if language == "sh" else ():
            ended = run(*shlex.split(line.replace("my-bucket", bucket))[1:])
            assert ended.code == 0, ended.err
    work = tmp_path / "work/data"
    for path in (work / "coco/annotations").iterdir():
        assert (work / "coco-back/annotations" / path.name).read_bytes() == path.read_bytes()


def test_what_it_says_is_lost_is_what_is_told(tmp_path):
    upstream = lay_out(tmp_path / "upstream")
    datumaro = tools.datumaro(upstream, tmp_path / "1", upstream.of("train"))
    next(datumaro.glob("masks/train/*.png")).unlink()
    mids = datumaro / "annotations/class-descriptions-boxable.csv"
    mids.write_text("".join(f"{mid},{mid}\n" for mid in ("/m/0jbk", "/m/01yrx", "/m/0bt9lr", "/m/01g317", "/m/07yv9",
                                                         "/m/0k4j", "/m/083wq")))  # fmt: skip
    bare = tools.oidv6(upstream, tmp_path / "2", ("Cat", "Dog", "Person"), tables=False)
    results = [visprep.convert(origin, to="coco", output=f"{origin}-coco") for origin in (datumaro, bare)]
    told = {name for result in results for name in result.losses}
    assert {name for cell, *_ in table(GUIDE, "Not told") for name in named(cell)} == told


def test_its_classes_are_as_it_says():
    block = next(block for _, language, block in FENCED.findall(GUIDE) if language == "text")
    names = ClassMap.parse(block, "classes.txt").names(["sports ball", "kite", "book"])
    assert names == {"sports ball": "ball", "kite": "kite", "book": None}


def test_the_columns_of_tasks_are_those_that_are_written():
    assert [name for cell, *_ in table(GUIDE, "Column") for name in named(cell)] == [name for name, _ in COLUMNS]
