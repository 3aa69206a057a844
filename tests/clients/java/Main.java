import static java.util.Map.entry;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The client compatibility cases of Apache Kafka's own Java client, kafka-clients 4.2.0. */
final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Suite suite = new Suite("java");
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            suite.add("roundtrip_" + codec, context -> roundtrip(context, codec));
        }
        suite.add("without_idempotence", Main::withoutIdempotence);
        suite.add("bulk", Main::bulk);
        suite.add("seek_mid_batch", Main::seekMidBatch);
        suite.add("group_of_two", context -> Group.sharePartitions(context));
        suite.add("group_of_two_cooperative", context -> Group.sharePartitions(
            context, "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"));
        suite.add("static_members", Group::staticMembers);
        suite.add("restart", Group::surviveRestart);
        suite.add("commit_and_resume", Main::commitAndResume);
        suite.add("offsets_by_timestamp_none", context -> offsetsByTimestamp(context, "none"));
        suite.add("offsets_by_timestamp_lz4", context -> offsetsByTimestamp(context, "lz4"));
        suite.add("create_topic", Main::createTopic);
        suite.add("create_partitions", Main::createPartitions);
        suite.add("delete_topic", Main::deleteTopic);
        suite.add("describe", Main::describe);
        suite.add("record_too_large", Main::recordTooLarge);
        suite.add("compacted_topic_needs_keys", Main::compactedTopicNeedsKeys);
        suite.add("alter_settings", Administration::alterSettings);
        suite.add("administer_group", Administration::administerGroup);
        suite.add("delete_records", Administration::deleteRecords);
        suite.main(arguments);
    }

    /** The address and the given settings, as alternating names and values; all else is left to its default. */
    private static Map<String, Object> settings(Suite.Context context, Object... pairs) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", context.bootstrap));
        for (int i = 0; i < pairs.length; i += 2) {
            settings.put((String) pairs[i], pairs[i + 1]);
        }
        return settings;
    }

    static KafkaProducer<byte[], byte[]> producer(Suite.Context context, Object... pairs) {
        return new KafkaProducer<>(settings(context, pairs), new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(Suite.Context context, Object... pairs) {
        return new KafkaConsumer<>(settings(context, pairs), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static Admin admin(Suite.Context context) {
        return Admin.create(settings(context));
    }

    static void create(Suite.Context context, int partitions, Map<String, String> configs) throws Exception {
        try (Admin admin = admin(context)) {
            admin.createTopics(List.of(new NewTopic(context.name, partitions, (short) 1).configs(configs))).all().get();
            Suite.waitUntil("metadata of the new topic", () -> partitionCount(admin, context.name) == partitions);
        }
    }

    private static int partitionCount(Admin admin, String topic) {
        try {
            return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
        } catch (ExecutionException | InterruptedException e) {
            return 0;
        }
    }

    /** The type of error that a result carries. */
    static Class<?> failure(Future<?> result) throws InterruptedException {
        try {
            result.get();
        } catch (ExecutionException e) {
            return e.getCause().getClass();
        }
        return null;
    }

    /** Sends records in one go; they must get consecutive offsets from `first` on. */
    private static void sendAll(
        KafkaProducer<byte[], byte[]> producer, long first, List<ProducerRecord<byte[], byte[]>> records) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (ProducerRecord<byte[], byte[]> record : records) {
            sent.add(producer.send(record));
        }
        producer.flush();
        for (int i = 0; i < sent.size(); i++) {
            Suite.equal(sent.get(i).get().offset(), first + i, "acknowledged offset");
        }
    }

    private static List<ProducerRecord<byte[], byte[]>> values(Suite.Context context, int partition, int count) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            records.add(new ProducerRecord<>(context.name, partition, null, Corpus.bytes("v" + i)));
        }
        return records;
    }

    private static List<ConsumerRecord<byte[], byte[]>> read(KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> received = new ArrayList<>();
        long end = System.nanoTime() + Suite.PATIENCE_MS * 1_000_000;
        while (received.size() < count) {
            if (System.nanoTime() > end) {
                throw new AssertionError("timed out with " + received.size() + " of " + count + " records");
            }
            consumer.poll(Duration.ofMillis(500)).forEach(received::add);
        }
        Suite.equal(received.size(), count, "count of records");
        return received;
    }

    private static void roundtrip(Suite.Context context, String codec) throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = Corpus.records(context.name);
        try (var producer = producer(context, "compression.type", codec)) {
            sendAll(producer, 0, records);
        }
        try (var consumer = consumer(context, "auto.offset.reset", "earliest")) {
            consumer.assign(List.of(new TopicPartition(context.name, 0)));
            Corpus.same(read(consumer, records.size()), records);
        }
    }

    /** By default this client is an idempotent producer, so this case is about the other kind. */
    private static void withoutIdempotence(Suite.Context context) throws Exception {
        create(context, 1, Map.of());
        try (var producer = producer(context, "enable.idempotence", false, "acks", "1")) {
            sendAll(producer, 0, values(context, 0, 3000));
        }
        try (var consumer = consumer(context, "auto.offset.reset", "earliest")) {
            consumer.assign(List.of(new TopicPartition(context.name, 0)));
            List<ConsumerRecord<byte[], byte[]>> received = read(consumer, 3000);
            for (int i = 0; i < 3000; i++) {
                Suite.equal(new String(received.get(i).value()), "v" + i, "value");
            }
        }
    }

    /** More than any single fetch brings, over several partitions, with records as large as the default allows. */
    private static void bulk(Suite.Context context) throws Exception {
        create(context, 3, Map.of());
        try (var producer = producer(context, "linger.ms", 20)) {
            for (int partition = 0; partition < 3; partition++) {
                List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
                for (int i = 0; i < 1502; i++) {
                    records.add(new ProducerRecord<>(context.name, partition, null, bulkValue(partition, i)));
                }
                sendAll(producer, 0, records);
            }
        }
        try (var consumer = consumer(context, "auto.offset.reset", "earliest")) {
            consumer.assign(List.of(
                new TopicPartition(context.name, 0), new TopicPartition(context.name, 1), new TopicPartition(context.name, 2)));
            int[] next = new int[3];
            for (ConsumerRecord<byte[], byte[]> record : read(consumer, 3 * 1502)) {
                int i = next[record.partition()]++;
                Suite.equal(record.offset(), (long) i, "offset");
                Suite.equal(record.value(), bulkValue(record.partition(), i), "value at offset " + i);
            }
        }
    }

    private static byte[] bulkValue(int partition, int i) {
        return Corpus.noise(partition * 10_000L + i, i < 1500 ? 1000 : 900_000);
    }

    private static void seekMidBatch(Suite.Context context) throws Exception {
        create(context, 1, Map.of());
        try (var producer = producer(context, "linger.ms", 500)) {
            sendAll(producer, 0, values(context, 0, 10));
        }
        try (var producer = producer(context, "linger.ms", 500, "compression.type", "zstd")) {
            sendAll(producer, 10, values(context, 0, 10));
        }
        try (var consumer = consumer(context)) {
            TopicPartition partition = new TopicPartition(context.name, 0);
            consumer.assign(List.of(partition));
            for (int start : new int[] {5, 9, 10, 13, 19, 0}) {
                consumer.seek(partition, start);
                List<ConsumerRecord<byte[], byte[]>> received = read(consumer, 20 - start);
                for (int i = 0; i < received.size(); i++) {
                    Suite.equal(received.get(i).offset(), (long) start + i, "offset, from " + start);
                    Suite.equal(new String(received.get(i).value()), "v" + (start + i) % 10, "value, from " + start);
                }
            }
        }
    }

    private static void commitAndResume(Suite.Context context) throws Exception {
        create(context, 2, Map.of());
        TopicPartition zero = new TopicPartition(context.name, 0);
        TopicPartition one = new TopicPartition(context.name, 1);
        Object[] settings =
            {"group.id", context.name, "auto.offset.reset", "earliest", "enable.auto.commit", false};
        try (var producer = producer(context)) {
            sendAll(producer, 0, values(context, 0, 20));
            sendAll(producer, 0, values(context, 1, 20));
            var marked = Map.of(
                zero, new OffsetAndMetadata(7, Optional.of(0), "resume here \u2603"),
                one, new OffsetAndMetadata(13, Optional.empty(), ""));
            try (var first = consumer(context, settings)) {
                first.subscribe(List.of(context.name));
                read(first, 40);
                first.commitSync(marked);
            }
            try (var second = consumer(context, settings)) {
                second.subscribe(List.of(context.name));
                Suite.equal(second.committed(Set.of(zero, one)), marked, "committed offsets and metadata");
                long[] next = {7, 13};
                for (ConsumerRecord<byte[], byte[]> record : read(second, 20)) {
                    Suite.equal(record.offset(), next[record.partition()]++, "offset after the first restart");
                }
                second.commitSync();
            }
            sendAll(producer, 20, values(context, 0, 1));
            try (var third = consumer(context, settings)) {
                third.subscribe(List.of(context.name));
                ConsumerRecord<byte[], byte[]> last = read(third, 1).get(0);
                Suite.equal(List.of(last.partition(), last.offset()), List.of(0, 20L), "record after the second restart");
                Suite.equal(third.poll(Duration.ofMillis(500)).count(), 0, "records after that");
            }
        }
    }

    private static void offsetsByTimestamp(Suite.Context context, String codec) throws Exception {
        create(context, 1, Map.of());
        long base = System.currentTimeMillis() - 3_600_000;
        try (var producer = producer(context, "linger.ms", 500, "compression.type", codec)) {
            for (int batch = 0; batch < 2; batch++) {
                List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
                for (long at : Corpus.TIMELINE[batch]) {
                    records.add(new ProducerRecord<>(context.name, 0, base + at, null, Corpus.bytes("v")));
                }
                sendAll(producer, batch * 5L, records);
            }
        }
        TopicPartition partition = new TopicPartition(context.name, 0);
        try (var consumer = consumer(context)) {
            for (long[] query : Corpus.TIMELINE_QUERIES) {
                var found = consumer.offsetsForTimes(Map.of(partition, base + query[0])).get(partition);
                String what = "first record from " + query[0] + " on";
                Suite.equal(List.of(found.offset(), found.timestamp() - base), List.of(query[1], query[2]), what);
            }
            var after = consumer.offsetsForTimes(Map.of(partition, base + Corpus.TIMELINE_AFTER_THE_END));
            Suite.equal(after.get(partition), null, "record after the end");
            Suite.equal(consumer.beginningOffsets(List.of(partition)), Map.of(partition, 0L), "earliest");
            Suite.equal(consumer.endOffsets(List.of(partition)), Map.of(partition, 10L), "latest");
        }
        var specs = List.of(
            entry(OffsetSpec.earliest(), 0L),
            entry(OffsetSpec.latest(), 10L),
            entry(OffsetSpec.maxTimestamp(), 9L),
            entry(OffsetSpec.forTimestamp(base + 15), 1L));
        try (Admin admin = admin(context)) {
            for (var spec : specs) {
                for (IsolationLevel level : IsolationLevel.values()) {
                    var found = admin.listOffsets(Map.of(partition, spec.getKey()), new ListOffsetsOptions(level));
                    Suite.equal(found.partitionResult(partition).get().offset(), spec.getValue(), spec + " at " + level);
                }
            }
        }
    }

    private static void createTopic(Suite.Context context) throws Exception {
        String tried = context.name + ".tried";
        String defaults = context.name + ".defaults";
        create(context, 3, Map.of("cleanup.policy", "compact"));
        try (Admin admin = admin(context)) {
            var again = admin.createTopics(List.of(new NewTopic(context.name, 1, (short) 1))).all();
            Suite.equal(failure(plain(again)), TopicExistsException.class, "again");
            var trial = new CreateTopicsOptions().validateOnly(true);
            admin.createTopics(List.of(new NewTopic(tried, 1, (short) 1)), trial).all().get();
            var created = admin.createTopics(List.of(new NewTopic(defaults, Optional.empty(), Optional.empty())));
            Suite.equal(created.numPartitions(defaults).get() >= 1, true, "the answer has the partition count");
            Suite.equal(created.config(defaults).get().get("cleanup.policy").value(), "delete", "the answer has the config");
            Suite.waitUntil("the topics to be listed", () -> partitionCount(admin, defaults) >= 1);
            Set<String> names = admin.listTopics().names().get();
            Suite.equal(names.containsAll(Set.of(context.name, defaults)), true, "the topics are listed");
            Suite.equal(names.contains(tried), false, "a topic that was only tried");
        }
    }

    private static void createPartitions(Suite.Context context) throws Exception {
        create(context, 1, Map.of());
        try (Admin admin = admin(context); var producer = producer(context)) {
            admin.createPartitions(Map.of(context.name, NewPartitions.increaseTo(3))).all().get();
            Suite.waitUntil("three partitions", () -> partitionCount(admin, context.name) == 3);
            var fewer = admin.createPartitions(Map.of(context.name, NewPartitions.increaseTo(2))).all();
            Suite.equal(failure(plain(fewer)), InvalidPartitionsException.class, "fewer partitions");
            sendAll(producer, 0, values(context, 2, 2));
        }
    }

    static <T> Future<T> plain(KafkaFuture<T> future) {
        return future.toCompletionStage().toCompletableFuture();
    }

    private static void deleteTopic(Suite.Context context) throws Exception {
        create(context, 1, Map.of());
        try (Admin admin = admin(context)) {
            admin.deleteTopics(List.of(context.name)).all().get();
            Suite.waitUntil("the topic to be gone", () -> partitionCount(admin, context.name) == 0);
            var again = admin.deleteTopics(List.of(context.name)).all();
            Suite.equal(failure(plain(again)), UnknownTopicOrPartitionException.class, "a topic that is gone");
        }
    }

    private static void describe(Suite.Context context) throws Exception {
        create(context, 2, Map.of("cleanup.policy", "compact", "retention.ms", "86400000"));
        try (Admin admin = admin(context)) {
            var cluster = admin.describeCluster();
            Suite.equal(cluster.nodes().get().size(), 1, "count of brokers");
            Node node = cluster.nodes().get().iterator().next();
            Suite.equal(node.host() + ":" + node.port(), context.bootstrap, "address of the broker");
            Suite.equal(cluster.controller().get().id(), node.id(), "controller");
            Suite.equal(cluster.clusterId().get().isEmpty(), false, "the cluster id is empty");

            var topic = new ConfigResource(ConfigResource.Type.TOPIC, context.name);
            var broker = new ConfigResource(ConfigResource.Type.BROKER, node.idString());
            Map<ConfigResource, Config> described = admin.describeConfigs(List.of(topic, broker)).all().get();
            Config settings = described.get(topic);
            Suite.equal(settings.get("cleanup.policy").value(), "compact", "cleanup.policy");
            Suite.equal(settings.get("cleanup.policy").isDefault(), false, "cleanup.policy is the default");
            Suite.equal(settings.get("retention.ms").value(), "86400000", "retention.ms");
            Suite.equal(settings.get("compression.type").value(), "producer", "compression.type");
            Suite.equal(settings.get("compression.type").isDefault(), true, "compression.type is the default");
            for (String name : List.of("num.partitions", "default.replication.factor", "auto.create.topics.enable")) {
                Suite.equal(described.get(broker).get(name) == null, false, "broker lacks " + name);
            }
        }
    }

    private static void recordTooLarge(Suite.Context context) throws Exception {
        create(context, 1, Map.of("max.message.bytes", "2000"));
        try (var producer = producer(context)) {
            var big = new ProducerRecord<byte[], byte[]>(context.name, Corpus.noise(1, 5000));
            Suite.equal(failure(producer.send(big)), RecordTooLargeException.class, "a record above max.message.bytes");
            sendAll(producer, 0, values(context, 0, 1));
        }
    }

    private static void compactedTopicNeedsKeys(Suite.Context context) throws Exception {
        create(context, 1, Map.of("cleanup.policy", "compact"));
        try (var producer = producer(context)) {
            var keyless = new ProducerRecord<byte[], byte[]>(context.name, Corpus.bytes("v"));
            Suite.equal(failure(producer.send(keyless)), InvalidRecordException.class, "a record without key");
            sendAll(producer, 0, List.of(new ProducerRecord<>(context.name, Corpus.bytes("k"), Corpus.bytes("v"))));
        }
    }
}
