"""What must hold of a consumer group of two, whichever client its members use.

`join` opens a consumer that has joined the group. It has three functions: `poll()` waits briefly and returns a list of
(partition, offset, value), `assigned()` returns the numbers of its partitions, `close()` leaves the group.
`produce(partition, value)` appends a record and returns its offset.
"""

import threading

from suite import Deadline, equal

PARTITIONS = 4

RECOVERY_SECONDS = 90
"""How long a group may take to go on after a restart: clients wait up to 30 s before they connect again."""


class Member(threading.Thread):
    """A group member in a thread of its own, which consumes until it leaves."""

    def __init__(self, join):
        super().__init__(daemon=True)
        self.join_group = join
        self.received = []
        self.assigned = frozenset()
        self.leaving = threading.Event()
        self.error = None
        self.start()

    def run(self):
        try:
            consumer = self.join_group()
            try:
                while not self.leaving.is_set():
                    self.received.extend(consumer.poll())
                    self.assigned = frozenset(consumer.assigned())
            finally:
                consumer.close()
        except Exception as error:  # Reported by the case that owns the member.
            self.error = error

    def leave(self):
        """Leaves the group, and fails the case if the member failed."""
        self.leaving.set()
        self.join(timeout=30)
        self.check()
        if self.is_alive():
            raise TimeoutError("a member did not close")

    def check(self):
        if self.error is not None:
            raise self.error


class Group:
    """The members of a group, seen from outside."""

    def __init__(self, members):
        self.members = members

    def wait_until_shared(self, **patience):
        """Waits until every member has its equal share of the partitions."""
        share = PARTITIONS // len(self.members)
        deadline = Deadline(**patience)
        while deadline.open("the partitions to be shared", [m.assigned for m in self.members]):
            for member in self.members:
                member.check()
            assigned = [partition for member in self.members for partition in member.assigned]
            if sorted(assigned) == list(range(PARTITIONS)) and all(len(m.assigned) == share for m in self.members):
                return
            self.members[0].leaving.wait(0.02)

    def wait_until_received(self, sent, **patience):
        """Waits until the group has received every record of `sent`."""
        deadline = Deadline(**patience)
        while deadline.open("records", sorted(sent - self.received())[:5]):
            for member in self.members:
                member.check()
            if sent <= self.received():
                return
            self.members[0].leaving.wait(0.02)

    def received(self):
        return {record for member in self.members for record in list(member.received)}


def send(produce, count, prefix):
    """Appends `count` records to each partition; returns them as (partition, offset, value)."""
    sent = set()
    for number in range(count):
        for partition in range(PARTITIONS):
            value = b"%s-%d-%d" % (prefix, partition, number)
            sent.add((partition, produce(partition, value), value))
    return sent


def share_partitions(join, produce):
    """Two members started together share the partitions; when one leaves, the other has all."""
    first = send(produce, 25, b"first")
    one, two = Member(join), Member(join)
    group = Group([one, two])
    group.wait_until_shared()
    group.wait_until_received(first)

    # In a settled group each record goes to the member that has its partition, once.
    before = [len(one.received), len(two.received)]
    second = send(produce, 25, b"second")
    group.wait_until_received(second)
    for member, start in zip(group.members, before):
        fresh = member.received[start:]
        equal(sorted(fresh), sorted(r for r in second if r[0] in member.assigned), "records of a member's partitions")

    two.leave()
    rest = Group([one])
    rest.wait_until_shared()
    third = send(produce, 5, b"third")
    rest.wait_until_received(third)
    one.leave()


def survive_restart(join, produce, commit, committed, restart):
    """A group of two goes on after the broker was restarted: nothing acknowledged or committed is lost.

    `commit(offsets)` commits {partition: offset} for another group, one without members, and `committed()` reads what
    that group has committed.
    """
    before = send(produce, 10, b"before")
    offsets = {partition: 3 + partition for partition in range(PARTITIONS)}
    commit(offsets)
    one, two = Member(join), Member(join)
    group = Group([one, two])
    group.wait_until_shared()
    group.wait_until_received(before)

    restart()

    after = send(produce, 10, b"after")
    group.wait_until_received(after, seconds=RECOVERY_SECONDS)
    equal(group.received(), before | after, "records that the group received")
    group.wait_until_shared(seconds=RECOVERY_SECONDS)
    one.leave()
    two.leave()

    equal(committed(), offsets, "offsets committed before the restart")
    offsets = {partition: 11 + partition for partition in range(PARTITIONS)}
    commit(offsets)
    equal(committed(), offsets, "offsets committed after the restart")
