"""The records that clients send and must get back byte for byte."""

import hashlib
from typing import NamedTuple, Optional

from suite import equal, now_ms


class Record(NamedTuple):
    """A record as a client sends it, and as it must come back."""

    key: Optional[bytes]
    value: Optional[bytes]
    headers: list
    timestamp: int


HEADERS = [
    [],
    [("trace", b"\x00\x01\xfe\xff")],
    [("twice", b"1"), ("twice", b"2"), ("empty", b"")],
    [("na\u00efve \u2603", "gr\u00fc\u00df".encode())],
]


def records(null_headers=True, count=60):
    """Records of every shape: keys and values that are null, empty, binary, long, hard and easy to compress.

    A null value always has a key, since some clients refuse a record that has neither.
    """
    base = now_ms() - 3_600_000
    return [_record(i, base, null_headers) for i in range(count)]


def _record(i, base, null_headers):
    keys = [b"key-%d" % i, None, b"", bytes(range(256)), b"\x00"]
    values = [b"", bytes(range(256)), b"easy " * (i * 40), _noise(i, 3000), b"\x00", b"v%d" % i]
    key, value = keys[i % len(keys)], values[i % len(values)]
    if i % 7 == 3:
        key, value = b"tombstone-%d" % i, None
    headers = HEADERS[i % len(HEADERS)]
    if null_headers and i % 9 == 4:
        headers = [*headers, ("null", None)]
    # Not monotonic: a record may be older than the one before it.
    return Record(key, value, headers, base + i * 1000 - (i % 5) * 1700)


def _noise(seed, length):
    blocks = (hashlib.sha256(b"%d/%d" % (seed, n)).digest() for n in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def same(received, sent):
    """Fails the case unless `received`, as (offset, Record), is all of `sent` at offsets from 0 on."""
    equal([offset for offset, _ in received], list(range(len(sent))), "offsets")
    for (offset, actual), expected in zip(received, sent):
        equal(actual, expected, f"record at offset {offset}")


TIMELINE = [0, 50, 20, 30, 40], [1000, 1010, 1020, 1030, 1040]
"""Timestamps of two batches, relative to a base. In the first one they are out of order."""

TIMELINE_QUERIES = [(-1, 0, 0), (0, 0, 0), (1, 1, 50), (15, 1, 50), (51, 5, 1000), (1015, 7, 1020), (1040, 9, 1040)]
"""For a timestamp asked for: the offset and timestamp of the first record at or after it."""

TIMELINE_AFTER_THE_END = 1041
