"""What is left of an answer when everything is taken out that may differ between two right brokers or two runs."""

import uuid

from batch import summary

ADVERTISED = {
    0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 8: "OffsetCommit", 9: "OffsetFetch",
    10: "FindCoordinator", 11: "JoinGroup", 12: "Heartbeat", 13: "LeaveGroup", 14: "SyncGroup", 18: "ApiVersions",
    19: "CreateTopics", 20: "DeleteTopics", 22: "InitProducerId", 23: "OffsetForLeaderEpoch", 32: "DescribeConfigs",
    37: "CreatePartitions", 60: "DescribeCluster",
}  # fmt: skip
"""The APIs whose advertised versions are compared; a broker may serve others as well."""

TOPIC_SETTINGS = {
    "cleanup.policy", "compression.type", "max.message.bytes", "message.timestamp.type", "retention.bytes", "retention.ms",
}  # fmt: skip
BROKER_SETTINGS = {"auto.create.topics.enable", "default.replication.factor", "message.max.bytes", "num.partitions"}
"""The settings that are compared: a topic's in full, a broker's without their values."""

BROKER = 4
"""The type of a resource that is a broker, in DescribeConfigs."""

NODES = {"node_id", "leader_id", "controller_id", "broker_id"}
NODE_LISTS = {"replica_nodes", "isr_nodes", "offline_replicas"}
EPOCHS = {"leader_epoch", "committed_leader_epoch"}
DROPPED = {
    # What a broker may say in its own words, or not say.
    "error_message", "batch_index_error_message", "documentation",
    # What another broker need not have.
    "supported_features", "finalized_features", "finalized_features_epoch", "zk_migration_ready", "rack",
    # -1 but for topics with LogAppendTime, which are looked at by themselves; Kafka gives it for duplicates too.
    "log_append_time_ms",
}  # fmt: skip


class Normalizer:
    """Replaces what varies by a name for it, the same name for the same thing within an exchange."""

    def __init__(self, bootstrap, run, node):
        self.host, port = bootstrap.rsplit(":", 1)
        self.port = int(port)
        self.run = f".{run}"
        self.node = node
        self.names = {}

    def answer(self, decoded):
        return self._fields(decoded.to_dict(json=False))

    def _fields(self, fields):
        normal = {}
        for name, value in fields.items():
            # Where there is an error, Kafka tells the start of the log or does not, as it happens.
            accidental = name == "log_start_offset" and fields.get("error_code")
            if name not in DROPPED and not accidental:
                normal[name] = self._value(name, value, fields)
        return normal

    def _value(self, name, value, siblings):
        if name == "api_keys":
            return {
                ADVERTISED[k["api_key"]]: [k["min_version"], k["max_version"]]
                for k in value
                if k["api_key"] in ADVERTISED
            }
        if name == "records":
            return None if value is None else summary(bytes(value))
        if name == "aborted_transactions":
            # None and null are the same to every client, and Kafka gives either.
            return value or None
        if name == "configs" and value is not None:
            return self._configs(value, siblings.get("resource_type"))
        if isinstance(value, dict):
            return self._fields(value)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            # The order of topics, partitions and the like has no meaning.
            return sorted((self._fields(item) for item in value), key=repr)
        return self._scalar(name, value)

    def _scalar(self, name, value):
        if name in ("member_id", "leader") and isinstance(value, str):
            return self._named("member", value) if value else value
        if name in NODES:
            return "node" if value == self.node else value
        if name in NODE_LISTS and value is not None:
            return ["node" if node == self.node else node for node in value]
        if name in EPOCHS:
            return "epoch" if value >= 0 else value
        if name == "cluster_id":
            return "cluster" if value else value
        if name == "host":
            return "host" if value == self.host else value
        if name == "port":
            return "port" if value == self.port else value
        if name == "producer_id" and value >= 0:
            return self._named("producer id", value)
        if name == "session_id" and value > 0:
            return self._named("session", value)
        if isinstance(value, uuid.UUID):
            return "none" if value.int == 0 else self._named("id", value)
        if name == "resource_name" and value == str(self.node):
            return "node"
        if isinstance(value, str):
            value = value.replace(self.run, "")
            return value if len(value) < 100 else f"{value[:10]}... of {len(value)} characters"
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value).hex()
        return value

    def _configs(self, configs, resource_type):
        """The settings that are compared, by name."""
        normal = {}
        for config in configs:
            fields = {key: value for key, value in config.items() if key not in DROPPED | {"name"}}
            if fields.get("synonyms") is not None:
                fields["synonyms"] = [synonym["name"] for synonym in fields["synonyms"]][:1]
            if resource_type == BROKER and config["name"] in BROKER_SETTINGS:
                normal[config["name"]] = {key: fields[key] for key in ("is_sensitive", "config_type") if key in fields}
            elif resource_type != BROKER and config["name"] in TOPIC_SETTINGS:
                normal[config["name"]] = fields
        return dict(sorted(normal.items()))

    def _named(self, kind, value):
        known = self.names.setdefault(kind, [])
        if value not in known:
            known.append(value)
        return f"{kind} {known.index(value) + 1}"
