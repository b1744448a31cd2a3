"""Fingerprints: what stays the same when an image is copied, encoded again or resized, and what does not."""

import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visprep.errors import WrongContent
from visprep.fingerprints import ROW, Kind, fingerprint
from visprep.images import to_pil
from visprep.similar import DETAIL, classes, details

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import planted_images
from image_faults import KINDS, encoded, photo
from planted_images import REENCODED, RESIZED, different, scene


def rows(images):
    return np.concatenate([fingerprint(encoded(image)).row() for image in images])


def missed(originals, changes):
    """The changes after which not every image is found again, with how many are not."""
    before = rows(originals)
    count, wrong = len(before), {}
    for name, change in changes.items():
        looks = classes(np.concatenate([before, rows(map(change, originals))])).looks
        if lost := int((looks[count:] != looks[:count]).sum()):
            wrong[name] = lost
        assert len(set(looks.tolist())) == count + lost, name
    return wrong


def test_the_digests_are_those_of_the_bytes_and_of_the_upright_pixels():
    data = encoded(photo(1))
    print_ = fingerprint(data)
    assert print_.bytes_digest == hashlib.sha256(data).digest()
    for other in (
        encoded(to_pil(data), "PNG"),
        encoded(to_pil(data), "BMP"),
        encoded(to_pil(data), "WEBP", lossless=True),
    ):
        assert fingerprint(other).pixel_digest == print_.pixel_digest
        assert fingerprint(other).bytes_digest != print_.bytes_digest
    assert fingerprint(encoded(to_pil(data).transpose(Image.Transpose.ROTATE_90))).pixel_digest != print_.pixel_digest


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}])
def test_a_jpeg_has_the_pixels_that_pillow_gives(mode, options):
    """The quick decoder and Pillow must agree to the bit, or a PNG of a JPEG would not have its pixels."""
    data = encoded(photo(2, 203, 151).convert(mode), "JPEG", **options)
    assert fingerprint(encoded(to_pil(data), "PNG")).pixel_digest == fingerprint(data).pixel_digest


def test_a_picture_that_exif_turns_is_what_people_see():
    upright = photo(3, 120, 80)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = encoded(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert fingerprint(stored).pixel_digest == fingerprint(encoded(upright, "PNG")).pixel_digest


def test_pictures_of_one_color_are_known_as_such():
    plain = Image.new("RGB", (300, 200), (9, 9, 9))
    assert fingerprint(encoded(plain, "PNG")).one_color
    plain.putpixel((77, 33), (10, 9, 9))  # too little to be seen in the thumbnail
    assert not fingerprint(encoded(plain, "PNG")).one_color


def test_transparent_pixels_are_white():
    clear = Image.new("RGBA", (40, 30), (200, 0, 0, 0))
    white = fingerprint(encoded(Image.new("RGB", (40, 30), "white"), "PNG"))
    assert fingerprint(encoded(clear, "PNG")).pixel_digest == white.pixel_digest


@pytest.mark.parametrize("kind", ["empty", "HTML page", "cut in its header", "cut, 50 % left", "cut, progressive"])
def test_what_does_not_decode_has_no_fingerprint(kind):
    with pytest.raises(WrongContent):
        fingerprint(KINDS[kind][1](0))


def test_a_decompression_bomb_is_refused_by_its_header():
    data = bytearray(encoded(photo(0)))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(WrongContent):
        fingerprint(bytes(data))


def test_a_row_holds_all_of_it():
    print_ = fingerprint(encoded(photo(4)))
    row = print_.row()
    assert row.dtype == ROW
    assert row["there"][0]
    for name, value in (("bytes", print_.bytes_digest), ("pixels", print_.pixel_digest), ("luma", print_.luma)):
        assert row[name][0].tobytes() == value


def test_every_copy_is_found_encoded_again_and_resized():
    assert missed([scene(seed) for seed in range(12)], REENCODED | RESIZED) == {}


def test_pages_of_text_are_found_too():
    assert missed([planted_images.page(seed) for seed in range(4)], REENCODED | RESIZED) == {}


def test_every_copy_of_a_real_image_is_found(real_coco):
    images = [Image.open(path).convert("RGB") for path in sorted(real_coco.glob("*2017/*.jpg"))[::4]]
    assert missed(images, REENCODED | RESIZED) == {}


def test_no_two_of_a_thousand_different_images_are_the_same():
    """Scenes, frames of series, pages of text, and the traps: drawings, gradients, and nearly uniform ones."""
    names, images = zip(*different(1_000), strict=True)
    assert len(images) == 1_000
    found = classes(rows(images))
    assert [(names[pair.first], names[pair.second], pair) for pair in found.pairs] == []


def test_no_two_crops_of_real_images_are_the_same(real_coco):
    """Six parts of each that do not overlap."""
    crops = []
    for path in sorted(real_coco.glob("*2017/*.jpg")):
        image = Image.open(path).convert("RGB")
        width, height = image.width // 3, image.height // 2
        crops += [
            image.crop((x * width, y * height, (x + 1) * width, (y + 1) * height)) for x in range(3) for y in range(2)
        ]
    assert classes(rows(crops)).pairs == ()


def test_real_puzzles_are_not_the_same(real_vtb):
    images = [Image.open(path).convert("RGB") for path in sorted(real_vtb.rglob("puzzles/*.png"))]
    assert len(images) > 5
    assert classes(rows(images)).pairs == ()


def test_images_that_say_little_are_known_by_their_bytes_and_pixels_alone():
    plain = Image.new("RGB", (64, 48), (250, 250, 250))
    near = Image.new("RGB", (64, 48), (244, 250, 250))
    ramp, other = planted_images.gradient(1), planted_images.gradient(1).resize((128, 100))
    prints = rows([plain, near, ramp, other, plain])
    assert (details(prints["luma"]) < DETAIL).all()
    found = classes(prints)
    assert found.looks.tolist() == [0, 1, 2, 3, 0]
    png = fingerprint(encoded(Image.open(io.BytesIO(encoded(plain))), "PNG")).row()
    assert [pair.kind for pair in classes(np.concatenate([prints[:1], png])).pairs] == [Kind.PIXELS]


def test_something_that_moves_makes_another_picture_when_it_is_large_enough():
    """An eighth of width and height, and 110 gray levels from what is behind it: as the docstring of similar says."""
    scenes = [scene(seed).convert("L").point(lambda value: 64 + value // 4).convert("RGB") for seed in range(20)]

    def with_thing(image, share, gray):
        changed = image.copy()
        left, top = np.random.default_rng(image.tobytes()[0]).integers(0, 180, 2).tolist()
        changed.paste((gray,) * 3, (left, top, left + round(image.width * share), top + round(image.height * share)))
        return changed

    count = len(scenes)
    far = classes(rows([*scenes, *(with_thing(image, 1 / 8, 240) for image in scenes)])).looks
    near = classes(rows([*scenes, *(with_thing(image, 1 / 40, 240) for image in scenes)])).looks
    assert (far[count:] != far[:count]).all()
    assert (near[count:] == near[:count]).all()


def test_a_recolored_picture_is_another_and_a_gray_one_is_not():
    image = scene(5)
    red, green, blue = image.split()
    turned = Image.merge("RGB", (blue, green, red))
    luma = np.asarray(image.convert("L"), dtype=int)
    shifted = luma - np.asarray(turned.convert("L"), dtype=int)
    recolored = np.clip(np.asarray(turned, dtype=int) + shifted[:, :, None], 0, 255).astype(np.uint8)
    assert classes(rows([image, Image.fromarray(recolored)])).pairs == ()
    assert len(classes(rows([image, image.convert("L").convert("RGB")])).pairs) == 1


def test_flipped_and_turned_pictures_are_others():
    image = scene(6)
    flipped = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), image.transpose(Image.Transpose.ROTATE_180)]
    assert classes(rows([image, *flipped])).pairs == ()
