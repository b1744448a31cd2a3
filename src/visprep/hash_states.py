"""A SHA-256 that can be written down in the middle, and gone on with by another process.

`hashlib` keeps its state to itself. The library that it is made of has one that is plain memory (`SHA256_CTX`), and it
is taken from there where that can be had; whether it works is tried out before it is believed.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import sys
from typing import Any

_ORDER = sys.byteorder.encode()


class _State(ctypes.Structure):
    _fields_ = (
        ("h", ctypes.c_uint32 * 8),
        ("low", ctypes.c_uint32),
        ("high", ctypes.c_uint32),
        ("data", ctypes.c_uint32 * 16),
        ("held", ctypes.c_uint),
        ("length", ctypes.c_uint),
    )


class ResumableSha256:
    """The SHA-256 of what passes. `state` is None where it cannot be had; then only the whole can be hashed."""

    def __init__(self, state: bytes | None = None) -> None:
        self._library = _library()
        self._state = _State()
        self._plain = None if self._library else hashlib.sha256()
        if self._library:
            self._library.SHA256_Init(ctypes.byref(self._state))
        if state is not None:
            self._restore(state)

    def _restore(self, state: bytes) -> None:
        order, _, memory = state.partition(b":")
        if not self._library or order != _ORDER or len(memory) != ctypes.sizeof(_State):
            raise ValueError("a state of another kind of machine")
        self._state = _State.from_buffer_copy(memory)

    @property
    def state(self) -> bytes | None:
        """What to make another of, that goes on where this one is now."""
        return _ORDER + b":" + bytes(self._state) if self._library else None

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._plain is not None:
            self._plain.update(data)
        else:
            self._library.SHA256_Update(ctypes.byref(self._state), data, ctypes.c_size_t(len(data)))

    def hexdigest(self) -> str:
        """The digest of what passed so far."""
        if self._plain is not None:
            return self._plain.hexdigest()
        out = ctypes.create_string_buffer(32)
        copy = _State.from_buffer_copy(bytes(self._state))
        self._library.SHA256_Final(out, ctypes.byref(copy))
        return out.raw.hex()


@functools.cache
def _library() -> Any:
    """The library with the functions, None where there is none, or it gives anything but what hashlib gives."""
    try:
        import _hashlib

        # Looked up in it, a name is found in the libraries that it was linked with
        library = ctypes.CDLL(_hashlib.__file__)
        for name in ("SHA256_Init", "SHA256_Update", "SHA256_Final"):
            getattr(library, name).restype = ctypes.c_int
        state, out = _State(), ctypes.create_string_buffer(32)
        data = bytes(range(256)) * 3
        library.SHA256_Init(ctypes.byref(state))
        library.SHA256_Update(ctypes.byref(state), data[:301], ctypes.c_size_t(301))
        again = _State.from_buffer_copy(bytes(state))
        library.SHA256_Update(ctypes.byref(again), data[301:], ctypes.c_size_t(len(data) - 301))
        library.SHA256_Final(out, ctypes.byref(again))
    except (ImportError, OSError, AttributeError):
        return None
    return library if out.raw == hashlib.sha256(data).digest() else None
