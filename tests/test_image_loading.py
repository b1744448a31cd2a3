"""How much is read of an image file, and what may be said of the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from visprep import wire
from visprep.digests import digest_of
from visprep.image_headers import HEAD_BYTES
from visprep.image_loading import IMAGE_BYTES, see
from visprep.manifest import File
from visprep.rules import Depth
from visprep.stores.local import LocalStore

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from image_faults import encoded, photo


@pytest.fixture
def seen(tmp_path):
    """What looking at these bytes gives; the file may be made longer, by a hole."""

    def look(data, depth=Depth.HEADERS, size=None, **options):
        path = tmp_path / "photo.jpg"
        with path.open("wb") as out:
            out.write(data)
            out.truncate(size or len(data))
        file = File("photo.jpg", size or len(data))
        return wire.wait(see(LocalStore(tmp_path), file, depth, **({"near": False} | options)))

    return look


def test_what_no_image_can_have_is_not_read(seen):
    data = encoded(photo(1, 96, 64))
    for near in (True, False):
        (finding,) = seen(data, size=IMAGE_BYTES + 1, near=near).findings
        assert (finding.code, "270,000,001 bytes" in finding.message) == ("image-oversized", True)
    assert seen(data, size=IMAGE_BYTES).findings == ()  # of which only the head is read
    assert seen(data, size=IMAGE_BYTES + 1, depth=Depth.SIZES).findings == ()


def test_the_digest_is_that_of_all_bytes_or_there_is_none(seen):
    long, short = encoded(photo(1, 400, 300), quality=98), encoded(photo(1, 96, 64))
    assert len(short) < HEAD_BYTES < len(long)
    for data, depth, near, told in (
        (long, Depth.HEADERS, False, False),
        (long, Depth.HEADERS, True, True),
        (long, Depth.DECODE, False, True),
        (short, Depth.HEADERS, False, True),
    ):
        sight = seen(data, depth=depth, near=near, digest=True)
        assert (sight.findings, sight.digest) == ((), digest_of(data) if told else None)
        assert seen(data, depth=depth, near=near).digest is None
    exact = short + b"\0" * (HEAD_BYTES - len(short))
    assert seen(exact, digest=True).digest == digest_of(exact)
