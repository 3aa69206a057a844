"""ListOffsets and OffsetForLeaderEpoch."""

from kafka.protocol.consumer import ListOffsetsRequest, OffsetForLeaderEpochRequest
from kafka.record.default_records import DefaultRecordBatchBuilder

import batch
from exchange import exchange

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING = -1, -2, -3, -4, -5, -6

BASE = 1_000_000_000_000
"""A time long ago, the same in every run; the topics keep such records."""


def list_offsets(topic, timestamp, partition=0, epoch=-1, isolation_level=0):
    asked = {"partition_index": partition, "current_leader_epoch": epoch, "timestamp": timestamp}
    return {
        "replica_id": -1,
        "isolation_level": isolation_level,
        "topics": [{"name": topic, "partitions": [asked]}],
        "timeout_ms": 10_000,
    }


@exchange
def list_offsets_versions(x):
    name, _ = x.topic(retention_ms="-1")
    x.append(name, batch.batch(batch.values("a", "b", "c"), timestamp=BASE))
    for version in range(1, 12):
        for what, timestamp in [
            ("earliest", EARLIEST),
            ("latest", LATEST),
            ("by time", 999),
            ("after the end", batch.now()),
        ]:
            x.ask(f"{what}, version {version}", ListOffsetsRequest, version, list_offsets(name, timestamp))


@exchange
def list_offsets_specials(x):
    name, _ = x.topic(partitions=2, retention_ms="-1")
    x.append(name, batch.batch(batch.values("a", "b"), timestamp=BASE + 500))
    x.append(name, batch.batch(batch.values("c"), timestamp=BASE))
    for what, timestamp in [
        ("of the greatest timestamp", MAX_TIMESTAMP),
        ("earliest on this node", EARLIEST_LOCAL),
        ("latest in another tier", LATEST_TIERED),
        ("earliest to be uploaded", EARLIEST_PENDING),
        ("-7", -7),
        ("-100", -100),
    ]:
        for version in [1, 6, 7, 8, 9, 11]:
            x.ask(f"{what}, version {version}", ListOffsetsRequest, version, list_offsets(name, timestamp))
    for what, timestamp in [("earliest", EARLIEST), ("latest", LATEST), ("greatest", MAX_TIMESTAMP), ("by time", 0)]:
        x.ask(f"of an empty partition, {what}", ListOffsetsRequest, 7, list_offsets(name, timestamp, partition=1))
    for what, timestamp in [("earliest", EARLIEST), ("latest", LATEST), ("by time", 0)]:
        x.ask(f"committed only, {what}", ListOffsetsRequest, 7, list_offsets(name, timestamp, isolation_level=1))


@exchange
def list_offsets_by_time(x):
    """Inside batches, where the timestamps of records are not in order."""
    name, _ = x.topic(retention_ms="-1")
    for shift, codec in [(0, 0), (10_000, batch.GZIP)]:
        x.append(name, unordered(BASE + shift, [0, 500, 200, 300], codec))
    for asked in [-1, 0, 1, 200, 201, 500, 501, 9_999, 10_000, 10_001, 10_201, 10_500, 10_501]:
        x.ask(f"from {asked} on", ListOffsetsRequest, 7, list_offsets(name, BASE + asked))
    x.ask("the greatest", ListOffsetsRequest, 7, list_offsets(name, MAX_TIMESTAMP))


def unordered(base, deltas, codec):
    """A batch whose records have the given timestamps, relative to the first."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 100_000)
    for offset, delta in enumerate(deltas):
        builder.append(offset, base + delta, None, b"v", [])
    return bytes(builder.build())


@exchange
def list_offsets_wrongly(x):
    name, _ = x.topic()
    x.ask("an unknown topic", ListOffsetsRequest, 7, list_offsets(x.unique("never"), LATEST))
    x.ask("an unknown partition", ListOffsetsRequest, 7, list_offsets(name, LATEST, partition=5))
    x.ask("a leader epoch that is to come", ListOffsetsRequest, 7, list_offsets(name, LATEST, epoch=1_000_000))
    twice = list_offsets(name, LATEST)
    twice["topics"][0]["partitions"] *= 2
    x.ask("the same twice", ListOffsetsRequest, 7, twice)
    x.ask("nothing", ListOffsetsRequest, 7, list_offsets(name, LATEST) | {"topics": []})


@exchange
def offset_for_leader_epoch(x):
    name, _ = x.topic()
    x.append(name, batch.batch(batch.values("a", "b", "c")))

    def ask(step, version, topic=name, partition=0, current=-1, epoch=1_000_000):
        asked = [{"partition": partition, "current_leader_epoch": current, "leader_epoch": epoch}]
        fields = {"replica_id": -1, "topics": [{"topic": topic, "partitions": asked}]}
        x.ask(step, OffsetForLeaderEpochRequest, version, fields)

    for version in [2, 3, 4]:
        ask(f"an epoch that is to come, version {version}", version)
    ask("epoch -1", 4, epoch=-1)
    ask("an unknown topic", 4, topic=x.unique("never"))
    ask("an unknown partition", 4, partition=5)
    ask("a leader epoch that is to come", 4, current=1_000_000)
