"""Being in a Ray cluster: a process is in one at most, so all engines of this process share it."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from visprep.engines.guard import MARK, Guard
from visprep.errors import NodeUnfit, Unreachable, UsageError

#: Bytes of the object store of a cluster of our own, and of what passes through it: orders and short lists.
_MEMORY = 100 * 1024 * 1024
#: Seconds in which a cluster must be found to be there.
_KNOCK = 10.0
#: How a speaker of HTTP/2 begins, with empty settings; gRPC answers with its own.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS = 4
START = "start one with `ray start --head`, and join it on every node with `ray start --address=HOST:6379`"


@dataclass(slots=True, eq=False)
class Cluster:
    """The one that this process is in, by our doing or (`ours` is False) by that of the script we are part of."""

    ray: Any
    address: str | None
    ours: bool
    guard: Guard | None = None
    users: int = 0
    over: threading.Event = field(default_factory=threading.Event)


_lock = threading.RLock()
_joined: Cluster | None = None
#: Whether Ray would join by itself what it finds, where we keep it from that.
_connects: list[bool] = []


def enter(address: str | None, cpus: int) -> Cluster:
    """Be in the cluster at `address`; None: the one that this process is in, else one of our own with so many CPUs.

    UsageError when this process is in another one; Unreachable, NodeUnfit.
    """
    global _joined
    with _lock, _as_it_was():
        import ray

        if not ray.is_initialized():
            _joined = _join(ray, address, cpus)
        elif _joined is None or not _joined.users:
            _joined = Cluster(ray, None, ours=False)
        if address not in (None, "auto", _joined.address) and not _is_at(ray, str(address)):
            raise UsageError(
                f"--ray-address {address}: this process is in another Ray cluster",
                hint="one process is in one cluster: wait for what runs there, or use a process of its own",
            )
        _joined.users += 1
        return _joined


def leave(cluster: Cluster, shutdown: Callable[[], object]) -> None:
    """Let go of it; the last one ends it by `shutdown` when we joined it."""
    global _joined
    with _lock:
        cluster.users -= 1
        if cluster.users:
            return
        if cluster.ours and cluster is _joined:
            with _as_it_was():
                shutdown()
            _hush(cluster.ray, hushed=False)
        cluster.over.set()
        if cluster.guard:
            cluster.guard.end()
        if cluster is _joined:
            _joined = None


def _join(ray: Any, address: str | None, cpus: int) -> Cluster:
    cluster = Cluster(ray, address, ours=True)
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is not None:
        knock(address)
    _hush(ray)
    try:
        if address is None:
            cluster.guard = Guard()
            init = functools.partial(
                ray.init, address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=_MEMORY,
                _temp_dir=cluster.guard.directory, **quiet,
            )  # fmt: skip
            _outlive(functools.partial(_marked, init, cluster.guard.directory), cluster.over)
        else:
            ray.init(address=address, **quiet)
    except BaseException as problem:
        _hush(ray, hushed=False)
        if cluster.guard:
            ray.shutdown()
            cluster.over.set()
            cluster.guard.end()
        if address is None and isinstance(problem, Exception):
            raise Unreachable(
                f"no Ray cluster could be started on this machine: {first_line(problem)}",
                hint="run it again when less runs here, join a cluster that is there, or leave out --engine ray",
            ) from None
        if not isinstance(problem, ConnectionError | ValueError | RuntimeError):
            raise
        if isinstance(problem, RuntimeError) and "ersion" in str(problem):
            words, _, _ = str(problem).partition("\n\n")
            raise NodeUnfit(
                f"the cluster at {address} has other versions: {' '.join(words.split())}",
                hint="install the same Python and ray on every node as where the command is run",
            ) from None
        raise Unreachable(f"no Ray cluster at {address}: {first_line(problem)}", hint=START) from None
    return cluster


def _marked(start: Callable[[], object], directory: str) -> None:
    """Call it so that what it starts can be told by its environment."""
    os.environ[MARK] = directory
    try:
        start()
    finally:
        del os.environ[MARK]


def _outlive(start: Callable[[], object], over: threading.Event) -> None:
    """Call it in a thread that lives until `over`: Linux ends Ray's processes with the thread that started them."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            start()
        except BaseException as problem:
            done.set_exception(problem)
        else:
            done.set_result(None)
            over.wait()

    if threading.current_thread() is threading.main_thread():
        start()
    else:
        threading.Thread(target=run, name="visprep-ray", daemon=True).start()
        done.result()


def knock(address: str) -> None:
    """Unreachable where nobody listens, or no server of gRPC: Ray would try for minutes. `auto` is Ray's to find."""
    if address == "auto":
        return
    try:
        with socket.create_connection(_parts(address), _KNOCK) as line:
            if os.environ.get("RAY_USE_TLS", "0") != "0":  # it says nothing before the handshake, which is Ray's
                return
            line.sendall(_HELLO)
            head = b""
            while len(head) < 9 and (more := line.recv(9 - len(head))):
                head += more
    except (OSError, OverflowError) as problem:
        raise Unreachable(f"no Ray cluster at {address}: {first_line(problem)}", hint=START) from None
    if len(head) < 9 or head[3] != _SETTINGS:
        raise Unreachable(f"no Ray cluster at {address}: what listens there is no Ray", hint=START)


def first_line(words: object) -> str:
    """The first line that says anything."""
    return next((line.strip() for line in str(words).splitlines() if line.strip()), type(words).__name__)


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _is_at(ray: Any, address: str) -> bool:
    """Whether the cluster that we are in has that address, perhaps under another name."""
    (asked, port), (host, other) = _parts(address), _parts(ray.get_runtime_context().gcs_address)
    try:
        asked, host = socket.gethostbyname(asked), socket.gethostbyname(host)
    except OSError:
        return False
    return port == other and (asked == host or asked.startswith("127."))


def _hush(ray: Any, hushed: bool = True) -> None:
    """Keep Ray from joining whatever cluster it finds when it was shut down, and from printing what its nodes say.

    That goes to our stdout, also without log_to_driver.
    """
    worker = ray._private.worker
    if hasattr(worker, "_worker_logs_enabled"):
        worker._worker_logs_enabled = not hushed
    from ray._private import auto_init_hook

    if hasattr(auto_init_hook, "enable_auto_connect"):
        if hushed:
            _connects.append(auto_init_hook.enable_auto_connect)
        auto_init_hook.enable_auto_connect = not hushed and _connects.pop()


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Leave signals, the excepthook and the log as they were: Ray takes the first two, and tells when it cannot."""
    hook = sys.excepthook
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if main else None
    log = logging.getLogger("ray._private.worker")
    level = log.level
    log.setLevel(logging.CRITICAL)
    ended: SystemExit | None = None
    try:
        yield
    except SystemExit as problem:  # what Ray makes of SIGTERM
        ended = problem
        raise
    finally:
        sys.excepthook = hook
        log.setLevel(level)
        if main:
            signal.signal(signal.SIGTERM, handler)
            if ended is not None and callable(handler):
                handler(signal.SIGTERM, None)
