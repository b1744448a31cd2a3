"""Only what changed since a commit: real repositories, and places that are in none."""

import json
import os
import shutil
import subprocess

import pytest

from visprep import git
from visprep.errors import UnknownContent, UnknownName

IDENTITY = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")


def say(repository, *arguments):
    command = ["git", *IDENTITY, "-C", repository, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(run, tmp_path):
    """A repository below the working directory, with six sound tasks in `data/q`, all of it committed."""
    root = tmp_path / "work" / "repo"
    root.mkdir()
    say(root, "init", "--quiet", "--initial-branch", "main")
    run("download", "sample", "--limit", "6", "--output", root / "data/q")
    (root / ".gitignore").write_text("*.ignored\n")
    say(root, "add", "--all")
    say(root, "commit", "--quiet", "--message", "first")
    return root


def test_changed_deleted_staged_renamed_and_new_files(repository):
    place = repository / "data/q"
    tasks = sorted(place.glob("*_task/*"))
    names = [task.relative_to(place).as_posix() for task in tasks]
    (repository / "README").write_text("not below the place")
    assert git.changed(str(place), "HEAD") == frozenset()
    (tasks[0] / "prompt.txt").write_text("another\n")
    (tasks[1] / "prompt.txt").unlink()
    (tasks[2] / "r\u00e9sum\u00e9 \udcff\n.txt").write_text("new")
    (tasks[2] / "x.ignored").write_text("new")
    tasks[3].rename(tasks[3].with_name("moved"))
    (tasks[4] / "prompt.txt").write_text("staged\n")
    say(repository, "add", "--update")
    files = sorted(path.name for path in tasks[3].with_name("moved").iterdir())
    home = names[3].rpartition("/")[0]
    assert git.changed(str(place), "HEAD") == {
        f"{names[0]}/prompt.txt",
        f"{names[1]}/prompt.txt",
        f"{names[2]}/r\u00e9sum\u00e9 \udcff\n.txt",
        *(f"{names[3]}/{name}" for name in files),
        *(f"{home}/moved/{name}" for name in files),
        f"{names[4]}/prompt.txt",
    }


def test_a_file_that_moved_is_one_that_is_gone_and_one_that_is_new(repository):
    place = repository / "data/q"
    task = sorted(place.glob("*_task/*"))[0]
    home = task.relative_to(place).as_posix()
    say(repository, "config", "diff.renames", "copies")
    say(repository, "mv", task / "prompt.txt", task / "moved.txt")
    assert git.changed(str(place), "HEAD") == {f"{home}/prompt.txt", f"{home}/moved.txt"}


def test_a_repository_inside_is_named_and_covers_all_that_is_in_it(run, repository):
    """Once as one that git does not know, once as a submodule: of both git names the directory alone."""
    place = repository / "data/q"
    task = sorted(place.glob("*_task/*"))[0]
    inner = place / "inner"
    shutil.copytree(task, inner / "new_task/x")
    (inner / "new_task/x/final_frame.png").write_bytes(b"<html>")
    say(inner, "init", "--quiet")
    say(inner, "add", "--all")
    say(inner, "commit", "--quiet", "--message", "inner")
    verify = ("verify", place, "--json", "--select", "frame-not-png", "--only-changed", "HEAD")
    found = (1, 1, ["inner/new_task/x/final_frame.png"])
    assert git.changed(str(place), "HEAD") == {"inner"}
    assert told(run(*verify)) == found
    say(repository, "-c", "advice.addEmbeddedRepo=false", "add", "data/q/inner")
    say(repository, "commit", "--quiet", "--message", "a submodule")
    assert told(run(*verify)) == (0, 0, [])
    say(repository, "config", "diff.ignoreSubmodules", "all")
    (inner / "new_task/x/prompt.txt").write_text("another\n")
    assert git.changed(str(place), "HEAD") == {"inner"}
    assert told(run(*verify)) == found


def test_a_place_that_git_ignores_is_not_called_unchanged(run, repository):
    (repository / ".gitignore").write_text("/data/\n")
    assert run("verify", repository / "data/q", "--only-changed", "HEAD").code == 0  # what it knows it does not ignore
    shutil.copytree(repository / "data/q", repository / "data/other")
    ended = run("verify", repository / "data/other", "--only-changed", "HEAD")
    assert (ended.code, ended.out, "[usage]" in ended.err) == (2, "", True)
    assert "git ignores all that is there" in ended.err
    assert "leave out --only-changed" in ended.err


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"])
def test_the_environment_of_a_hook_leads_nowhere_else(repository, tmp_path, monkeypatch, name):
    other = tmp_path / "other"
    other.mkdir()
    say(other, "init", "--quiet")
    prompt = sorted((repository / "data/q").glob("*_task/*/prompt.txt"))[0]
    prompt.write_text("another\n")
    told = git.changed(str(repository / "data/q"), "HEAD")
    monkeypatch.setenv(name, str({"GIT_DIR": other / ".git", "GIT_INDEX_FILE": other / "index"}.get(name, other)))
    assert (
        git.changed(str(repository / "data/q"), "HEAD")
        == told
        == {prompt.relative_to(repository / "data/q").as_posix()}
    )


def test_any_name_of_a_commit_will_do(repository):
    say(repository, "update-ref", "refs/heads/-odd", "HEAD")
    assert git.changed(str(repository / "data/q"), "-odd") == frozenset()


def test_any_place_in_the_history_will_do(repository):
    place = repository / "data/q"
    prompt = sorted(place.glob("*_task/*/prompt.txt"))[0]
    prompt.write_text("another\n")
    say(repository, "commit", "--quiet", "--all", "--message", "second")
    say(repository, "tag", "v2")
    changed = {prompt.relative_to(place).as_posix()}
    for ref in ("HEAD~1", "v2~1", "main~1", say(repository, "rev-parse", "HEAD~1")):
        assert git.changed(str(place), ref) == changed
    assert git.changed(str(place), "v2") == frozenset()


@pytest.mark.parametrize("ref", ["nowhere", "--output=x", "-z", "", "HEAD:data", "..", "HEAD~9", "a b"])
def test_a_commit_that_there_is_not(repository, ref):
    with pytest.raises(UnknownName):
        git.changed(str(repository / "data/q"), ref)
    assert not (repository / "data/q/x").exists()


def test_before_the_first_commit_all_is_new(tmp_path):
    say(tmp_path, "init", "--quiet")
    (tmp_path / "staged").write_text("x")
    say(tmp_path, "add", "staged")
    (tmp_path / "unknown").write_text("x")
    assert git.changed(str(tmp_path), "HEAD") == {"staged", "unknown"}


def test_a_directory_that_git_does_not_know(tmp_path):
    with pytest.raises(UnknownContent):
        git.changed(str(tmp_path), "HEAD")


def test_no_program_of_the_repository_is_started(repository, tmp_path):
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "diff.png.command", "diff.png.textconv"):
        say(repository, "config", key, str(trap))
    (repository / ".gitattributes").write_text("* diff=png\n")
    sorted((repository / "data/q").glob("*_task/*/prompt.txt"))[0].write_text("another\n")
    assert len(git.changed(str(repository / "data/q"), "HEAD")) == 1
    assert not (tmp_path / "sprung").exists()


# Through the command line


def told(ended):
    document = json.loads(ended.out)
    return ended.code, document["checked"]["tasks"], sorted(one["path"] for one in document["findings"])


def damage(task):
    (task / "final_frame.png").write_bytes(b"<html>")


def test_only_findings_on_what_changed(run, repository):
    place = repository / "data/q"
    tasks = sorted(place.glob("*_task/*"))
    damage(tasks[0])
    say(repository, "commit", "--quiet", "--all", "--message", "damaged")
    verify = ("verify", place, "--json", "--ignore", "file-size", "--only-changed")
    assert told(run(*verify, "HEAD")) == (0, 0, [])
    damage(tasks[1])
    (tasks[2] / "prompt.txt").write_text("another\n")
    names = [f"{task.relative_to(place).as_posix()}/final_frame.png" for task in tasks]
    assert told(run(*verify, "HEAD")) == (1, 2, [names[1]])
    assert told(run(*verify, "HEAD~1")) == (1, 3, names[:2])
    planned = run("verify", place, "--json", "--dry-run", "--only-changed", "HEAD")
    assert json.loads(planned.out)["checked"]["tasks"] == 2


def test_a_fault_between_two_files_shows_whichever_of_them_changed(run, repository):
    from PIL import Image

    first = sorted((repository / "data/q").glob("*_task/*/first_frame.png"))[0]
    Image.new("RGB", (8, 8)).save(first)
    ended = run("verify", repository / "data/q", "--json", "--only-changed", "HEAD", "--select", "frame-size-mismatch")
    code, _, (path,) = told(ended)
    assert (code, path.rpartition("/")[2]) == (1, "final_frame.png")


def test_the_record_of_a_place_is_always_looked_at(run, repository):
    place = repository / "data/q"
    (place / ".visprep/manifest.jsonl").write_text("oops")
    say(repository, "commit", "--quiet", "--all", "--message", "damaged")
    verify = ("verify", place, "--json", "--only-changed", "HEAD")
    assert told(run(*verify)) == (1, 0, [".visprep/manifest.jsonl"])
    (place / ".visprep/in-progress").write_text("{}\n")
    say(repository, "add", "--all")
    say(repository, "commit", "--quiet", "--message", "begun")
    assert told(run(*verify)) == (1, 0, [".visprep/in-progress", ".visprep/manifest.jsonl"])


def test_what_a_link_shows_changes_with_its_target(run, repository):
    place = repository / "data/q"
    task = sorted(place.glob("*_task/*"))[0]
    (place / "shared").mkdir()
    (task / "prompt.txt").rename(place / "shared/prompt.txt")
    (task / "prompt.txt").symlink_to("../../shared/prompt.txt")
    say(repository, "add", "--all")
    say(repository, "commit", "--quiet", "--message", "linked")
    verify = ("verify", place, "--json", "--select", "prompt-blank", "--only-changed", "HEAD")
    assert told(run(*verify)) == (0, 0, [])
    (place / "shared/prompt.txt").write_text(" \n")
    assert told(run(*verify)) == (1, 1, [(task / "prompt.txt").relative_to(place).as_posix()])


def test_missing_files_and_the_digests_of_changed_ones(run, repository):
    place = repository / "data/q"
    tasks = sorted(place.glob("*_task/*"))
    shutil.rmtree(tasks[0])
    for task in tasks[1:3]:
        (task / "prompt.txt").write_bytes((task / "prompt.txt").read_bytes().swapcase())
    gone = f"{tasks[0].relative_to(place).as_posix()}/"
    verify = ("verify", place, "--json", "--depth", "content", "--only-changed")
    code, looked_at, paths = told(run(*verify, "HEAD"))
    assert (code, looked_at, len(paths)) == (1, 2, 6)
    assert len([path for path in paths if path.startswith(gone)]) == 4
    say(repository, "commit", "--quiet", "--all", "--message", "second")
    assert told(run(*verify, "HEAD")) == (0, 0, [])


def test_what_git_cannot_do(run, repository, tmp_path, bucket, monkeypatch):
    place = repository / "data/q"
    ended = run("verify", place, "--only-changed", "no-such-branch")
    assert (ended.code, ended.out) == (2, "")
    assert "no-such-branch" in ended.err
    assert "hint: fetch it" in ended.err
    run("download", "sample", "--limit", "1", "--output", tmp_path / "outside")
    ended = run("verify", tmp_path / "outside", "--only-changed", "HEAD")
    assert (ended.code, ended.out) == (3, "")
    assert "not a git repository" in ended.err
    assert run("verify", tmp_path / "nowhere", "--only-changed", "HEAD").code == 3
    run("upload", tmp_path / "outside", f"s3://{bucket}/x")
    ended = run("verify", f"s3://{bucket}/x", "--only-changed", "HEAD")
    assert (ended.code, "[usage]" in ended.err, "places on S3" in ended.err) == (2, True, True)
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "outside")
    ended = run("verify", archive, "--only-changed", "HEAD")
    assert (ended.code, "[usage]" in ended.err) == (2, True)
    assert "what is in an archive" in ended.err
    assert "S3" not in ended.err
    monkeypatch.setenv("PATH", os.fspath(tmp_path / "empty"))
    ended = run("verify", place, "--only-changed", "HEAD")
    assert (ended.code, "not installed" in ended.err) == (3, True)


def test_a_new_task_is_compared_with_those_that_did_not_change(run, repository):
    place = repository / "data/q"
    first, *_, last = sorted(place.glob("*_task/*"))
    verify = ("verify", place, "--json", "--only-changed", "HEAD", "--select", "task-duplicated")
    for copy, shown in ((last.with_name(f"{last.name}-copy"), last.parent), (first.with_name("a-copy"), first.parent)):
        shutil.copytree(first, copy)
        code, looked_at, (path,) = told(run(*verify))
        assert (code, looked_at) == (0, 1)
        assert path.startswith(shown.relative_to(place).as_posix())
        shutil.rmtree(copy)
    planned = ("verify", place, "--json", "--only-changed", "HEAD", "--dry-run")
    assert json.loads(run(*planned).out)["checked"]["bytes"] == 0
    (first / "notes.txt").write_text("x")
    everything = json.loads(run("verify", place, "--json", "--dry-run").out)["checked"]["bytes"]
    assert json.loads(run(*planned).out)["checked"]["bytes"] == everything
    alone = json.loads(run(*planned, "--ignore", "task-duplicated", "--ignore", "frame-shared").out)["checked"]["bytes"]
    assert 0 < alone < everything
