"""Produce and InitProducerId."""

import uuid

from kafka.codec import gzip_encode, zstd_encode
from kafka.protocol.consumer import ListOffsetsRequest
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest

import batch
from exchange import exchange, one, produce_fields

UNKNOWN_ID = uuid.UUID("11111111-2222-3333-4444-555555555555")


@exchange
def produce_versions(x):
    name, topic_id = x.topic()
    for version in range(3, 14):
        fields = produce_fields(name, one(), topic_id=topic_id if version >= 13 else None)
        x.ask(f"version {version}", ProduceRequest, version, fields)
    x.ask("an unknown id", ProduceRequest, 13, produce_fields(name, one(), topic_id=UNKNOWN_ID))


@exchange
def produce_acks(x):
    name, _ = x.topic()
    for acks in [1, -1, 2, -2]:
        x.ask(f"acks {acks}", ProduceRequest, 9, produce_fields(name, one(), acks=acks))
    # Not answered: the next answer is to the next request.
    x.connection.send(x.connection.encode(ProduceRequest, 9, produce_fields(name, one(), acks=0)))
    x.ask("after acks 0", ProduceRequest, 9, produce_fields(name, one()))
    # Where nobody waits for an answer, a closed connection is the only way to tell of an error.
    x.connection.send(x.connection.encode(ProduceRequest, 9, produce_fields(x.unique("never"), one(), acks=0)))
    x.ask("after acks 0 to an unknown topic", MetadataRequest, 1, {"topics": []})


@exchange
def produce_to_unknown(x):
    name, _ = x.topic()
    x.ask("an unknown topic", ProduceRequest, 9, produce_fields(x.unique("never"), one()))
    x.ask("an invalid topic name", ProduceRequest, 9, produce_fields("a b", one()))
    x.ask("an unknown partition", ProduceRequest, 9, produce_fields(name, one(), partition=5))
    x.ask("a negative partition", ProduceRequest, 9, produce_fields(name, one(), partition=-1))
    mixed = produce_fields(name, one())
    mixed["topic_data"][0]["partition_data"].append({"index": 5, "records": one()})
    x.ask("a good and an unknown partition", ProduceRequest, 9, mixed)
    x.ask("nothing at all", ProduceRequest, 9, produce_fields(name, one()) | {"topic_data": []})


@exchange
def produce_bad_batches(x):
    name, _ = x.topic()
    good = batch.values("one", "two", "three")

    def send(step, data, version=9):
        x.ask(step, ProduceRequest, version, produce_fields(name, data))

    send("a wrong CRC", batch.batch(good, crc=0xDEADBEEF))
    send("magic 1 in a batch of magic 2", batch.batch(good, magic=1))
    send("magic 3", batch.batch(good, magic=3))
    send("magic -1", batch.batch(good, magic=-1))
    send("a length that is too long", batch.batch(good, length=1000))
    send("a length that is too short", batch.batch(good, length=20))
    send("a negative length", batch.batch(good, length=-5))
    send("half a batch", batch.batch(good)[:50])
    send("no batch", b"")
    send("two batches", batch.batch(good) + batch.batch(good))
    send("a batch without records", batch.batch([]))
    send("a count that is too high", batch.batch(good, count=4))
    send("a count that is too low", batch.batch(good, count=2))
    send("a count of 20 million", batch.batch(good, count=20_000_000, last_offset_delta=19_999_999))
    send("a negative count", batch.batch(good, count=-1))
    send("a last offset delta that is too high", batch.batch(good, last_offset_delta=7))
    send("a last offset delta that is too low", batch.batch(good, last_offset_delta=1))
    send("a negative last offset delta", batch.batch(good, last_offset_delta=-1))
    send("a record longer than the batch", batch.batch(good, payload=b"\xff\xff\x03" + bytes(20)))
    send("a base offset of 42", batch.batch(good, base_offset=42))
    send("a leader epoch of 7", batch.batch(good, leader_epoch=7))
    send("a control batch", batch.batch(good, attributes=batch.CONTROL))
    send("a transactional batch without producer", batch.batch(good, attributes=batch.TRANSACTIONAL))
    send("a timestamp two hours ahead", batch.batch(good, timestamp=batch.now() + 2 * 3_600_000))
    send("a negative timestamp", batch.batch(good, timestamp=-1))
    latest = {"replica_id": -1, "topics": [{"name": name, "partitions": [{"partition_index": 0, "timestamp": -1}]}]}
    x.ask("where the log ends", ListOffsetsRequest, 4, latest)


@exchange
def produce_compressed(x):
    name, _ = x.topic()
    good = batch.values("one", "two", "three")
    plain = batch.records(good)

    def send(step, attributes, payload, version=9, **fields):
        data = batch.batch(good, attributes=attributes, payload=payload, **fields)
        x.ask(step, ProduceRequest, version, produce_fields(name, data))

    send("gzip", batch.GZIP, gzip_encode(plain))
    send("zstd", batch.ZSTD, zstd_encode(plain))
    send("zstd before version 7", batch.ZSTD, zstd_encode(plain), version=6)
    garbage = {f"bytes that are not of codec {codec}": (codec, b"this is not compressed") for codec in range(1, 5)}
    garbage |= {"codec 5": (5, plain), "codec 7": (7, plain)}
    garbage |= {"gzip that ends early": (batch.GZIP, gzip_encode(plain)[:-12])}
    for step, (codec, payload) in garbage.items():
        data = batch.batch(good, attributes=codec, payload=payload)
        x.refused(step, ProduceRequest, 9, produce_fields(name, data))
    send("gzip with a wrong count", batch.GZIP, gzip_encode(plain), count=5, last_offset_delta=4)
    send("gzip of nothing", batch.GZIP, gzip_encode(b""))


@exchange
def produce_against_settings(x):
    small, _ = x.topic("small", max_message_bytes="200")
    x.ask("too large", ProduceRequest, 9, produce_fields(small, one("x" * 500)))
    x.ask("just small enough", ProduceRequest, 9, produce_fields(small, one("x" * 100)))
    compacted, _ = x.topic("compacted", cleanup_policy="compact")
    keyless = batch.batch([(b"key", b"value"), (None, b"value"), (b"", b"value")])
    for version in [7, 8, 9]:
        x.ask(f"a null key, version {version}", ProduceRequest, version, produce_fields(compacted, keyless))
    x.ask("keys only", ProduceRequest, 9, produce_fields(compacted, batch.batch([(b"key", None), (b"", b"value")])))
    stamped, _ = x.topic("stamped", message_timestamp_type="LogAppendTime")
    answer = x.quiet(ProduceRequest, 9, produce_fields(stamped, batch.batch(batch.values("v"), timestamp=1000)))
    result = answer.responses[0].partition_responses[0]
    age = batch.now() - result.log_append_time_ms
    x.note("the time of appending", {"error_code": result.error_code, "is_of_now": -60_000 < age < 60_000})


@exchange
def init_producer_id(x):
    x.producer_id()

    def ask(step, version, **fields):
        asked = {"transactional_id": None, "transaction_timeout_ms": 60_000} | fields
        return x.ask(step, InitProducerIdRequest, version, asked)

    for version in range(6):
        ask(f"version {version}", version)
    ask("an empty transactional id", 4, transactional_id="")
    ask("a timeout of 0", 4, transaction_timeout_ms=0)
    known = ask("once more", 4)
    ask("with the id that it gave", 4, producer_id=known.producer_id, producer_epoch=known.producer_epoch)
    ask("with an id but no epoch", 4, producer_id=known.producer_id, producer_epoch=-1)


@exchange
def idempotence(x):
    name, _ = x.topic()
    sender = x.producer_id()

    def send(step, sequence, texts=("a",), epoch=0, producer_id=sender):
        data = batch.batch(batch.values(*texts), producer_id=producer_id, producer_epoch=epoch, sequence=sequence)
        x.ask(step, ProduceRequest, 9, produce_fields(name, data))

    send("sequence 0 to 1", 0, ("a", "b"))
    send("the same again", 0, ("a", "b"))
    send("sequence 2", 2)
    send("a gap", 5)
    send("sequence 2 again", 2)
    for sequence in range(3, 9):
        send(f"sequence {sequence}", sequence)
    send("one of the last five again", 5)
    send("one older than that again", 0, ("a", "b"))
    send("part of a batch again", 1)
    send("a newer epoch that starts late", 4, epoch=1)
    send("a newer epoch", 0, epoch=1)
    send("the old epoch", 9, epoch=0)
    send("a newer epoch still", 0, epoch=7)
    send("a producer that nobody knows, from 0", 0, producer_id=sender + 100_000)
    send("another that nobody knows, from 10", 10, producer_id=sender + 100_001)
    send("an id without a sequence", -1)
    send("a negative epoch", 0, epoch=-1)
    send("the highest sequence", 2**31 - 1, epoch=8)
    both = batch.batch(batch.values("a"), producer_id=sender, producer_epoch=9, sequence=0)
    x.ask("two batches of one producer", ProduceRequest, 9, produce_fields(name, both + both))
