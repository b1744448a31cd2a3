"""COCO to COCO keeps every byte of meaning: whatever a file says, and however it is written."""

import json
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import visprep

IDS = st.integers(-(2**63) + 1, 2**63 - 1) | st.sampled_from([0, 2**63 - 1, 2**53 + 1, 900100002685])
BLANKS = ("", "", "", " ", "\n", "\t", "\r\n", "  \n ")
KNOWN = {
    "images": ("width", "height", "license", "date_captured", "flickr_url", "coco_url"),
    "annotations": ("bbox", "area", "iscrowd", "keypoints", "num_keypoints", "attributes"),
    "categories": ("supercategory", "keypoints", "skeleton", "color"),
    "licenses": ("url", "name"),
    "info": ("year", "version", "description", "contributor", "url", "date_created"),
}


class Text(str):
    """JSON as it stands in a file."""

    __slots__ = ()


numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True).map(Text)
pieces = st.sampled_from([r"\n", r"\/", r"\"", r"\\", r"\u0041", r"\u00e9", r"\uD83D\uDE00", r"\u0000", r"\b"])
plain = st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cs", "Cc"]), max_size=4)
strings = st.lists(pieces | plain, max_size=4).map(lambda some: Text(f'"{"".join(some)}"'))
unknown = st.tuples(st.sampled_from("_-é"), st.text("aé\U0001f600/", max_size=3)).map("".join)
values = st.recursive(
    numbers | strings | st.sampled_from(["null", "true", "false"]).map(Text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(unknown, inner, max_size=3),
    max_leaves=6,
)
polygons = st.lists(st.lists(numbers, min_size=6, max_size=6), max_size=2)
masks = st.fixed_dictionaries({"counts": st.lists(st.integers(0, 9)) | strings, "size": st.just([64, 96])})


#: What would be no COCO otherwise: such records pass as they are, and are not changed.
TYPED = {"supercategory": strings, "width": st.integers(1, 2**31), "height": st.integers(1, 2**31)}
TYPED |= {"iscrowd": st.sampled_from([0, 1]), "license": IDS, "flickr_url": strings, "coco_url": strings}
TYPED |= {"url": strings, "name": strings}


@st.composite
def records(draw, kind, **fixed):
    """A record with any of the keys that there are for it, others beside them, in any order."""
    made = {name: draw(values) for name in draw(st.lists(st.sampled_from(KNOWN[kind]), unique=True))}
    made |= {name: draw(TYPED[name]) for name in TYPED if name in made}
    made |= draw(st.dictionaries(unknown, values, max_size=2))
    made |= {name: draw(what) for name, what in fixed.items()}
    return dict(draw(st.permutations(list(made.items()))))


@st.composite
def documents(draw, rest=True):
    images = draw(st.lists(IDS, unique=True, max_size=4))
    names = [Text(f'"{number}{name[1:-1]}.jpg"') for number, name in enumerate(draw(strings) for _ in images)]
    classes = [-5, 2**53 + 1, 18]
    made = {
        "images": [
            draw(records("images", id=st.just(one), file_name=st.just(name)))
            for one, name in zip(images, names, strict=True)
        ],
        "annotations": draw(
            st.lists(
                records(
                    "annotations", id=IDS, image_id=st.sampled_from(images or [1]),
                    category_id=st.sampled_from(classes), segmentation=polygons | masks,
                ),
                max_size=4,
                unique_by=lambda one: one["id"],
            )
        ),
        "categories": [
            draw(records("categories", id=st.just(one), name=st.just(f"class {one}"))) for one in classes
        ],
    }  # fmt: skip
    if rest:
        made["licenses"] = draw(st.lists(records("licenses", id=IDS), max_size=2))
        made["info"] = draw(records("info"))
        made |= draw(st.dictionaries(unknown, values, max_size=2))
    return dict(draw(st.permutations(list(made.items()))))


def written(what, dice):
    """A document as JSON, with blanks wherever there may be some."""
    blank = dice.choice
    if isinstance(what, Text):
        return what
    if isinstance(what, list):
        inside = ",".join(f"{blank(BLANKS)}{written(one, dice)}{blank(BLANKS)}" for one in what)
        return f"[{inside or blank(BLANKS)}]"
    if isinstance(what, dict):
        pairs = (
            f"{blank(BLANKS)}{json.dumps(name, ensure_ascii=dice.random() < 0.5)}{blank(BLANKS)}:{blank(BLANKS)}"
            f"{written(one, dice)}{blank(BLANKS)}"
            for name, one in what.items()
        )
        return f"{{{','.join(pairs) or blank(BLANKS)}}}"
    return json.dumps(what)


def said(path):
    """What a file says: numbers by their digits, keys in their order."""
    return json.loads(path.read_bytes(), parse_int=Digits, parse_float=Digits, object_pairs_hook=Pairs)


class Digits(str):
    """A number as it is written, which is no text."""

    __slots__ = ()

    def __eq__(self, other):
        return isinstance(other, Digits) and str(self) == str(other)

    __hash__ = None


class Pairs(list):
    """An object, with the order of its keys."""

    def __getitem__(self, name):
        return dict(self)[name]

    def put(self, name, value):
        return Pairs((key, value if key == name else one) for key, one in self)


def convert(origin, output, **options):
    visprep.convert(origin, to="coco", output=output, **options)
    return output / origin.name


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(), st.randoms(use_true_random=False))
def test_whatever_it_says_and_however_it_is_written(tmp_path_factory, document, dice):
    place = tmp_path_factory.mktemp("any")
    origin = place / "a.json"
    origin.write_bytes((dice.choice(BLANKS) + written(document, dice) + dice.choice(BLANKS)).encode())
    whole = said(origin)
    assert convert(origin, place / "same").read_bytes() == origin.read_bytes()
    # A class of another name: that alone is another
    (place / "classes.txt").write_text("class 18 = dog\n")
    renamed = convert(origin, place / "renamed", classes=place / "classes.txt")
    classes = [one.put("name", "dog") if one["name"] == "class 18" else one for one in whole["categories"]]
    assert said(renamed) == whole.put("categories", classes)
    # Names that lead elsewhere, and back
    if document["images"]:
        far = convert(origin, place / "far", image_root="s3://bucket/p")
        names = [one.put("file_name", f"s3://bucket/p/{one['file_name']}") for one in whole["images"]]
        assert said(far) == whole.put("images", names)
        assert convert(far, place / "back", strip_root="s3://bucket/p").read_bytes() == origin.read_bytes()
    # A class less: what is of the others stays as it is
    (place / "classes.txt").write_text("-class 18\n")
    fewer = convert(origin, place / "fewer", classes=place / "classes.txt")
    kept = [one for one in whole["annotations"] if one["category_id"] != Digits(18)]
    classes = [one for one in whole["categories"] if one["id"] != Digits(18)]
    assert said(fewer) == whole.put("annotations", kept).put("categories", classes)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(), documents(rest=False), st.randoms(use_true_random=False))
def test_what_joins_changes_its_ids_alone(tmp_path_factory, first, second, dice):
    place = tmp_path_factory.mktemp("any")
    second["categories"] = first["categories"]  # so they become one
    for number, image in enumerate(second["images"]):
        image["file_name"] = f"second {number}.jpg"
    for name, document in (("a.json", first), ("b.json", second)):
        (place / name).write_text(written(document, dice), encoding="utf-8", newline="")
    one, other = said(place / "a.json"), said(place / "b.json")
    joined = said(convert(place / "a.json", place / "both", merge=[place / "b.json"], renumber=True))
    for kind, own in (("images", ()), ("annotations", ("image_id",))):
        count = len(one[kind])
        assert joined[kind][:count] == one[kind]
        for before, after in zip(other[kind], joined[kind][count:], strict=True):
            for name in ("id", *own):
                before = before.put(name, after[name])
            assert after == before
    assert joined["categories"] == one["categories"]
    assert [pair for pair in joined if pair[0] not in ("images", "annotations")] == [
        pair for pair in one if pair[0] not in ("images", "annotations")
    ]
    ids = [found["id"] for found in joined["images"]]
    assert len({re.sub(r"^-0$", "0", id) for id in map(str, ids)}) == len(ids)
