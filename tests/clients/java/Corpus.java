import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;

/** The records that the client sends and must get back byte for byte. */
final class Corpus {
    private Corpus() {}

    /** Records of every shape: keys, values and headers that are null, empty, binary, long, hard and easy to compress. */
    static List<ProducerRecord<byte[], byte[]>> records(String topic) {
        long base = System.currentTimeMillis() - 3_600_000;
        byte[] binary = new byte[256];
        for (int i = 0; i < binary.length; i++) {
            binary[i] = (byte) i;
        }
        List<List<Header>> headers = List.of(
            List.of(),
            List.of(new RecordHeader("trace", new byte[] {0, 1, -2, -1})),
            List.of(header("twice", "1"), header("twice", "2"), header("empty", "")),
            List.of(header("na\u00efve \u2603", "gr\u00fc\u00df"), new RecordHeader("null", (byte[]) null)));
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            byte[][] keys = {bytes("key-" + i), null, {}, binary, {0}};
            byte[][] values = {{}, binary, bytes("easy ".repeat(i * 40)), noise(i, 3000), null, bytes("v" + i)};
            // Not monotonic: a record may be older than the one before it.
            long timestamp = base + i * 1000L - i % 5 * 1700L;
            records.add(new ProducerRecord<>(
                topic, 0, timestamp, keys[i % keys.length], values[i % values.length], headers.get(i % headers.size())));
        }
        return records;
    }

    private static Header header(String key, String value) {
        return new RecordHeader(key, bytes(value));
    }

    static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }

    static byte[] noise(long seed, int length) {
        byte[] bytes = new byte[length];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    /** Fails the case unless all that was sent came back, from offset 0 on. */
    static void same(List<ConsumerRecord<byte[], byte[]>> received, List<ProducerRecord<byte[], byte[]>> sent) {
        Suite.equal(received.size(), sent.size(), "count of records");
        for (int i = 0; i < sent.size(); i++) {
            ConsumerRecord<byte[], byte[]> actual = received.get(i);
            ProducerRecord<byte[], byte[]> expected = sent.get(i);
            String at = " at offset " + i;
            Suite.equal(actual.offset(), (long) i, "offset");
            Suite.equal(actual.timestamp(), expected.timestamp(), "timestamp" + at);
            Suite.equal(actual.timestampType(), TimestampType.CREATE_TIME, "kind of timestamp" + at);
            Suite.equal(actual.key(), expected.key(), "key" + at);
            Suite.equal(actual.value(), expected.value(), "value" + at);
            Suite.equal(List.of(actual.headers().toArray()), List.of(expected.headers().toArray()), "headers" + at);
        }
    }

    /** Two batches of records, by their timestamps relative to a base. In the first they are out of order. */
    static final long[][] TIMELINE = {{0, 50, 20, 30, 40}, {1000, 1010, 1020, 1030, 1040}};

    /** For a timestamp asked for: the offset and the timestamp of the first record at or after it. */
    static final long[][] TIMELINE_QUERIES =
        {{-1, 0, 0}, {0, 0, 0}, {1, 1, 50}, {15, 1, 50}, {51, 5, 1000}, {1015, 7, 1020}, {1040, 9, 1040}};

    static final long TIMELINE_AFTER_THE_END = 1041;
}
