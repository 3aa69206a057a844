"""DescribeConfigs."""

from kafka.protocol.admin import DescribeConfigsRequest

from exchange import exchange

TOPIC, BROKER = 2, 4


def describe(*resources, keys=None, **fields):
    asked = [{"resource_type": kind, "resource_name": name, "configuration_keys": keys} for kind, name in resources]
    return {"resources": asked, "include_synonyms": False} | fields


@exchange
def describe_topic(x):
    name, _ = x.topic(cleanup_policy="compact", retention_ms="86400000")
    for version in range(1, 5):
        x.ask(f"version {version}", DescribeConfigsRequest, version, describe((TOPIC, name)))
    x.ask("with synonyms", DescribeConfigsRequest, 4, describe((TOPIC, name), include_synonyms=True))
    x.ask("two settings", DescribeConfigsRequest, 4, describe((TOPIC, name), keys=["retention.ms", "cleanup.policy"]))
    x.ask("an unknown setting", DescribeConfigsRequest, 4, describe((TOPIC, name), keys=["no.such.setting"]))
    x.ask("no settings", DescribeConfigsRequest, 4, describe((TOPIC, name), keys=[]))
    x.ask("an unknown topic", DescribeConfigsRequest, 4, describe((TOPIC, x.unique("never"))))
    x.ask("an invalid topic name", DescribeConfigsRequest, 4, describe((TOPIC, "a b")))
    x.ask("an empty topic name", DescribeConfigsRequest, 4, describe((TOPIC, "")))
    x.ask(
        "a known and an unknown topic", DescribeConfigsRequest, 4, describe((TOPIC, name), (TOPIC, x.unique("never")))
    )


@exchange
def describe_broker(x):
    node = str(x.node)
    for version in range(1, 5):
        x.ask(f"version {version}", DescribeConfigsRequest, version, describe((BROKER, node)))
    x.ask("one setting", DescribeConfigsRequest, 4, describe((BROKER, node), keys=["num.partitions"]))
    x.ask("what all brokers share", DescribeConfigsRequest, 4, describe((BROKER, "")))
    x.ask("a broker that is not there", DescribeConfigsRequest, 4, describe((BROKER, "99")))
    x.ask("a word for a broker", DescribeConfigsRequest, 4, describe((BROKER, "broker")))
    x.ask("an unknown kind", DescribeConfigsRequest, 4, describe((77, "x")))
    x.ask("nothing", DescribeConfigsRequest, 4, describe())
