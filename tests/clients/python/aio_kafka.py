"""aiokafka 0.14.0."""

import asyncio
import functools

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidPartitionsError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

import corpus
import group
from corpus import Record
from suite import Deadline, Suite, equal, now_ms

suite = Suite("aiokafka")


def blocking(function):
    """Runs an async case in an event loop of its own."""

    @functools.wraps(function)
    def run(*arguments):
        return asyncio.run(function(*arguments))

    return run


def producer(context, **settings):
    return AIOKafkaProducer(bootstrap_servers=context.bootstrap, **settings)


def consumer(context, *topics, **settings):
    return AIOKafkaConsumer(*topics, bootstrap_servers=context.bootstrap, **settings)


def admin(context):
    return AIOKafkaAdminClient(bootstrap_servers=context.bootstrap)


def raise_for_topics(response):
    """Raises the error of the first topic that has one."""
    for _, code, *_ in getattr(response, "topic_errors", None) or response.topic_error_codes:
        if code:
            raise for_code(code)


async def create(context, partitions=1, **configs):
    configs = {name.replace("_", "."): value for name, value in configs.items()}
    async with running(admin(context)) as client:
        raise_for_topics(await client.create_topics([NewTopic(context.name, partitions, 1, topic_configs=configs)]))
        await until_partitions(client, context, partitions)


async def until_partitions(client, context, count):
    deadline = Deadline()
    while deadline.open(f"{count} partitions"):
        [topic] = await client.describe_topics([context.name])
        if len(topic["partitions"]) == count and all(p["leader"] >= 0 for p in topic["partitions"]):
            return


class running:
    """Starts a client, and stops it at the end of the block."""

    def __init__(self, client):
        self.client = client

    async def __aenter__(self):
        await self.client.start()
        return self.client

    async def __aexit__(self, *_):
        await (self.client.close() if isinstance(self.client, AIOKafkaAdminClient) else self.client.stop())


async def fails(awaitable):
    """The type of the error that an awaitable gives."""
    try:
        await awaitable
    except KafkaError as error:
        return type(error)
    return None


async def send_all(sender, context, records, partition=0):
    """Sends records in one go and returns their offsets."""
    futures = [
        await sender.send(context.name, r.value, r.key, partition, r.timestamp, list(r.headers)) for r in records
    ]
    return [result.offset for result in await asyncio.gather(*futures)]


async def send_batch(sender, context, records):
    """Sends records as exactly one batch."""
    batch = sender.create_batch()
    for r in records:
        batch.append(key=r.key, value=r.value, timestamp=r.timestamp)
    await (await sender.send_batch(batch, context.name, partition=0))


async def read(reader, count):
    """The next `count` records."""
    received, deadline = [], Deadline()
    while len(received) < count and deadline.open(f"{count} records", len(received)):
        for batch in (await reader.getmany(timeout_ms=500, max_records=count - len(received))).values():
            received.extend(batch)
    return received


def plain(record):
    equal(record.timestamp_type, 0, "kind of timestamp")
    return record.offset, Record(record.key, record.value, list(record.headers), record.timestamp)


def values(texts):
    return [Record(None, text.encode(), [], now_ms()) for text in texts]


@suite.case_for_each(["none", "gzip", "snappy", "lz4", "zstd"])
@blocking
async def roundtrip(context, codec):
    records = corpus.records()
    async with running(producer(context, compression_type=None if codec == "none" else codec)) as sender:
        equal(await send_all(sender, context, records), list(range(len(records))), "acknowledged offsets")
    async with running(consumer(context, context.name, auto_offset_reset="earliest")) as reader:
        corpus.same([plain(r) for r in await read(reader, len(records))], records)


@suite.case
@blocking
async def idempotent_producer(context):
    await create(context)
    records = values(f"v{i}" for i in range(3000))
    async with running(producer(context, enable_idempotence=True)) as sender:
        equal(await send_all(sender, context, records), list(range(3000)), "acknowledged offsets")
    async with running(consumer(context, context.name, auto_offset_reset="earliest")) as reader:
        equal([r.value for r in await read(reader, 3000)], [r.value for r in records], "values")


@suite.case
@blocking
async def bulk(context):
    """More than any single fetch brings, over several partitions."""
    await create(context, partitions=3)
    sent = {}
    async with running(producer(context, linger_ms=20)) as sender:
        for partition in range(3):
            body = [b"%d/%d" % (partition, i) * 200 for i in range(1500)] + [b"L" * 900_000] * 2
            await send_all(sender, context, [Record(None, value, [], now_ms()) for value in body], partition)
            sent[partition] = body
    received = {partition: [] for partition in range(3)}
    async with running(consumer(context, context.name, auto_offset_reset="earliest")) as reader:
        for record in await read(reader, 3 * 1502):
            equal(record.offset, len(received[record.partition]), "offset")
            received[record.partition].append(record.value)
    equal(received == sent, True, "all values are the same")


@suite.case
@blocking
async def seek_mid_batch(context):
    await create(context)
    for codec in [None, "zstd"]:
        async with running(producer(context, compression_type=codec)) as sender:
            await send_batch(sender, context, values(f"v{i}" for i in range(10)))
    partition = TopicPartition(context.name, 0)
    async with running(consumer(context)) as reader:
        reader.assign([partition])
        for start in [5, 9, 10, 13, 19, 0]:
            reader.seek(partition, start)
            expected = [(offset, b"v%d" % (offset % 10)) for offset in range(start, 20)]
            received = [(r.offset, r.value) for r in await read(reader, 20 - start)]
            equal(received, expected, f"records from {start}")


class GroupConsumer:
    """A member for `group`: its loop runs on the member's thread."""

    def __init__(self, context):
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._start(context))

    async def _start(self, context):
        self.consumer = consumer(context, context.name, group_id=context.name, auto_offset_reset="earliest")
        await self.consumer.start()

    def poll(self):
        batches = self.loop.run_until_complete(self.consumer.getmany(timeout_ms=100)).values()
        return [(r.partition, r.offset, r.value) for batch in batches for r in batch]

    def assigned(self):
        return [partition.partition for partition in self.consumer.assignment()]

    def close(self):
        self.loop.run_until_complete(self.consumer.stop())
        self.loop.close()


class Appender:
    """Sends single records from a thread that is in no event loop."""

    def __init__(self, context):
        self.context = context
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._start())

    async def _start(self):
        self.sender = producer(self.context)
        await self.sender.start()

    def __call__(self, partition, value):
        sent = self.sender.send_and_wait(self.context.name, value, partition=partition)
        return self.loop.run_until_complete(sent).offset

    def close(self):
        self.loop.run_until_complete(self.sender.stop())
        self.loop.close()


@suite.case
def group_of_two(context):
    asyncio.run(create(context, partitions=group.PARTITIONS))
    append = Appender(context)
    group.share_partitions(lambda: GroupConsumer(context), append)
    append.close()


SESSION_SECONDS = 10
"""This client's default session timeout. A member that can't reach its coordinator for longer never finds it again."""


@suite.case
def restart(context):
    asyncio.run(create(context, partitions=group.PARTITIONS))
    append = Appender(context)
    partitions = [TopicPartition(context.name, partition) for partition in range(group.PARTITIONS)]

    async def outside(action):
        settings = {"group_id": context.name + ".outside", "enable_auto_commit": False}
        async with running(consumer(context, **settings)) as client:
            client.assign(partitions)
            return await action(client)

    def commit(offsets):
        asked = {TopicPartition(context.name, partition): offset for partition, offset in offsets.items()}
        asyncio.run(outside(lambda client: client.commit(asked)))

    def committed():
        async def ask(client):
            return {partition.partition: await client.committed(partition) for partition in partitions}

        return asyncio.run(outside(ask))

    def restart_broker():
        seconds = context.restart_broker()
        if seconds > SESSION_SECONDS:
            raise TimeoutError(f"the broker was away for {seconds:.0f} s, which this client does not survive")

    group.survive_restart(lambda: GroupConsumer(context), append, commit, committed, restart_broker)
    append.close()


@suite.case
@blocking
async def commit_and_resume(context):
    await create(context, partitions=2)
    async with running(producer(context)) as sender:
        for partition in range(2):
            await send_all(sender, context, values(f"v{i}" for i in range(20)), partition)
    zero, one = (TopicPartition(context.name, partition) for partition in range(2))
    settings = {"group_id": context.name, "auto_offset_reset": "earliest", "enable_auto_commit": False}

    async with running(consumer(context, context.name, **settings)) as first:
        equal(await first.committed(zero), None, "commit of a new group")
        equal(len(await read(first, 40)), 40, "records")
        await first.commit({zero: (7, "resume here \u2603"), one: (13, "")})

    async with running(admin(context)) as client:
        kept = await client.list_consumer_group_offsets(context.name, partitions=[zero, one])
        equal(tuple(kept[zero])[:2], (7, "resume here \u2603"), "committed offset and metadata")

    async with running(consumer(context, context.name, **settings)) as second:
        expected = [(0, offset) for offset in range(7, 20)] + [(1, offset) for offset in range(13, 20)]
        received = sorted((r.partition, r.offset) for r in await read(second, 20))
        equal(received, expected, "records after the first restart")
        await second.commit()

    async with running(producer(context)) as sender:
        await send_all(sender, context, values(["last"]))
    async with running(consumer(context, context.name, **settings)) as third:
        last = [(r.partition, r.offset, r.value) for r in await read(third, 1)]
        equal(last, [(0, 20, b"last")], "records after the second")
        equal(await third.getmany(timeout_ms=500), {}, "records after that")


@suite.case_for_each(["none", "gzip"])
@blocking
async def offsets_by_timestamp(context, codec):
    await create(context)
    base = now_ms() - 3_600_000
    async with running(producer(context, compression_type=None if codec == "none" else codec)) as sender:
        for batch in corpus.TIMELINE:
            await send_batch(sender, context, [Record(None, b"v", [], base + at) for at in batch])
    partition = TopicPartition(context.name, 0)
    async with running(consumer(context)) as reader:
        for asked, offset, timestamp in corpus.TIMELINE_QUERIES:
            found = (await reader.offsets_for_times({partition: base + asked}))[partition]
            equal((found.offset, found.timestamp - base), (offset, timestamp), f"first record from {asked} on")
        after = await reader.offsets_for_times({partition: base + corpus.TIMELINE_AFTER_THE_END})
        equal(after[partition], None, "record after the end")
        equal(await reader.beginning_offsets([partition]), {partition: 0}, "earliest")
        equal(await reader.end_offsets([partition]), {partition: 10}, "latest")


@suite.case
@blocking
async def create_topic(context):
    await create(context, partitions=3, cleanup_policy="compact")
    async with running(admin(context)) as client:
        again = await client.create_topics([NewTopic(context.name, 1, 1)])
        equal(again.topic_errors[0][1], TopicAlreadyExistsError.errno, "the same topic again")
        raise_for_topics(await client.create_topics([NewTopic(context.name + ".tried", 1, 1)], validate_only=True))
        names = await client.list_topics()
        equal(context.name + ".tried" in names, False, "a topic that was only tried")
        equal(context.name in names, True, "the topic is listed")


@suite.case
@blocking
async def create_partitions(context):
    await create(context)
    async with running(admin(context)) as client:
        await client.create_partitions({context.name: NewPartitions(3)})
        await until_partitions(client, context, 3)
        fewer = await fails(client.create_partitions({context.name: NewPartitions(2)}))
        equal(fewer, InvalidPartitionsError, "fewer partitions")
    async with running(producer(context)) as sender:
        equal(await send_all(sender, context, values(["a", "b"]), partition=2), [0, 1], "offsets in a new partition")


@suite.case
@blocking
async def delete_topic(context):
    await create(context)
    async with running(admin(context)) as client:
        raise_for_topics(await client.delete_topics([context.name]))
        deadline = Deadline()
        while deadline.open("the topic to be gone") and context.name in await client.list_topics():
            await asyncio.sleep(0.05)
        again = await client.delete_topics([context.name])
        equal(again.topic_error_codes[0][1], UnknownTopicOrPartitionError.errno, "a topic that is gone")


@suite.case
@blocking
async def describe(context):
    await create(context, partitions=2, cleanup_policy="compact", retention_ms="86400000")
    async with running(admin(context)) as client:
        cluster = await client.describe_cluster()
        [broker] = cluster["brokers"]
        equal(f"{broker['host']}:{broker['port']}", context.bootstrap, "address of the broker")
        equal(cluster["controller_id"], broker["node_id"], "controller")
        topic = await described(client, ConfigResourceType.TOPIC, context.name)
        equal(topic["cleanup.policy"], "compact", "cleanup.policy")
        equal(topic["retention.ms"], "86400000", "retention.ms")
        equal(topic["compression.type"], "producer", "compression.type")
        settings = await described(client, ConfigResourceType.BROKER, str(broker["node_id"]))
        for name in ["num.partitions", "default.replication.factor", "auto.create.topics.enable"]:
            equal(name in settings, True, f"broker has {name}")


async def described(client, kind, name):
    """The settings of one resource."""
    [response] = await client.describe_configs([ConfigResource(kind, name)])
    [(code, _, _, _, entries)] = response.resources
    equal(code, 0, "error code")
    return {entry[0]: entry[1] for entry in entries}


@suite.case
@blocking
async def record_too_large(context):
    await create(context, max_message_bytes="2000")
    big = bytes(i * 7919 % 251 for i in range(5000))
    async with running(producer(context)) as sender:
        equal(await fails(sender.send_and_wait(context.name, big)), MessageSizeTooLargeError, "above the limit")
        equal((await sender.send_and_wait(context.name, b"small")).offset, 0, "offset of the next record")


if __name__ == "__main__":
    suite.main()
