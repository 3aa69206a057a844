import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.RecordTooLargeException;

/** What administrators do to topics and groups that exist. */
final class Administration {
    private Administration() {}

    private static AlterConfigOp op(String name, String value, OpType type) {
        return new AlterConfigOp(new ConfigEntry(name, value), type);
    }

    private static String setting(Admin admin, ConfigResource topic, String name) {
        try {
            return admin.describeConfigs(List.of(topic)).all().get().get(topic).get(name).value();
        } catch (ExecutionException | InterruptedException e) {
            return e.toString();
        }
    }

    static void alterSettings(Suite.Context context) throws Exception {
        Main.create(context, 1, Map.of("retention.ms", "86400000"));
        var topic = new ConfigResource(ConfigResource.Type.TOPIC, context.name);
        try (Admin admin = Main.admin(context); var producer = Main.producer(context)) {
            var ops = List.of(
                op("max.message.bytes", "2000", OpType.SET),
                op("retention.ms", "", OpType.DELETE),
                op("cleanup.policy", "compact", OpType.APPEND));
            admin.incrementalAlterConfigs(Map.of(topic, ops)).all().get();
            Suite.waitUntil("the setting", () -> setting(admin, topic, "max.message.bytes").equals("2000"));
            Suite.equal(setting(admin, topic, "retention.ms"), "604800000", "back at its default");
            Suite.equal(Set.of(setting(admin, topic, "cleanup.policy").split(",")), Set.of("delete", "compact"), "the list");
            var big = new ProducerRecord<>(context.name, new byte[] {1}, Corpus.noise(1, 5000));
            Suite.equal(Main.failure(producer.send(big)), RecordTooLargeException.class, "it counts from now on");
            var wrong = admin.incrementalAlterConfigs(Map.of(topic, List.of(op("retention.ms", "soon", OpType.SET)))).all();
            Suite.equal(Main.failure(Main.plain(wrong)), InvalidConfigurationException.class, "a word for a number");
        }
    }

    static void administerGroup(Suite.Context context) throws Exception {
        Main.create(context, 1, Map.of());
        String group = context.name;
        var partition = new TopicPartition(context.name, 0);
        try (Admin admin = Main.admin(context)) {
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(7, "note"))).all().get();
            var committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            Suite.equal(committed, Map.of(partition, new OffsetAndMetadata(7, "note")), "what was altered");
            var listed = admin.listGroups().all().get().stream().filter(one -> one.groupId().equals(group));
            Suite.equal(listed.count(), 1L, "the group is listed");
            admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
            committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            Suite.equal(committed.get(partition), null, "the offset that is deleted");
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(8))).all().get();
            admin.deleteConsumerGroups(List.of(group)).all().get();
            committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            Suite.equal(committed.get(partition), null, "an offset of a group that is deleted");
        }
    }

    static void deleteRecords(Suite.Context context) throws Exception {
        Main.create(context, 1, Map.of());
        var partition = new TopicPartition(context.name, 0);
        try (Admin admin = Main.admin(context);
                var producer = Main.producer(context);
                var consumer = Main.consumer(context)) {
            for (int i = 0; i < 10; i++) {
                producer.send(new ProducerRecord<>(context.name, new byte[] {(byte) i}));
            }
            producer.flush();
            var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4)));
            Suite.equal(deleted.lowWatermarks().get(partition).get().lowWatermark(), 4L, "the new start");
            Suite.equal(consumer.beginningOffsets(List.of(partition)), Map.of(partition, 4L), "earliest");
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            var first = consumer.poll(java.time.Duration.ofSeconds(10)).iterator().next();
            Suite.equal(first.offset(), 4L, "offset of the first record");
            Suite.equal(first.value()[0], (byte) 4, "the first record");
        }
    }
}
