import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.OutOfOrderSequenceException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Consume, transform, produce, exactly once: Java's clients. What it does is told in ../python/confluent_transact.py. */
public final class Transact {
    private static final Random RANDOM = new Random();

    public static void main(String[] args) {
        Map<String, String> given = new HashMap<>();
        for (int i = 1; i + 1 < args.length; i += 2) {
            given.put(args[i], args[i + 1]);
        }
        Map<String, Object> reading = new HashMap<>(Map.of("bootstrap.servers", given.get("--bootstrap"), "group.id",
            given.get("--group"), "auto.offset.reset", "earliest", "enable.auto.commit", false, "fetch.max.wait.ms", 100,
            "max.poll.records", 500, "isolation.level", "read_committed", "partition.assignment.strategy",
            "org.apache.kafka.clients.consumer.RangeAssignor", "heartbeat.interval.ms", 500));
        reading.put("session.timeout.ms", Integer.valueOf(given.get("--session-ms")));
        Map<String, Object> writing = Map.of("bootstrap.servers", given.get("--bootstrap"), "transactional.id",
            given.get("--instance"), "transaction.timeout.ms", 20_000);
        CountDownLatch leaving = Member.leaving();
        try (var producer = new KafkaProducer<>(writing, new ByteArraySerializer(), new ByteArraySerializer());
             var consumer = new KafkaConsumer<>(reading, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            producer.initTransactions();
            consumer.subscribe(List.of(given.get("--topic")));
            while (leaving.getCount() > 0) {
                var records = consumer.poll(Duration.ofMillis(100));
                if (!records.isEmpty() && !transacted(consumer, producer, given.get("--output"), records)) {
                    rewind(consumer);
                }
            }
        }
        Member.say("\"left\":true");
    }

    /** Whether what was read has gone through. An error that no abort can mend ends the process. */
    private static boolean transacted(KafkaConsumer<byte[], byte[]> consumer, KafkaProducer<byte[], byte[]> producer,
                                      String output, ConsumerRecords<byte[], byte[]> records) {
        try {
            producer.beginTransaction();
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            for (TopicPartition partition : records.partitions()) {
                var read = records.records(partition);
                for (var record : read) {
                    producer.send(new ProducerRecord<>(output, partition.partition(), null, record.value()));
                }
                offsets.put(partition, new OffsetAndMetadata(read.get(read.size() - 1).offset() + 1));
            }
            producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
            if (RANDOM.nextInt(10) == 0) {
                // What was not sent yet would not be written at all.
                producer.flush();
                producer.abortTransaction();
                Member.say("\"aborted\":" + records.count());
                return false;
            }
            producer.commitTransaction();
            Member.say("\"transacted\":" + records.count());
            return true;
        } catch (ProducerFencedException | OutOfOrderSequenceException | AuthorizationException fatal) {
            throw fatal;
        } catch (KafkaException error) {
            Member.say("\"refused\":\"" + error.getClass().getSimpleName() + "\"");
            producer.abortTransaction();
            return false;
        }
    }

    /** To what is committed: the records that were aborted come again. */
    private static void rewind(KafkaConsumer<byte[], byte[]> consumer) {
        consumer.committed(consumer.assignment()).forEach((partition, offset) ->
            consumer.seek(partition, offset == null ? 0 : offset.offset()));
    }

    private Transact() {}
}
