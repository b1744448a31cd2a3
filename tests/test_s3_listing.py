"""Listings of S3: pages read by pattern or by XML parser, slices asked for at once, one list in order of key."""

from __future__ import annotations

import bisect
import hashlib
import html
import itertools
import random
import string
import tracemalloc
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from s3_door import Answer, Door, Seen, error
from visprep import errors
from visprep.settings import S3Settings
from visprep.stores import s3_answers
from visprep.stores.s3 import S3Store
from visprep.stores.s3_listing import guess
from visprep.wire import Response

ALPHABETS = [
    "ab/", string.digits, "0123456789abcdef", "\x01\t\n\x1f \x7f", "aé\u0301日🦩\ue000\uffff", "%+&<>'\"#?;=\\~.-_",
    string.printable,
]  # fmt: skip


def settings(door: Door) -> S3Settings:
    return S3Settings(endpoint_url=door.url, no_sign_request=True)


class Bucket:
    """A bucket without bytes, as an answer for `Door`; with `ignores_start` it knows no start-after."""

    def __init__(self, keys: list[str], *, ignores_start: bool = False, kms: bool = False) -> None:
        self.keys = sorted(key.encode() for key in keys)
        self.ignores_start, self.kms = ignores_start, kms
        self.pages = 0

    def __call__(self, seen: Seen) -> Answer:
        if seen.method == "HEAD":
            return 200, {"x-amz-server-side-encryption": "aws:kms"} if self.kms else {}, b""
        query = seen.query
        prefix, most = query.get("prefix", "").encode(), int(query["max-keys"])
        after = bytes.fromhex(query.get("continuation-token", "")) or query.get("start-after", "").encode()
        if self.ignores_start and "continuation-token" not in query:
            after = b""
        self.pages += 1
        at = max(bisect.bisect_right(self.keys, after), bisect.bisect_left(self.keys, prefix))
        found = list(itertools.takewhile(lambda key: key.startswith(prefix), self.keys[at : at + most + 1]))
        return 200, {}, listing(found[:most], found[most - 1].hex() if len(found) > most else None)


def listing(keys: list[bytes], token: str | None = None) -> bytes:
    """S3's answer."""
    entries = "".join(
        f"<Contents><Key>{quote_plus(key, safe='/')}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
        f"<ETag>&quot;{hashlib.md5(key).hexdigest()}&quot;</ETag><Size>{len(key)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key in keys
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<EncodingType>url</EncodingType><IsTruncated>{'true' if token else 'false'}</IsTruncated>{more}{entries}"
        "</ListBucketResult>"
    ).encode()


def odd_keys(chance: random.Random) -> list[str]:
    """A key set of one of many kinds: dense, sparse, deep, long, of all characters."""
    kind, count = chance.randrange(5), chance.randrange(1, 60)
    if kind == 0:
        return [f"{chance.choice(['', 'a/', 'z-'])}{number:0{chance.choice([1, 3, 6])}}" for number in range(count)]
    if kind == 1:
        return [f"{chance.getrandbits(32):08x}" for _ in range(count)]
    if kind == 2:
        return [f"task_{chance.randrange(9)}//{chance.randrange(20):04}/{name}" for _ in range(count) for name in "ab/"]
    alphabet = chance.choice(ALPHABETS)
    longest = 250 if kind == 3 else 6
    return ["".join(chance.choices(alphabet, k=chance.randrange(1, longest))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(60))
def test_slices_give_what_one_page_after_the_other_gives(seed: int) -> None:
    chance = random.Random(seed)
    keys = sorted(set(odd_keys(chance)), key=str.encode)
    size = chance.randrange(2, 6)
    there = Bucket([f"data/{key}" for key in keys] + ["data", "data-1", "data0", "e"])
    hints = [
        (),
        keys[size::size],
        chance.sample(keys, len(keys) // 3),
        ["", "\n", "\x00", "\udcff", "x" * 2000, "~", *odd_keys(chance)],
    ]
    with Door(answer=there) as door:
        for cuts in hints:
            files = list(S3Store("s3://bucket/data", settings(door), page_size=size).list(cuts))
            assert [file.path for file in files] == keys
            assert [file.size for file in files] == [len(f"data/{key}".encode()) for key in keys]
            assert [file.digest for file in files] == [
                f"md5:{hashlib.md5(f'data/{key}'.encode()).hexdigest()}" for key in keys
            ]


def test_keys_of_1024_bytes() -> None:
    keys = ["x" * 1019 + string.ascii_letters[at] for at in range(40)] + ["é" * 509 + "+%"]
    with Door(answer=Bucket([f"d/{key}" for key in keys])) as door:
        files = list(S3Store("s3://bucket/d", settings(door), page_size=3).list())
    assert [file.path for file in files] == sorted(keys, key=str.encode)


def test_most_pages_of_numbered_files_are_asked_for_at_once_and_once() -> None:
    there = Bucket([f"d/{number:06}.jpg" for number in range(4000)])
    with Door(answer=there) as door:
        assert sum(1 for _ in S3Store("s3://bucket/d", settings(door), page_size=100).list()) == 4000
        starts = [seen for seen in door.seen if "start-after" in seen.query]
    assert len(starts) > 10
    assert there.pages < 60  # 40 at the least


def test_hints_cut_where_they_say() -> None:
    keys = [f"{hashlib.sha256(b'%d' % number).hexdigest()}/{number}" for number in range(1000)]
    there = Bucket([f"d/{key}" for key in keys])
    with Door(answer=there) as door:
        hints = sorted(keys)[90::90]
        assert sum(1 for _ in S3Store("s3://bucket/d", settings(door), page_size=100).list(hints)) == 1000
        starts = {seen.query["start-after"] for seen in door.seen if "start-after" in seen.query}
    assert starts >= {f"d/{hint}" for hint in hints}
    assert there.pages < 20


def test_a_server_that_does_not_know_start_after() -> None:
    keys = [f"{number:04}" for number in range(100)]
    there = Bucket([f"d/{key}" for key in keys], ignores_start=True)
    with Door(answer=there) as door:
        assert [file.path for file in S3Store("s3://bucket/d", settings(door), page_size=5).list()] == keys
        assert [file.path for file in S3Store("s3://bucket/d", settings(door), page_size=5).list(keys[::5])] == keys


def test_a_listing_that_nobody_goes_on_with_asks_for_no_more() -> None:
    there = Bucket([f"d/{number:04}" for number in range(1000)])
    with Door(answer=there) as door:
        files = S3Store("s3://bucket/d", settings(door), page_size=10).list(digests=False)
        assert [next(files).path for _ in range(10)][-1] == "0009"
        assert there.pages == 1
        next(files)
        files.close()  # type: ignore[attr-defined]
        assert there.pages < 40


def test_memory_is_bounded() -> None:
    there = Bucket([f"d/{number:06}" for number in range(8000)])
    with Door(answer=there) as door:
        files = S3Store("s3://bucket/d", settings(door), page_size=25).list(digests=False)
        next(files)
        door.seen.clear()
        tracemalloc.start()
        count = 1
        for _ in files:
            count += 1
            door.seen.clear()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 8000
    assert peak < 1_300_000  # that of a list of all the files is 2,000,000


def test_an_error_in_a_slice_is_the_error_of_the_listing() -> None:
    there = Bucket([f"d/{number:04}" for number in range(100)])

    def answer(seen: Seen) -> Answer:
        return error(403, "AccessDenied") if there.pages > 5 else there(seen)

    with Door(answer=answer) as door, pytest.raises(errors.AccessDenied, match="s3:ListBucket"):
        list(S3Store("s3://bucket/d", settings(door), page_size=5).list())


def test_only_who_wants_digests_pays_for_them() -> None:
    there = Bucket(["d/a", "d/b"], kms=True)
    with Door(answer=there) as door:
        store = S3Store("s3://bucket/d", settings(door))
        plain = list(store.list(digests=False))
        assert [seen.method for seen in door.seen] == ["GET"]
        assert [(file.digest, file.etag is not None) for file in plain] == [(None, True)] * 2
        assert [file.digest for file in store.list()] == [None, None]
        assert [seen.method for seen in door.seen] == ["GET", "GET", "HEAD"]


# -- guesses


@pytest.mark.parametrize(
    ("paths", "cuts"),
    [
        ([f"a/{number:05}.jpg" for number in range(1000)], ["a/01898", "a/02797"]),
        ([f"{number:04x}" for number in range(256)], ["01e4", "02ca"]),
        (["x"], []),
        (["x", "x\x01"], []),
    ],
)
def test_guesses_go_on_as_the_page_did(paths: list[str], cuts: list[str]) -> None:
    got = guess(paths, 2)
    assert [cut[: len(want)] for cut, want in zip(got, cuts, strict=True)] == cuts
    assert sorted(got) == got


# -- one page, by pattern and by parser


def _by_parser(body: bytes, prefix: str) -> Any:
    """The same answer with a comment in it, which the pattern leaves to the parser."""
    return _outcome(body.replace(b"</ListBucketResult>", b"<!-- --></ListBucketResult>"), prefix)


def _outcome(body: bytes, prefix: str) -> Any:
    try:
        return s3_answers.listing(Response(200, {}, body, "http://h/"), prefix)
    except errors.ServerFailed as failed:
        return str(failed)


ENTRY = (
    "<Contents><Key>d/{}</Key><LastModified>{}</LastModified><ETag>{}</ETag>{}<Size>{}</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)
HEAD = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>{}</EncodingType>'


@pytest.mark.parametrize("encoding", ["url", ""])
def test_pattern_and_parser_agree_on_odd_entries(encoding: str) -> None:
    """Whatever the pattern takes or leaves to the parser, the outcome is that of the parser."""
    chance = random.Random(7)
    times = ["2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+01:00", "yesterday", ""]
    etags = [
        f"&quot;{'a' * 32}&quot;",
        f'"{"A" * 32}"',
        f"&#34;{'0' * 32}-2&#34;",
        "0" * 32,
        '""',
        "",
        '"&amp;"',
        'W/"x"',
    ]
    between = [
        "",
        "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>",
        "<Odd/>",
        " \n",
    ]
    sizes = ["0", "12", " 5 ", "-1", "many", "", "\u0665"]
    keys = [
        "a",
        "b%20c",
        "b+c",
        "%FF",
        "%e3%81",
        "%0A",
        "%2Fx",
        "ü",
        "&amp;",
        "&lt;x",
        "]]",
        "",
        "%zz",
        "a%",
        "\n",
        "a b",
    ]
    for _ in range(1500):
        # mostly the usual, so that one odd thing stands alone
        draw = lambda values: chance.choice(values) if chance.random() < 0.15 else values[0]  # noqa: E731
        entries = [
            ENTRY.format(chance.choice(keys), draw(times), draw(etags), draw(between), draw(sizes))
            for _ in range(chance.randrange(4))
        ]
        join = draw(
            ["", "\n  ", "<CommonPrefixes/>", "text", "<Contents a='b'><Key>d/x</Key><Size>1</Size></Contents>"]
        )
        body = (HEAD.format(encoding) + join.join(entries) + draw(["", join]) + "</ListBucketResult>").encode()
        assert _outcome(body, "d/") == _by_parser(body, "d/"), body


@pytest.mark.parametrize(
    "body",
    [
        HEAD.format("url") + "<More>" + ENTRY.format("a", "", '""', "", "1") + "</More></ListBucketResult>",
        HEAD.format("url") + "<!--" + ENTRY.format("a", "", '""', "", "1") + "--></ListBucketResult>",
        HEAD.format("url") + "<?x " + ENTRY.format("a", "", '""', "", "1") + "?></ListBucketResult>",
        HEAD.format("url") + "<Name><![CDATA[" + ENTRY.format("a", "", '""', "", "1") + "]]></Name></ListBucketResult>",
    ],
)
def test_what_only_looks_like_an_entry_is_none(body: str) -> None:
    assert _outcome(body.encode(), "d/").files == []


def test_half_an_answer_is_no_listing() -> None:
    whole = (HEAD.format("url") + ENTRY.format("a", "", '""', "", "1") * 2 + "</ListBucketResult>").encode()
    assert len(_outcome(whole, "d/").files) == 2
    assert {_outcome(whole[:end], "d/") for end in range(len(whole))} == {
        "h answered something that is not S3's ListBucketResult"
    }


def test_keys_are_decoded_as_one_by_one() -> None:
    names = [
        html.unescape(name) for name in ("a b", "a+b", "100%", "ü/日本", "&lt;", "\x01\n", "e\u0301", "~", "\ue000")
    ]
    for quoted in (quote, quote_plus):
        body = HEAD.format("url") + "".join(
            ENTRY.format(quoted(name, safe=""), "", '""', "", "1") for name in sorted(names, key=str.encode)
        )
        page = _outcome(f"{body}</ListBucketResult>".encode(), "d/")
        assert [file.path for file in page.files] == sorted(names, key=str.encode)


def test_a_key_outside_of_the_prefix_is_no_file_of_it() -> None:
    wrong = listing([b"database/x"])
    with Door(answer=lambda seen: (200, {}, wrong)) as door, pytest.raises(errors.ServerFailed, match="not begin with"):
        list(S3Store("s3://bucket/data", settings(door)).list())
