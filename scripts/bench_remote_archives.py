"""Downloading and unpacking a zip file: curl and unzip, curl into bsdtar, and visprep, in turn, from one web server.

The server is nginx on this machine, with the archive and all that is written in memory (/dev/shm). visprep is shown
three times: as the others do it (CRC-32), with the SHA-256 of every file that a manifest wants, and with the SHA-256 of
the whole archive as well. What it checks it checks before a file has its name.

Wall seconds are those of the whole process, `start` the part of them before a Python program can begin.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from bench_archives import METHODS, make_archives, start_of
from timing import Run, timed

TARGETS = {"curl + unzip": 4.0, "curl | bsdtar": 1.7}

VISPREP = """
import sys, time
from visprep import wire
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore
from visprep.stores.remote_zip import RemoteZip
from visprep.unzipping import Unzipping
print(time.time(), flush=True)
base, name = sys.argv[1].rsplit("/", 1)
store = HttpStore(base)
archive = RemoteZip(store, wire.wait(store.stat(name)))
files = wire.wait(archive.files())
how = sys.argv[3]
algorithm = "sha256" if how == "archive" else None
unzipping = Unzipping(archive, files, LocalStore(sys.argv[2]), algorithm=algorithm, digests=how != "crc32")
failed = [outcome for _, outcome in unzipping.outcomes() if isinstance(outcome, Exception)]
sys.exit(len(failed) > 0 or (algorithm is not None and unzipping.digest is None))
"""
TOOLS = {
    "curl + unzip": ["sh", "-c", "curl -sf -o {out}.zip {url} && unzip -q {out}.zip -d {out}; rm {out}.zip"],
    "curl | bsdtar": ["sh", "-c", "curl -sf {url} | bsdtar -xf - -C {out}"],
    "visprep": [sys.executable, "-c", VISPREP, "{url}", "{out}", "crc32"],
    "visprep + SHA-256": [sys.executable, "-c", VISPREP, "{url}", "{out}", "sha256"],
    "visprep + archive": [sys.executable, "-c", VISPREP, "{url}", "{out}", "archive"],
}
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """An nginx that serves a directory; its address."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port))
    server = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            raise SystemExit("nginx did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def run(command: list[str], url: str, out: Path) -> Run:
    """Download and unpack the archive at `url` into the fresh directory `out`."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return timed([part.replace("{url}", url).replace("{out}", str(out)) for part in command])


def main() -> None:
    """Make the archives, run all tools in turn, and print the tables and the targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=3_000, help="files in the archive  [default: %(default)s]")
    parser.add_argument("--size", type=int, default=500, help="megabytes in the archive  [default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=3, help="runs of every tool  [default: %(default)s]")
    parser.add_argument("--only", choices=METHODS, help="one kind of archive  [default: both]")
    parser.add_argument("--images", type=Path, help="a directory of JPEGs to cut members from, instead of made ones")
    asked = parser.parse_args()
    missing = [tool for tool in ("nginx", "curl", "unzip", "bsdtar") if not shutil.which(tool)]
    if missing:
        sys.exit(f"not on this machine: {', '.join(missing)} (apt-get install nginx curl unzip libarchive-tools)")
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = Path(name)
        folder.chmod(0o755)
        details = (folder, asked.images, asked.members, asked.size * 1_000_000)
        maker = get_context("spawn").Process(target=make_archives, args=details)
        maker.start()
        maker.join()
        cores = len(os.sched_getaffinity(0))
        print(f"{asked.members} members, {asked.size} MB, {asked.pairs} runs each, {cores} cores")
        with serving(folder) as url:
            for kind in [asked.only] if asked.only else METHODS:
                show(kind, compare(f"{url}/{kind}.zip", folder / "out", asked.pairs, asked.members), asked.size)


def compare(url: str, out: Path, pairs: int, members: int) -> dict[str, list[Run]]:
    """Every tool in turn, `pairs` times; each must leave all members behind."""
    runs: dict[str, list[Run]] = {name: [] for name in TOOLS}
    for _ in range(pairs):
        for name, command in TOOLS.items():
            result = run(command, url, out)
            found = sum(1 for path in (out / "train2017").iterdir() if path.stat().st_size)
            assert (result.code, found) == (0, members), f"{name}: exit code {result.code}, {found} files {result.err}"
            runs[name].append(result)
    shutil.rmtree(out)
    return runs


def show(kind: str, runs: dict[str, list[Run]], size: int) -> None:
    """Print a table, and how our ratios stand to the targets."""
    print(f"\n{kind:<18}  wall s  start s   CPU s  peak MB   GB/s")
    for name, results in runs.items():
        wall = statistics.median(one.wall for one in results)
        start = statistics.median(start_of(one) for one in results)
        line = f"{name:<18} {wall:7.3f} {start:8.3f} {statistics.median(one.processor for one in results):7.2f}"
        print(f"{line} {max(one.memory for one in results):8.0f} {size / (wall - start) / 1e3:6.2f}")
    for peer, target in TARGETS.items():
        for ours in (name for name in TOOLS if name.startswith("visprep")):
            pairs = list(zip(runs[peer], runs[ours], strict=True))
            whole = statistics.median(one.wall / other.wall for one, other in pairs)
            bare = statistics.median(one.wall / (other.wall - start_of(other)) for one, other in pairs)
            print(f"{ours} against {peer}: {whole:.2f}x, without start {bare:.2f}x; target {target}x")


if __name__ == "__main__":
    main()
