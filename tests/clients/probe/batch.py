"""Record batches of magic 2, right or wrong as asked."""

import struct
import time

from kafka.record.util import calc_crc32c

# Attributes.
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
TRANSACTIONAL, CONTROL = 0x10, 0x20

_HEAD = struct.Struct(">qiib")
_BODY = struct.Struct(">hiqqqhii")


def now():
    return int(time.time() * 1000)


def records(items):
    """The records of a batch, from (key, value) pairs, with the timestamp of the batch."""
    encoded = b""
    for delta, (key, value) in enumerate(items):
        body = b"\x00" + _varint(0) + _varint(delta) + _nullable(key) + _nullable(value) + _varint(0)
        encoded += _varint(len(body)) + body
    return encoded


def batch(
    items,
    *,
    attributes=0,
    base_offset=0,
    leader_epoch=-1,
    magic=2,
    crc=None,
    length=None,
    last_offset_delta=None,
    count=None,
    timestamp=None,
    producer_id=-1,
    producer_epoch=-1,
    sequence=-1,
    payload=None,
):
    """A batch of (key, value) pairs; every field may be set to what it should not be."""
    payload = records(items) if payload is None else payload
    timestamp = now() if timestamp is None else timestamp
    body = _BODY.pack(
        attributes,
        len(items) - 1 if last_offset_delta is None else last_offset_delta,
        timestamp,
        timestamp,
        producer_id,
        producer_epoch,
        sequence,
        len(items) if count is None else count,
    )
    body += payload
    checksum = calc_crc32c(body) if crc is None else crc
    size = 4 + 1 + 4 + len(body) if length is None else length
    return _HEAD.pack(base_offset, size, leader_epoch, magic) + struct.pack(">I", checksum) + body


def values(*texts):
    return [(None, text.encode()) for text in texts]


def summary(buffer):
    """What matters of the batches that a fetch brought: where each starts, and what it holds."""
    batches = []
    while len(buffer) >= 61:
        base_offset, size, _, magic = _HEAD.unpack_from(buffer)
        attributes, last_delta, _, _, producer_id, _, _, count = _BODY.unpack_from(buffer, 21)
        whole = len(buffer) >= size + 12
        batches.append(
            {
                "base_offset": base_offset,
                "last_offset_delta": last_delta,
                "count": count,
                "magic": magic,
                "attributes": attributes,
                "has_producer_id": producer_id >= 0,
                "whole": whole,
                "crc_matches": whole and calc_crc32c(buffer[21 : size + 12]) == struct.unpack_from(">I", buffer, 17)[0],
            }
        )
        buffer = buffer[size + 12 :]
    return batches


def _varint(number):
    number = (number << 1) ^ (number >> 63)
    encoded = b""
    while number & ~0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def _nullable(data):
    return _varint(-1) if data is None else _varint(len(data)) + data
