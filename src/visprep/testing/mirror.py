"""A plain web server on this machine: the files of a directory, as any mirror of a dataset serves them."""

from __future__ import annotations

import mimetypes
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote, urlsplit

from visprep.testing.blobs import Blob
from visprep.testing.serving import Handler, LocalServer


class MirrorHandler(Handler):
    """Answers one request to the mirror."""

    owner: Mirror  # type: ignore[misc]  # narrower than the base's ClassVar

    def respond(self) -> None:
        """Redirect, show the page, or send the file."""
        mirror, path = self.owner, unquote(urlsplit(self.entry.path).path)
        self.discard_upload()
        if to := mirror.redirects.get(path):
            self.redirect(to)
        elif mirror.page is not None:
            self.answer(200, mirror.page, Content_Type="text/html; charset=utf-8")
        elif self.command not in (("GET", "HEAD") if mirror.heads else ("GET",)):
            self.answer(405, b"method not allowed")
        elif (file := mirror.find(path)) is None:
            self.answer(404, b"not found")
        else:
            blob = mirror.blob(file)
            headers = {"Last-Modified": formatdate(file.stat().st_mtime, usegmt=True)}
            if mirror.etags:
                headers["ETag"] = f'"{blob.sha256[:32]}"'
            if kind := mimetypes.guess_type(file.name)[0]:
                headers["Content-Type"] = kind
            self.send_blob(blob, headers, mirror.ranges, mirror.lengths)


class Mirror(LocalServer):
    """The files of `directory`, with HEAD, ranges, and strong ETags made from the content.

    Off on request: `ranges`, `lengths` (no Content-Length: the body ends with the connection), `etags`, `heads`
    (HEAD is refused). With `page`, every request is answered by that HTML page, as a login portal does.
    `redirects` maps decoded paths (`/a.zip`) to the address that the client is sent to.
    """

    handler = MirrorHandler

    def __init__(
        self,
        directory: Path,
        *,
        ranges: bool = True,
        lengths: bool = True,
        etags: bool = True,
        heads: bool = True,
        page: bytes | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(certificate)
        self.directory = directory.resolve()
        self.ranges, self.lengths, self.etags, self.heads, self.page = ranges, lengths, etags, heads, page
        self.redirects: dict[str, str] = {}
        self._blobs: dict[tuple[Path, int, int], Blob] = {}

    def find(self, path: str) -> Path | None:
        """The file that a decoded URL path means; None outside the directory and for what is not a file."""
        file = (self.directory / path.lstrip("/")).resolve()
        return file if file.is_relative_to(self.directory) and file.is_file() else None

    def blob(self, file: Path) -> Blob:
        """The content of a file, hashed once as long as it does not change."""
        facts = file.stat()
        key = (file, facts.st_size, facts.st_mtime_ns)
        return self._blobs.setdefault(key, Blob(file))
