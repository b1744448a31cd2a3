"""Images on their way here: from S3, the web and the disk, through forks, errors and the end of the process."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loader_places import Photographs
from visprep import errors
from visprep.loaders.fetch import Fetcher, ImageFile
from visprep.messages import SMALL, Patience
from visprep.settings import S3Settings

QUICK = Patience(base=0.001)
BODY = os.urandom(3000)


class Scene:
    """A web server, S3 too, whose answers a test changes; `asked` are the paths of the requests that came."""

    def __init__(self) -> None:
        scene = self
        self.asked: list[str] = []
        self.faults: dict[str, list[str]] = {}
        self.headers: dict[str, str] = {}
        self.open = threading.Event()
        self.open.set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            server_version = "scene"  # what it says by default looks to the express lane like a second answer

            def do_GET(self) -> None:
                scene.asked.append(self.path)
                scene.open.wait(30)
                left = scene.faults.get(self.path)
                fault = left.pop(0) if left else ""
                body = BODY
                if fault.isdigit():
                    body = b"<Error><Code>Trouble</Code></Error>"
                if fault == "flipped":
                    body = bytes([BODY[0] ^ 1]) + BODY[1:]
                self.send_response(int(fault) if fault.isdigit() else 200)
                self.send_header("Content-Length", str(len(body)))
                for name, value in scene.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if fault == "short":
                    self.wfile.write(body[:1000])
                    self.close_connection = True
                    return
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *args: object) -> None:
                pass  # whoever asked is gone

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def settings(self) -> S3Settings:
        return S3Settings(endpoint_url=self.url, access_key="AK", secret_key="secret")

    def close(self) -> None:
        self.open.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


@pytest.fixture
def fetcher(scene: Scene) -> Iterator[Fetcher]:
    fetcher = Fetcher(scene.settings, patience=QUICK)
    yield fetcher
    fetcher.close()


def threads(before: list[threading.Thread]) -> list[str]:
    """Our threads, but for those that other tests left to the garbage collector."""
    return [thread.name for thread in threading.enumerate() if "visprep-" in thread.name and thread not in before]


def got(fetcher: Fetcher, *files: ImageFile) -> list[bytes]:
    return [future.result(20) for future in [fetcher.submit(file) for file in files]]


# -- what comes


def test_what_comes_is_what_lies_there(photographs: Photographs) -> None:
    before = threading.enumerate()
    fetcher = Fetcher(photographs.settings)
    assert tuple(got(fetcher, *map(ImageFile, photographs.urls))) == photographs.data
    sized = [ImageFile(url, len(data)) for url, data in zip(photographs.urls, photographs.data, strict=True)]
    assert tuple(got(fetcher, *sized)) == photographs.data
    fetcher.close()
    assert threads(before) == []


def test_odd_keys_and_large_ones(photographs: Photographs) -> None:
    large = os.urandom(5 * SMALL)
    written = {"a/../b": b"up", "with space+plus%25": b"odd", "ünï.jpg": b"wide", "what?is#this": b"q", "empty": b""}
    urls = [photographs.put(key, data) for key, data in {**written, "large": large}.items()]
    fetcher = Fetcher(photographs.settings)
    assert got(fetcher, *map(ImageFile, urls)) == [*written.values(), large]
    assert got(fetcher, ImageFile(urls[-1], len(large))) == [large]
    fetcher.close()


def test_the_web_and_the_disk(scene: Scene, fetcher: Fetcher, tmp_path: Path) -> None:
    path = tmp_path / "x y.jpg"
    path.write_bytes(b"near")
    files = [ImageFile(f"{scene.url}/a b.jpg?token=secret"), ImageFile(str(path)), ImageFile("s3://bucket/key")]
    assert got(fetcher, *files) == [BODY, b"near", BODY]
    assert scene.asked[0] in ("/a%20b.jpg?token=secret", "/bucket/key")
    for file, kind in [
        (ImageFile(str(tmp_path / "none.jpg")), errors.FileMissing),
        (ImageFile(str(tmp_path)), errors.DiskError),
        (ImageFile("nul\0"), errors.DiskError),
        (ImageFile(str(path), 5), errors.WrongContent),
        (ImageFile("s3://bucket"), errors.BadPlace),
        (ImageFile("s3://Bad_Bucket/key"), errors.BadPlace),
        (ImageFile("http:///nothing"), errors.FileMissing),
    ]:
        with pytest.raises(kind):
            got(fetcher, file)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("404", errors.FileMissing), ("403", errors.AccessDenied), ("500", errors.ServerFailed)],
)
def test_refusals_name_what_was_refused(scene: Scene, fetcher: Fetcher, fault: str, kind: type[Exception]) -> None:
    scene.faults = {"/bucket/bad.jpg": [fault] * 50, "/bad.jpg?signature=secret": [fault] * 50}
    files = [ImageFile(f"s3://bucket/{n}") for n in range(5)]
    for bad in ("s3://bucket/bad.jpg", f"{scene.url}/bad.jpg?signature=secret"):
        futures = [fetcher.submit(file) for file in [*files, ImageFile(bad), *files]]
        with pytest.raises(kind, match=r"bad\.jpg") as raised:
            futures.pop(5).result(20)
        assert "secret" not in str(raised.value)
        assert [future.result(20) for future in futures] == [BODY] * 10
        again = pickle.loads(pickle.dumps(raised.value))
        assert (type(again), str(again)) == (kind, str(raised.value))


@pytest.mark.parametrize("fault", ["500", "503", "short"])
def test_what_passes_is_tried_again(scene: Scene, fetcher: Fetcher, fault: str) -> None:
    scene.faults = {"/bucket/3": [fault] * 2, "/9": [fault] * 2}
    files = [ImageFile(f"s3://bucket/{n}") for n in range(8)] + [ImageFile(f"{scene.url}/9")]
    assert got(fetcher, *files) == [BODY] * 9
    assert got(fetcher, *files) == [BODY] * 9


def test_a_flipped_byte_is_noticed_where_the_object_tells_its_digest(scene: Scene, fetcher: Fetcher) -> None:
    scene.faults = {"/bucket/once": ["flipped"], "/bucket/ever": ["flipped"] * 9}
    assert got(fetcher, ImageFile("s3://bucket/once")) != [BODY]  # nobody could know
    scene.headers = {"x-amz-meta-sha256": hashlib.sha256(BODY).hexdigest()}
    scene.faults["/bucket/once"] = ["flipped"]
    assert got(fetcher, ImageFile("s3://bucket/once")) == [BODY]
    with pytest.raises(errors.WrongContent, match="s3://bucket/ever"):
        got(fetcher, ImageFile("s3://bucket/ever"))
    scene.headers = {}
    with pytest.raises(errors.WrongContent, match="SHA-256"):
        got(fetcher, ImageFile("s3://bucket/ever", None, f"sha256:{hashlib.sha256(BODY).hexdigest()}"))


def test_nobody_waits_for_a_retry_that_is_not_his(scene: Scene) -> None:
    fetcher = Fetcher(scene.settings, patience=Patience(base=30, longest=30))
    scene.faults = {"/bucket/slow": ["500"] * 2}
    slow = fetcher.submit(ImageFile("s3://bucket/slow"))
    while scene.faults["/bucket/slow"]:
        time.sleep(0.01)
    for n in range(100):
        assert fetcher.submit(ImageFile(f"s3://bucket/{n}")).result(10) == BODY
    assert not slow.done()
    fetcher.close()
    with pytest.raises(errors.VisprepError, match="closed"):
        slow.result(0)


def test_no_credentials_and_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.CredentialsError):
        got(Fetcher(S3Settings(endpoint_url="http://127.0.0.1:1")), ImageFile("s3://bucket/key"))
    gone = S3Settings(endpoint_url="http://127.0.0.1:1", access_key="a", secret_key="b")
    with pytest.raises(errors.Unreachable):
        got(Fetcher(gone, patience=QUICK), ImageFile("s3://bucket/key"))


# -- ends


def test_closing_ends_the_thread_and_cancels_the_rest(scene: Scene) -> None:
    before = threading.enumerate()
    scene.open.clear()
    fetcher = Fetcher(scene.settings, in_flight=2)
    futures = [fetcher.submit(ImageFile(f"s3://bucket/{n}")) for n in range(6)]
    futures += [fetcher.submit(ImageFile(f"{scene.url}/{n}")) for n in range(2)]
    while len(scene.asked) < 2:
        time.sleep(0.01)
    fetcher.close()
    assert threads(before) == []
    assert all(future.done() for future in futures)
    scene.open.set()
    assert got(fetcher, ImageFile("s3://bucket/again")) == [BODY]  # it begins anew
    fetcher.close()


def test_nothing_is_left_of_one_that_nobody_closed(scene: Scene, tmp_path: Path) -> None:
    before = threading.enumerate()
    path = tmp_path / "x"
    path.write_bytes(b"near")
    fetcher = Fetcher(scene.settings)
    got(fetcher, ImageFile("s3://bucket/key"), ImageFile(str(path)))
    assert threads(before)
    del fetcher
    deadline = time.monotonic() + 10
    while threads(before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads(before) == []


SCRIPT = """
import sys, threading
from visprep.loaders.fetch import Fetcher, ImageFile
from visprep.settings import S3Settings
fetcher = Fetcher(S3Settings(endpoint_url=sys.argv[1], access_key="a", secret_key="b"))
fetcher.submit(ImageFile("s3://bucket/first")).result()
futures = [fetcher.submit(ImageFile(f"s3://bucket/{n}")) for n in range(100)]
"""


def test_ctrl_c_ends_the_wait_at_once(scene: Scene) -> None:
    scene.faults = {}
    code = SCRIPT + "print('waiting', flush=True)\nfutures[-1].result()\n"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, scene.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not scene.asked:
        time.sleep(0.01)
    scene.open.clear()
    assert process.stdout
    process.stdout.readline()
    while len(scene.asked) < 10:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (-signal.SIGINT, 130)
    assert err.decode().rstrip().endswith("KeyboardInterrupt")


def test_the_interpreter_ends_quietly_with_images_on_their_way(scene: Scene) -> None:
    for ending in ("", "sys.exit(0)", "del futures, fetcher"):
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT + ending, scene.url], capture_output=True, timeout=60
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


# -- other processes


def _in_child(fetcher: Fetcher, urls: tuple[str, ...], out: multiprocessing.Queue[list[int]]) -> None:
    out.put([len(data) for data in got(fetcher, *map(ImageFile, urls))])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_a_process_that_has_fetched(method: str, photographs: Photographs) -> None:
    fetcher = Fetcher(photographs.settings)
    assert tuple(got(fetcher, *map(ImageFile, photographs.urls))) == photographs.data
    on_their_way = [fetcher.submit(ImageFile(url)) for url in photographs.urls]
    context = multiprocessing.get_context(method)
    out = context.Queue()
    children = [context.Process(target=_in_child, args=(fetcher, photographs.urls, out)) for _ in range(2)]
    for child in children:
        child.start()
    expected = [len(data) for data in photographs.data]
    assert [out.get(timeout=60), out.get(timeout=60)] == [expected, expected]
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert tuple(future.result(20) for future in on_their_way) == photographs.data
    fetcher.close()


def test_forks_in_the_thick_of_it(scene: Scene) -> None:
    fetcher = Fetcher(scene.settings, patience=QUICK)
    for _ in range(10):
        coming = [fetcher.submit(ImageFile(f"s3://bucket/{n}")) for n in range(40)]
        pid = os.fork()
        if pid == 0:
            try:
                fine = got(fetcher, ImageFile("s3://bucket/child")) == [BODY]
                fetcher.close()
            finally:
                os._exit(0 if fine else 1)
        assert [future.result(20) for future in coming] == [BODY] * 40
        assert os.waitpid(pid, 0)[1] == 0
    fetcher.close()
