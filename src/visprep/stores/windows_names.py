"""Which names Windows cannot hold, or takes for another: a device, a stream, the same name without its end."""

from __future__ import annotations

import re

# learn.microsoft.com/windows/win32/fileio/naming-a-file: a device's name means the device with any extension, too
_DEVICE = re.compile(r"(?:aux|con|conin\$|conout\$|nul|prn|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE | re.DOTALL)
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"|?*]')


def refused_by_windows(path: str) -> bool:
    r"""Whether a path, with `/` between its names, cannot be a file on Windows.

    So it is with a device's name (`aux`, `com1.txt`), with one of ``< > : " | ? *`` or a control character in it, and
    with a dot or a space at the end of a name, which Windows drops.
    """
    return bool(_FORBIDDEN.search(path)) or any(
        name.endswith((".", " ")) or _DEVICE.fullmatch(name) is not None for name in path.split("/")
    )
