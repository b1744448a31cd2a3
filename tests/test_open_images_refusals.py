"""What a download of Open Images refuses, and what a wrong command, a bad table or a bad row leaves behind."""

import json

import pytest

from conftest import tree
from visprep.bucketed import BucketOptions, bring
from visprep.errors import WouldOverwrite
from visprep.progress import unheard
from visprep.sources import Mirror as UpstreamMirror
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.local import LocalStore
from visprep.testing import Mirror
from visprep.testing.open_images import lay_out


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server of the small upstream, whose tables a test may change."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    root = tmp_path / "upstream"
    root.mkdir()
    with Mirror(root) as server:
        server.upstream = lay_out(root, f"{server.url}/flickr")
        yield server


@pytest.fixture
def get(web, tmp_path):
    def call(output=tmp_path / "oi", original=False, mirrors=(), dry_run=False, may_replace=False, **said):
        urls = [UpstreamMirror(url) for url in mirrors or [web.url]]
        options = BucketOptions("http", original, tuple(urls), None, may_replace, dry_run)
        return bring(OpenImages(), Selection(**said), LocalStore(output), options, unheard)

    return call


def live(web):
    """An image whose original can be had."""
    dead = web.upstream.dead
    return next(one for one in web.upstream.of("validation") if not any(one.id in path for path in dead))


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize("may_replace", [False, True])
def test_originals_and_images_of_the_bucket_do_not_mix(get, web, tmp_path, original, may_replace):
    chosen = {"images": {"validation": (live(web).id,)}}
    get(original=original, **chosen)
    before = tree(tmp_path / "oi")
    web.requests.clear()
    with pytest.raises(WouldOverwrite, match="originals") as refused:
        get(original=not original, may_replace=may_replace, **chosen)
    assert "--output" in refused.value.hint
    assert tree(tmp_path / "oi") == before
    assert not web.requests
    assert get(original=original, **chosen).files == 0
