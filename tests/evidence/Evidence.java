import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own clients as a witness: they make topics, write known records, and tell what records a topic holds.
 *
 * <pre>
 * Evidence create BOOTSTRAP TOPIC...            empty topics of one partition
 * Evidence write BOOTSTRAP TOPIC...             makes them and fills them; the name says with what, see write()
 * Evidence read BOOTSTRAP DIRECTORY TOPIC...    one file TOPIC.read per topic, a record a line, as line() has it
 * </pre>
 */
public final class Evidence {
    private static final List<String> CODECS = List.of("gzip", "snappy", "lz4", "zstd");
    private static final long TIME = 1_700_000_000_000L;
    private static final Duration SILENCE = Duration.ofSeconds(30);

    public static void main(String[] args) throws Exception {
        List<String> rest = Arrays.asList(args).subList(2, args.length);
        switch (args[0]) {
            case "create" -> create(args[1], rest);
            case "write" -> {
                create(args[1], rest);
                for (String topic : rest) {
                    write(args[1], topic);
                }
            }
            default -> {
                for (String topic : rest.subList(1, rest.size())) {
                    Files.writeString(Path.of(rest.get(0), topic + ".read"), read(args[1], topic));
                }
            }
        }
    }

    /** Topics whose name says `log-append-time` have that; `recompressed-CODEC` is compressed by the broker. */
    private static void create(String bootstrap, List<String> names) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            List<NewTopic> topics = new ArrayList<>();
            for (String name : names) {
                // The records are years old: Kafka would soon delete them, and begin a segment for the next of today.
                String never = String.valueOf(Long.MAX_VALUE);
                Map<String, String> configs = new HashMap<>(Map.of("retention.ms", "-1", "segment.ms", never));
                if (name.contains("log-append-time")) {
                    configs.put("message.timestamp.type", "LogAppendTime");
                }
                if (name.startsWith("recompressed-")) {
                    configs.put("compression.type", codec(name));
                }
                topics.add(new NewTopic(name, 1, (short) 1).configs(configs));
            }
            admin.createTopics(topics).all().get();
        }
    }

    /** The last word of the name is the codec, if it is one; `idempotent`, `transactional`, `timestamps` do as they say. */
    private static void write(String bootstrap, String topic) {
        boolean transactional = topic.contains("transactional");
        boolean idempotent = transactional || topic.contains("idempotent");
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", codec(topic));
        settings.put("enable.idempotence", idempotent);
        // What is sent between two flushes is one batch.
        settings.put("linger.ms", 60_000);
        if (transactional) {
            settings.put("transactional.id", topic);
        }
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            if (transactional) {
                producer.initTransactions();
                producer.beginTransaction();
            }
            (topic.contains("timestamps") ? timestamps(topic) : sample(topic)).forEach(producer::send);
            producer.flush();
            if (transactional) {
                producer.commitTransaction();
                producer.beginTransaction();
            }
            if (idempotent) {
                producer.send(record(topic, TIME + 10, "k", "the second batch"));
                producer.flush();
            }
            if (transactional) {
                producer.abortTransaction();
            }
        }
    }

    private static List<ProducerRecord<byte[], byte[]>> sample(String topic) {
        var headers = record(topic, TIME, "key", "value");
        headers.headers().add("a", bytes("1")).add("b", null).add("a", bytes("2")).add("\u00fc", bytes(""));
        var binary = record(topic, TIME + 3, "binary", "kafka ".repeat(50));
        binary.headers().add("bytes", new byte[] {0, 1, 127, -128, -1});
        return List.of(headers, record(topic, TIME + 1, null, null), record(topic, TIME + 2, "", ""), binary);
    }

    /** Old, older than the first of the batch, the oldest, and of another day. */
    private static List<ProducerRecord<byte[], byte[]>> timestamps(String topic) {
        var records = new ArrayList<ProducerRecord<byte[], byte[]>>();
        for (long time : new long[] {TIME, TIME - 1, 0, TIME + 86_400_000, 1}) {
            records.add(record(topic, time, null, String.valueOf(time)));
        }
        return records;
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, long time, String key, String value) {
        return new ProducerRecord<>(topic, 0, time, bytes(key), bytes(value));
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    private static String codec(String topic) {
        String word = topic.substring(topic.lastIndexOf('-') + 1);
        return CODECS.contains(word) ? word : "none";
    }

    private static String read(String bootstrap, String topic) throws IOException {
        var partition = new TopicPartition(topic, 0);
        var lines = new StringBuilder();
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap);
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            long deadline = System.nanoTime() + SILENCE.toNanos();
            while (consumer.position(partition) < end) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException(partition + ": at " + consumer.position(partition) + " of " + end);
                }
                for (var record : consumer.poll(Duration.ofMillis(500))) {
                    lines.append(line(record)).append('\n');
                }
            }
        }
        return lines.toString();
    }

    private static String line(ConsumerRecord<byte[], byte[]> record) {
        var headers = new ArrayList<String>();
        for (Header header : record.headers()) {
            headers.add(quoted(bytes(header.key())) + ": " + quoted(header.value()));
        }
        return "offset: %d timestamp: %d key: %s value: %s headers: [%s]".formatted(record.offset(), record.timestamp(),
            quoted(record.key()), quoted(record.value()), String.join(", ", headers));
    }

    /** Printable ASCII as it is, the rest as hex digits; null without quotes. */
    private static String quoted(byte[] bytes) {
        if (bytes == null) {
            return "null";
        }
        var text = new StringBuilder("\"");
        for (byte each : bytes) {
            if (each < ' ' || each == 127 || each == '"' || each == '\'' || each == '\\') {
                text.append("\\x%02x".formatted(each & 0xff));
            } else {
                text.append((char) each);
            }
        }
        return text.append('"').toString();
    }

    private Evidence() {}
}
