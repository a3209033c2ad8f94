import java.io.IOException;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A member of a group: Java's consumer. What it says is told in ../python/member.py. */
public final class Member {
    private static final Map<String, String> ASSIGNORS = Map.of(
        "range", "org.apache.kafka.clients.consumer.RangeAssignor",
        "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
        "sticky", "org.apache.kafka.clients.consumer.StickyAssignor",
        "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    public static void main(String[] args) {
        Map<String, String> given = new HashMap<>();
        for (int i = 1; i + 1 < args.length; i += 2) {
            given.put(args[i], args[i + 1]);
        }
        CountDownLatch leaving = leaving();
        String topic = given.get("--topic");
        try (var consumer = new KafkaConsumer<>(settings(given), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            // What was read and is not committed: a refused commit is tried again while the partition stays, as it does in
            // a cooperative rebalance. Maybe nothing comes after it that would commit it along.
            Map<TopicPartition, OffsetAndMetadata> pending = new HashMap<>();
            consumer.subscribe(List.of(topic), new Listener(pending));
            while (leaving.getCount() > 0) {
                work(consumer, pending);
            }
        }
        say("\"left\":true");
    }

    private static Map<String, Object> settings(Map<String, String> given) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", given.get("--bootstrap"), "group.id",
            given.get("--group"), "auto.offset.reset", "earliest", "enable.auto.commit", false, "fetch.max.wait.ms", 100,
            "max.poll.records", 200, "metadata.max.age.ms", 1000));
        String protocol = given.get("--protocol");
        if (protocol.equals("consumer")) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.putAll(Map.of("partition.assignment.strategy", ASSIGNORS.get(protocol), "session.timeout.ms",
                Integer.valueOf(given.get("--session-ms")),
                "heartbeat.interval.ms", 500));
        }
        if (given.containsKey("--instance")) {
            settings.put("group.instance.id", given.get("--instance"));
        }
        return settings;
    }

    private static void work(KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, OffsetAndMetadata> pending) {
        var records = consumer.poll(Duration.ofMillis(100));
        for (TopicPartition partition : records.partitions()) {
            var read = records.records(partition);
            long first = read.get(0).offset();
            long last = read.get(read.size() - 1).offset();
            say("\"read\":[" + partition.partition() + "," + first + "," + last + "]");
            pending.put(partition, new OffsetAndMetadata(last + 1));
        }
        if (pending.isEmpty()) {
            return;
        }
        try {
            consumer.commitSync(pending);
            pending.forEach((partition, offset) ->
                say("\"committed\":[" + partition.partition() + "," + offset.offset() + "]"));
            pending.clear();
        } catch (KafkaException error) {
            say("\"refused\":\"" + error.getClass().getSimpleName() + "\"");
        }
    }

    static CountDownLatch leaving() {
        CountDownLatch latch = new CountDownLatch(1);
        Thread watch = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (IOException gone) {
                // The same as the end.
            }
            latch.countDown();
        });
        watch.setDaemon(true);
        watch.start();
        return latch;
    }

    static void say(String event) {
        System.out.println("{" + event + ",\"at\":" + System.currentTimeMillis() + "}");
        System.out.flush();
    }

    private static final class Listener implements ConsumerRebalanceListener {
        private final TreeSet<Integer> owned = new TreeSet<>();
        private final Map<TopicPartition, OffsetAndMetadata> pending;

        Listener(Map<TopicPartition, OffsetAndMetadata> pending) {
            this.pending = pending;
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> owned.add(partition.partition()));
            tell();
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> owned.remove(partition.partition()));
            pending.keySet().removeAll(partitions);
            tell();
        }

        private void tell() {
            say(owned.stream().map(String::valueOf).collect(Collectors.joining(",", "\"owns\":[", "]")));
        }
    }

    private Member() {}
}
