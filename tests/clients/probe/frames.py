"""Versions that are negotiated, or are not, and frames that are none."""

import struct

from kafka.protocol.consumer import FetchRequest
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest

from exchange import exchange
from wire import CLOSED, Closed, Connection

SOFTWARE = {"client_software_name": "probe", "client_software_version": "1.0"}


def frame(body):
    return struct.pack(">i", len(body)) + body


def header(key, version, correlation_id=1, client=b"probe"):
    """A request header of version 1."""
    return struct.pack(">hhih", key, version, correlation_id, len(client)) + client


@exchange
def api_versions(x):
    for version in range(5):
        x.ask(f"version {version}", ApiVersionsRequest, version, SOFTWARE if version >= 3 else {})
    x.ask("no software name", ApiVersionsRequest, 3, SOFTWARE | {"client_software_name": ""})
    x.ask("software name of spaces", ApiVersionsRequest, 3, SOFTWARE | {"client_software_name": "a b"})
    x.ask("afterwards", MetadataRequest, 1, {"topics": []})


@exchange
def api_versions_too_high(x):
    """Answered in version 0, whatever follows the header."""
    for version in [5, 99]:
        request = frame(header(18, version, correlation_id=77) + b"\x00\x06probe\x041.0\x00")
        x.connection.correlation_id = 77
        x.answer(f"version {version}", ApiVersionsRequest, 0, request)
    x.ask("afterwards, on the same connection", MetadataRequest, 1, {"topics": []})


@exchange
def unsupported(x):
    """All but ApiVersions: the connection is closed."""
    for name, key, version in [
        ("an unknown API", 9999, 0),
        ("a negative API", -1, 0),
        ("Metadata of version 99", 3, 99),
        ("Metadata of version -1", 3, -1),
        ("Fetch of version 3", 1, 3),
        ("ListOffsets of version 0", 2, 0),
        ("OffsetCommit of version 1", 8, 1),
        ("OffsetFetch of version 0", 9, 0),
        ("CreateTopics of version 1", 19, 1),
        ("DeleteTopics of version 0", 20, 0),
        ("DescribeConfigs of version 0", 32, 0),
    ]:
        x.answer(name, MetadataRequest, 0, frame(header(key, version) + bytes(40)))


@exchange
def broken_frames(x):
    """The connection is closed, and nothing else happens."""
    metadata = header(3, 1)
    for name, data in [
        ("a negative length", struct.pack(">i", -1)),
        ("a length of 2 GiB", struct.pack(">i", 2**31 - 1) + b"x" * 100),
        ("a frame of nothing", frame(b"")),
        ("half a header", frame(b"\x00\x03\x00")),
        ("a client id longer than the frame", frame(struct.pack(">hhih", 3, 1, 1, 500) + b"probe")),
        ("a count of 20 million in 4 bytes", frame(metadata + struct.pack(">i", 20_000_000))),
        ("a null topic name", frame(metadata + struct.pack(">ih", 1, -1))),
        ("a body that ends early", frame(metadata + struct.pack(">ih", 1, 10) + b"four")),
        ("20 million tagged fields", frame(header(3, 9) + b"\x00\x01\x01\x00\x00" + b"\x80\xda\xc4\x09")),
        ("an unsigned varint without end", frame(header(3, 9) + b"\x00" + b"\xff" * 12)),
    ]:
        x.connection.correlation_id = 1
        x.answer(name, MetadataRequest, 1, data)
    x.ask("another connection", MetadataRequest, 1, {"topics": []})


@exchange
def cut_short(x):
    """A frame whose sender leaves before its end: nothing is answered."""
    with Connection(x.bootstrap) as connection:
        connection.send(struct.pack(">i", 100) + header(3, 1))
        connection.socket.shutdown(1)
        try:
            x.note("the connection ends", connection.receive().hex())
        except Closed:
            x.note("the connection ends", CLOSED)


@exchange
def tolerated(x):
    """Oddities that a broker lives with."""
    for name, data, version in [
        ("a null client id", frame(struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)), 1),
        ("bytes after the request", frame(header(3, 1) + struct.pack(">i", 0) + b"more"), 1),
        (
            "an unknown tagged field in the header",
            frame(header(3, 9) + b"\x01\x64\x03abc" + b"\x01\x01\x00\x00\x00"),
            9,
        ),
        ("an unknown tagged field in the body", frame(header(3, 9) + b"\x00" + b"\x01\x01\x00\x00\x01\x64\x03abc"), 9),
    ]:
        x.connection.correlation_id = 1
        x.answer(name, MetadataRequest, version, data)


@exchange
def pipelined(x):
    """Answers come in the order of the requests, even if a later one is ready first."""
    topic, _ = x.topic()
    waiting = {"max_wait_ms": 300, "min_bytes": 1, "max_bytes": 1_000_000, "replica_id": -1, "isolation_level": 0}
    waiting["topics"] = [
        {"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1000}]}
    ]
    slow = x.connection.encode(FetchRequest, 4, waiting)
    slow_id = x.connection.correlation_id
    x.connection.send(slow + x.connection.encode(MetadataRequest, 1, {"topics": []}))
    x.connection.correlation_id = slow_id
    x.note("first", x.normalizer.answer(x.connection.answer(FetchRequest, 4)))
    x.connection.correlation_id += 1
    x.note("second", x.normalizer.answer(x.connection.answer(MetadataRequest, 1)))
