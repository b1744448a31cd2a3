"""Root for a while without its right to overlook permissions, so that tests about them say something for root too."""

import ctypes
import os
import sys
from contextlib import contextmanager

#: Linux, capabilities(7) and prctl(2).
_VERSION_3 = 0x20080522
_OVERLOOK = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_GET_SECUREBITS, _SET_SECUREBITS = 27, 28
_NO_SETUID_FIXUP = 1 << 2  # else access(2) takes back for root what was given up


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def _hold(libc, header, data, bits, effective):
    data[0].effective = effective
    return libc.prctl(_SET_SECUREBITS, bits, 0, 0, 0) == 0 and libc.capset(ctypes.byref(header), data) == 0


@contextmanager
def permissions_count():
    """Whether permissions are held against this thread, inside a `with`: always, but for root where it cannot."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield os.name != "nt"
        return
    if not sys.platform.startswith("linux"):
        yield False
        return
    libc, header, data = ctypes.CDLL(None), _Header(_VERSION_3, 0), (_Data * 2)()
    if libc.capget(ctypes.byref(header), data) != 0:
        yield False
        return
    bits, effective = libc.prctl(_GET_SECUREBITS, 0, 0, 0, 0), data[0].effective
    held = _hold(libc, header, data, bits | _NO_SETUID_FIXUP, effective & ~_OVERLOOK)
    try:
        yield held
    finally:
        if held:
            assert _hold(libc, header, data, bits, effective)
