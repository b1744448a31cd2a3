"""What is another way on Windows and macOS, as far as it can be shown on Linux: docs/platforms.md says the rest."""

import ast
import os
import threading
from pathlib import Path, PureWindowsPath

import pytest

import visprep
from visprep import descriptors
from visprep.stores import windows_names

SRC = Path(visprep.__file__).parent
#: Modules of the standard library that Windows does not have.
UNIX = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}


@pytest.mark.parametrize(
    "path",
    [
        "aux",
        "a/AUX.png",
        "a/nul.tar.gz/b.png",
        "com1",
        "LPT9.txt",
        "com¹.png",
        "con .png",
        "CONIN$",
        "a:b.png",
        "a/b?.png",
        'a"b.png',
        "a|b.png",
        "a*b.png",
        "<a>.png",
        "a\x1fb.png",
        "a./b.png",
        "a.png ",
        "a\n.png",
    ],
)
def test_names_that_windows_cannot_hold(path):
    assert windows_names.refused_by_windows(path)


@pytest.mark.parametrize(
    "path", ["auxiliary.png", "a/com.png", "com10.png", "lpt.png", "console", ".a", "a b.png", "a.b.png", "ünï/ö.png"]
)
def test_names_that_come_close(path):
    assert not windows_names.refused_by_windows(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # newer ones have it elsewhere
@pytest.mark.parametrize("name", ["aux", "nul.txt", "com1.png", "prn"])
def test_python_knows_the_same_devices(name):
    assert PureWindowsPath(name).is_reserved() == windows_names.refused_by_windows(name)


def test_reading_at_a_place_without_pread(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "pread")
    data = os.urandom(64 * 1024)
    (tmp_path / "file").write_bytes(data)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY | descriptors.BINARY)
    wrong = []

    def read(start):
        for offset in range(start, len(data) - 16, 997):
            if descriptors.pread(descriptor, 16, offset) != data[offset : offset + 16]:
                wrong.append(offset)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    os.close(descriptor)
    assert wrong == []


@pytest.mark.parametrize("has", [True, False], ids=["writev", "no writev"])
def test_writing_pieces(monkeypatch, tmp_path, has):
    if not has:
        monkeypatch.delattr(os, "writev")
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT | descriptors.BINARY)
    descriptors.write_all(descriptor, (b"\r\n\x1a", b"", b"end\n"))
    descriptors.write_all(descriptor, [b"1"] * 5, at_once=4)
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"\r\n\x1aend\n11111"


def imported_at_once(source):
    """What a module imports whenever it is imported: outside of a `try`, of an `if`, and of functions."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (str(node.module), *(f"{node.module}.{one.name}" for one in node.names))


def test_no_module_needs_what_only_unix_has_to_be_imported():
    unix = UNIX | {"multiprocessing.reduction.DupFd"}
    for path in SRC.rglob("*.py"):
        source = path.read_text("utf-8")
        if any(name.rpartition(".")[2] in source for name in unix):
            assert unix.isdisjoint(imported_at_once(source)), path
    assert set(imported_at_once("import fcntl\ntry:\n    import pwd\nexcept ImportError: ...")) == {"fcntl"}


def opened_as_text(source):
    """The lines of a module in which `os.open` is given flags that are written there, and the one for bytes is not."""
    if "os.open(" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.open" and len(node.args) > 1:
            flags = ast.unparse(node.args[1])
            if "os.O_" in flags and "BINARY" not in flags:
                yield node.lineno, flags


#: Directories, and files that nobody reads or writes: they are opened to be locked, or to take what nobody wants.
UNREAD = {
    "changes.py",
    "console.py",
    "engines/guard.py",
    "loaders/cache_files.py",
    "loaders/cache_index.py",
    "own_record.py",
    "runs/index_files.py",
    "stores/ranges.py",  # only where there is `pwritev`
    "temporary.py",
}


def test_files_are_opened_as_bytes():
    """Windows changes the ends of lines in what is opened without `O_BINARY`."""
    found = {
        path.relative_to(SRC).as_posix(): list(opened_as_text(path.read_text("utf-8"))) for path in SRC.rglob("*.py")
    }
    assert {name for name, lines in found.items() if lines} <= UNREAD | {
        "stores/ranges.py"
    }  # only where there is `pwritev`
    assert list(opened_as_text("os.open(path, os.O_RDONLY)")) == [(1, "os.O_RDONLY")]
