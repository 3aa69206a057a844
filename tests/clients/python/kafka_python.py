"""kafka-python 3.0.12."""

import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, OffsetSpec, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    InvalidPartitionsError,
    InvalidRecordError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

import corpus
import group
from corpus import Record
from suite import Deadline, Suite, equal, now_ms

suite = Suite("kafka_python")


def producer(context, **settings):
    return KafkaProducer(bootstrap_servers=context.bootstrap, **settings)


def consumer(context, **settings):
    return KafkaConsumer(bootstrap_servers=context.bootstrap, **settings)


def admin(context):
    return KafkaAdminClient(bootstrap_servers=context.bootstrap)


def create(context, partitions=1, **configs):
    configs = {name.replace("_", "."): value for name, value in configs.items()}
    client = admin(context)
    topic = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
    client.create_topics({context.name: topic}, wait_for_metadata=True)
    client.close()


def send_all(sender, context, records, partition=0):
    """Sends records in one go and returns their offsets."""
    futures = [sender.send(context.name, r.value, r.key, list(r.headers), partition, r.timestamp) for r in records]
    sender.flush()
    return [future.get(10).offset for future in futures]


def read(reader, count):
    """The next `count` records, as consumer records."""
    received, deadline = [], Deadline()
    while len(received) < count and deadline.open(f"{count} records", len(received)):
        for batch in reader.poll(timeout_ms=500, max_records=count - len(received)).values():
            received.extend(batch)
    return received


def plain(record):
    return record.offset, Record(record.key, record.value, list(record.headers), record.timestamp)


def values(texts):
    return [Record(None, text.encode(), [], now_ms()) for text in texts]


@suite.case_for_each(["none", "gzip", "snappy", "lz4", "zstd"])
def roundtrip(context, codec):
    sender = producer(context, compression_type=None if codec == "none" else codec)
    records = corpus.records(null_headers=False)
    offsets = send_all(sender, context, records)
    equal(offsets, list(range(len(records))), "acknowledged offsets")
    sender.close()

    reader = consumer(context, auto_offset_reset="earliest")
    reader.assign([TopicPartition(context.name, 0)])
    corpus.same([plain(r) for r in read(reader, len(records))], records)
    reader.close()


@suite.case
def idempotent_producer(context):
    create(context)
    sender = producer(context, enable_idempotence=True, linger_ms=5)
    records = values(f"v{i}" for i in range(3000))
    equal(send_all(sender, context, records), list(range(3000)), "acknowledged offsets")
    sender.close()
    reader = consumer(context, auto_offset_reset="earliest")
    reader.assign([TopicPartition(context.name, 0)])
    equal([r.value for r in read(reader, 3000)], [r.value for r in records], "values")
    reader.close()


@suite.case
def bulk(context):
    """More than any single fetch brings, over several partitions, with records as large as the default allows."""
    create(context, partitions=3)
    sender = producer(context, linger_ms=20)
    sent = {}
    for partition in range(3):
        body = [b"%d/%d" % (partition, i) * 200 for i in range(1500)] + [b"L" * 900_000] * 2
        send_all(sender, context, [Record(None, value, [], now_ms()) for value in body], partition)
        sent[partition] = body
    sender.close()
    reader = consumer(context, auto_offset_reset="earliest")
    reader.assign([TopicPartition(context.name, partition) for partition in range(3)])
    received = {partition: [] for partition in range(3)}
    for record in read(reader, 3 * 1502):
        equal(record.offset, len(received[record.partition]), "offset")
        received[record.partition].append(record.value)
    equal(received == sent, True, "all values are the same")
    reader.close()


@suite.case
def seek_mid_batch(context):
    create(context)
    for codec in [None, "gzip"]:
        sender = producer(context, compression_type=codec, linger_ms=1000)
        send_all(sender, context, values(f"v{i}" for i in range(10)))
        sender.close()
    reader = consumer(context)
    partition = TopicPartition(context.name, 0)
    reader.assign([partition])
    for start in [5, 9, 10, 13, 19, 0]:
        reader.seek(partition, start)
        expected = [(offset, b"v%d" % (offset % 10)) for offset in range(start, 20)]
        equal([(r.offset, r.value) for r in read(reader, 20 - start)], expected, f"records from {start}")
    reader.close()


@suite.case
def group_of_two(context):
    create(context, partitions=group.PARTITIONS)
    sender = producer(context)
    group.share_partitions(lambda: GroupConsumer(context), appender(context, sender))
    sender.close()


@suite.case
def restart(context):
    create(context, partitions=group.PARTITIONS)
    sender = producer(context)
    partitions = [TopicPartition(context.name, p) for p in range(group.PARTITIONS)]

    def outside():
        return consumer(context, group_id=context.name + ".outside", enable_auto_commit=False)

    def commit(offsets):
        client = outside()
        client.commit({TopicPartition(context.name, p): OffsetAndMetadata(o) for p, o in offsets.items()})
        client.close()

    def committed():
        client = outside()
        found = {partition.partition: client.committed(partition) for partition in partitions}
        client.close()
        return found

    def join():
        return GroupConsumer(context, settled_poll_ms=PATIENT_POLL_MS)

    group.survive_restart(join, appender(context, sender), commit, committed, context.restart_broker)
    sender.close()


def appender(context, sender):
    return lambda partition, value: sender.send(context.name, value, partition=partition).get(60).offset


PATIENT_POLL_MS = 5000
"""This client may lose an assignment that arrives just when its poll times out. A member that waits for one polls for
longer than the others take to learn of the rebalance, which is a heartbeat's interval of 3 s."""


class GroupConsumer:
    """A member for `group`."""

    def __init__(self, context, settled_poll_ms=100):
        self.settled_poll_ms = settled_poll_ms
        self.consumer = consumer(context, group_id=context.name, auto_offset_reset="earliest")
        self.consumer.subscribe([context.name])

    def poll(self):
        timeout_ms = self.settled_poll_ms if self.consumer.assignment() else PATIENT_POLL_MS
        batches = self.consumer.poll(timeout_ms=timeout_ms).values()
        return [(r.partition, r.offset, r.value) for batch in batches for r in batch]

    def assigned(self):
        return [partition.partition for partition in self.consumer.assignment()]

    def close(self):
        self.consumer.close()


@suite.case
def commit_and_resume(context):
    create(context, partitions=2)
    sender = producer(context)
    for partition in range(2):
        send_all(sender, context, values(f"v{i}" for i in range(20)), partition)
    zero, one = (TopicPartition(context.name, partition) for partition in range(2))
    settings = {"group_id": context.name, "auto_offset_reset": "earliest", "enable_auto_commit": False}

    first = consumer(context, **settings)
    first.subscribe([context.name])
    equal(first.committed(zero), None, "commit of a new group")
    equal(len(read(first, 40)), 40, "records")
    first.commit({zero: OffsetAndMetadata(7, "resume here \u2603"), one: OffsetAndMetadata(13, "")})
    first.close()

    second = consumer(context, **settings)
    second.subscribe([context.name])
    kept = second.committed(zero, metadata=True)
    equal((kept.offset, kept.metadata), (7, "resume here \u2603"), "committed offset and metadata")
    expected = [(0, offset) for offset in range(7, 20)] + [(1, offset) for offset in range(13, 20)]
    equal(sorted((r.partition, r.offset) for r in read(second, 20)), expected, "records after the first restart")
    second.commit()
    second.close()

    send_all(sender, context, values(["last"]))
    third = consumer(context, **settings)
    third.subscribe([context.name])
    equal([(r.partition, r.offset, r.value) for r in read(third, 1)], [(0, 20, b"last")], "records after the second")
    equal(third.poll(timeout_ms=500), {}, "records after that")
    third.close()
    sender.close()


@suite.case_for_each(["none", "gzip"])
def offsets_by_timestamp(context, codec):
    create(context)
    base = now_ms() - 3_600_000
    sender = producer(context, linger_ms=1000, compression_type=None if codec == "none" else codec)
    for batch in corpus.TIMELINE:
        send_all(sender, context, [Record(None, b"v", [], base + at) for at in batch])
    sender.close()
    reader = consumer(context)
    partition = TopicPartition(context.name, 0)
    for asked, offset, timestamp in corpus.TIMELINE_QUERIES:
        found = reader.offsets_for_times({partition: base + asked})[partition]
        equal((found.offset, found.timestamp - base), (offset, timestamp), f"first record from {asked} on")
    after = reader.offsets_for_times({partition: base + corpus.TIMELINE_AFTER_THE_END})
    equal(after[partition], None, "record after the end")
    equal(reader.beginning_offsets([partition]), {partition: 0}, "earliest")
    equal(reader.end_offsets([partition]), {partition: 10}, "latest")
    reader.close()
    client = admin(context)
    found = client.list_partition_offsets({partition: OffsetSpec.MAX_TIMESTAMP})[partition]
    equal((found.offset, found.timestamp - base), (9, 1040), "record of the greatest timestamp")
    client.close()


@suite.case
def create_topic(context):
    create(context, partitions=3, cleanup_policy="compact", max_message_bytes="123456")
    client = admin(context)
    [topic] = client.describe_topics([context.name])
    equal(sorted(p["partition_index"] for p in topic["partitions"]), [0, 1, 2], "partitions")
    equal(fails(lambda: client.create_topics([context.name])), TopicAlreadyExistsError, "the same topic again")
    equal(
        client.create_topics({context.name + ".tried": {}}, validate_only=True)["topics"][0]["error_code"], 0, "trial"
    )
    equal(context.name + ".tried" in client.list_topics(), False, "a topic that was only tried")
    equal(context.name in client.list_topics(), True, "the topic is listed")
    client.close()


def fails(action):
    """The type of the error that `action` gives."""
    try:
        action()
    except KafkaError as error:
        return type(error)
    return None


@suite.case
def create_partitions(context):
    create(context, partitions=1)
    client = admin(context)
    client.create_partitions({context.name: 3})
    deadline = Deadline()
    while deadline.open("three partitions"):
        [topic] = client.describe_topics([context.name])
        if len(topic["partitions"]) == 3 and all(p["leader_id"] >= 0 for p in topic["partitions"]):
            break
    equal(fails(lambda: client.create_partitions({context.name: 2})), InvalidPartitionsError, "fewer partitions")
    client.close()
    sender = producer(context)
    equal(send_all(sender, context, values(["a", "b"]), partition=2), [0, 1], "offsets in a new partition")
    sender.close()


@suite.case
def delete_topic(context):
    create(context)
    client = admin(context)
    client.delete_topics([context.name])
    deadline = Deadline()
    while deadline.open("the topic to be gone") and context.name in client.list_topics():
        time.sleep(0.05)
    equal(fails(lambda: client.delete_topics([context.name])), UnknownTopicOrPartitionError, "a topic that is gone")
    client.close()


@suite.case
def describe(context):
    create(context, partitions=2, cleanup_policy="compact", retention_ms="86400000")
    client = admin(context)
    cluster = client.describe_cluster()
    [broker] = cluster["brokers"]
    host, port = context.bootstrap.rsplit(":", 1)
    equal((broker["host"], broker["port"]), (host, int(port)), "address of the broker")
    equal(cluster["controller_id"], broker["broker_id"], "controller")
    equal(bool(cluster["cluster_id"]), True, "there is a cluster id")

    topic = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, context.name)], config_filter="all")[
        "topic"
    ][context.name]
    equal(topic["cleanup.policy"]["value"], "compact", "cleanup.policy")
    equal(topic["retention.ms"]["value"], "86400000", "retention.ms")
    equal(topic["compression.type"]["value"], "producer", "compression.type")
    equal({"segment.bytes", "max.message.bytes", "min.insync.replicas"} <= topic.keys(), True, "topic settings exist")
    name = str(broker["broker_id"])
    settings = client.describe_configs([ConfigResource(ConfigResourceType.BROKER, name)], config_filter="all")
    for setting in ["num.partitions", "default.replication.factor", "auto.create.topics.enable", "message.max.bytes"]:
        equal(setting in settings["broker"][name], True, f"broker has {setting}")
    client.close()


@suite.case
def record_too_large(context):
    create(context, max_message_bytes="2000")
    sender = producer(context)
    big = sender.send(context.name, bytes(i * 7919 % 251 for i in range(5000)), partition=0)
    equal(fails(lambda: big.get(20)), MessageSizeTooLargeError, "a record above max.message.bytes")
    sender.close()
    sender = producer(context)
    equal(sender.send(context.name, b"small", partition=0).get(20).offset, 0, "offset of the next record")
    sender.close()


@suite.case
def compacted_topic_needs_keys(context):
    create(context, cleanup_policy="compact")
    sender = producer(context)
    keyless = sender.send(context.name, b"value", partition=0)
    equal(fails(lambda: keyless.get(20)), InvalidRecordError, "a record without key")
    sender.close()
    sender = producer(context)
    equal(sender.send(context.name, b"value", b"key", partition=0).get(20).offset, 0, "offset with a key")
    sender.close()


if __name__ == "__main__":
    suite.main()
