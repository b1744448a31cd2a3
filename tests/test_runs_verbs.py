"""`visprep runs`: the same on disk and on S3, with runs of ours and of other tools."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
import zipfile

import boto3
import pytest

from conftest import tree
from left_runs import LAYOUT, Talking, save
from s3_door import Door, error
from visprep import runs
from visprep.errors import UsageError
from visprep.runs.committing import Committer
from visprep.runs.run_address import find, folders, open_runs
from visprep.wire import wait

MEASURED = {"loss": 0.25, "psnr": 31.5}
TRAINED_ON = {
    "datasets": [{"place": "s3://b/frames", "version": None, "manifest_sha256": "a" * 64}],
    "commit": "c0ffee" * 6 + "c0ff",
    "dirty": True,
}


@pytest.fixture(params=["directory", "s3"])
def place(request, tmp_path):
    """A place without runs yet."""
    if request.param == "directory":
        return str(tmp_path / "place")
    return f"s3://{request.getfixturevalue('bucket')}/team/place"


@pytest.fixture
def far(bucket):
    return f"s3://{bucket}/team/place"


def keys(bucket, prefix=""):
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return [one["Key"] for one in listed]


def put(place, path, data=b"x"):
    wait(open_runs(place).write(path, data))


def model(text="model"):
    """A file as torch.save makes it, as far as one can tell without torch."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), text)
    return file.getvalue()


# list


def test_list_tells_how_far_each_run_is(run, place):
    save(place, "second", 10, epoch=1, metrics=MEASURED, best=True)
    save(place, "second", 20, epoch=2, metrics=MEASURED)
    save(place, "first", 5)
    put(place, "logs/only-logs/training_x.log")
    told = json.loads(run("runs", "list", place, "--json").out)["runs"]
    assert [one["experiment"] for one in told] == ["first", "only-logs", "second"]
    first, nothing, second = told
    assert (first["step"], first["epoch"], first["checkpoints"], first["bytes"]) == (5, None, 1, 7)
    assert (nothing["checkpoints"], nothing["saved"]) == (0, None)
    assert (second["step"], second["epoch"], second["best_step"], second["metrics"]) == (20, 2, 10, MEASURED)
    text = run("runs", "list", place).out
    assert all(word in text for word in ("first", "only-logs", "loss 0.25, psnr 31.5"))


def test_list_of_one_run_by_its_path(run, place):
    save(place, "first", 5)
    save(place, "second", 6)
    told = json.loads(run("runs", "list", f"{place}/checkpoints/second/", "--json").out)["runs"]
    assert [one["experiment"] for one in told] == ["second"]


def test_a_place_without_runs(run, place):
    ended = run("runs", "list", place)
    assert (ended.code, "[place-missing]" in ended.err) == (3, True)
    put(place, "other/x.txt")
    ended = run("runs", "list", place)
    assert (ended.code, "there is no run at" in ended.err) == (3, True)


def test_what_is_no_run_is_passed_by(run, place):
    save(place, "first", 5)
    put(place, "checkpoints/.cache/x.pt")
    put(place, "checkpoints/x.pt")
    told = json.loads(run("runs", "list", place, "--json").out)["runs"]
    assert [one["experiment"] for one in told] == ["first"]


def test_list_counts_checkpoints_of_other_tools(run, place):
    put(place, "checkpoints/theirs/checkpoint_latest.pt", b"12345")
    put(place, "checkpoints/theirs/notes.txt")
    (one,) = json.loads(run("runs", "list", place, "--json").out)["runs"]
    assert (one["checkpoints"], one["others"], one["bytes"], one["saved"]) == (0, 1, 5, None)
    assert "0, and 1 of others" in run("runs", "list", place).out


def test_a_measure_that_is_no_number_is_text_in_json(run, place):
    save(place, "first", 5, metrics={"loss": float("nan"), "best": float("inf")})
    (one,) = json.loads(run("runs", "list", place, "--json").out)["runs"]
    assert one["metrics"] == {"loss": "nan", "best": "inf"}


def test_a_damaged_index_is_told(run, place):
    put(place, "checkpoints/first/checkpoints.json", b"{")
    for words in (("list", place), ("show", place), ("pull", place, "-o", "out")):
        ended = run("runs", *words)
        assert (ended.code, "[bad-record]" in ended.err) == (3, True)


# What a place names


def test_a_place_that_is_called_like_its_parts_is_what_has_runs(tmp_path):
    for name in ("checkpoints", "logs/mine", "tensorboard/checkpoints"):
        save(tmp_path / name, "first", 1)
        assert find(tmp_path / name, LAYOUT).store.root == tmp_path / name
    inner = find(tmp_path / "logs/mine/checkpoints/first", LAYOUT)
    assert (inner.store.root, inner.experiment) == (tmp_path / "logs/mine", "first")


@pytest.mark.parametrize(
    ("text", "home", "experiment", "path"),
    [
        ("s3://bucket/checkpoints/e", "s3://bucket", "e", None),
        ("s3://bucket/a/logs/e/", "s3://bucket/a", "e", None),
        ("s3://bucket/checkpoints/e/checkpoint_best.pt", "s3://bucket", "e", "checkpoints/e/checkpoint_best.pt"),
        ("s3://bucket/a", "s3://bucket/a", None, None),
    ],
)
def test_addresses_on_s3(monkeypatch, text, home, experiment, path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    empty = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    with Door(answer=lambda seen: (200, {}, empty)) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        found = find(text, LAYOUT)
    assert (found.store.place, found.experiment, found.path) == (home, experiment, path)


def test_two_names_of_a_run_must_agree(run, place):
    save(place, "first", 5)
    ended = run("runs", "show", f"{place}/checkpoints/first", "--experiment", "other")
    assert (ended.code, "[usage]" in ended.err) == (2, True)


def test_directories_on_s3_are_listed_page_by_page(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")

    def answer(seen):
        last = seen.query.get("continuation-token") == "more"
        token = "" if last else "<NextContinuationToken>more</NextContinuationToken>"
        name = "b" if last else "a%20a"
        found = f"<CommonPrefixes><Prefix>p/checkpoints/{name}/</Prefix></CommonPrefixes>"
        head = f"<IsTruncated>{'false' if last else 'true'}</IsTruncated><EncodingType>url</EncodingType>{token}"
        return 200, {}, f"<ListBucketResult>{head}{found}</ListBucketResult>".encode()

    with Door(answer=answer) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        assert folders(open_runs("s3://bucket/p"), "checkpoints") == ["a a", "b"]


# show


def test_show_tells_what_a_checkpoint_was_trained_on(run, place):
    first = save(place, "first", 10, epoch=1, metrics=MEASURED, best=True, trained_on=TRAINED_ON)
    latest = save(place, "first", 20, epoch=2)
    put(place, "checkpoints/first/model.ckpt")
    put(place, "logs/first/training_x.log", b"12345")
    told = json.loads(run("runs", "show", place, "--json").out)
    assert [one["path"] for one in told["checkpoints"]] == [first.path, latest.path]
    assert told["checkpoints"][0]["trained_on"] == TRAINED_ON
    assert (told["latest"], told["best"]) == (latest.path, first.path)
    assert [one["path"] for one in told["others"]] == ["checkpoints/first/model.ckpt"]
    assert told["logs"] == {"files": 1, "bytes": 5}
    text = run("runs", "show", place).out
    for words in ("(best)", "(latest)", "s3://b/frames", "manifest sha256 aaaa", "commit: c0ffee", ", with changes"):
        assert words in text


@pytest.mark.parametrize(("name", "step"), [("checkpoint_latest.pt", 20), ("checkpoint_best.pt", 10)])
def test_show_of_one_checkpoint(run, place, name, step):
    save(place, "first", 10, best=True)
    save(place, "first", 20)
    (one,) = json.loads(run("runs", "show", f"{place}/checkpoints/first/{name}", "--json").out)["checkpoints"]
    assert one["step"] == step


def test_show_of_what_is_not_there(run, place):
    save(place, "first", 10)
    save(place, "second", 10)
    for words, code, slug in (
        (("show", place), 2, "usage"),
        (("show", place, "--experiment", "frist"), 2, "unknown-name"),
        (("show", f"{place}/checkpoints/first/checkpoint_no.pt"), 3, "file-missing"),
        (("show", f"{place}/model.pt"), 2, "usage"),
        (("show", place, "--experiment", "../first"), 2, "usage"),
    ):
        ended = run("runs", *words)
        assert (ended.code, f"[{slug}]" in ended.err) == (code, True), (words, ended.err)
    assert "did you mean first?" in run("runs", "show", place, "--experiment", "frist").err


def test_other_prefixes(run, place):
    layout = runs.RunLayout("models/ckpt", "tb", "text")
    save(place, "first", 10, layout=layout)
    options = ("--checkpoint-prefix", "models/ckpt", "--tensorboard-prefix", "tb", "--logs-prefix", "text")
    assert len(json.loads(run("runs", "list", place, "--json", *options).out)["runs"]) == 1
    assert run("runs", "show", f"{place}/models/ckpt/first", *options).code == 0
    assert run("runs", "list", place).code == 3


# pull


def test_pull_makes_a_place_of_the_same_runs(run, far, tmp_path):
    for step in (10, 20):
        save(far, "first", step, best=step == 10, metrics=MEASURED)
    save(far, "second", 1)
    talk = Talking(far, "first", tmp_path / "local")
    talk.say("one", "two")
    talk.ship()
    assert run("runs", "pull", far, "-o", "out").code == 0
    out = tmp_path / "work/out"
    shown = [json.loads(run("runs", "list", where, "--json").out)["runs"] for where in (far, out)]
    for one in itertools.chain(*shown):
        one.pop("writer")
    assert shown[0] == shown[1]
    assert (out / "checkpoints/first/checkpoint_best.pt").read_bytes() == b"first 10"
    assert not [path for path in out.glob("checkpoints/*/*.pt") if path.stat().st_mode & 0o222]
    assert (out / "logs/first/training_latest.log").read_bytes() == b"one\ntwo\n"
    before = tree(out)
    again = json.loads(run("runs", "pull", far, "-o", "out", "--json").out)
    assert (again["moved"], tree(out)) == (0, before)
    put(far, "logs/first/training_latest.log", b"two\none\n")
    assert json.loads(run("runs", "pull", far, "-o", "out", "--json").out)["moved"] == 1
    assert (out / "logs/first/training_latest.log").read_bytes() == b"two\none\n"
    talk.say("three")
    talk.ship()
    save(far, "first", 30)
    assert run("runs", "pull", far, "-o", "out").code == 0
    assert list(runs.logs(out, experiment="first")) == ["one", "two", "three"]
    assert runs.show(out, experiment="first").checkpoints[-1].step == 30


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_what_is_gone_from_the_target_is_brought_again(run, far, tmp_path, verb):
    origin, target = (far, tmp_path / "to") if verb == "pull" else (tmp_path / "from", far)
    gone = save(origin, "first", 10)
    save(origin, "first", 20)
    words = ("pull", origin, "-o", target) if verb == "pull" else ("push", origin, target)
    assert run("runs", *words).code == 0
    wait(open_runs(target).delete(gone.path))
    if verb == "pull":
        (target / "checkpoints/first/checkpoint_latest.pt").unlink()
    ended = run("runs", *words, "--json")
    assert (json.loads(ended.out)["checkpoints"], ended.code) == (1, 0), ended.err
    assert wait(open_runs(target).read(gone.path)) == b"first 10"
    assert wait(open_runs(target).read("checkpoints/first/checkpoint_latest.pt")) == b"first 20"
    assert [one.step for one in runs.show(target).checkpoints] == [10, 20]


@pytest.mark.parametrize("data", [b"", b"first 11"], ids=["empty", "another byte"])
def test_what_was_damaged_at_the_target_is_named_and_stays(run, far, tmp_path, data):
    out = tmp_path / "out"
    bad = [save(far, "first", step).path for step in (10, 20)]
    assert run("runs", "pull", far, "-o", out).code == 0
    for path in bad:
        put(out, path, data)
    ended = run("runs", "pull", far, "-o", out)
    assert (ended.code, "[would-overwrite]" in ended.err, "move it away" in ended.err) == (3, True, True), ended.err
    assert all(path in ended.err for path in bad)
    assert [(out / path).read_bytes() for path in bad] == [data, data]
    for path in bad:
        (out / path).unlink()
    assert run("runs", "pull", far, "-o", out).code == 0
    assert (out / bad[0]).read_bytes() == b"first 10"


@pytest.mark.parametrize("data", [b"first 11", b"first 1"], ids=["another byte", "cut"])
def test_what_is_damaged_at_the_origin_does_not_keep_the_rest(run, place, tmp_path, data):
    bad, good = save(tmp_path / "near", "first", 10), save(tmp_path / "near", "first", 20)
    save(tmp_path / "near", "second", 1)
    put(tmp_path / "near", bad.path, data)
    for _ in range(2):
        ended = run("runs", "push", tmp_path / "near", place)
        assert (ended.code, "[wrong-content]" in ended.err, bad.path in ended.err) == (3, True, True), ended.err
        assert ("same command again" in ended.err, "take another" in ended.err) == (False, True)
    assert [one.path for one in runs.show(place, experiment="first").checkpoints] == [good.path]
    assert [one.step for one in runs.show(place, experiment="second").checkpoints] == [1]


def test_pull_of_one_checkpoint(run, far, tmp_path):
    save(far, "first", 10, best=True)
    save(far, "first", 20)
    ended = run("runs", "pull", f"{far}/checkpoints/first/checkpoint_best.pt", "-o", "out")
    assert ended.code == 0, ended.err
    (one,) = runs.show(tmp_path / "work/out").checkpoints
    assert (one.step, one.best) == (10, True)
    assert (tmp_path / "work/out" / one.path).read_bytes() == b"first 10"


def test_pull_of_a_kind(run, far, tmp_path):
    save(far, "first", 10)
    put(far, "logs/first/training_latest.log")
    assert run("runs", "pull", far, "-o", "out", "--only", "logs").code == 0
    assert [one.name for one in (tmp_path / "work/out").iterdir()] == ["logs"]


def test_pull_never_replaces_another_run(run, far, tmp_path):
    out = tmp_path / "work/out"
    one = save(far, "first", 10)
    put(out, one.path, b"not that one")
    put(far, "logs/first/training_a_000000.log", b"far away")
    put(far, "logs/first/training_latest.log", b"away")
    put(out, "logs/first/training_latest.log", b"here")
    before = tree(out)
    for only in ("checkpoints", "logs"):
        ended = run("runs", "pull", far, "-o", "out", "--only", only)
        assert (ended.code, "[would-overwrite]" in ended.err) == (3, True), ended.err
        assert tree(out) == before


def test_a_checkpoint_that_goes_while_it_is_pulled_is_passed_by(run, s3_server, far, tmp_path):
    gone = save(far, "first", 10)
    save(far, "first", 20)
    asked = []

    def answer(seen):
        if seen.method == "GET" and seen.path.endswith(gone.path) and not asked:
            asked.append(seen)
            save(far, "first", 30, keep_last=2)
        return

    with Door(s3_server, answer) as door:
        ended = run("runs", "pull", far, "-o", "out", "--endpoint-url", door.url)
    assert (ended.code, len(asked)) == (0, 1), ended.err
    assert [one.step for one in runs.show(tmp_path / "work/out").checkpoints] == [20]
    assert run("runs", "pull", far, "-o", "out").code == 0
    assert [one.step for one in runs.show(tmp_path / "work/out").checkpoints] == [20, 30]


def test_what_a_kill_left_is_not_fetched_again(run, s3_server, far, tmp_path):
    out = tmp_path / "work/out"
    one, other = save(far, "first", 10), save(far, "first", 20)
    put(out, one.path, b"first 10")  # whole, and not named yet
    with Door(s3_server) as door:
        assert run("runs", "pull", far, "-o", "out", "--endpoint-url", door.url).code == 0
    fetched = {seen.path.rpartition("/")[2] for seen in door.seen if seen.method == "GET" and ".pt" in seen.path}
    assert fetched == {other.path.rpartition("/")[2]}
    assert [one.step for one in runs.show(out).checkpoints] == [10, 20]


def test_one_that_cannot_be_had_leaves_the_others_named(run, s3_server, far, tmp_path):
    bad, good = save(far, "first", 10), save(far, "first", 20)

    def answer(seen):
        return error(403, "AccessDenied") if seen.method == "GET" and seen.path.endswith(bad.path) else None

    with Door(s3_server, answer) as door:
        ended = run("runs", "pull", far, "-o", "out", "--endpoint-url", door.url)
    assert (ended.code, "[incomplete]" in ended.err, bad.path in ended.err) == (3, True, True)
    assert [one.path for one in runs.show(tmp_path / "work/out").checkpoints] == [good.path]


def test_what_grew_on_a_disk_is_pulled_anew_and_what_is_other_is_not(run, tmp_path):
    near, out = tmp_path / "near", tmp_path / "work/out"
    put(near, "tensorboard/first/events.1", b"one")
    assert run("runs", "pull", near, "-o", "out").code == 0
    put(near, "tensorboard/first/events.1", b"one two")
    assert run("runs", "pull", near, "-o", "out").code == 0
    assert (out / "tensorboard/first/events.1").read_bytes() == b"one two"
    put(near, "tensorboard/first/events.1", b"something longer")
    assert run("runs", "pull", near, "-o", "out").code == 3
    assert (out / "tensorboard/first/events.1").read_bytes() == b"one two"


def test_a_run_of_another_tool_is_pulled_as_it_is(run, bucket, far, tmp_path):
    put(far, "checkpoints/first/checkpoint_latest.pt", b"model")
    put(far, "checkpoints/first/notes.txt")
    for _ in range(2):
        assert run("runs", "pull", f"{far}/checkpoints/first", "-o", "out").code == 0
    assert tree(tmp_path / "work/out") == {"checkpoints/first/checkpoint_latest.pt": b"model"}
    assert run("runs", "pull", f"{far}/checkpoints/first/checkpoint_latest.pt", "-o", "other").code == 0
    assert tree(tmp_path / "work/other") == {"checkpoints/first/checkpoint_latest.pt": b"model"}


def test_pull_to_where_it_makes_no_sense(run, far, tmp_path):
    save(far, "first", 10)
    save(tmp_path / "near", "first", 10)
    for words in ((far, "-o", f"{far}/other"), (tmp_path / "near", "-o", tmp_path / "near"), (far, "--jobs", "0")):
        assert run("runs", "pull", *words).code == 2
    with pytest.raises(UsageError):
        runs.pull(far, tmp_path / "out", only="models")


# push


def test_push_sends_on_what_a_training_kept_on_disk(run, far, tmp_path):
    near = tmp_path / "near"
    save(far, "first", 10)
    for step in (20, 30):
        save(near, "first", step, best=step == 20, metrics=MEASURED, trained_on=TRAINED_ON)
    Talking(near, "first", near).say("one", "two")
    assert run("runs", "push", near, far).code == 0
    told = runs.show(far)
    assert [one.step for one in told.checkpoints] == [10, 20, 30]
    assert told.checkpoints[1].trained_on == TRAINED_ON
    assert list(runs.logs(far)) == ["one", "two"]
    assert len(list(runs.logs(far, metrics=True))) == 2
    before = runs.show(far)
    again = json.loads(run("runs", "push", near, far, "--json").out)
    assert (again["checkpoints"], again["bytes"], runs.show(far)) == (0, 0, before)


@pytest.mark.parametrize("foreign", [False, True])
def test_push_makes_the_copies_that_a_kill_left_undone(run, place, tmp_path, foreign):
    if foreign:
        put(tmp_path, "checkpoints_first/best_model.pt", model("first 20"))
    else:
        for step in (10, 20):
            save(tmp_path / "near", "first", step, best=step == 10)
    origin = "checkpoints_first" if foreign else "near"
    assert run("runs", "push", tmp_path / origin, place).code == 0
    latest, best = (model("first 20"),) * 2 if foreign else (b"first 20", b"first 10")
    copies = {"checkpoint_latest.pt": latest, "checkpoint_best.pt": best}
    store = open_runs(place)
    for name in copies:  # named, and killed before the copies were made
        wait(store.delete(f"checkpoints/first/{name}"))
    assert run("runs", "push", tmp_path / origin, place).code == 0
    assert {name: wait(store.read(f"checkpoints/first/{name}")) for name in copies} == copies


def test_push_does_not_disturb_a_training(run, place, tmp_path):
    training = Committer(open_runs(place), LAYOUT, "first", writer="training", keep_last=None)
    save(place, "first", 10, committer=training)
    save(tmp_path / "near", "first", 20)
    assert run("runs", "push", tmp_path / "near", place).code == 0
    save(place, "first", 30, committer=training)
    told = runs.show(place)
    assert [one.step for one in told.checkpoints] == [10, 20, 30]
    assert told.writer == "training"


def test_push_of_what_was_pulled(run, far, tmp_path):
    save(far, "first", 10)
    talk = Talking(far, "first", tmp_path / "local")
    for line in ("one", "two"):
        talk.say(line)
        talk.ship()
    assert run("runs", "pull", far, "-o", "out").code == 0
    for other in (f"{far}-other", tmp_path / "other"):
        assert run("runs", "push", "out", other).code == 0
        assert list(runs.logs(other)) == ["one", "two"]
        assert [one.step for one in runs.show(other).checkpoints] == [10]


def test_push_takes_checkpoints_of_other_tools(run, place, tmp_path):
    drive = tmp_path / "drive"
    put(drive, "checkpoints_easy/best_model.pt", model("easy"))
    put(drive, "checkpoints_hard/epoch_3_step_700.ckpt", model("hard"))
    put(drive, "checkpoints_hard/checkpoint_best.pt", model("best"))
    put(drive, "checkpoints_hard/config.json")
    put(drive, "photos/one.png")
    assert run("runs", "push", drive, place).code == 0
    easy = runs.show(place, experiment="easy")
    assert (easy.best, easy.checkpoints[0].step) == ("checkpoints/easy/best_model.pt", 0)
    hard = runs.show(place, experiment="hard")
    assert {(one.step, one.epoch, one.best) for one in hard.checkpoints} == {(700, 3, False), (0, None, True)}
    assert hard.others == ()
    again = json.loads(run("runs", "push", drive, place, "--json").out)
    assert (again["checkpoints"], again["kept"]) == (0, 3)
    put(drive, "checkpoints_easy/best_model.pt", model("another"))
    ended = run("runs", "push", drive, place)
    assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
    assert runs.show(place, experiment="easy") == easy


def test_push_follows_links_and_mixes_nothing_up(run, place, tmp_path):
    put(tmp_path, "elsewhere/model.pt", model("easy"))
    put(tmp_path, "drive/easy/first.pt", model("one"))
    put(tmp_path, "drive/checkpoints_easy/second.pt", model("two"))
    (tmp_path / "drive/easy/third.pt").symlink_to(tmp_path / "elsewhere/model.pt")
    assert run("runs", "push", tmp_path / "drive", place).code == 0
    names = [one.path.rpartition("/")[2] for one in runs.show(place, experiment="easy").checkpoints]
    assert sorted(names) == ["first.pt", "second.pt", "third.pt"]


def test_push_of_one_file_and_under_another_name(run, place, tmp_path):
    put(tmp_path, "checkpoints_easy/best_model.pt", model("easy"))
    save(tmp_path / "near", "first", 10)
    last = save(tmp_path / "near", "first", 20)
    assert run("runs", "push", tmp_path / "checkpoints_easy/best_model.pt", place, "--experiment", "mine").code == 0
    assert run("runs", "push", tmp_path / "checkpoints_easy", place, "--experiment", "yours").code == 0
    assert run("runs", "push", tmp_path / "near" / last.path, place).code == 0
    told = json.loads(run("runs", "list", place, "--json").out)["runs"]
    assert [(one["experiment"], one["step"]) for one in told] == [("first", 20), ("mine", 0), ("yours", 0)]


def test_push_of_nothing(run, place, tmp_path):
    (tmp_path / "empty").mkdir()
    put(tmp_path, "notes.txt")
    save(tmp_path / "near", "first", 10)
    for words, code, slug in (
        ((tmp_path / "empty", place), 3, "unknown-content"),
        ((tmp_path / "nowhere", place), 3, "place-missing"),
        ((tmp_path / "notes.txt", place), 3, "unknown-content"),
        ((tmp_path / "near", place, "--experiment", "frist"), 2, "unknown-name"),
        ((tmp_path / "near", tmp_path / "near"), 2, "usage"),
        (("s3://bucket/x", place), 3, "place-missing"),
        ((tmp_path / "near", "http://example.com/x"), 2, "bad-place"),
        ((tmp_path / "near", "hf:a/b"), 2, "bad-place"),
    ):
        ended = run("runs", "push", *words)
        assert (ended.code, f"[{slug}]" in ended.err) == (code, True), (words, ended.err)
    assert "visprep runs pull" in run("runs", "push", "s3://bucket/x", place).err


def test_push_looks_into_all_directories(run, place, tmp_path):
    drive = tmp_path / "drive"
    put(drive, "2024/may/checkpoints_easy/best_model.pt", model("easy"))
    put(drive, "2024/may/checkpoints_easy/swa/model.pt", model("swa"))
    put(drive, ".trash/checkpoints_easy/x.pt", model())
    save(drive, "first", 10)
    put(drive, "checkpoints/first/old/x.pt", model())  # of a run of ours
    (drive / "2024/again").symlink_to(drive)
    assert run("runs", "push", drive, place).code == 0
    told = json.loads(run("runs", "list", place, "--json").out)["runs"]
    assert [(one["experiment"], one["checkpoints"]) for one in told] == [("easy", 1), ("first", 1), ("swa", 1)]


def test_two_files_that_would_become_one_are_refused_before_anything_is_sent(run, place, tmp_path):
    for one in ("easy", "hard"):
        put(tmp_path, f"drive/checkpoints_{one}/weights/best.pt", model(one))
    ended = run("runs", "push", tmp_path / "drive", place)
    assert (ended.code, "[usage]" in ended.err, "checkpoints_hard/weights" in ended.err) == (2, True, True), ended.err
    assert run("runs", "list", place).code == 3
    for one in ("easy", "hard"):
        words = (tmp_path / f"drive/checkpoints_{one}/weights", place, "--experiment", one)
        assert run("runs", "push", *words).code == 0


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.pt", b"", "it is empty"),
        ("a.pt", b"junk", "it is nothing that torch.save makes"),
        ("a.pt", model()[:-1], "its end is missing"),
        ("a.safetensors", b'\x80\x02\0\0\0\0\0\0{"w":{"dtype":"F32"}}', "it is nothing that torch.save makes"),
    ],
    ids=["empty", "junk", "cut", "safetensors"],
)
def test_what_torch_did_not_make_becomes_no_checkpoint(run, place, tmp_path, name, data, told):
    put(tmp_path, f"drive/easy/{name}", data)
    put(tmp_path, "drive/easy/z.pt", model())
    ended = run("runs", "push", tmp_path / "drive", place)
    assert (ended.code, "[incomplete]" in ended.err, f"{name}: {told}" in ended.err) == (3, True, True), ended.err
    assert [one.path for one in runs.show(place).checkpoints] == ["checkpoints/easy/z.pt"]
    assert run("runs", "push", tmp_path / "drive/easy" / name, place).code == 3


def test_files_of_an_old_torch_are_taken(run, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is in the torch extra")
    for protocol in (2, 4):
        (tmp_path / "easy").mkdir(exist_ok=True)
        file = tmp_path / f"easy/{protocol}.pt"
        torch.save({"w": 1}, file, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    torch.save({"w": 1}, tmp_path / "easy/new.pt")
    assert run("runs", "push", tmp_path / "easy", tmp_path / "place").code == 0
    assert len(runs.show(tmp_path / "place").checkpoints) == 3


def test_a_file_in_the_way_that_no_index_names_stays(run, place, tmp_path):
    put(tmp_path, "checkpoints_easy/best_model.pt", model("easy"))
    put(place, "checkpoints/easy/best_model.pt", b"other")
    ended = run("runs", "push", tmp_path / "checkpoints_easy", place)
    assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
    put(place, "checkpoints/easy/best_model.pt", model("easy"))
    assert run("runs", "push", tmp_path / "checkpoints_easy", place).code == 0
    assert runs.show(place).best == "checkpoints/easy/best_model.pt"


# logs


def test_logs_follow_what_comes(far, tmp_path):
    talk = Talking(far, "first", tmp_path / "local")
    talk.say("one", "two", "three")
    talk.ship()
    lines = runs.logs(far, follow=True, lines=2, every=0.01)
    assert [next(lines), next(lines)] == ["two", "three"]
    talk.say("four")
    talk.ship()
    assert next(lines) == "four"


def test_logs_of_both(run, place, tmp_path):
    talk = Talking(place, "first", tmp_path / "local" if place.startswith("s3:") else tmp_path / "place")
    talk.say("one", "two", "caf\xe9 \x1b[2J")
    talk.ship(whole=True)
    ended = run("runs", "logs", place)
    assert ended.out.splitlines() == ["one", "two", "caf\xe9 \\x1b[2J"]
    assert run("runs", "logs", f"{place}/logs/first/training_latest.log").out == ended.out
    assert len(run("runs", "logs", f"{place}/logs/first/metrics.jsonl").out.splitlines()) == 3
    assert run("runs", "logs", place, "--lines", "1").out == "caf\xe9 \\x1b[2J\n"
    assert [json.loads(line)["loss"] for line in run("runs", "logs", place, "--metrics").out.splitlines()] == [0.5] * 3


def test_logs_of_another_tool(run, place):
    put(place, "logs/first/training_latest.log", b"one\ntw")
    assert run("runs", "logs", place).out == "one\ntw\n"
    lines = runs.logs(place, follow=True, every=0.01)
    assert next(lines) == "one"
    put(place, "logs/first/training_latest.log", b"one\ntwo\n")
    assert next(lines) == "two"


def test_a_network_that_fails_does_not_end_following(s3_server, far, tmp_path, monkeypatch):
    talk = Talking(far, "first", tmp_path / "local")
    talk.say("one")
    talk.ship()
    down = []

    def answer(seen):
        return error(501, "NotImplemented") if down and down.pop() else None

    with Door(s3_server, answer) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        lines = runs.logs(far, follow=True, every=0.01)
        assert next(lines) == "one"
        talk.say("two")
        talk.ship()
        down += [True, True]
        assert next(lines) == "two"
        assert not down


def test_no_logs(run, place):
    save(place, "first", 10)
    ended = run("runs", "logs", place)
    assert (ended.code, "[file-missing]" in ended.err) == (3, True)
    assert run("runs", "logs", place, "--lines", "-1").code == 2


# tensorboard


def test_tensorboard_pulls_and_prints_the_command(run, far, tmp_path):
    save(far, "first", 10)
    talk = Talking(far, "first", tmp_path / "local")
    talk.say("one")
    talk.ship()
    ended = run("runs", "tensorboard", far, "-o", "my runs")
    assert (ended.code, ended.out) == (0, "tensorboard --logdir 'my runs/tensorboard'\n")
    assert set(tree(tmp_path / "work/my runs")) == {"tensorboard/first/events.out.tfevents.1.host"}
    ended = run("runs", "tensorboard", f"{far}/tensorboard/first", "-o", "out")
    assert ended.out == "tensorboard --logdir out/tensorboard/first\n"
    talk.say("two")
    talk.ship()
    assert json.loads(run("runs", "tensorboard", far, "-o", "out", "--json").out)["moved"] == 1


def test_tensorboard_of_a_directory_moves_nothing(run, tmp_path):
    Talking(tmp_path / "near", "first", tmp_path / "near").say("one")
    before = tree(tmp_path / "near")
    ended = run("runs", "tensorboard", tmp_path / "near")
    assert ended.out == f"tensorboard --logdir {tmp_path}/near/tensorboard\n"
    assert tree(tmp_path / "near") == before
    assert not (tmp_path / "work/data").exists()
    assert ended.err == ""
    assert run("runs", "tensorboard", tmp_path / "near", "--experiment", "frist").code == 2
    save(tmp_path / "silent", "first", 10)
    assert "no events there yet" in run("runs", "tensorboard", tmp_path / "silent").err


# What S3 may answer


VERBS = (("list",), ("show",), ("pull", "-o", "out"), ("logs",), ("tensorboard", "-o", "out"))


def test_push_to_a_bucket_that_is_not_there(run, far, tmp_path):
    save(tmp_path / "near", "first", 10)
    ended = run("runs", "push", tmp_path / "near", "s3://no-such-bucket-here/x")
    assert (ended.code, "[place-missing]" in ended.err) == (3, True), ended.err


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_refusals_are_told(run, s3_server, far, words):
    def answer(seen):
        return error(403, "AccessDenied")

    with Door(s3_server, answer) as door:
        ended = run("runs", words[0], far, *words[1:], "--endpoint-url", door.url)
    assert (ended.code, "[access-denied]" in ended.err) == (3, True), ended.err
    ended = run("runs", words[0], "s3://no-such-bucket-here/x", *words[1:])
    assert (ended.code, "[place-missing]" in ended.err) == (3, True), ended.err


def test_without_credentials(run, monkeypatch, far):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ended = run("runs", "list", far)
    assert (ended.code, "[credentials]" in ended.err) == (3, True)


def test_no_verb_loads_torch(tmp_path):
    save(tmp_path / "near", "first", 10)
    talk = Talking(tmp_path / "near", "first", tmp_path / "near")
    talk.say("one")
    code = """
import sys
from visprep.cli import main
for words in (["list", "near"], ["show", "near"], ["pull", "near"], ["push", "near", "other"], ["logs", "near"],
              ["tensorboard", "near"]):
    try:
        main(["runs", *words])
    except SystemExit as ended:
        assert not ended.code, words
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False).returncode == 0
