import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** What must hold of a consumer group of two. */
final class Group {
    private static final int PARTITIONS = 4;

    private Group() {}

    /** A record as a group sees it; members may get one twice, but only after a rebalance. */
    record Received(int partition, long offset, String value) {}

    /** A member, in a thread of its own, which consumes until it leaves. */
    static final class Member implements ConsumerRebalanceListener {
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final Thread thread;
        private final List<Received> received = new ArrayList<>();
        private final Set<Integer> assigned = new TreeSet<>();
        private int revocations;
        private Exception failure;
        private volatile boolean leaving;

        Member(Suite.Context context, Object... settings) {
            Object[] all = Arrays.copyOf(settings, settings.length + 4);
            System.arraycopy(
                new Object[] {"group.id", context.name, "auto.offset.reset", "earliest"}, 0, all, settings.length, 4);
            consumer = Main.consumer(context, all);
            thread = new Thread(() -> consume(context.name));
            thread.start();
        }

        private void consume(String topic) {
            try (consumer) {
                consumer.subscribe(List.of(topic), this);
                while (!leaving) {
                    for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(100))) {
                        synchronized (this) {
                            received.add(new Received(r.partition(), r.offset(), new String(r.value())));
                        }
                    }
                }
            } catch (Exception e) {
                synchronized (this) {
                    failure = e;
                }
            }
        }

        @Override
        public synchronized void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> assigned.add(partition.partition()));
        }

        @Override
        public synchronized void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            revocations++;
            partitions.forEach(partition -> assigned.remove(partition.partition()));
        }

        synchronized Set<Integer> assigned() {
            if (failure != null) {
                throw new AssertionError("a member failed", failure);
            }
            return Set.copyOf(assigned);
        }

        synchronized int revocations() {
            return revocations;
        }

        synchronized List<Received> received() {
            return List.copyOf(received);
        }

        void leave() throws InterruptedException {
            leaving = true;
            thread.join(Suite.PATIENCE_MS);
            Suite.equal(thread.isAlive(), false, "a member did not close in time");
            synchronized (this) {
                if (failure != null) {
                    throw new AssertionError("a member failed", failure);
                }
            }
        }
    }

    private static void waitShared(Member... members) throws InterruptedException {
        Suite.waitUntil("the partitions to be shared", () -> {
            Set<Integer> all = new HashSet<>();
            for (Member member : members) {
                Set<Integer> own = member.assigned();
                if (own.size() != PARTITIONS / members.length) {
                    return false;
                }
                all.addAll(own);
            }
            return all.size() == PARTITIONS;
        });
    }

    private static void waitReceived(Set<Received> sent, Member... members) throws InterruptedException {
        Suite.waitUntil("records", () -> {
            for (Member member : members) {
                member.assigned();
            }
            return union(members).containsAll(sent);
        });
    }

    private static Set<Received> union(Member... members) {
        Set<Received> all = new HashSet<>();
        for (Member member : members) {
            all.addAll(member.received());
        }
        return all;
    }

    /** Appends `count` records to every partition. */
    private static Set<Received> send(Suite.Context context, KafkaProducer<byte[], byte[]> producer, int count, String prefix)
        throws Exception {
        Set<Received> sent = new HashSet<>();
        for (int i = 0; i < count; i++) {
            for (int partition = 0; partition < PARTITIONS; partition++) {
                String value = prefix + "-" + partition + "-" + i;
                var record = new ProducerRecord<byte[], byte[]>(context.name, partition, null, Corpus.bytes(value));
                sent.add(new Received(partition, producer.send(record).get().offset(), value));
            }
        }
        return sent;
    }

    /** Two members started together share the partitions; when one leaves, the other has all. */
    static void sharePartitions(Suite.Context context, Object... settings) throws Exception {
        Main.create(context, PARTITIONS, Map.of());
        try (KafkaProducer<byte[], byte[]> producer = Main.producer(context)) {
            Set<Received> first = send(context, producer, 25, "first");
            Member one = new Member(context, settings);
            Member two = new Member(context, settings);
            waitShared(one, two);
            waitReceived(first, one, two);

            // In a settled group each record goes to the member that has its partition, once.
            Map<Member, Integer> before = new HashMap<>();
            for (Member member : List.of(one, two)) {
                before.put(member, member.received().size());
            }
            Set<Received> second = send(context, producer, 25, "second");
            waitReceived(second, one, two);
            for (Member member : List.of(one, two)) {
                List<Received> fresh = member.received().subList(before.get(member), member.received().size());
                Suite.equal(fresh.size(), 50, "records of a member");
                Suite.equal(new HashSet<>(fresh).size(), 50, "different records of a member");
                Suite.equal(fresh.stream().allMatch(r -> member.assigned().contains(r.partition())), true, "own partitions");
            }

            two.leave();
            waitShared(one);
            waitReceived(send(context, producer, 5, "third"), one);
            one.leave();
        }
    }

    /** A static member that comes back under its name has its partitions again, and nobody else notices. */
    static void staticMembers(Suite.Context context) throws Exception {
        Main.create(context, PARTITIONS, Map.of());
        try (KafkaProducer<byte[], byte[]> producer = Main.producer(context)) {
            Set<Received> first = send(context, producer, 10, "first");
            Member one = new Member(context, "group.instance.id", "one");
            Member two = new Member(context, "group.instance.id", "two");
            waitShared(one, two);
            waitReceived(first, one, two);
            Set<Integer> ofTwo = two.assigned();
            int revocations = one.revocations();
            two.leave();
            Member back = new Member(context, "group.instance.id", "two");
            waitShared(one, back);
            Suite.equal(back.assigned(), ofTwo, "partitions of the member that came back");
            waitReceived(send(context, producer, 10, "second"), one, back);
            Suite.equal(one.revocations(), revocations, "revocations of the other member");
            one.leave();
            back.leave();
        }
    }

    /** A group goes on after the broker was restarted, and nothing acknowledged or committed is lost. */
    static void surviveRestart(Suite.Context context) throws Exception {
        Main.create(context, PARTITIONS, Map.of());
        Map<TopicPartition, OffsetAndMetadata> early = offsets(context, 3);
        try (KafkaProducer<byte[], byte[]> producer = Main.producer(context)) {
            Set<Received> all = send(context, producer, 10, "before");
            try (KafkaConsumer<byte[], byte[]> outside = outside(context)) {
                outside.commitSync(early);
            }
            Member one = new Member(context);
            Member two = new Member(context);
            waitShared(one, two);
            waitReceived(all, one, two);

            context.restartBroker();

            all.addAll(send(context, producer, 10, "after"));
            waitReceived(all, one, two);
            Suite.equal(union(one, two), all, "records that the group received");
            waitShared(one, two);
            one.leave();
            two.leave();
        }
        try (KafkaConsumer<byte[], byte[]> outside = outside(context)) {
            Suite.equal(outside.committed(early.keySet()), early, "offsets committed before the restart");
            Map<TopicPartition, OffsetAndMetadata> late = offsets(context, 11);
            outside.commitSync(late);
            Suite.equal(outside.committed(late.keySet()), late, "offsets committed after the restart");
        }
    }

    /** A consumer of another group, one without members. */
    private static KafkaConsumer<byte[], byte[]> outside(Suite.Context context) {
        return Main.consumer(context, "group.id", context.name + ".outside");
    }

    private static Map<TopicPartition, OffsetAndMetadata> offsets(Suite.Context context, long first) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (int partition = 0; partition < PARTITIONS; partition++) {
            offsets.put(new TopicPartition(context.name, partition), new OffsetAndMetadata(first + partition, "later"));
        }
        return offsets;
    }
}
