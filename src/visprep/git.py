"""What git says of a directory: which files changed since a commit, and which commit that is."""

from __future__ import annotations

import os
import subprocess

from visprep.errors import UnknownContent, UnknownName, UsageError

#: Seconds that git may take to tell the commit: a work tree on a network drive may be slow.
_PATIENCE = 20.0
_OF_A_HOOK = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"})


def changed(directory: str, ref: str) -> frozenset[str]:
    """The files below `directory`, relative to it, that differ from the commit `ref` or that git does not know yet.

    Deleted files are among them, files that git ignores are not. Of a repository inside this one git names the
    directory alone. UnknownName when there is no such commit, UsageError when git ignores all that is there,
    UnknownContent when git knows nothing of the directory, or is not installed.
    """
    _git(directory, "rev-parse", "--git-dir")
    commit = _commit(directory, ref)
    told = _git(directory, "diff", *_NAMES, "--relative", commit, "--", ".")
    unknown = _git(directory, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    if not told and not unknown and not _git(directory, "ls-files", "-z", "--", "."):
        raise UsageError(
            f"{directory}: git ignores all that is there, so it cannot tell what changed",
            hint="leave out --only-changed to check everything",
        )
    return frozenset(os.fsdecode(path).rstrip("/") for path in (told + unknown).split(b"\0") if path)


def head(directory: str) -> tuple[str, bool] | None:
    """The commit that a directory is at, and whether files that git knows differ from it.

    None where git knows nothing of the directory, or no commit yet, is not installed, or takes too long.
    """
    try:
        commit = _run(directory, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", timeout=_PATIENCE)
        changed = _run(directory, "status", "--porcelain", "--untracked-files=no", timeout=_PATIENCE)
    except (UnknownContent, OSError, subprocess.TimeoutExpired):
        return None
    if commit.returncode != 0 or changed.returncode != 0:
        return None
    return commit.stdout.decode().strip(), bool(changed.stdout)


#: A file that moved is one that is gone and one that is new; a repository inside counts when anything in it changed.
_NAMES = ("--name-only", "-z", "--no-renames", "--ignore-submodules=none")


def _commit(directory: str, ref: str) -> str:
    ended = _run(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if ended.returncode != 0 and ref == "HEAD":  # before the first commit all is new: compare with the empty tree
        return _git(directory, "hash-object", "-t", "tree", "--stdin").decode().strip()
    if ended.returncode != 0:
        raise UnknownName(
            f"git knows no commit {ref!r} in {directory}",
            hint="fetch it (git fetch origin BRANCH; in a CI, check out the whole history), or name another",
        )
    return ended.stdout.decode().strip()


def _git(directory: str, *arguments: str) -> bytes:
    ended = _run(directory, *arguments)
    if ended.returncode != 0:
        words = ended.stderr.decode(errors="replace").strip().splitlines() or ["git failed"]
        raise UnknownContent(
            f"{directory}: git cannot tell what changed: {words[0].removeprefix('fatal: ')}",
            hint="--only-changed is for places in a git repository; leave it out to check everything",
        )
    return ended.stdout


def _run(directory: str, *arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[bytes]:
    # No locks, for others may be at work there. Of the programs that a repository's own configuration may name, only
    # filters are started (Git LFS is one): git cannot compare a file without the filter that its attributes ask for
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", directory, *arguments]
    # Inside a hook git points these at the repository of the commit, which need not be that of the directory
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        return subprocess.run(  # noqa: S603
            command, capture_output=True, stdin=subprocess.DEVNULL, env=environment, check=False, timeout=timeout
        )
    except FileNotFoundError:
        raise UnknownContent(
            "--only-changed asks git, which is not installed", hint="install git, or leave --only-changed out"
        ) from None
