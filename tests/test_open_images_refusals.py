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


@pytest.mark.parametrize(
    "wrong", [["--classes", "/m/zzz"], ["--licenses", "99"], ["--labels", "points", "--limit", "2"]]
)
def test_a_refused_command_leaves_a_complete_place_as_it_was(run, web, tmp_path, wrong):
    place = tmp_path / "oi"
    words = ["download", "open-images", "--via", "http", "--mirror", web.url, "--output", place]
    assert run(*words, "--limit", "4")[0] == 0
    before = tree(place)
    assert run(*words, *wrong)[0] in (2, 3)
    assert tree(place) == before
    assert json.loads(run("status", place, "--json")[1])["state"] == "complete"


def test_a_refused_command_leaves_no_place_behind(run, web, tmp_path):
    words = ["download", "open-images", "--via", "http", "--mirror", web.url, "--output", tmp_path / "oi"]
    assert run(*words, "--licenses", "99")[0] == 2
    assert not (tmp_path / "oi").exists()


def test_what_a_killed_command_fetched_stays_over_a_refused_one_and_goes_with_the_right_one(run, web, tmp_path):
    place = tmp_path / "oi"
    words = ["download", "open-images", "--via", "http", "--mirror", web.url, "--output", place]
    table = place / ".visprep/cache/tables/v5/validation-annotations-bbox.csv"
    table.parent.mkdir(parents=True)
    table.write_bytes((web.upstream.root / "openimages/v5/validation-annotations-bbox.csv").read_bytes())
    assert json.loads(run("status", place, "--json")[1])["state"] == "unfinished"
    assert "was begun here and not ended" in " ".join(run("doctor", place)[1].split())
    assert run(*words, "--licenses", "99")[0] == 2
    assert table.exists()
    assert run(*words, "--limit", "4")[0] == 0
    table.parent.mkdir(parents=True)
    table.touch()
    assert json.loads(run("status", place, "--json")[1])["state"] == "complete"
    assert run(*words, "--limit", "4")[0] == 0
    assert not (place / ".visprep/cache").exists()
