"""Tar files as nobody should write them, byte by byte."""

import gzip
import io
import tarfile

BLOCK = 512
END = bytes(2 * BLOCK)


def header(name, size=0, kind=b"0", *, link=b"", magic=b"ustar\x0000", size_field=None, prefix=b"", checksum=None):
    """One header block."""
    block = bytearray(BLOCK)
    block[:100] = name[:100].ljust(100, b"\0")
    block[100:124] = b"0000644\0" + b"0000000\0" * 2
    block[124:136] = size_field or b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[157:257] = link.ljust(100, b"\0")
    block[257:265] = magic
    block[345:500] = prefix.ljust(155, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % (sum(block) if checksum is None else checksum)
    return bytes(block)


def member(name, data=b"", kind=b"0", **options):
    """A header and its content, in whole blocks."""
    return header(name, len(data), kind, **options) + data + bytes(-len(data) % BLOCK)


def pax(**facts):
    """An extended header."""
    text = b""
    for name, value in facts.items():
        line = b" %s=%s\n" % (name.replace("__", ".").encode(), value if isinstance(value, bytes) else value.encode())
        length = len(line)
        while len(b"%d" % length) + len(line) != length:
            length = len(b"%d" % length) + len(line)
        text += b"%d" % length + line
    return member(b"PaxHeaders/x", text, b"x")


def tar(files, form=tarfile.PAX_FORMAT):
    """The bytes of a sound archive of these files, by Python's own tarfile."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files.items():
            one = tarfile.TarInfo(name)
            one.size = len(data)
            archive.addfile(one, io.BytesIO(data))
    return out.getvalue()


def zipped(data, level=6, members=1):
    """The bytes as a gzip file of so many members."""
    step = -(-len(data) // members) or 1
    return b"".join(gzip.compress(data[at : at + step], level, mtime=0) for at in range(0, len(data), step))
