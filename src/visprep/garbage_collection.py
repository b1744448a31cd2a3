"""How often Python looks for garbage that refers to itself, while a command makes many objects that are none.

The files of a large place are in no circles. Looking for some in them again and again takes a fifth of the time of a
copy that has nothing to do.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

#: For `gc.set_threshold`.
RARELY = (20_000, 20, 50)

_lock = threading.Lock()
_users = 0
_before = gc.get_threshold()


@contextlib.contextmanager
def rarely() -> Iterator[None]:
    """Lets it look rarely for the time of a `with` block, of however many threads; what was set before comes back.

    Nothing is changed where it looks as rarely already, or not at all.
    """
    global _users, _before
    with _lock:
        _users += 1
        if _users == 1:
            _before = gc.get_threshold()
            if 0 < _before[0] < RARELY[0]:
                gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and gc.get_threshold() == RARELY:
                gc.set_threshold(*_before)
