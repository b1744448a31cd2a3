"""A prefix of an S3 bucket as a store, over `wire`: AWS, or any server that speaks S3.

Every object that we write carries its SHA-256 as `x-amz-meta-sha256`, since the ETag is an MD5 at best. Keys are
sent to the byte as they are: `a/../b` is a name like any other here.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from visprep.credentials import Access, find_access, settled
from visprep.digests import algorithm_of, digest_of, is_digest_of
from visprep.errors import (
    BadPlace,
    ChangedMeanwhile,
    UnsafePath,
    UsageError,
    VisprepError,
    WrongContent,
)
from visprep.express import Ask
from visprep.handles import lines_of
from visprep.manifest import File, bare_etag
from visprep.messages import SMALL, header
from visprep.settings import S3Settings
from visprep.signing import Signer, quote_key, quote_query
from visprep.stores import Store, s3_answers, s3_listing, s3_options, s3_parts, s3_refusals, s3_uploads
from visprep.stores.memory import MemorySink
from visprep.stores.s3_refusals import Retry
from visprep.wire import Request, Response, Sink, send, wait

_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CONTENT_TYPES = {
    ".avi": "video/x-msvideo",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".txt": "text/plain",
}


class S3Store:
    """`s3://bucket/prefix`; a bucket that is left out (`s3:///prefix`) is S3_BUCKET_NAME's.

    Credentials, region and endpoint are looked up at the first request. `page_size` is the number of keys asked
    for at once in a listing. BadPlace when the text names no bucket.
    """

    #: `fetch` writes a file of at most `messages.SMALL` bytes to its sink at once, when all of it is here.
    hands_on_small_files_whole = True

    def __init__(self, place: str, settings: S3Settings | None = None, *, page_size: int = 1000) -> None:
        self.bucket, self.prefix = _parse(place)
        self.place = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        self.settings = settings or S3Settings()
        self.page_size = page_size
        self._root = f"{self.prefix}/" if self.prefix else ""
        self._options = s3_options.of_objects(self.settings)
        self._known: _Connection | None = None

    def __repr__(self) -> str:
        return f"S3Store({self.place!r})"

    def __getstate__(self) -> dict[str, Any]:
        # Connections belong to this process; which server is meant, another one cannot find out.
        return {**self.__dict__, "settings": settled(self.settings), "_known": None}

    def list(self, cuts: Sequence[str] = (), *, digests: bool = True) -> Iterator[File]:
        """See `Store.list`; at first one page is asked for, then several at once.

        `cuts` are paths that help to ask for the right ones, best about 900 files apart: any will do, and none need
        be there. Without `digests` no file has one, which saves the request that shows whether ETags are MD5s.
        """
        return s3_listing.files(self, cuts, digests=digests)

    async def stat(self, path: str) -> File:
        """See `Store.stat`; the digest is the SHA-256 that the object carries, else the MD5 that its ETag is."""
        return s3_answers.described(path, (await self.ask("s3:GetObject", "HEAD", path)).headers)

    async def hash(self, path: str, algorithm: str) -> str | None:
        """See `Store.hash`: what the object's headers tell, without reading it."""
        return s3_answers.digest_in((await self.ask("s3:GetObject", "HEAD", path)).headers, algorithm)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        if length == 0:
            await self.stat(path)
            return b""
        response = await self.ask("s3:GetObject", "GET", path, accept=(416,), offset=offset, length=length)
        if response.status == 416:  # the file ends before the offset
            return b""
        if response.status == 206:
            return response.body
        return response.body[offset:] if length is None else response.body[offset : offset + length]

    async def fetch(self, file: File, sink: Sink) -> str | None:
        """See `Store.fetch`; ChangedMeanwhile when the object is not the one with the ETag of `file` any more."""
        if file.size is not None and sink.position > file.size:
            sink.restart()
        if sink.position and sink.position == file.size and (file.digest or file.etag):
            return None
        response = await self._get(file, sink, accept=(416,))
        if response.status == 416 and sink.position != s3_answers.size_beyond(response):
            sink.restart()
            response = await self._get(file, sink)
        self._hold_against(file, response.etag)
        if file.size is not None and sink.position != file.size:
            raise WrongContent(f"{file.path}: {sink.position} bytes arrived, {file.size} were promised", hint=_AGAIN)
        return s3_answers.sha256_with(response)

    def _hold_against(self, file: File, found: str | None) -> None:
        """ChangedMeanwhile when an ETag that an answer tells is not that of `file`."""
        if file.etag and found and found != file.etag and bare_etag(found) != bare_etag(file.etag):
            raise ChangedMeanwhile(f"s3://{self.bucket}/{self.key(file.path)} changed since it was listed", hint=_AGAIN)

    async def fetch_range(self, file: File, offset: int, length: int, sink: Sink) -> str | None:
        """See `ranges.Ranged`."""
        told = None
        if sink.position < length:
            told = s3_answers.sha256_with(await self._get(file, sink, offset=offset, length=length))
        if sink.position != length:
            arrived = offset + sink.position
            raise WrongContent(f"{file.path} ends after {arrived} bytes, {file.size} were promised", hint=_AGAIN)
        return told

    async def _get(self, file: File, sink: Sink, accept: tuple[int, ...] = (), **part: int) -> Response:
        checked = file.digest is not None
        small = file.size is not None and file.size <= SMALL
        return await self.ask(
            "s3:GetObject",
            "GET",
            file.path,
            accept=accept,
            sink=sink,
            validator=file.etag,
            checked=checked,
            small=small and not part,
            **part,
        )

    async def receive(self, file: File, origin: Store) -> File:
        """See `Store.receive`.

        Files above `part_size` go in parts. Such an upload stays when it is broken off, and the next `receive` of
        the same path sends only the parts that are missing or differ.
        """
        if isinstance(origin, S3Store) and algorithm_of(file.digest or "") != "sha256":
            file = replace(file, made_from=s3_answers.fit_for_header(file.etag))
        if file.size is not None and file.size <= SMALL < self.settings.part_size:
            self.key(file.path)
            promised = file.digest
            if promised is None and isinstance(origin, S3Store):
                sink = MemorySink()
                promised = await origin.fetch(file, sink)  # the digest comes with the bytes
                data = sink.getvalue()
            else:
                # One byte more than was promised, to see that a file grew.
                data = await origin.read(file.path, 0, file.size + 1)
            sha256 = f"sha256:{hashlib.sha256(data).hexdigest()}"
            if len(data) == file.size and (promised in (None, sha256) or is_digest_of(promised, data)):
                return await self.put(file.path, data, sha256, file.made_from)
            file = replace(file, digest=promised)
        return await s3_parts.receive(self, file, origin)

    def ask_for(self, file: File) -> Ask:
        """The request for a small file, for the express lane."""
        return self._ask("GET", file.path, {}, None, file.size or 0)

    def told(self, file: File, head: str) -> str | None:
        """The `sha256:hex` that an answer's head tells; ChangedMeanwhile when it is of another object than `file`."""
        self._hold_against(file, header(head, "etag"))
        return s3_answers.sha256_of(header(head, "x-amz-meta-sha256"))

    def ask_to_take(self, path: str, data: bytes, digest: str) -> Ask:
        """The request that writes a small file whose digest (`sha256:hex`) is known, for the express lane."""
        return self._ask("PUT", path, self._headers_for(path, digest), data, len(data))

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None, weight: int) -> Ask:
        connection = self._connection()
        url = f"{connection.url}/{quote_key(self.key(path))}"
        sent = self._as_this_server_takes(headers, connection)
        signed = connection.sign(method, url, sent, body) if connection.sign else sent
        return Ask(method, url, lines_of(signed), body, connection.access.ca_bundle, weight)

    async def write(self, path: str, data: bytes) -> File:
        """See `Store.write`."""
        return await self.put(path, data, digest_of(data))

    async def put(self, path: str, data: bytes, digest: str, made_from: str | None = None) -> File:
        """`write` for bytes whose digest (`sha256:hex`) is known, and what object they are a copy of, if any."""
        headers = self._headers_for(path, digest, made_from)
        response = await self.ask("s3:PutObject", "PUT", path, headers=headers, body=data, small=True)
        return File(path, len(data), digest, etag=response.etag, made_from=made_from)

    def _headers_for(self, path: str, digest: str, made_from: str | None = None) -> dict[str, str]:
        sha256 = digest.removeprefix("sha256:")
        headers = self.describing(path, digest, made_from)
        headers["x-amz-checksum-sha256"] = binascii.b2a_base64(bytes.fromhex(sha256), newline=False).decode()
        headers["x-amz-content-sha256"] = sha256
        return headers

    async def delete(self, path: str) -> None:
        """See `Store.delete`."""
        await self.ask("s3:DeleteObject", "DELETE", path, accept=(404,))

    def unfinished(self) -> tuple[tuple[str, str], ...]:
        """Path and upload id of every multipart upload under the prefix that was neither completed nor aborted."""
        found = wait(s3_uploads.uploads_under(self, self._root))
        return tuple((upload.key.removeprefix(self._root), upload.id) for upload in found)

    async def abort(self, path: str, upload_id: str) -> None:
        """Drop an unfinished upload with its parts; fine when it is gone already."""
        query = {"uploadId": upload_id}
        await self.ask("s3:AbortMultipartUpload", "DELETE", path, query=query, accept=(404,))

    @property
    def region(self) -> str:
        """The region that requests are signed for: that of the bucket, once a refusal has told it."""
        return self._connection().access.region

    @property
    def encrypted(self) -> bool:
        """Whether TLS guards what is sent."""
        return self._connection().url.startswith("https:")

    def key(self, path: str) -> str:
        """The whole key of a path; UnsafePath when S3 takes no such key."""
        key = self._root + path
        try:
            length = len(key.encode())
        except UnicodeEncodeError:
            raise UnsafePath(f"{path!r} is not Unicode text, and S3 takes no other names", hint="rename it") from None
        if not path or length > 1024:
            what = f"is {length} bytes long; S3 takes at most 1,024" if path else "names no file"
            raise UnsafePath(f"{key!r} {what}", hint="shorten the prefix or the name")
        return key

    def describing(self, path: str, digest: str | None, made_from: str | None = None) -> dict[str, str]:
        """The headers that tell, with an object, what it holds, and with which ETag another held it."""
        _, dot, suffix = path.rpartition(".")
        headers = {"content-type": _CONTENT_TYPES.get(dot + suffix.lower(), "application/octet-stream")}
        if digest and digest.startswith("sha256:"):
            headers["x-amz-meta-sha256"] = digest.removeprefix("sha256:")
        if made_from:
            headers[s3_answers.MADE_FROM] = made_from
        return headers | self._options

    async def ask(
        self, permission: str, method: str, path: str | None = None, *, accept: tuple[int, ...] = (), **details: Any
    ) -> Response:
        """A successful answer, or one whose status is in `accept`, about a path or (None) about the bucket.

        `details` are those of `request`. A refusal that shows how to ask better is followed once, and remembered:
        the bucket is in another region, or the server does not know checksums.
        """
        asked = self._connection()
        response = await send(self.request(method, path, **details))
        if response.status < 300 or response.status in accept:
            return response
        response = await self._in_words(response, method, path)
        if self._learned(response, asked):
            response = await send(self.request(method, path, **details))
        return response if response.status in accept else self.checked(response, permission, path)

    def request(
        self,
        method: str,
        path: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Request:
        """A request about a path, or (None) about the bucket; `more` are fields of `wire.Request`."""
        connection = self._connection()
        access, url = connection.access, connection.url
        if path is not None:
            url = f"{url}/{quote_key(self.key(path))}"
        elif not urlsplit(url).path:
            url += "/"
        if query:
            url += f"?{quote_query(query)}"
        headers = self._as_this_server_takes(headers or {}, connection)
        more["retry"] = Retry(more.get("retry", s3_answers.passes), access.provider)
        return Request(
            url,
            method,
            headers,
            sign=connection.sign,
            attempts=access.attempts,
            ca_bundle=access.ca_bundle,
            **more,
        )

    def _as_this_server_takes(self, headers: Mapping[str, str], connection: _Connection) -> Mapping[str, str]:
        if headers and not connection.checksums:
            headers = {name: value for name, value in headers.items() if not name.startswith(_CHECKSUM)}
        return {**headers, "x-amz-request-payer": "requester"} if self.settings.request_payer else headers

    def checked(self, response: Response, permission: str, path: str | None) -> Response:
        """The answer itself when it is a success, else the error that it means."""
        if response.status < 300:
            return response
        raise self.refusal(response, permission, path)

    def refusal(self, response: Response, permission: str, path: str | None) -> VisprepError:
        """The error that an answer means."""
        key = None if path is None else self.key(path)
        return s3_refusals.refusal(response, permission, self.bucket, key, self._connection().sign is not None)

    async def _in_words(self, response: Response, method: str, path: str | None) -> Response:
        """A refusal with its reason: that of a HEAD has no body, so the same is asked as a GET."""
        if method != "HEAD" or response.status not in (301, 307, 400, 403):
            return response
        told = await send(self.request("GET", path, length=1))
        return told if told.status >= 300 else await send(self.request(method, path))

    def _learned(self, response: Response, asked: _Connection) -> bool:
        """Whether a refusal tells how to ask better than `asked` was; from now on we do."""
        if response.status in (400, 501) and _CHECKSUM.encode() in response.body.lower() and asked.checksums:
            self._known = replace(self._connection(), checksums=False)
            return True
        region = s3_answers.region_of(response)
        if region is None or region == asked.access.region:
            return False
        if region != self._connection().access.region:  # another request in flight may have learned it already
            self._known = _connect(replace(asked.access, region=region), self.bucket, self.settings.addressing)
        return True

    def _connection(self) -> _Connection:
        if self._known is None or self._known.pid != os.getpid():
            self._known = _connect(find_access(self.settings), self.bucket, self.settings.addressing)
        return self._known


_AGAIN = "run the same command again"
#: Some servers refuse these headers; the body's SHA-256 is signed in any case.
_CHECKSUM = "x-amz-checksum-"


@dataclass(frozen=True, slots=True)
class _Connection:
    """What one process knows of the way to a bucket."""

    pid: int
    access: Access
    url: str
    sign: Signer | None
    checksums: bool = True


def _connect(access: Access, bucket: str, addressing: str) -> _Connection:
    sign = Signer(access.provider, access.region) if access.provider else None
    return _Connection(os.getpid(), access, _bucket_url(access, bucket, addressing), sign)


def _bucket_url(access: Access, bucket: str, addressing: str) -> str:
    if addressing not in ("auto", "path", "virtual"):
        raise UsageError(f"{addressing!r} is no addressing style", hint="it is one of: auto, path, virtual")
    domain = "amazonaws.com.cn" if access.region.startswith("cn-") else "amazonaws.com"
    endpoint = access.endpoint or f"https://s3.{access.region}.{domain}"
    scheme, _, rest = endpoint.partition("://")
    host = urlsplit(endpoint).hostname or ""
    amazon = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    if addressing == "virtual" or (addressing == "auto" and amazon and "." not in bucket):
        return f"{scheme}://{bucket}.{rest}"
    return f"{endpoint}/{bucket}"


def _parse(place: str) -> tuple[str, str]:
    """Bucket and prefix (without a slash at its end) of `s3://bucket/prefix`."""
    text = place.removeprefix("s3://")
    if text == place:
        raise BadPlace(f"{place!r} does not begin with s3://", hint="write s3://bucket/prefix")
    bucket, _, prefix = text.partition("/")
    bucket = bucket or os.environ.get("S3_BUCKET_NAME", "")
    if not bucket:
        raise BadPlace(f"{place!r} names no bucket", hint="write s3://bucket/prefix, or set S3_BUCKET_NAME")
    if not _BUCKET.fullmatch(bucket):
        raise BadPlace(
            f"{bucket!r} is no name of a bucket",
            hint="it has 3 to 63 lower-case letters, digits, dots and hyphens, and ends in a letter or digit",
        )
    try:
        prefix.encode()
    except UnicodeEncodeError:
        raise BadPlace(f"{place!r} is not Unicode text") from None
    return bucket, prefix.rstrip("/")
