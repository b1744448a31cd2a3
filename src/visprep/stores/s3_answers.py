"""What S3 answers: listings and uploads out of XML, and what the headers of an object tell."""

from __future__ import annotations

import contextlib
import html
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_plus, unquote_to_bytes, urlsplit

from visprep import errors
from visprep.manifest import File, bare_etag
from visprep.messages import number_in, size_in, time_in
from visprep.wire import Response

#: Codes that mean "later", whatever the status they come with.
_PASSING = frozenset(
    {
        "BandwidthLimitExceeded",
        "Busy",
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)


#: The header of an object that tells the ETag of the one that it was copied from.
MADE_FROM = "x-amz-meta-origin-etag"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: `token` leads to the next one and is None on the last."""

    files: list[File]
    token: str | None


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is not complete.

    `algorithm` names the checksum it was begun with, if any, and of which kind it is: `CRC32 FULL_OBJECT`.
    """

    key: str
    id: str
    initiated: str = ""
    algorithm: str | None = None

    def age(self, now: float) -> float:
        """Seconds since it was begun, by `now` in seconds since the epoch; 0 where that is not told."""
        try:
            begun = datetime.fromisoformat(self.initiated)
        except ValueError:
            return 0.0
        return now - (begun if begun.tzinfo else begun.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload; `checksum` is its CRC-32 in base64 where the server keeps it."""

    number: int
    etag: str
    size: int = 0
    checksum: str | None = None


def listing(response: Response, prefix: str, *, digests: bool = True) -> Page:
    """The files of a ListObjectsV2 answer, their paths being the keys without `prefix`.

    Without `digests` no ETag is taken for an MD5. ServerFailed when the answer makes no sense; so it is with a key
    that does not begin with `prefix`.
    """
    root, entries = _usual(response)
    if entries is None:
        root = _root(response, "ListBucket")
    text = _texts(root)
    with _well_formed(response):
        entries = [_entry(one) for one in _children(root, "Contents")] if entries is None else entries
        keys = [entry[0] for entry in entries]
        keys = _decoded_all(keys) if text.get("EncodingType") == "url" else keys
        if not all(key.startswith(prefix) for key in keys):
            raise ValueError(f"keys that do not begin with {prefix!r}")
        times = {time: datetime.fromisoformat(time).timestamp() for time in {entry[1] for entry in entries} if time}
        start = len(prefix)
        files = [
            File(key[start:], int(size), f"md5:{md5}" if md5 and digests else None, times.get(time), etag or None)
            for key, (_, time, md5, etag, size) in zip(keys, entries, strict=True)
        ]
    more = text.get("IsTruncated") == "true"
    token = text.get("NextContinuationToken")
    if more and not token:
        raise errors.ServerFailed(f"{host_of(response)} cut the listing short without saying how to go on")
    return Page(files, token if more else None)


def folders(response: Response, prefix: str) -> tuple[list[str], str | None]:
    """The names right below `prefix` that a ListObjectsV2 answer with the delimiter `/` has, and what leads on."""
    root = _root(response, "ListBucket")
    text = _texts(root)
    with _well_formed(response):
        encoded = text.get("EncodingType") == "url"
        found = [_decoded(one["Prefix"], encoded) for one in _children(root, "CommonPrefixes")]
    token = text.get("NextContinuationToken") if text.get("IsTruncated") == "true" else None
    return [one[len(prefix) :].rstrip("/") for one in found], token


#: One object of a listing: key, time, MD5, ETag, size; empty where it is not told.
_Entry = tuple[str, str, str, str, str]
_TEXT = r"[^<>&\x00-\x1f]*"
_QUOTE = r"(?:&quot;|&#34;|\")"
#: What S3, and most that speak it, write of one object.
_USUAL = re.compile(
    rf"(\s*<Contents>\s*<Key>({_TEXT})</Key>\s*<LastModified>({_TEXT})</LastModified>\s*"
    rf"<ETag>{_QUOTE}(?:([0-9a-f]{{32}})|([^<>&\"\x00-\x1f]*)){_QUOTE}</ETag>\s*"
    rf"(?:<ChecksumAlgorithm>{_TEXT}</ChecksumAlgorithm>\s*)*(?:<ChecksumType>{_TEXT}</ChecksumType>\s*)?"
    rf"<Size>([0-9]+)</Size>\s*(?:<StorageClass>{_TEXT}</StorageClass>\s*)?</Contents>)"
)


def _usual(response: Response) -> tuple[ElementTree.Element, list[_Entry] | None]:
    """The root and the entries of a listing by pattern, which takes a quarter of the XML parser's time.

    The entries are None unless all of them are of the usual shape, and nothing is among them.
    """
    body, ending = response.body, b"</Contents>"
    first, last = body.find(b"<Contents>"), body.rfind(ending) + len(ending)
    middle = body[first:last]
    root = ElementTree.Element("")
    # No comment, CDATA or second prolog may hide an entry, or show one that is none
    if first < 0 or not middle.isascii() or b"<!" in body or body.rfind(b"<?") > 0:
        return root, None
    found = _USUAL.findall(middle.decode("ascii"))
    if sum(len(entry[0]) for entry in found) != len(middle):
        return root, None
    root = _root(response, "ListBucket", body[:first] + b"<Contents/>" + body[last:])
    if sum(child.tag.rpartition("}")[2] == "Contents" for child in root) != 1:
        return root, None
    return root, [(key, time, md5, f'"{md5 or other}"', size) for _, key, time, md5, other, size in found]


def _entry(text: dict[str, str]) -> _Entry:
    etag = _quoted(text.get("ETag", ""))
    return text["Key"], text.get("LastModified", ""), (md5_of(etag) or "").removeprefix("md5:"), etag, text["Size"]


def _decoded_all(texts: list[str]) -> list[str]:
    """What `_decoded` makes of each: all in one go, which is much cheaper than one by one."""
    joined = "\n".join(texts)
    if "%" not in joined and "+" not in joined:
        return texts
    if joined.isascii():
        raw = unquote_to_bytes(joined.replace("+", " ").replace("\n", "%FF"))  # a byte that UTF-8 does not have
        found = raw.decode("utf-8", "surrogateescape").split("\udcff")
        if len(found) == len(texts):  # or there are such bytes, or line ends, in a key
            return found
    return [_decoded(text, True) for text in texts]


def uploads(response: Response) -> tuple[list[Upload], dict[str, str]]:
    """The uploads of a ListMultipartUploads answer, and the query that asks for the next page, empty at the end."""
    root = _root(response, "ListMultipartUploads")
    text = _texts(root)
    decode = text.get("EncodingType") == "url"
    found = []
    with _well_formed(response):
        for entry in _children(root, "Upload"):
            key = _decoded(entry["Key"], decode)
            algorithm = _algorithm(entry.get("ChecksumAlgorithm"), entry.get("ChecksumType"))
            found.append(Upload(key, entry["UploadId"], entry.get("Initiated", ""), algorithm))
    if text.get("IsTruncated") != "true":
        return found, {}
    key_marker = _decoded(text.get("NextKeyMarker", ""), decode)
    return found, {"key-marker": key_marker, "upload-id-marker": text.get("NextUploadIdMarker", "")}


def parts(response: Response) -> tuple[list[Part], dict[str, str]]:
    """The parts of a ListParts answer, and the query that asks for the next page, empty at the end."""
    root = _root(response, "ListParts")
    text = _texts(root)
    found = []
    with _well_formed(response):
        for entry in _children(root, "Part"):
            size, checksum = int(entry["Size"]), entry.get("ChecksumCRC32") or None
            found.append(Part(int(entry["PartNumber"]), entry["ETag"].strip('"'), size, checksum))
    if text.get("IsTruncated") != "true":
        return found, {}
    return found, {"part-number-marker": text.get("NextPartNumberMarker", "")}


def created(response: Response, key: str) -> Upload:
    """The upload that a CreateMultipartUpload answer announces."""
    text = _texts(_root(response, "InitiateMultipartUpload"))
    told = response.headers
    algorithm = told.get("x-amz-checksum-algorithm") or text.get("ChecksumAlgorithm")
    kind = told.get("x-amz-checksum-type") or text.get("ChecksumType")
    with _well_formed(response):
        return Upload(key, text["UploadId"], algorithm=_algorithm(algorithm, kind))


def _algorithm(name: str | None, kind: str | None) -> str | None:
    return f"{name} {kind}" if name and kind else name or None


def completion(parts: list[Part]) -> bytes:
    """The body of a CompleteMultipartUpload request."""
    lines = []
    for part in parts:
        checksum = f"<ChecksumCRC32>{part.checksum}</ChecksumCRC32>" if part.checksum else ""
        etag = html.escape(part.etag, quote=False)
        lines.append(f'<Part>{checksum}<ETag>"{etag}"</ETag><PartNumber>{part.number}</PartNumber></Part>')
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    body = f'<CompleteMultipartUpload xmlns="{namespace}">{"".join(lines)}</CompleteMultipartUpload>'
    return body.encode()


def digest_in(headers: Mapping[str, str], algorithm: str) -> str | None:
    """`algorithm:hex` as far as the headers of a HEAD or GET answer tell it."""
    if algorithm == "sha256":
        return sha256_of(headers.get("x-amz-meta-sha256"))
    if algorithm == "md5" and not etag_is_opaque(headers):
        return md5_of(headers.get("etag", ""))
    return None


def sha256_with(response: Response) -> str | None:
    """`sha256:hex` that an object carries, out of the very answer that brings its bytes."""
    return sha256_of(response.header("x-amz-meta-sha256"))


def sha256_of(told: str | None) -> str | None:
    """`sha256:hex` from the value of the header that carries it."""
    return f"sha256:{told.lower()}" if told and re.fullmatch("[0-9a-fA-F]{64}", told) else None


def etag_in(response: Response) -> str | None:
    """The ETag in the body of a CompleteMultipartUpload answer."""
    return _quoted(field_of(response, "ETag")) or None


def described(path: str, headers: Mapping[str, str]) -> File:
    """A file as the headers of a HEAD or GET answer describe it."""
    etag = _quoted(headers.get("etag", ""))
    digest = digest_in(headers, "sha256") or digest_in(headers, "md5")
    mtime = time_in(headers.get("last-modified", ""))
    made_from = headers.get(MADE_FROM)
    return File(path, size_in(headers), digest, mtime, etag or None, None, made_from)


def fit_for_header(etag: str | None) -> str | None:
    """A bare ETag that can be sent along with a copy; None for what no server should have told."""
    bare = bare_etag(etag or "")
    return bare if re.fullmatch("[!-~]{1,200}", bare) else None


def md5_of(etag: str) -> str | None:
    """`md5:hex` when an ETag is the MD5 of the content, as it is for objects that were not sent in parts."""
    text = etag.strip('"')
    return f"md5:{text}" if re.fullmatch("[0-9a-f]{32}", text) else None


def etag_is_opaque(headers: Mapping[str, str]) -> bool:
    """Whether the object is encrypted with KMS or the customer's key: then its ETag only looks like an MD5."""
    kms = headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
    return kms or "x-amz-server-side-encryption-customer-algorithm" in headers


def size_beyond(response: Response) -> int | None:
    """The size of an object, as a 416 answer tells it."""
    told = response.headers.get("content-range", "").rpartition("/")[2] or field_of(response, "ActualObjectSize")
    return number_in(told)


def code_of(response: Response) -> str:
    """S3's error code, empty where there is none (a HEAD has no body)."""
    return field_of(response, "Code")


def passes(response: Response) -> bool:
    """Whether a refusal says that asking again may help, although its status may not."""
    return response.status >= 300 and code_of(response) in _PASSING


def passes_inside(response: Response) -> bool:
    """The same of an answer that begins with 200 before S3 knows how it ends, as CompleteMultipartUpload does."""
    return code_of(response) in _PASSING


def region_of(response: Response) -> str | None:
    """The region that a refusal says to use."""
    if response.status < 300:
        return None
    return response.headers.get("x-amz-bucket-region") or field_of(response, "Region") or None


def _root(response: Response, verb: str, body: bytes | None = None) -> ElementTree.Element:
    """The root of an answer to `verb`: `{verb}Result` by the book, `{verb}Response` on some servers."""
    try:
        # Expat refuses entity bombs since 2.4.1, and the user chose this server.
        root = ElementTree.fromstring(response.body if body is None else body)  # noqa: S314
    except (ElementTree.ParseError, LookupError, ValueError):  # the last two for encodings that nobody knows
        root = ElementTree.Element("")
    if root.tag.rpartition("}")[2] not in (f"{verb}Result", f"{verb}Response"):
        raise errors.ServerFailed(
            f"{host_of(response)} answered something that is not S3's {verb}Result",
            hint="check --endpoint-url: it must speak S3",
        )
    return root


@contextlib.contextmanager
def _well_formed(response: Response) -> Iterator[None]:
    """An answer in which something is missing, or is no number or date, is not the caller's fault."""
    try:
        yield
    except (KeyError, ValueError) as error:
        raise errors.ServerFailed(f"{host_of(response)} answered XML that S3 would not: {error}") from None


def _children(root: ElementTree.Element, tag: str) -> list[dict[str, str]]:
    return [_texts(child) for child in root if child.tag.rpartition("}")[2] == tag]


def _texts(element: ElementTree.Element) -> dict[str, str]:
    return {child.tag.rpartition("}")[2]: child.text or "" for child in element}


def _decoded(text: str, encoded: bool) -> str:
    return unquote_plus(text, errors="surrogateescape") if encoded else text


def _quoted(etag: str) -> str:
    """An ETag in its quotes; some servers leave them out of listings."""
    return f'"{etag}"' if etag and not etag.endswith('"') else etag


def field_of(response: Response, name: str) -> str:
    """The text of one element of an answer, empty when there is none."""
    # By pattern: an error document may be cut off, and proxies add their own.
    found = re.search(rb"<%b>([^<]*)</%b>" % (name.encode(), name.encode()), response.body)
    return html.unescape(found[1].decode("utf-8", "replace")).strip() if found else ""


def host_of(response: Response) -> str:
    """Who answered, for messages."""
    return urlsplit(response.url).netloc.rpartition("@")[2]
