"""Commands that start at once: a process that has imported what they need forks for each of them.

To import takes far longer than what most tests let a command do. Each command is a process of its own all the same,
with a pid that can be killed, and what it finds is an interpreter that has imported modules and done nothing else. How
`python -m visprep` starts is for tests that run just that.
"""

import atexit
import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def _serve():
    """For each request on the socket, a process; in the forked one it returns when the program has ended."""
    server = socket.socket(fileno=int(sys.argv[1]))
    for module in sys.argv[2:]:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait for a command end when it does
    while True:
        size, files, _, _ = socket.recv_fds(server, 8, 4)
        if not size:
            return
        asked = b""
        while len(asked) < int(size):
            asked += server.recv(int(size) - len(asked))
        if not os.fork():
            server.close()
            _start(files, *json.loads(asked))
            return
        for file in files:
            os.close(file)


def _start(files, program, argv, environment, folder):
    """Fork once more: the one tells the pid of the other, and how that ended; the other runs the program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if command := os.fork():
        with socket.socket(fileno=files[-1]) as reply:
            reply.sendall(b"%d\n" % command)
            reply.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]))
        os._exit(0)
    for number, file in enumerate(files):
        if number < 3:
            os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.argv = argv
    exec(program, {"__name__": "__main__"})  # how it ends, the interpreter tells as it tells it of any program


class Forked:
    """A command that was started; what is used of subprocess.Popen, whose output is whole when it has ended."""

    def __init__(self, server, program, argv, environment, folder):
        ours, theirs = socket.socketpair()
        self._reply, self.returncode = ours, None
        self._out, self._err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115 -- closed when they are read
        asked = json.dumps([program, argv, environment, folder]).encode()
        with Path(os.devnull).open() as nothing:
            files = [nothing.fileno(), self._out.fileno(), self._err.fileno(), theirs.fileno()]
            socket.send_fds(server, [b"%8d" % len(asked)], files)
            server.sendall(asked)
        theirs.close()
        self.pid = int(self._line())

    def _line(self):
        data = b""
        while not data.endswith(b"\n"):
            if not (more := self._reply.recv(1)):
                raise EOFError("the process that forks is gone")
            data += more
        return data

    def wait(self, timeout=None):
        if self.returncode is None:
            self._reply.settimeout(timeout)
            try:
                self.returncode = int(self._line())
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("a forked command", timeout) from None
            self._reply.close()
        return self.returncode

    def poll(self):
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends just now, as subprocess has it
                os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        self.wait(timeout)
        said = []
        for file in (self._out, self._err):
            if not file.closed:
                file.seek(0)
                said.append(file.read())
                file.close()
        return tuple(said)


#: What most verbs import.
VERBS = tuple(
    name
    for verb in ("convert", "demo", "download", "gather", "publish", "split", "sync", "upload")
    for name in (f"visprep.cli.{verb}", f"visprep._{verb}")
)

_servers = {}


def forked(program, *argv, modules=VERBS, cwd=None):
    """Start a Python program in a fork of a process that has imported these modules."""
    if modules not in _servers:
        ours, theirs = socket.socketpair()
        server = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), *modules],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        _servers[modules] = ours, server
        atexit.register(server.wait)
        atexit.register(ours.close)
    return Forked(
        _servers[modules][0], program, ["-c", *map(str, argv)], dict(os.environ), os.fspath(cwd or Path.cwd())
    )


if __name__ == "__main__":
    _serve()
