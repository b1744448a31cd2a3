"""The rules of triplets for virtual try-on: whether each has its three pictures, once, and of one size.

What is wrong with a picture by itself stands in `image_files`, what lies between the triplets in `strays`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from visprep.findings import Finding, Level
from visprep.formats.triplets import FOLDERS, Triplet
from visprep.render.text import counted
from visprep.rules import Depth, Rule, image_files, strays

NO_TRIPLETS = Rule(
    "no-triplets",
    Level.ERROR,
    Depth.NAMES,
    "The place holds no triplet.",
    "An empty dataset passes every other check.",
    "name the directory above initial_image, cloth_image and try_on_image, or one further up, or download again",
    bad="A directory with nothing in it but photo.jpg.",
    near="One triplet, at easy/female/.",
)
TRIPLET_AMBIGUOUS = Rule(
    "triplet-ambiguous",
    Level.ERROR,
    Depth.NAMES,
    "A triplet has several files for one of its three pictures.",
    "The try-on shows one of the cloths; loaders take any of them, most often the one that is listed last.",
    "keep the one that the try-on shows, or give the others stems, persons and try-ons of their own",
    bad="001_cloth_dress.png and 001_cloth_shirt.png in one cloth_image.",
    near="001_cloth_dress.png in female/cloth_image, and 001_cloth_shirt.png in male/cloth_image: two triplets.",
)
TRIPLET_CLOTH_SIZE = Rule(
    "triplet-cloth-size",
    Level.WARNING,
    Depth.HEADERS,
    "The cloth of a triplet is of another size than the person.",
    "Loaders that stack the three fail on it; those that scale them to one size distort the cloth.",
    "scale or pad the cloth to the size of the person",
    bad="A person of 768 x 1024 pixels with a cloth of 512 x 512.",
    near="Triplets of several sizes, each of one size in itself.",
)
TRIPLET_INCOMPLETE = Rule(
    "triplet-incomplete",
    Level.ERROR,
    Depth.NAMES,
    "A triplet lacks one of its three pictures.",
    "Loaders leave it out, or stop there.",
    "add the picture, rename or move the one that is meant, or delete the others",
    bad="001_person.png and 001_cloth_dress.png are there, and no 001_vton.png, or 001_VTON.png in its place.",
    near="001_person.jpg, 001_cloth_dress.png and 001_vton.jpeg: three pictures of one stem.",
)
TRIPLET_SIZE = Rule(
    "triplet-size",
    Level.ERROR,
    Depth.HEADERS,
    "The try-on of a triplet is of another size than the person.",
    "The two shall show the same picture but for the cloth: where sizes differ, no pixel lies on its counterpart.",
    "make the triplet again, or scale one of the two, if it shows the same section",
    bad="A person of 768 x 1024 pixels with a try-on of 384 x 512.",
    near="A person that is stored lying, with EXIF that turns it to the size of the try-on.",
)

RULES: tuple[Rule, ...] = (NO_TRIPLETS, TRIPLET_AMBIGUOUS, TRIPLET_CLOTH_SIZE, TRIPLET_INCOMPLETE, TRIPLET_SIZE)
#: All rules of places with triplets.
ALL: tuple[Rule, ...] = tuple(sorted((*RULES, *image_files.RULES, *strays.RULES), key=lambda rule: rule.code))

_SHOWN = {"initial_image": "person", "cloth_image": "cloth", "try_on_image": "try-on"}


def check_names(triplet: Triplet) -> Iterator[Finding]:
    """What the names of its files say against a triplet."""
    others = list(triplet.near)
    for path in triplet.missing:
        instead = next((file for file in others if _stands_for(file.path, path)), None)
        words = f"the triplet {triplet.key} lacks its {_SHOWN[path.split('/')[-2]]}"
        if instead:
            others.remove(instead)
            words += f"; {instead.path} is there instead"
        yield TRIPLET_INCOMPLETE.at(path, words, triplet=triplet.key, **({"instead": instead.path} if instead else {}))
    for file in others:
        yield strays.UNEXPECTED_FILE.at(file.path, f"{file.path} is no picture of a triplet, though called like one")
    for folder, files in triplet.pictures.items():
        if len(files) > 1:
            names = " and ".join(file.path.rpartition("/")[2] for file in files)
            words = f"the triplet {triplet.key} has {counted(len(files), _SHOWN[folder])}: {names}"
            yield TRIPLET_AMBIGUOUS.at(files[0].path, words, triplet=triplet.key, field=folder)


def check_sizes(triplet: Triplet, sizes: Mapping[str, tuple[int, int]]) -> Iterator[Finding]:
    """Whether the pictures of a triplet are of one size: `sizes` are width and height as shown, by path."""
    for person in triplet.persons:
        wanted = sizes.get(person.path)
        for rule, files in ((TRIPLET_CLOTH_SIZE, triplet.cloths), (TRIPLET_SIZE, triplet.try_ons)):
            for file in files:
                actual = sizes.get(file.path)
                if wanted and actual and wanted != actual:
                    words = f"it has {actual[0]} x {actual[1]} pixels, and {person.path} has {wanted[0]} x {wanted[1]}"
                    where = {"triplet": triplet.key, "expected": list(wanted), "actual": list(actual)}
                    yield rule.at(file.path, words, person=person.path, **where)


def _stands_for(other: str, path: str) -> bool:
    """Whether a file of the same stem may be meant for a picture that is not there, by what its name says."""
    folder = path.split("/")[-2]
    word = FOLDERS[folder]
    name = other.rpartition("/")[2].casefold()
    stem = path.rpartition("/")[2].rpartition(f"_{word}")[0].casefold()
    return name.startswith(f"{stem}_{word}")
