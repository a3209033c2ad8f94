import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own Java clients, byte for byte, which the console tools are not. */
public final class Drive {
    private static final Duration SILENCE = Duration.ofSeconds(30);
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        Map<String, List<String>> given = new HashMap<>();
        for (int i = 1; i + 1 < args.length; i += 2) {
            given.computeIfAbsent(args[i], name -> new ArrayList<>()).add(args[i + 1]);
        }
        String bootstrap = given.get("--bootstrap").get(0);
        Integer partition = given.containsKey("--partition") ? Integer.valueOf(given.get("--partition").get(0)) : null;
        List<String> topics = given.get("--topic");
        for (int i = 0; i < topics.size(); i++) {
            if (args[0].equals("produce")) {
                produce(bootstrap, partition, topics.get(i), given.get("--codec").get(i), given.get("--input").get(i));
            } else {
                consume(bootstrap, new TopicPartition(topics.get(i), partition == null ? 0 : partition),
                    Long.parseLong(given.get("--count").get(i)), given.get("--output").get(i));
            }
        }
    }

    private static void produce(String bootstrap, Integer partition, String topic, String codec, String input)
        throws Exception {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", bootstrap));
        if (!codec.equals("default")) {
            settings.put("compression.type", codec);
        }
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
             var lines = Files.newBufferedReader(Path.of(input))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                JsonNode fields = JSON.readTree(line);
                var record = new ProducerRecord<>(topic, partition, fields.get("timestamp").longValue(),
                    unpack(fields.get("key")), unpack(fields.get("value")));
                for (JsonNode header : fields.get("headers")) {
                    record.headers().add(header.get(0).textValue(), unpack(header.get(1)));
                }
                sent.add(producer.send(record));
            }
        }
        for (var answer : sent) {
            answer.get();
        }
    }

    private static void consume(String bootstrap, TopicPartition partition, long count, String output)
        throws IOException {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap);
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
             var lines = Files.newBufferedWriter(Path.of(output))) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long seen = 0;
            while (seen < count) {
                var records = consumer.poll(SILENCE);
                if (records.isEmpty()) {
                    throw new IllegalStateException(partition + ": nothing more after " + seen + " of " + count);
                }
                for (var record : records) {
                    write(lines, record);
                    seen++;
                }
            }
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            if (seen != count || end != count) {
                throw new IllegalStateException(partition + ": " + seen + " records, end offset " + end + ", expected " + count);
            }
        }
    }

    private static void write(BufferedWriter lines, ConsumerRecord<byte[], byte[]> record) throws IOException {
        ObjectNode fields = JSON.createObjectNode();
        fields.put("key", record.key());
        fields.put("value", record.value());
        ArrayNode headers = fields.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(header.value());
        }
        fields.put("timestamp", record.timestamp());
        fields.put("partition", record.partition());
        lines.write(JSON.writeValueAsString(fields));
        lines.write('\n');
    }

    private static byte[] unpack(JsonNode text) throws IOException {
        return text.isNull() ? null : text.binaryValue();
    }

    private Drive() {}
}
