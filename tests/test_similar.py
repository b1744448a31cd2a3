"""The search for images that look alike: exact where it says so, and quick in crowds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visprep.fingerprints import ROW, Kind
from visprep.similar import CELL, COEFFICIENT, DETAIL, METHOD, RMS, SHARE, Components, classes, details


def pictures(count, seed=0, contrast=(15, 60)):
    """Fingerprints of so many different pictures, with the spectrum of photos."""
    rng = np.random.default_rng(seed)
    prints = np.zeros(count, ROW)
    prints["there"] = True
    frequency = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.rfftfreq(16)[None])
    frequency[0, 0] = 1
    cells = np.fft.irfft2(np.exp(2j * np.pi * rng.random((count, 16, 9))) / frequency, s=(16, 16)).reshape(count, -1)
    cells *= rng.uniform(*contrast, (count, 1)) / cells.std(axis=1, keepdims=True)
    prints["luma"] = np.clip(cells + rng.normal(120, 40, (count, 1)), 0, 255)
    prints["chroma"] = np.clip(rng.normal(128, 12, (count, 32)), 0, 255)
    prints["bytes"] = rng.integers(0, 256, (count, 32))
    prints["pixels"] = rng.integers(0, 256, (count, 16))
    return prints


def changed(prints, noise, seed=1):
    """The same pictures encoded again: other bytes, other pixels, and a little noise in the thumbnails."""
    rng = np.random.default_rng(seed)
    again = prints.copy()
    again["luma"] = np.clip(np.rint(again["luma"] + rng.normal(0, noise, again["luma"].shape)), 0, 255)
    again["bytes"] = rng.integers(0, 256, again["bytes"].shape)
    again["pixels"] = rng.integers(0, 256, again["pixels"].shape)
    return again


def by_definition(prints):
    """All pairs that look alike, each compared with each, as the docstring has it."""
    luma = prints["luma"].astype(np.float64)
    detail = details(prints["luma"])
    axis = np.arange(16)
    waves = np.cos(np.pi * axis[:, None] * (axis[None] + 0.5) / 16) / 16
    waves[1:] *= np.sqrt(2)
    lowest = sorted(((u, v) for u in axis for v in axis), key=lambda place: (sum(place), max(place), place))[1:36]
    found = set()
    for one in range(len(prints)):
        for other in range(one + 1, len(prints)):
            apart = luma[one] - luma[other]
            rms = np.sqrt((apart**2).mean())
            if min(detail[one], detail[other]) < DETAIL or rms > min(RMS, SHARE * min(detail[one], detail[other])):
                continue
            coefficients = waves @ apart.reshape(16, 16) @ waves.T
            if np.abs(apart).max() <= CELL and all(abs(coefficients[place]) <= COEFFICIENT for place in lowest):
                found.add((one, other))
    return found


def groups(count, pairs):
    joined = Components(count)
    for one, other in pairs:
        joined.join(one, other)
    return joined.firsts().tolist()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), noise=st.floats(0, 8), contrast=st.sampled_from([(2, 6), (15, 60)]))
def test_the_search_finds_what_comparing_each_with_each_does(seed, noise, contrast):
    """Also at the edge of what is allowed, which is where cubes could part two that look alike."""
    some = pictures(40, seed, contrast)
    prints = np.concatenate([some, changed(some, noise, seed + 1)])
    prints["chroma"] = 128
    found = classes(prints)
    truly = by_definition(prints)
    assert found.looks.tolist() == groups(len(prints), truly)
    assert {(pair.first, pair.second) for pair in found.pairs} <= truly


@pytest.mark.parametrize("full", [1, 2, 8])
def test_it_does_so_however_small_the_cubes_become(full):
    """So few images as a test has are else in cubes that are never cut."""
    some = pictures(150, 7)
    prints = np.concatenate([some, changed(some, 3.0), changed(some, 5.0, 2)])
    prints["chroma"] = 128
    assert classes(prints, full=full).looks.tolist() == groups(len(prints), by_definition(prints))


def test_copies_are_classes_by_bytes_by_pixels_and_by_looks():
    some = pictures(3)
    pixels, looks = changed(some, 0), changed(some, 0.7, 2)
    pixels["pixels"] = some["pixels"]
    found = classes(np.concatenate([some, some, pixels, looks]))
    assert found.bytes.tolist() == [0, 1, 2, 0, 1, 2, 6, 7, 8, 9, 10, 11]
    assert found.pixels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 9, 10, 11]
    assert found.looks.tolist() == [0, 1, 2] * 4
    assert [(pair.first, pair.second, pair.kind) for pair in found.pairs][:6] == [
        *((one, one + 3, Kind.BYTES) for one in range(3)),
        *((one, one + 6, Kind.PIXELS) for one in range(3)),
    ]
    assert [pair.kind for pair in found.pairs][6:] == [Kind.PERCEPTUAL] * 3
    assert all(0.4 < pair.distance < 1.1 for pair in found.pairs[6:])
    assert found.compared >= 3
    assert found.crowded == 0


def test_by_pixels_alone_where_looks_are_not_asked_for():
    some = pictures(3)
    found = classes(np.concatenate([some, some, changed(some, 0.7)]), perceptual=False)
    assert found.looks.tolist() == found.pixels.tolist() == [0, 1, 2, 0, 1, 2, 6, 7, 8]


def test_who_has_no_fingerprint_is_alone():
    prints = np.concatenate([pictures(2), np.zeros(3, ROW)])
    found = classes(prints)
    assert found.looks.tolist() == [0, 1, 2, 3, 4]
    assert classes(np.zeros(0, ROW)).pairs == ()


def test_digests_that_agree_in_part_are_different():
    prints = pictures(3)
    prints["bytes"][1:] = prints["bytes"][0]
    prints["bytes"][1, 15] ^= 1
    prints["bytes"][2, 0] ^= 1
    assert classes(prints, perceptual=False).bytes.tolist() == [0, 1, 2]


def test_a_chain_is_one_group_and_told_by_its_links():
    start = pictures(1, 3)
    prints = np.repeat(start, 5)
    rng = np.random.default_rng(0)
    pattern = rng.normal(0, 1, 256)
    for step in range(5):
        prints["luma"][step] = np.clip(start["luma"][0] + 5 * step * pattern, 0, 255)
    prints["bytes"], prints["pixels"] = rng.integers(0, 256, (5, 32)), rng.integers(0, 256, (5, 16))
    found = classes(prints)
    assert found.looks.tolist() == [0] * 5
    assert sorted((pair.first, pair.second) for pair in found.pairs) == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_the_order_of_the_images_changes_nothing():
    some = pictures(200, 4)
    prints = np.concatenate([some, changed(some, 1.0)])
    order = np.random.default_rng(2).permutation(400)
    tied = {frozenset((pair.first, pair.second)) for pair in classes(prints).pairs}
    again = {frozenset((int(order[pair.first]), int(order[pair.second]))) for pair in classes(prints[order]).pairs}
    assert tied == again
    assert len(tied) == 200


def test_thousands_of_copies_make_fewer_pairs_than_images():
    prints = np.repeat(pictures(1), 20_000)
    found = classes(prints)
    assert len(found.pairs) == 19_999
    assert found.compared == 0
    crowd = changed(np.repeat(pictures(1), 5_000), 1.0)
    found = classes(crowd)
    assert set(found.looks.tolist()) == {0}
    assert len(found.pairs) == 4_999
    assert found.compared < 300 * 5_000


def test_a_crowd_of_different_images_is_counted_and_not_compared_each_with_each():
    """As before a camera that stands still: no coefficient parts them, and hardly two look alike."""
    few, many = (changed(np.repeat(pictures(1), count), 6.0) for count in (1_500, 4_500))
    found = classes(many)
    assert found.compared < 3 * 1.5 * classes(few).compared
    assert 0 < found.crowded <= 4_500
    copies = np.concatenate([many, changed(many[:100], 0.3, 9)])
    looks = classes(copies).looks
    assert (looks[4_500:] == looks[:100]).mean() > 0.5


def test_the_method_is_plain_data():
    import json

    assert json.loads(json.dumps(dict(METHOD)))["rms"] == RMS
