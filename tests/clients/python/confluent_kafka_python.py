"""confluent-kafka-python 2.16.1, which is librdkafka."""

import time

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec

import corpus
import group
from corpus import Record
from suite import Deadline, Suite, equal, now_ms

suite = Suite("confluent_kafka_python")


def producer(context, **settings):
    return Producer({"bootstrap.servers": context.bootstrap, **dotted(settings)})


def consumer(context, **settings):
    return Consumer({"bootstrap.servers": context.bootstrap, "group.id": context.name, **dotted(settings)})


def admin(context):
    return AdminClient({"bootstrap.servers": context.bootstrap})


def dotted(settings):
    return {name.replace("_", "."): value for name, value in settings.items()}


def create(context, partitions=1, **configs):
    client = admin(context)
    done(client.create_topics([NewTopic(context.name, partitions, 1, config=dotted(configs))]))
    deadline = Deadline()
    while deadline.open("metadata of the new topic"):
        topic = client.list_topics(context.name, timeout=10).topics[context.name]
        if len(topic.partitions) == partitions and all(p.leader >= 0 for p in topic.partitions.values()):
            return


def done(futures):
    """The results of an admin call."""
    return {name: future.result(timeout=20) for name, future in futures.items()}


def fails(action):
    """The error code that `action` gives."""
    try:
        action()
    except KafkaException as error:
        return error.args[0].code()
    return None


def send_all(sender, context, records, partition=0):
    """Sends records in one go and returns their offsets."""
    offsets = []

    def delivered(error, message):
        if error is not None:
            raise KafkaException(error)
        offsets.append(message.offset())

    for r in records:
        sender.produce(
            context.name, r.value, r.key, partition, on_delivery=delivered, timestamp=r.timestamp, headers=r.headers
        )
    equal(sender.flush(30), 0, "records left unsent")
    return offsets


def read(reader, count):
    """The next `count` messages."""
    received, deadline = [], Deadline()
    while len(received) < count and deadline.open(f"{count} records", len(received)):
        for message in reader.consume(count - len(received), timeout=0.5):
            if message.error():
                raise KafkaException(message.error())
            received.append(message)
    return received


def reader_from(context, offset, partitions=1):
    reader = consumer(context, enable_auto_commit=False)
    reader.assign([TopicPartition(context.name, partition, offset) for partition in range(partitions)])
    return reader


def plain(message):
    kind, timestamp = message.timestamp()
    equal(kind, TIMESTAMP_CREATE_TIME, "kind of timestamp")
    return message.offset(), Record(message.key(), message.value(), message.headers() or [], timestamp)


def values(texts):
    return [Record(None, text.encode(), [], now_ms()) for text in texts]


@suite.case_for_each(["none", "gzip", "snappy", "lz4", "zstd"])
def roundtrip(context, codec):
    records = corpus.records()
    sender = producer(context, compression_type=codec, linger_ms=50)
    equal(send_all(sender, context, records), list(range(len(records))), "acknowledged offsets")
    reader = reader_from(context, 0)
    corpus.same([plain(message) for message in read(reader, len(records))], records)
    reader.close()


@suite.case
def idempotent_producer(context):
    create(context)
    sender = producer(context, enable_idempotence=True)
    records = values(f"v{i}" for i in range(5000))
    equal(send_all(sender, context, records), list(range(5000)), "acknowledged offsets")
    reader = reader_from(context, 0)
    equal([message.value() for message in read(reader, 5000)], [r.value for r in records], "values")
    reader.close()


@suite.case
def bulk(context):
    """More than any single fetch brings, over several partitions, with records as large as the default allows."""
    create(context, partitions=3)
    sender = producer(context)
    sent = {}
    for partition in range(3):
        body = [b"%d/%d" % (partition, i) * 200 for i in range(1500)] + [b"L" * 900_000] * 2
        send_all(sender, context, [Record(None, value, [], now_ms()) for value in body], partition)
        sent[partition] = body
    reader = reader_from(context, 0, partitions=3)
    received = {partition: [] for partition in range(3)}
    for message in read(reader, 3 * 1502):
        equal(message.offset(), len(received[message.partition()]), "offset")
        received[message.partition()].append(message.value())
    equal(received == sent, True, "all values are the same")
    reader.close()


@suite.case
def seek_mid_batch(context):
    create(context)
    for codec in ["none", "lz4"]:
        sender = producer(context, compression_type=codec, linger_ms=500)
        send_all(sender, context, values(f"v{i}" for i in range(10)))
    for start in [5, 9, 10, 13, 19, 0]:
        reader = reader_from(context, start)
        expected = [(offset, b"v%d" % (offset % 10)) for offset in range(start, 20)]
        equal([(m.offset(), m.value()) for m in read(reader, 20 - start)], expected, f"records from {start}")
        reader.seek(TopicPartition(context.name, 0, 7))
        equal([m.offset() for m in read(reader, 13)], list(range(7, 20)), "offsets after a seek")
        reader.close()


@suite.case
def group_of_two(context):
    create(context, partitions=group.PARTITIONS)
    group.share_partitions(lambda: GroupConsumer(context), appender(context, producer(context)))


@suite.case
def cooperative_group(context):
    """The same under the incremental protocol, where members keep partitions through a rebalance."""
    create(context, partitions=group.PARTITIONS)
    group.share_partitions(
        lambda: GroupConsumer(context, partition_assignment_strategy="cooperative-sticky"),
        appender(context, producer(context)),
    )


NOT_YET = {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}
"""What a broker may say to a commit just after its start; this client leaves it to the program to try again."""


@suite.case
def restart(context):
    create(context, partitions=group.PARTITIONS)
    partitions = [TopicPartition(context.name, partition) for partition in range(group.PARTITIONS)]

    def outside():
        return consumer(context, group_id=context.name + ".outside")

    def commit(offsets):
        asked = [TopicPartition(context.name, partition, offset) for partition, offset in offsets.items()]
        client, deadline = outside(), Deadline()
        while (
            deadline.open("the commit") and fails(lambda: client.commit(offsets=asked, asynchronous=False)) in NOT_YET
        ):
            time.sleep(0.1)
        client.close()

    def committed():
        client = outside()
        found = {found.partition: found.offset for found in client.committed(partitions, timeout=20)}
        client.close()
        return found

    group.survive_restart(
        lambda: GroupConsumer(context), appender(context, producer(context)), commit, committed, context.restart_broker
    )


def appender(context, sender):
    def append(partition, value):
        return send_all(sender, context, [Record(None, value, [], 0)], partition)[0]

    return append


class GroupConsumer:
    """A member for `group`."""

    def __init__(self, context, **settings):
        self.consumer = consumer(context, auto_offset_reset="earliest", **settings)
        self.consumer.subscribe([context.name])

    def poll(self):
        messages = self.consumer.consume(100, timeout=0.1)
        return [(m.partition(), m.offset(), m.value()) for m in messages if self.good(m)]

    def good(self, message):
        # A broker that is down for a moment shows as an error event; the client retries by itself.
        return message.error() is None

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
    both = [TopicPartition(context.name, partition) for partition in range(2)]
    settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False}

    first = consumer(context, **settings)
    first.subscribe([context.name])
    equal(len(read(first, 40)), 40, "records")
    asked = [
        TopicPartition(context.name, 0, 7, metadata="resume here \u2603"),
        TopicPartition(context.name, 1, 13),
    ]
    first.commit(offsets=asked, asynchronous=False)
    first.close()

    second = consumer(context, **settings)
    second.subscribe([context.name])
    kept = second.committed(both, timeout=20)
    equal([p.offset for p in kept], [7, 13], "committed offsets")
    equal(kept[0].metadata, "resume here \u2603", "committed metadata")
    expected = [(0, offset) for offset in range(7, 20)] + [(1, offset) for offset in range(13, 20)]
    equal(sorted((m.partition(), m.offset()) for m in read(second, 20)), expected, "records after the first restart")
    second.commit(asynchronous=False)
    second.close()

    send_all(sender, context, values(["last"]))
    third = consumer(context, **settings)
    third.subscribe([context.name])
    last = [(m.partition(), m.offset(), m.value()) for m in read(third, 1)]
    equal(last, [(0, 20, b"last")], "records after the second")
    equal(third.consume(1, timeout=0.5), [], "records after that")
    third.close()


@suite.case_for_each(["none", "gzip"])
def offsets_by_timestamp(context, codec):
    create(context)
    base = now_ms() - 3_600_000
    sender = producer(context, linger_ms=500, compression_type=codec)
    for batch in corpus.TIMELINE:
        send_all(sender, context, [Record(None, b"v", [], base + at) for at in batch])
    reader = consumer(context)

    def first_from(timestamp):
        return reader.offsets_for_times([TopicPartition(context.name, 0, timestamp)], timeout=20)[0].offset

    for asked, offset, _ in corpus.TIMELINE_QUERIES:
        equal(first_from(base + asked), offset, f"first record from {asked} on")
    # librdkafka gives "end" (-1) where there is no such record.
    equal(first_from(base + corpus.TIMELINE_AFTER_THE_END), -1, "record after the end")
    equal(reader.get_watermark_offsets(TopicPartition(context.name, 0), timeout=20), (0, 10), "earliest and latest")
    reader.close()

    client = admin(context)
    for spec, offset in [
        (OffsetSpec.earliest(), 0),
        (OffsetSpec.latest(), 10),
        (OffsetSpec.max_timestamp(), 9),
        (OffsetSpec.for_timestamp(base + 15), 1),
    ]:
        for level in [IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED]:
            partition = TopicPartition(context.name, 0)
            found = done(client.list_offsets({partition: spec}, isolation_level=level))
            equal(found[partition].offset, offset, f"{spec} at {level}")


@suite.case
def create_topic(context):
    create(context, partitions=3, cleanup_policy="compact", max_message_bytes="123456")
    client = admin(context)

    def again():
        done(client.create_topics([NewTopic(context.name, 1, 1)]))

    equal(fails(again), KafkaError.TOPIC_ALREADY_EXISTS, "the same topic again")
    done(client.create_topics([NewTopic(context.name + ".tried", 1, 1)], validate_only=True))
    # Without a count of its own a topic gets the broker's.
    done(client.create_topics([NewTopic(context.name + ".defaults")]))
    names, deadline = [], Deadline()
    while deadline.open("the topic to be listed") and context.name + ".defaults" not in names:
        names = client.list_topics(timeout=10).topics.keys()
    equal(context.name + ".tried" in names, False, "a topic that was only tried")
    described = done(client.describe_topics(TopicCollection([context.name, context.name + ".defaults"])))
    equal([p.id for p in described[context.name].partitions], [0, 1, 2], "partitions")
    equal(len(described[context.name + ".defaults"].partitions) >= 1, True, "default partitions")


@suite.case
def create_partitions(context):
    create(context)
    client = admin(context)
    done(client.create_partitions([NewPartitions(context.name, 3)]))

    def fewer():
        done(client.create_partitions([NewPartitions(context.name, 2)]))

    equal(fails(fewer), KafkaError.INVALID_PARTITIONS, "fewer partitions")
    deadline = Deadline()
    while deadline.open("three partitions"):
        if len(client.list_topics(context.name, timeout=10).topics[context.name].partitions) == 3:
            break
    equal(send_all(producer(context), context, values(["a", "b"]), partition=2), [0, 1], "offsets in a new partition")


@suite.case
def delete_topic(context):
    create(context)
    client = admin(context)
    done(client.delete_topics([context.name]))
    deadline = Deadline()
    while deadline.open("the topic to be gone") and context.name in client.list_topics(timeout=10).topics:
        time.sleep(0.05)

    def again():
        done(client.delete_topics([context.name]))

    equal(fails(again), KafkaError.UNKNOWN_TOPIC_OR_PART, "a topic that is gone")


@suite.case
def describe(context):
    create(context, partitions=2, cleanup_policy="compact", retention_ms="86400000")
    client = admin(context)
    cluster = client.describe_cluster().result(timeout=20)
    [node] = cluster.nodes
    equal(f"{node.host}:{node.port}", context.bootstrap, "address of the broker")
    equal(cluster.controller.id, node.id, "controller")
    equal(bool(cluster.cluster_id), True, "there is a cluster id")

    topic = ConfigResource(ConfigResource.Type.TOPIC, context.name)
    broker = ConfigResource(ConfigResource.Type.BROKER, str(node.id))
    described = done(client.describe_configs([topic, broker]))
    equal(described[topic]["cleanup.policy"].value, "compact", "cleanup.policy")
    equal(described[topic]["cleanup.policy"].is_default, False, "cleanup.policy is the default")
    equal(described[topic]["retention.ms"].value, "86400000", "retention.ms")
    equal(described[topic]["compression.type"].value, "producer", "compression.type")
    equal(described[topic]["compression.type"].is_default, True, "compression.type is the default")
    for setting in ["num.partitions", "default.replication.factor", "auto.create.topics.enable", "message.max.bytes"]:
        equal(setting in described[broker], True, f"broker has {setting}")


@suite.case
def record_too_large(context):
    create(context, max_message_bytes="2000")
    sender = producer(context)
    big = Record(None, bytes(i * 7919 % 251 for i in range(5000)), [], 0)
    equal(fails(lambda: send_all(sender, context, [big])), KafkaError.MSG_SIZE_TOO_LARGE, "above max.message.bytes")
    equal(send_all(sender, context, values(["small"])), [0], "offset of the next record")


@suite.case
def compacted_topic_needs_keys(context):
    create(context, cleanup_policy="compact")
    sender = producer(context)
    equal(fails(lambda: send_all(sender, context, values(["v"]))), KafkaError.INVALID_RECORD, "a record without key")
    equal(send_all(sender, context, [Record(b"key", b"v", [], 0)]), [0], "offset with a key")


@suite.case
def unknown_topic(context):
    """A consumer's subscription does not create a topic here, and the client is told so."""
    reader = consumer(context, auto_offset_reset="earliest")
    reader.subscribe([context.name])
    deadline = Deadline()
    while deadline.open("the error event"):
        messages = reader.consume(1, timeout=0.5)
        if messages:
            equal(messages[0].error().code(), KafkaError.UNKNOWN_TOPIC_OR_PART, "error of an unknown topic")
            break
    reader.close()
    equal(context.name in admin(context).list_topics(timeout=10).topics, False, "the topic exists")


if __name__ == "__main__":
    suite.main()
