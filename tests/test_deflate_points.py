"""Going on in the middle of a deflate stream: found in whatever compressed it, and the same bytes from there on."""

import os
import random
import zlib

import pytest

from visprep.digests import fast_zlib
from visprep.stores.deflate_points import FAR, KEPT, PROOF, find


def jpeg_like(size):
    """Bytes in which hardly anything repeats, but not all of them are as frequent."""
    rng = random.Random(1)
    return bytes(min(rng.getrandbits(8), rng.getrandbits(8)) for _ in range(size))


def text(size):
    rng = random.Random(2)
    words = [bytes(rng.choices(b"abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(500)]
    return b" ".join(rng.choices(words, k=size // 5))[:size]


CONTENT = {
    "jpeg": jpeg_like(1_500_000),
    "text": text(6_000_000),
    "noise": random.Random(3).randbytes(1_500_000),
    "mixed": text(1_000_000) + random.Random(4).randbytes(400_000) + text(1_000_000),
}


def deflate(data, level, strategy=zlib.Z_DEFAULT_STRATEGY, memory=8):
    packing = zlib.compressobj(level, zlib.DEFLATED, -15, memory, strategy)
    return packing.compress(data) + packing.flush()


def point_at(packed, data, fed):
    """What is found after `fed` compressed bytes."""
    came = fast_zlib.decompressobj(-15).decompress(packed[:fed])
    assert data.startswith(came)
    return find(packed[max(0, fed - FAR) : fed], came[-KEPT:], fed, len(came))


def go_on(point, packed):
    inflating = point.inflating()
    return inflating.decompress(point.lead + packed[point.offset :]), inflating.eof


@pytest.mark.parametrize("level", [1, 6, 9])
@pytest.mark.parametrize("content", CONTENT)
def test_what_comes_from_a_point_on_is_the_rest(content, level):
    data = CONTENT[content]
    packed = deflate(data, level)
    for share in (0.4, 0.7, 0.95):
        fed = int(len(packed) * share)
        point = point_at(packed, data, fed)
        assert point is not None
        assert point.offset < fed
        assert go_on(point, packed) == (data[point.position :], True)


def test_every_bit_at_which_a_block_may_begin():
    seen = set()
    for content in ("jpeg", "text"):
        packed = deflate(CONTENT[content], 6, memory=5)
        for fed in range(200_000, len(packed) - 1000, 7_001):
            point = point_at(packed, CONTENT[content], fed)
            assert point
            assert go_on(point, packed) == (CONTENT[content][point.position :], True)
            seen.add(len(point.lead))
    assert len(seen) >= 4  # leads of different lengths: blocks began at different bits


def test_what_only_looks_like_a_stored_block_is_not_taken():
    # Within a stored block every byte comes out as it is: whoever began there would come out right for a while
    trap = (b"\x10\x20" + b"\xef\xdf") * 40_000
    content = trap + jpeg_like(300_000)
    packed = deflate(content, 0)
    for fed in range(100_000, len(packed), 30_011):
        if point := point_at(packed, content, fed):
            assert go_on(point, packed) == (content[point.position :], True)


def test_codes_that_are_fixed_give_no_point():
    data = text(3_000_000)
    packed = deflate(data, 6, zlib.Z_FIXED)
    assert point_at(packed, data, len(packed) // 2) is None


def test_too_little_gives_no_point():
    data = jpeg_like(PROOF // 2)
    assert point_at(deflate(data, 6), data, 100) is None
    assert find(b"", b"", 0, 0) is None


def test_a_point_near_the_beginning_has_a_short_window():
    data = jpeg_like(120_000)
    packed = deflate(data, 6, memory=3)
    point = point_at(packed, data, 20_000)
    assert point
    assert len(point.window) == point.position < 32 * 1024
    assert go_on(point, packed) == (data[point.position :], True)


@pytest.mark.parametrize("seed", range(3))
def test_other_bytes_than_came_give_no_point(seed):
    data = jpeg_like(400_000)
    packed = deflate(data, 6)
    fed = 300_000
    came = zlib.decompressobj(-15).decompress(packed[:fed])
    assert find(packed[:fed], os.urandom(len(came)), fed, len(came)) is None
