"""Asks a broker odd questions and compares its answers with those of a real Kafka.

golden.json has Kafka's answers, differences.json those that Millrace gives otherwise, on purpose.

probe.py HOST:PORT [EXCHANGE...]     compares with golden.json, as a suite of the harness
probe.py HOST:PORT --record          writes the broker's answers into golden.json
probe.py HOST:PORT --show EXCHANGE   prints the answers of one exchange
"""

import difflib
import functools
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))

import admin
import configs
import fetch
import frames
import groups
import offsets
import produce
import topics
from exchange import EXCHANGES, Exchange
from suite import Suite

GOLDEN = pathlib.Path(__file__).parent / "golden.json"
DIFFERENCES = pathlib.Path(__file__).parent / "differences.json"
MODULES = [admin, frames, topics, produce, fetch, offsets, groups, configs]
"""Named so that importing them, which registers their exchanges, is not in vain."""


def hold(bootstrap, name, run):
    """The answers of one exchange, by step."""
    exchange = Exchange(bootstrap, name, run)
    EXCHANGES[name](exchange)
    return exchange.answers


def lines(answers):
    """Answers as text, one step a line."""
    return [f"{json.dumps(step)}: {json.dumps(answer)}" for step, answer in answers.items()]


def write(path, exchanges):
    blocks = []
    for name, answers in exchanges.items():
        steps = ",\n".join(f"    {line}" for line in lines(answers))
        blocks.append(f"  {json.dumps(name)}: {{\n{steps}\n  }}")
    path.write_text("{\n" + ",\n".join(blocks) + "\n}\n")


def wanted(golden, differences, actual):
    """Kafka's answers, but for the steps that are to differ: of a broker that gives all of Kafka's, none is."""
    if actual == golden:
        return golden
    for step, answer in differences.items():
        if golden[step] == answer:
            raise AssertionError(f"{step}: Kafka answers the same, so it is no difference")
    return golden | differences


def compare(golden, differences, name, context):
    """A case of the suite: fails with the lines that differ."""
    run = context.name.rsplit(".", 1)[1]
    actual = json.loads(json.dumps(hold(context.bootstrap, name, run)))
    expected = wanted(golden.get(name, {}), differences.get(name, {}), actual)
    if actual != expected:
        difference = difflib.unified_diff(
            lines(expected), lines(actual), "what is to be answered", "this broker's answers", n=0, lineterm=""
        )
        raise AssertionError("\n".join(difference))


def main():
    run = os.environ.get("MILLRACE_TEST_RUN") or f"{os.getpid()}-{int(time.time())}"
    if "--record" in sys.argv:
        write(GOLDEN, {name: hold(sys.argv[1], name, run) for name in EXCHANGES})
    elif "--show" in sys.argv:
        print("\n".join(lines(hold(sys.argv[1], sys.argv[3], run))))
    else:
        golden = json.loads(GOLDEN.read_text())
        differences = {one["exchange"]: one["answers"] for one in json.loads(DIFFERENCES.read_text())}
        suite = Suite("probe")
        for name in EXCHANGES:
            suite.cases[name] = functools.partial(compare, golden, differences, name)
        suite.main()


if __name__ == "__main__":
    main()
