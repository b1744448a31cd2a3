"""File systems as notebooks mount them: no links, inodes that come and go, times in steps of seconds, case folded."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

#: Kind -> the programs that it takes.
KINDS = {
    "exfat": ("mkfs.exfat", "losetup", "mount.exfat-fuse"),
    "rclone": ("rclone", "fusermount3"),
    "rclone-bare": ("rclone", "fusermount3"),
}


class NotHere(Exception):
    """Why such a file system cannot be had on this machine."""


class Drive:
    """A file system of such a kind, mounted at `point` for as long as the block lasts; NotHere when it cannot be."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.point, self._device = kind, folder, folder / "drive", ""
        if lacking := [program for program in KINDS[kind] if not shutil.which(program)]:
            raise NotHere(f"not installed: {', '.join(lacking)}")

    def __enter__(self) -> Drive:
        self.point.mkdir()
        image = self.folder / "image"
        try:
            if self.kind != "exfat":
                image.mkdir()
            else:
                with image.open("wb") as made:
                    made.truncate(64 * 1024 * 1024)
                _run("mkfs.exfat", image)
                self._device = _run("losetup", "--find", "--show", image)
            self._mount()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", self.point)
        self._release()

    def again(self) -> None:
        """Unmount it and mount it again, as the next session does: what it remembered of inodes is gone."""
        for _ in range(200):
            if self.kind == "exfat" or _sizes(self.point) == _sizes(self.folder / "image"):
                break  # nothing is on its way any more
            time.sleep(0.05)
        _run("umount", self.point)
        self._mount()

    def _mount(self) -> None:
        image = self.folder / "image"
        if (
            self.kind == "rclone-bare"
        ):  # files can be written from start to end only, and what is open cannot be deleted
            _run("rclone", "mount", image, self.point, "--daemon", "--config", os.devnull)
        elif self.kind == "rclone":
            cache = ("--vfs-cache-mode", "writes", "--vfs-write-back", "2s", "--cache-dir", self.folder / "cache")
            _run("rclone", "mount", image, self.point, *cache, "--daemon", "--config", os.devnull)
        else:
            _run("mount.exfat-fuse", self._device, self.point)
        for _ in range(100):
            if self.point.is_mount():
                return
            time.sleep(0.05)
        raise NotHere("it was not mounted within 5 s")

    def _release(self) -> None:
        if self._device:
            _run("losetup", "--detach", self._device)


def _sizes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def _run(*words: object) -> str:
    try:
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        raise NotHere(f"{words[0]}: it does not come back") from None
    if done.returncode:
        raise NotHere(f"{words[0]}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout.strip()
