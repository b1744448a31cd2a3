"""The rules of places of Pascal VOC: between annotations and images, their names, sets, and the names of classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from visprep.findings import Finding, Level
from visprep.formats.voc import VocAnnotation
from visprep.formats.voc_place import VocPlace, VocRecord, VocSet
from visprep.render.text import counted
from visprep.rules import Depth, Rule
from visprep.rules.lines import Said, together

N, H = Depth.NAMES, Depth.HEADERS

NO_VOC = Rule(
    "no-voc-annotations",
    Level.ERROR,
    N,
    "No annotation of Pascal VOC is at the place.",
    "It is empty, or another directory was meant.",
    "name the directory with Annotations/ in it, or one with XML files beside their images",
    bad="A place with one image, photos/a.jpg, and nothing else.",
    near="Annotations/a.xml with JPEGImages/a.jpg.",
)
VOC_ANNOTATION_MISSING = Rule(
    "voc-annotation-missing",
    Level.WARNING,
    N,
    "An image has no annotation.",
    "No set can name it for detection; if its annotation was lost, so are its objects.",
    "fetch the annotation, or write one without an object where it shows nothing",
    bad="JPEGImages/a.jpg without Annotations/a.xml.",
    near="Annotations/a.xml has no `<object>`; or a set called test names it, whose annotations are kept back.",
)
VOC_CLASS_SPELLING = Rule(
    "voc-class-spelling",
    Level.WARNING,
    H,
    "Two names of classes differ in nothing but case, or space.",
    "They are two classes to readers, and most often one to people.",
    "write one of the two everywhere",
    bad="`<name>Dog</name>` in one file, `<name>dog</name>` in all others.",
    near="`<name>dog</name>` and `<name>dogs</name>`.",
)
VOC_FILE_NAME = Rule(
    "voc-file-name",
    Level.ERROR,
    H,
    "`filename` of an annotation is not the name of the image that it is called like.",
    "Some readers find the image by `filename`, some by the name of the XML file: they see two different datasets.",
    "write the name of the image there, or rename the annotation",
    bad="Annotations/a.xml says `<filename>b.jpg</filename>`, or only a, and JPEGImages has a.jpg.",
    near="`<filename>a.jpg</filename>` with `<folder>VOC2007</folder>`.",
)
VOC_IMAGE_MISSING = Rule(
    "voc-image-missing",
    Level.ERROR,
    N,
    "An annotation has no image.",
    "Loaders stop there, or pass it by.",
    "fetch the image, or remove the annotation and its line in every set",
    bad="Annotations/a.xml, and JPEGImages has no a.jpg, a.png and so on.",
    near="JPEGImages/a.jpg is there, and a.xml has no object.",
)
VOC_MASK_MISSING = Rule(
    "voc-mask-missing",
    Level.ERROR,
    N,
    "A set of Segmentation names an image without a mask.",
    "Loaders stop there.",
    "fetch SegmentationClass/{stem}.png, or take the line out of the set",
    bad="ImageSets/Segmentation/train.txt has the line a, and SegmentationClass has no a.png.",
    near="Segmentation/test.txt has that line: masks of tests are kept back.",
)
VOC_MASK_SIZE = Rule(
    "voc-mask-size",
    Level.ERROR,
    H,
    "A mask is of another size than its image.",
    "No pixel of it lies on its counterpart.",
    "make the mask again",
    bad="An image of 500 x 375 pixels with a mask of 250 x 188.",
    near="A mask with a palette.",
)
VOC_SET_FORM = Rule(
    "voc-set-form",
    Level.ERROR,
    N,
    "A line of a set of Main is not a stem, or a stem and -1, 0 or 1; or the file is no text.",
    "Readers take the whole line for the name of an image, and stop there.",
    "write the stem of an image a line, without ending and directory",
    bad="`a b c` in ImageSets/Main/train.txt.",
    near="`a  1` in ImageSets/Main/dog_train.txt.",
)
VOC_SET_MEMBER = Rule(
    "voc-set-member",
    Level.ERROR,
    N,
    "A set names an image that is not there, or has no annotation.",
    "Loaders stop there, in the midst of the first epoch.",
    "fetch the files, or take the line out of the set",
    bad="ImageSets/Main/train.txt has the line a.jpg, or b, and there is only a.jpg with a.xml.",
    near="It has the line a.",
)
VOC_SET_REPEATED = Rule(
    "voc-set-repeated",
    Level.WARNING,
    N,
    "A set has an image twice.",
    "It counts double.",
    "take the second line out",
    bad="ImageSets/Main/train.txt has the line a twice.",
    near="train.txt and trainval.txt have it once each.",
)
VOC_SETS_OVERLAP = Rule(
    "voc-sets-overlap",
    Level.WARNING,
    N,
    "An image is in train and in val, or in test and another set.",
    "What is tested with was trained on: results are better than they are.",
    "take it out of one of the sets",
    bad="The line a in Main/train.txt and in Main/val.txt.",
    near="The line a in Main/train.txt and in Main/trainval.txt.",
)
VOC_STEM_SHARED = Rule(
    "voc-stem-shared",
    Level.ERROR,
    N,
    "Two images have one annotation: they differ in nothing but the ending.",
    "Its boxes fit one of them at most, and readers differ in which they take.",
    "rename one of the images, and give it an annotation of its own",
    bad="JPEGImages/a.jpg and JPEGImages/a.png.",
    near="VOC2007/JPEGImages/a.jpg and VOC2012/JPEGImages/a.jpg.",
)

RULES: tuple[Rule, ...] = (
    NO_VOC,
    VOC_ANNOTATION_MISSING,
    VOC_CLASS_SPELLING,
    VOC_FILE_NAME,
    VOC_IMAGE_MISSING,
    VOC_MASK_MISSING,
    VOC_MASK_SIZE,
    VOC_SET_FORM,
    VOC_SET_MEMBER,
    VOC_SET_REPEATED,
    VOC_SETS_OVERLAP,
    VOC_STEM_SHARED,
)

#: Pairs of parts that shall share nothing.
_APART = (("train", "val"), ("train", "test"), ("val", "test"), ("trainval", "test"))
_FLAGS = frozenset({"-1", "0", "1"})


def check_names(records: Iterable[VocRecord], kept_back: frozenset[str]) -> Iterator[Finding]:
    """What the names of files say; `kept_back` are the keys of the images that a set for tests names."""
    records = list(records)
    lost = without_images(records)
    for root, count in lost.items():
        words = f"there are {counted(count, 'annotation')}, and no image"
        yield VOC_IMAGE_MISSING.at(root or ".", words, count=count)
    for one in records:
        if one.root in lost:
            continue
        if one.annotation and not one.images:
            words = f"{one.annotation.path} has no image {one.image_path}, and none with another ending"
            yield VOC_IMAGE_MISSING.at(one.annotation.path, words, file=one.image_path)
        elif one.annotation is None and one.key not in kept_back:
            words = f"there is no {one.annotation_path}"
            yield VOC_ANNOTATION_MISSING.at(one.image_path, words, annotation=one.annotation_path)
        if len(one.images) > 1:
            names = " and ".join(image.path for image in one.images)
            yield VOC_STEM_SHARED.at(one.images[0].path, f"{names} have one annotation", other=one.images[1].path)


def without_images(records: Iterable[VocRecord]) -> dict[str, int]:
    """The directories with several annotations and no image at all, with how many there are."""
    counts: dict[str, int] = {}
    has: set[str] = set()
    for one in records:
        counts[one.root] = counts.get(one.root, 0) + 1
        has.update([one.root] if one.images else [])
    return {root: count for root, count in counts.items() if root not in has and count > 1}


def check_file_name(annotation: VocAnnotation, record: VocRecord) -> Iterator[Finding]:
    """Whether an annotation names its image as it is called."""
    names = [image.path.rpartition("/")[2] for image in record.images]
    said = annotation.filename
    if said is None or said not in names:
        words = f"its filename is {said!r}" if said else "it has no filename"
        line = annotation.line("filename")
        where = {"line": line, "image": record.image_path}
        yield VOC_FILE_NAME.at(record.annotation_path, f"{words}, and its image is {names[0]}", **where)


def check_sets(place: VocPlace, sets: Iterable[VocSet]) -> Iterator[Finding]:
    """What is wrong with sets, each by itself and beside the others of its kind."""
    has = {(one.root, one.stem): one for one in place.records if not one.beside}
    told: set[tuple[str, str]] = set()
    lost = without_images(place.records)
    members: dict[tuple[str, str], dict[str, VocSet]] = {}
    for one in sorted(sets, key=lambda one: ("_" in one.name, one.path)):  # those of single classes repeat the others
        if one.fault:
            yield VOC_SET_FORM.at(one.path, one.fault)
            continue
        members.setdefault((one.root, one.kind), {})[one.name] = one
        yield from _of_lines(one)
        if one.root not in lost:
            yield from _of_members(place, one, has, told)
    for of_kind in members.values():
        yield from _overlaps(of_kind)


def _of_lines(one: VocSet) -> Iterator[Finding]:
    odd = [
        (VOC_SET_FORM, member.line, f"{' '.join((member.stem, *member.flags))[:60]!r} is no stem with -1, 0 or 1")
        for member in one.members
        if one.kind == "Main" and not (len(member.flags) < 2 and _FLAGS.issuperset(member.flags))
    ]
    if odd:
        yield together(odd, one.path)
    if one.kind in ("Layout", "Action"):  # a line is of an object there
        return
    seen: set[str] = set()
    twice: list[Said] = []
    for member in one.members:
        if member.stem in seen:
            twice.append((VOC_SET_REPEATED, member.line, f"{member.stem[:60]!r} is there before"))
        seen.add(member.stem)
    if twice:
        yield together(twice, one.path)


def _of_members(
    place: VocPlace, one: VocSet, has: Mapping[tuple[str, str], VocRecord], told: set[tuple[str, str]]
) -> Iterator[Finding]:
    lacking = []
    for member in one.members:
        record = has.get((one.root, member.stem))
        lacks = "image" if record is None or not record.images else None
        if lacks is None and record and record.annotation is None and one.kind == "Main" and one.part != "test":
            lacks = "annotation"
        if lacks:
            lacking.append((member, lacks))
        elif one.kind == "Segmentation" and one.part != "test" and place.mask(one.root, member.stem) is None:
            path = place.mask_path(one.root, member.stem)
            words = f"line {member.line}: there is no {path}"
            if (one.root, path) not in told:
                told.add((one.root, path))
                yield VOC_MASK_MISSING.at(one.path, words, line=member.line, id=member.stem, file=path)
    if lacking and len(lacking) == len(one.members):
        words = f"none of its {counted(len(lacking), 'image')} is here with its annotation: {lacking[0][0].stem[:60]}"
        yield VOC_SET_MEMBER.at(one.path, words, line=lacking[0][0].line, count=len(lacking))
        return
    for member, lacks in lacking:
        if (one.root, member.stem) not in told:  # the sets of each class name it again
            told.add((one.root, member.stem))
            words = f"line {member.line}: {member.stem[:60]} has no {lacks} here"
            yield VOC_SET_MEMBER.at(one.path, words, line=member.line, id=member.stem)


def _overlaps(sets: Mapping[str, VocSet]) -> Iterator[Finding]:
    stems = {name: {member.stem: member for member in one.members} for name, one in sets.items()}
    for first, second in _APART:
        both = stems.get(first, {}).keys() & stems.get(second, {}).keys()
        if both:
            stem = min(both)
            words = f"{counted(len(both), 'image')} of it {'are' if len(both) > 1 else 'is'} in {first}.txt too: {stem}"
            where = {"line": stems[second][stem].line, "key": first, "count": len(both)}
            yield VOC_SETS_OVERLAP.at(sets[second].path, words, **where)


def check_classes(names: Mapping[str, tuple[int, str]]) -> Iterator[Finding]:
    """Which names of classes are spelled in several ways: `names` has how often each is there, and where first."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault("".join(name.casefold().split()), []).append(name)
    for spellings in alike.values():
        usual, *others = sorted(spellings, key=lambda name: (-names[name][0], name))
        for name in others:
            words = f"the class {name!r} ({names[name][0]:,}) is called {usual!r} elsewhere ({names[usual][0]:,})"
            yield VOC_CLASS_SPELLING.at(names[name][1], words, key=name)
