"""An exchange: some requests, and the answers to them that are worth comparing."""

import time

from kafka.protocol.admin import CreateTopicsRequest
from kafka.protocol.consumer import JoinGroupRequest, ListOffsetsRequest, SyncGroupRequest
from kafka.protocol.metadata import FindCoordinatorRequest, MetadataRequest
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest

import batch
from normal import Normalizer
from wire import CLOSED, Closed, Connection

EXCHANGES = {}
PATIENCE_SECONDS = 30


def exchange(function):
    """Registers an exchange under its function's name."""
    EXCHANGES[function.__name__] = function
    return function


class Exchange:
    """One exchange in progress. Its topics and groups are its own."""

    def __init__(self, bootstrap, name, run):
        self.bootstrap = bootstrap
        self.suffix = f".{run}"
        self.name = name
        self.answers = {}
        self.connection = Connection(bootstrap)
        metadata = self.connection.ask(MetadataRequest, 9, {"topics": []})
        self.node = metadata.brokers[0].node_id
        self.normalizer = Normalizer(bootstrap, run, self.node)

    def unique(self, name):
        """A name for this exchange and run alone; answers show it without the run."""
        return f"probe.{self.name}.{name}{self.suffix}"

    def reconnect(self):
        self.connection.socket.close()
        self.connection = Connection(self.bootstrap)

    def ask(self, step, request, version, fields):
        """Asks, records the answer under the name of the step, and returns it decoded."""
        frame = self.connection.encode(request, version, fields)
        return self.answer(step, request, version, frame)

    def answer(self, step, request, version, frame):
        """Sends a frame as it is and records the answer; a closed connection is an answer too."""
        try:
            self.connection.send(frame)
            decoded = self.connection.answer(request, version)
        except TimeoutError as error:
            raise TimeoutError(f"no answer to {step}") from error
        except Closed:
            self.note(step, CLOSED)
            self.reconnect()
            return None
        self.note(step, self.normalizer.answer(decoded))
        return decoded

    def refused(self, step, request, version, fields):
        """Asks for what is refused; with which error is an accident in Kafka, so that it is not compared."""
        answer = self.quiet(request, version, fields)
        self.note(step, {"refused": answer.responses[0].partition_responses[0].error_code != 0})

    def note(self, step, answer):
        if step in self.answers:
            raise AssertionError(f"two steps are named {step}")
        self.answers[step] = answer

    def quiet(self, request, version, fields):
        """Asks without recording the answer."""
        return self.connection.ask(request, version, fields)

    def until(self, what, condition):
        """Waits: a broker may finish some things after it has answered."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            result = condition()
            if result is not None:
                return result
            if time.monotonic() > end:
                raise TimeoutError(f"timed out waiting for {what}")
            time.sleep(0.02)

    def topic(self, name="topic", partitions=1, **settings):
        """Creates a topic that is ready to use; returns its name and id."""
        name = self.unique(name)
        entries = [{"name": key.replace("_", "."), "value": value} for key, value in settings.items()]
        topic = {
            "name": name,
            "num_partitions": partitions,
            "replication_factor": 1,
            "assignments": [],
            "configs": entries,
        }
        created = self.quiet(CreateTopicsRequest, 5, {"topics": [topic], "timeout_ms": 10_000})
        if created.topics[0].error_code:
            raise AssertionError(f"creating {name}: {created.topics[0]}")

        def ready():
            # The offset of each partition is known only to a leader that is ready.
            asked = [{"partition_index": p, "current_leader_epoch": -1, "timestamp": -1} for p in range(partitions)]
            found = self.quiet(
                ListOffsetsRequest, 4, {"replica_id": -1, "topics": [{"name": name, "partitions": asked}]}
            )
            return True if all(p.error_code == 0 for p in found.topics[0].partitions) else None

        self.until("the topic", ready)
        described = self.quiet(MetadataRequest, 12, {"topics": [{"topic_id": None, "name": name}]})
        return name, described.topics[0].topic_id

    def append(self, topic, *batches, partition=0):
        """Appends batches to a partition, each by itself."""
        for data in batches:
            sent = self.quiet(ProduceRequest, 7, produce_fields(topic, data, partition))
            result = sent.responses[0].partition_responses[0]
            if result.error_code:
                raise AssertionError(f"producing: {result}")

    def coordinator(self):
        """Waits until groups can be used."""
        group = self.unique("group")

        def ready():
            found = self.quiet(FindCoordinatorRequest, 2, {"key": group, "key_type": 0})
            if found.error_code:
                return None
            probe = {"group_id": self.unique("ready"), "session_timeout_ms": 10_000, "member_id": "nobody"}
            probe |= {"protocol_type": "consumer", "protocols": [{"name": "range", "metadata": b""}]}
            code = self.quiet(JoinGroupRequest, 2, probe | {"rebalance_timeout_ms": 10_000}).error_code
            return None if code in (14, 15, 16) else True

        self.until("the coordinator", ready)
        return group

    def producer_id(self):
        """Waits until producer ids are given out, and returns a new one."""
        fields = {"transactional_id": None, "transaction_timeout_ms": 60_000}

        def given():
            answer = self.quiet(InitProducerIdRequest, 4, fields)
            return answer.producer_id if answer.error_code == 0 else None

        return self.until("a producer id", given)

    def member(self, group, connection=None, protocols=None, session_timeout_ms=30_000):
        """Joins a group alone and completes the rebalance; returns member id and generation."""
        connection = connection or self.connection
        fields = {
            "group_id": group,
            "session_timeout_ms": session_timeout_ms,
            "rebalance_timeout_ms": 30_000,
            "member_id": "",
            "protocol_type": "consumer",
            "protocols": protocols or [{"name": "range", "metadata": b"subscription"}],
        }
        joined = connection.ask(JoinGroupRequest, 3, fields)
        if joined.error_code:
            raise AssertionError(f"joining {group}: {joined}")
        sync = {"group_id": group, "generation_id": joined.generation_id, "member_id": joined.member_id}
        sync |= {"assignments": [{"member_id": joined.member_id, "assignment": b"assignment"}]}
        synced = connection.ask(SyncGroupRequest, 2, sync)
        if synced.error_code:
            raise AssertionError(f"syncing {group}: {synced}")
        return joined.member_id, joined.generation_id


def produce_fields(topic, data, partition=0, acks=-1, topic_id=None):
    """The fields of a Produce request for one batch."""
    name = {"name": topic} if topic_id is None else {"topic_id": topic_id}
    partitions = [{"index": partition, "records": data}]
    return {
        "transactional_id": None,
        "acks": acks,
        "timeout_ms": 10_000,
        "topic_data": [name | {"partition_data": partitions}],
    }


def one(text="value"):
    """A batch of one record."""
    return batch.batch(batch.values(text))
