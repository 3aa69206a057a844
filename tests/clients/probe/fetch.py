"""Fetch, with and without sessions."""

import uuid

from kafka.protocol.consumer import FetchRequest

import batch
from exchange import exchange, one

UNKNOWN_ID = uuid.UUID("11111111-2222-3333-4444-555555555555")


def fetch(topic, offset=0, topic_id=None, partition=0, partition_max_bytes=1_000_000, epoch=-1, **fields):
    """The fields of a Fetch request for one partition; where the topic is None, for none."""
    name = {"topic": topic} if topic_id is None else {"topic_id": topic_id}
    asked = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": partition_max_bytes}
    asked |= {"current_leader_epoch": epoch, "last_fetched_epoch": -1, "log_start_offset": -1}
    topics = [] if topic is None else [name | {"partitions": [asked]}]
    defaults = {"replica_id": -1, "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 50_000_000, "isolation_level": 0}
    defaults |= {"session_id": 0, "session_epoch": -1, "topics": topics, "forgotten_topics_data": [], "rack_id": ""}
    return defaults | fields


def filled(x):
    """A topic of three batches, of offsets 0 to 2, 3 to 5 and 6."""
    name, topic_id = x.topic(partitions=2)
    three = batch.batch(batch.values("a", "b", "c"))
    x.append(name, three, three, one())
    return name, topic_id


@exchange
def fetch_versions(x):
    name, topic_id = filled(x)
    for version in range(4, 19):
        x.ask(f"version {version}", FetchRequest, version, fetch(name, topic_id=topic_id if version >= 13 else None))


@exchange
def fetch_offsets(x):
    name, _ = filled(x)
    for offset in [0, 1, 2, 3, 4, 6, 7, 8, 1000, -1, -2]:
        x.ask(f"offset {offset}", FetchRequest, 11, fetch(name, offset))
    for offset in [0, 4, 7, 8]:
        x.ask(f"offset {offset}, committed only", FetchRequest, 11, fetch(name, offset, isolation_level=1))


@exchange
def fetch_limits(x):
    name, _ = filled(x)
    x.ask("one byte of a partition", FetchRequest, 11, fetch(name, 1, partition_max_bytes=1))
    x.ask("no bytes of a partition", FetchRequest, 11, fetch(name, 1, partition_max_bytes=0))
    x.ask("one byte in all", FetchRequest, 11, fetch(name, 1, max_bytes=1))
    x.ask("no bytes in all", FetchRequest, 11, fetch(name, 1, max_bytes=0))
    both = fetch(name, max_bytes=1)
    x.append(name, one(), partition=1)
    second = both["topics"][0]["partitions"][0] | {"partition": 1}
    both["topics"][0]["partitions"].append(second)
    x.ask("one byte of two partitions", FetchRequest, 11, both)
    x.ask("more than there is, without waiting", FetchRequest, 11, fetch(name, min_bytes=1_000_000))
    x.ask("at the end, waiting a little", FetchRequest, 11, fetch(name, 7, min_bytes=1, max_wait_ms=50))
    x.ask("nothing, waiting a little", FetchRequest, 11, fetch(None, min_bytes=1, max_wait_ms=50))


@exchange
def fetch_unknown(x):
    name, topic_id = filled(x)
    x.ask("an unknown topic", FetchRequest, 11, fetch(x.unique("never")))
    x.ask("an unknown partition", FetchRequest, 11, fetch(name, partition=5))
    x.ask("a negative partition", FetchRequest, 11, fetch(name, partition=-1))
    x.ask("an unknown id", FetchRequest, 13, fetch(name, topic_id=UNKNOWN_ID))
    x.ask("an unknown partition of an id", FetchRequest, 13, fetch(name, topic_id=topic_id, partition=5))
    x.ask("a leader epoch that is to come", FetchRequest, 11, fetch(name, epoch=1_000_000))


@exchange
def fetch_sessions(x):
    name, _ = filled(x)
    opened = x.ask("a session is opened", FetchRequest, 11, fetch(name, session_epoch=0))
    session = opened.session_id
    x.ask("the same positions", FetchRequest, 11, fetch(None, session_id=session, session_epoch=1))
    x.ask("from the end on", FetchRequest, 11, fetch(name, 7, session_id=session, session_epoch=2))
    x.ask("nothing new", FetchRequest, 11, fetch(None, session_id=session, session_epoch=3))
    x.append(name, one())
    x.ask("one more record", FetchRequest, 11, fetch(None, session_id=session, session_epoch=4))
    x.ask("an epoch that was", FetchRequest, 11, fetch(None, session_id=session, session_epoch=2))
    x.ask("an epoch that is to come", FetchRequest, 11, fetch(None, session_id=session, session_epoch=9))
    x.ask("one more partition", FetchRequest, 11, fetch(name, partition=1, session_id=session, session_epoch=5))
    forgotten = [{"topic": name, "partitions": [0]}]
    x.ask(
        "one partition less",
        FetchRequest,
        11,
        fetch(None, session_id=session, session_epoch=6, forgotten_topics_data=forgotten),
    )
    x.ask("an unknown partition", FetchRequest, 11, fetch(name, partition=5, session_id=session, session_epoch=7))
    x.ask("the unknown partition is told again", FetchRequest, 11, fetch(None, session_id=session, session_epoch=8))
    x.ask("the session is closed", FetchRequest, 11, fetch(name, session_id=session, session_epoch=-1))
    x.ask("the closed session", FetchRequest, 11, fetch(None, session_id=session, session_epoch=9))
    x.ask("an unknown session", FetchRequest, 11, fetch(None, session_id=12345, session_epoch=1))
    x.ask("no session of epoch 1", FetchRequest, 11, fetch(name, session_id=0, session_epoch=1))


@exchange
def fetch_sessions_by_id(x):
    name, topic_id = filled(x)
    opened = x.ask("a session is opened", FetchRequest, 13, fetch(name, topic_id=topic_id, session_epoch=0))
    session = opened.session_id
    x.ask("the same positions", FetchRequest, 13, fetch(None, session_id=session, session_epoch=1))
    x.append(name, one())
    x.ask("without new positions", FetchRequest, 13, fetch(None, session_id=session, session_epoch=2))
    x.ask("in a version without ids", FetchRequest, 12, fetch(None, session_id=session, session_epoch=3))
