"""`visprep split` on COCO files of any shape: however they are laid out, the parts together are the file."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from coco_documents import captions, instances, keypoints
from visprep.formats import coco_json, coco_parts
from visprep.formats.coco_json import JsonFile

KINDS = {"instances": instances, "captions": captions, "keypoints": keypoints}


def laid_out(document, seed):
    """The document as JSON: its keys in some order, with some blanks, and some that nobody knows."""
    rng = random.Random(seed)
    document = {**document, "mine": {"deep": [1, {"images": [{"id": 1}]}]}, "lists": [[], [1.50, None]]}
    keys = list(document)
    rng.shuffle(keys)
    for one in rng.sample(document["images"], 1) + rng.sample(document["annotations"], 1):
        one["ünknown"] = {"annotations": '"images": [ {'}
    style = rng.choice([{}, {"indent": 1}, {"separators": (",", ":")}, {"indent": "\t", "ensure_ascii": False}])
    return json.dumps({key: document[key] for key in keys}, **style)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_the_parts_together_are_the_file(run, tmp_path, kind, seed):
    file = tmp_path / f"in/{kind}_train.json"
    file.parent.mkdir()
    file.write_text(laid_out(KINDS[kind](), seed), encoding="utf-8")
    whole = json.loads(file.read_text(encoding="utf-8"))
    assert run("split", file, "-o", "out", "--parts", "a=0.4,b=0.3,c=0.3", "--seed", str(seed)).code == 0
    parts = [json.loads((tmp_path / f"work/out/{kind}_{part}.json").read_text(encoding="utf-8")) for part in "abc"]
    for key, value in whole.items():
        if key in ("images", "annotations"):
            rows = [one for part in parts for one in part[key]]
            assert sorted(rows, key=lambda one: one["id"]) == sorted(value, key=lambda one: one["id"])
            orders = [[value.index(one) for one in part[key]] for part in parts]
            assert orders == [sorted(order) for order in orders]
        else:
            assert [part[key] for part in parts] == [value] * 3
    assert all(list(part) == list(whole) for part in parts)


@pytest.mark.parametrize("seed", range(12))
def test_pieces_of_several_files_become_one(tmp_path, seed):
    rng = random.Random(seed)
    pieces, images, rows = [], [], []
    for number in range(3):
        document = instances(4)
        for key, field in (("images", "id"), ("annotations", "id"), ("annotations", "image_id")):
            for one in document[key]:
                one[field] += 10_000 * number
        path = tmp_path / f"{number}.json"
        path.write_text(laid_out(document, seed if not number else seed + number), encoding="utf-8")
        index = coco_json.index(JsonFile.on_disk(path))
        read = json.loads(path.read_text(encoding="utf-8"))
        chosen = [rng.random() < 0.5 for _ in read["images"]], [rng.random() < 0.5 for _ in read["annotations"]]
        directory = rng.choice(["", f"d{number}", 'odd "näme"'])
        pieces.append(coco_parts.Piece(index, *(np.array(one, np.bool_) for one in chosen), directory))
        for one, is_in in zip(read["images"], chosen[0], strict=True):
            lead = f"{directory}/" if directory else ""
            images += [{**one, "file_name": f"{lead}{one['file_name']}"}] if is_in else []
        rows += [one for one, is_in in zip(read["annotations"], chosen[1], strict=True) if is_in]
    coco_parts.check_together([piece.index for piece in pieces], "abc")
    coco_parts.check_ids(pieces, "abc")
    made = json.loads(b"".join(coco_parts.chunks(pieces)))
    first = json.loads((tmp_path / "0.json").read_text(encoding="utf-8"))
    assert made == {**first, "images": images, "annotations": rows}
