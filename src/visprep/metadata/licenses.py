"""Licenses, as the Hugging Face hub and SPDX call them."""

from __future__ import annotations

import re

#: What SPDX calls a license, in lower case -> the same as SPDX writes it. The hub has those in lower case.
_SPDX = {
    name.lower(): name
    for name in (
        "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0",
        "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-ND-4.0",
        "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0",
        "CDLA-Sharing-1.0",
        "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0",
        "MPL-2.0", "ODbL-1.0", "PDDL-1.0", "ODC-By-1.0", "Unlicense", "WTFPL", "Zlib", "ISC",
    )
}  # fmt: skip
#: Where the hub has a name of its own.
_OF_HUB = {"odbl-1.0": "odbl", "pddl-1.0": "pddl", "odc-by-1.0": "odc-by"}
_HUB = {_OF_HUB.get(name, name): written for name, written in _SPDX.items()}


def spdx_url(said: str) -> str | None:
    """The page of a license at SPDX; None for what is no license of theirs, or says more than one."""
    name = _HUB.get(said.strip().lower()) or _SPDX.get(said.strip().lower())
    return f"https://spdx.org/licenses/{name}.html" if name else None


def hub_license(said: str) -> tuple[tuple[str, ...], str | None]:
    """What the hub calls a license, or several between commas, and a name for it where that is `other`."""
    plain = [_OF_HUB.get(one, one) for one in re.split(r"\s*,\s*", said.strip().lower())]
    if all(one in _HUB or one in ("other", "unknown") for one in plain):
        return tuple(plain), None
    return ("other",), re.sub(r"[^a-z0-9.]+", "-", said.lower()).strip("-.")
