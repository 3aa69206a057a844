"""kafka-python 1.4.7 and what a client of 2015 sends.

SimpleClient and SimpleProducer send no ApiVersions: Metadata v0 and Produce v0 with message sets of magic 0, which have
no timestamps. KafkaProducer, told that the broker is Kafka 0.9 or 0.10, sends Produce v1 (magic 0) and v2 (magic 1,
with timestamps). Everything is read back by the same library's consumer, told that the broker is Kafka 0.11: it sends
no ApiVersions either, but Fetch v4.

Apache Kafka 4 serves Produce from v3 on; Kafka 3.9 is the reference for these cases.
"""

import logging
import sys
import warnings

import six

# On Python 3.12 and later the copy of six that the library brings does not import.
sys.modules["kafka.vendor.six.moves"] = six.moves
warnings.simplefilter("ignore")

from kafka import KafkaConsumer, KafkaProducer, KeyedProducer, SimpleClient, SimpleProducer, TopicPartition
from kafka.errors import UnknownTopicOrPartitionError
from kafka.protocol import CODEC_GZIP, CODEC_NONE, CODEC_SNAPPY
from kafka.structs import OffsetAndMetadata

from suite import Deadline, Suite, equal, now_ms

suite = Suite("simple_producer")
CODECS = {"none": CODEC_NONE, "gzip": CODEC_GZIP, "snappy": CODEC_SNAPPY}
NO_TIMESTAMP = -1
BODY = [b"", bytes(range(256)), b"easy " * 2000, "gr\u00fc\u00df \u2603".encode()]


def consumer(context, **settings):
    return KafkaConsumer(bootstrap_servers=context.bootstrap, api_version=(0, 11, 0), **settings)


def client_for_topic(context):
    """A client that knows the case's topic, which asking for it creates.

    A Kafka in KRaft mode creates a topic after it has answered "unknown topic", which this client takes for final.
    """
    client, deadline = SimpleClient(context.bootstrap), Deadline()
    while deadline.open("the topic"):
        try:
            client.ensure_topic_exists(context.name)
            return client
        except UnknownTopicOrPartitionError:
            pass


def read_back(context, count):
    """All records of partition 0, as (offset, key, value, timestamp)."""
    reader = consumer(context, auto_offset_reset="earliest", group_id=None)
    reader.assign([TopicPartition(context.name, 0)])
    received, deadline = [], Deadline()
    while len(received) < count and deadline.open(f"{count} records", len(received)):
        for batch in reader.poll(timeout_ms=500).values():
            received.extend((r.offset, r.key, r.value, r.timestamp) for r in batch)
    equal(reader.end_offsets([TopicPartition(context.name, 0)]), {TopicPartition(context.name, 0): count}, "end")
    reader.close()
    return received


@suite.case_for_each(CODECS)
def simple_producer(context, codec):
    client = client_for_topic(context)
    sender = SimpleProducer(client, codec=CODECS[codec])
    sent = []
    for number in range(6):
        values = [*BODY, b"message %d" % number]
        [response] = sender.send_messages(context.name, *values)
        equal((response.error, response.offset), (0, len(sent)), "answer")
        sent.extend(values)
    sender.stop()
    client.close()
    expected = [(offset, None, value, NO_TIMESTAMP) for offset, value in enumerate(sent)]
    equal(read_back(context, len(sent)), expected, "records")


@suite.case
def simple_producer_to_new_topic(context):
    """The first message to a topic that does not exist, with no retry by the program."""
    client = SimpleClient(context.bootstrap)
    [response] = SimpleProducer(client).send_messages(context.name, b"first")
    equal((response.error, response.offset), (0, 0), "answer")
    client.close()
    equal([value for _, _, value, _ in read_back(context, 1)], [b"first"], "values")


@suite.case
def simple_producer_without_acks(context):
    """acks=0: the broker must send no answer, or the next request on the connection gets it."""
    client = client_for_topic(context)
    quiet = SimpleProducer(client, req_acks=SimpleProducer.ACK_NOT_REQUIRED)
    for number in range(10):
        quiet.send_messages(context.name, b"quiet %d" % number)
    loud = SimpleProducer(client)
    [response] = loud.send_messages(context.name, b"loud")
    equal((response.error, response.offset), (0, 10), "answer")
    client.close()
    values = [value for _, _, value, _ in read_back(context, 11)]
    equal(values, [b"quiet %d" % number for number in range(10)] + [b"loud"], "values")


@suite.case_for_each(["none", "gzip"])
def keyed_producer(context, codec):
    client = client_for_topic(context)
    sender = KeyedProducer(client, codec=CODECS[codec])
    sent = []
    for number in range(10):
        key, values = b"key-%d" % number, [b"a%d" % number, b"b%d" % number]
        [response] = sender.send_messages(context.name, key, *values)
        equal((response.error, response.offset), (0, len(sent)), "answer")
        sent.extend((key, value) for value in values)
    client.close()
    expected = [(offset, key, value, NO_TIMESTAMP) for offset, (key, value) in enumerate(sent)]
    equal(read_back(context, len(sent)), expected, "records")


@suite.case_for_each(["none", "gzip", "snappy"])
def producer_of_0_9(context, codec):
    kafka_producer(context, codec, (0, 9), timestamps=False)


@suite.case_for_each(["none", "gzip", "snappy", "lz4"])
def producer_of_0_10(context, codec):
    kafka_producer(context, codec, (0, 10, 1), timestamps=True)


def kafka_producer(context, codec, version, timestamps):
    client_for_topic(context).close()
    sender = KafkaProducer(
        bootstrap_servers=context.bootstrap,
        api_version=version,
        compression_type=None if codec == "none" else codec,
        linger_ms=50,
    )
    base = now_ms() - 3_600_000
    records = [
        (
            None if i % 3 == 0 else b"key-%d" % i,
            None if i % 5 == 1 and i % 3 else BODY[i % 4],
            base + i * 10 - i % 4 * 25,
        )
        for i in range(40)
    ]
    futures = [sender.send(context.name, value, key, None, 0, at) for key, value, at in records]
    sender.flush()
    equal([future.get(10).offset for future in futures], list(range(40)), "acknowledged offsets")
    sender.close()
    expected = [(i, key, value, at if timestamps else NO_TIMESTAMP) for i, (key, value, at) in enumerate(records)]
    equal(read_back(context, 40), expected, "records")


@suite.case
def group_without_api_versions(context):
    """A consumer that never asks for versions joins a group, commits and resumes."""
    client = client_for_topic(context)
    SimpleProducer(client).send_messages(context.name, *(b"m%d" % number for number in range(20)))
    client.close()
    settings = {"group_id": context.name, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    partition = TopicPartition(context.name, 0)
    resumed = []
    for start in [0, 8]:
        reader = consumer(context, **settings)
        reader.subscribe([context.name])
        received, deadline = [], Deadline()
        while len(received) < 20 - start and deadline.open("records", len(received)):
            for batch in reader.poll(timeout_ms=500).values():
                received.extend(r.offset for r in batch)
        equal(received, list(range(start, 20)), "offsets")
        reader.commit({partition: OffsetAndMetadata(8, "half")})
        resumed.append(reader.committed(partition))
        reader.close()
    equal(resumed, [8, 8], "committed offsets")


if __name__ == "__main__":
    logging.getLogger("kafka").setLevel(logging.ERROR)
    suite.main()
