// Runs Kafka's own command-line tools one after the other in one JVM, each with its output between marks.
//
// java Tools.java BOOTSTRAP < PROGRAM. A line of the program is a command:
//   TOOL ARGUMENT...              runs the tool with --bootstrap-server BOOTSTRAP besides
//   until PATTERN | TOOL ...      runs it until its output has PATTERN (a regular expression); a tool that never says it fails
//   write TOPIC COUNT             COUNT records to partition 0 of the topic
//   member NAME GROUP TOPIC       a consumer that joins the group, reads and commits all there is, and stays
//   leave NAME                    ends it
//   transaction ID TOPIC END      a transactional producer writes two records to partition 0; END is commit, abort, or open, which
//                                 leaves the transaction as it is
//   file NAME TEXT                a file that later commands name as @NAME
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Scanner;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.utils.Exit;

public class Tools {
    static final Map<String, String> CLASSES = Map.ofEntries(
        Map.entry("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
        Map.entry("kafka-configs", "kafka.admin.ConfigCommand"),
        Map.entry("kafka-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
        Map.entry("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
        Map.entry("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
        Map.entry("kafka-leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
        Map.entry("kafka-reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
        Map.entry("kafka-features", "org.apache.kafka.tools.FeatureCommand"),
        Map.entry("kafka-metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand"),
        Map.entry("kafka-transactions", "org.apache.kafka.tools.TransactionsCommand"),
        Map.entry("kafka-consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"));
    static final long PATIENCE_NANOS = Duration.ofSeconds(20).toNanos();
    static final long BETWEEN_TRIES_MS = 50;
    static final PrintStream OUT = System.out;

    /** Thrown where a tool would end the JVM. */
    static final class Ended extends RuntimeException {
        final int code;
        Ended(int code) { this.code = code; }
    }

    static String bootstrap;
    static final Map<String, Path> files = new HashMap<>();
    static final Map<String, Member> members = new HashMap<>();
    static final List<KafkaProducer<String, String>> open = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        Exit.setExitProcedure((code, message) -> { throw new Ended(code); });
        Exit.setHaltProcedure((code, message) -> { throw new Ended(code); });
        try (Scanner program = new Scanner(System.in, StandardCharsets.UTF_8)) {
            while (program.hasNextLine()) {
                String line = program.nextLine().strip();
                if (!line.isEmpty() && !line.startsWith("#")) {
                    OUT.println("=== " + line);
                    step(line);
                    OUT.flush();
                }
            }
        }
        System.exit(0);
    }

    static void step(String line) throws Exception {
        String[] words = line.split(" +");
        switch (words[0]) {
            case "write" -> write(words[1], Integer.parseInt(words[2]));
            case "member" -> members.put(words[1], new Member(words[1], words[2], words[3]));
            case "leave" -> members.remove(words[1]).leave();
            case "transaction" -> transaction(words[1], words[2], words[3]);
            case "file" -> {
                Path path = Files.createTempFile("tools-", ".json");
                path.toFile().deleteOnExit();
                Files.writeString(path, line.split(" +", 3)[2]);
                files.put("@" + words[1], path);
            }
            case "until" -> {
                int bar = line.indexOf(" | ");
                Pattern pattern = Pattern.compile(line.substring("until ".length(), bar));
                long end = System.nanoTime() + PATIENCE_NANOS;
                String said;
                while (true) {
                    said = tool(line.substring(bar + 3).split(" +"));
                    if (pattern.matcher(said).find() || System.nanoTime() > end) {
                        break;
                    }
                    // Some tools leave their connections open when they end.
                    Thread.sleep(BETWEEN_TRIES_MS);
                }
                OUT.print(said);
                if (!pattern.matcher(said).find()) {
                    OUT.println("--- never says " + pattern);
                }
            }
            default -> OUT.print(tool(words));
        }
    }

    /** What the tool says on both of its streams, and how it ends. */
    static String tool(String[] words) throws Exception {
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        PrintStream both = new PrintStream(said, true, StandardCharsets.UTF_8);
        List<String> arguments = new ArrayList<>(List.of("--bootstrap-server", bootstrap));
        for (String word : Arrays.asList(words).subList(1, words.length)) {
            arguments.add(files.containsKey(word) ? files.get(word).toString() : word);
        }
        PrintStream error = System.err;
        System.setOut(both);
        System.setErr(both);
        int code = 0;
        try {
            Class.forName(CLASSES.get(words[0])).getMethod("main", String[].class)
                .invoke(null, (Object) arguments.toArray(String[]::new));
        } catch (java.lang.reflect.InvocationTargetException thrown) {
            if (thrown.getCause() instanceof Ended ended) {
                code = ended.code;
            } else {
                both.println("throws " + thrown.getCause());
                code = -1;
            }
        } finally {
            System.setOut(OUT);
            System.setErr(error);
        }
        String text = said.toString(StandardCharsets.UTF_8);
        return text + (text.isEmpty() || text.endsWith("\n") ? "" : "\n") + "--- ends with " + code + "\n";
    }

    static Properties properties() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        for (String name : List.of("key", "value")) {
            properties.put(name + ".serializer", "org.apache.kafka.common.serialization.StringSerializer");
            properties.put(name + ".deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        }
        return properties;
    }

    static void write(String topic, int count) throws Exception {
        try (var producer = new KafkaProducer<String, String>(properties())) {
            for (int index = 0; index < count; index++) {
                producer.send(new ProducerRecord<>(topic, 0, "key", "value " + index)).get();
            }
        }
    }

    static void transaction(String id, String topic, String end) throws Exception {
        Properties properties = properties();
        properties.put("transactional.id", id);
        var producer = new KafkaProducer<String, String>(properties);
        producer.initTransactions();
        producer.beginTransaction();
        for (int index = 0; index < 2; index++) {
            producer.send(new ProducerRecord<>(topic, 0, "key", id + " " + index)).get();
        }
        switch (end) {
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            default -> {
                // To close it would abort; it ends with the JVM.
                open.add(producer);
                return;
            }
        }
        producer.close();
    }

    /** A consumer on a thread of its own. */
    static final class Member {
        final KafkaConsumer<String, String> consumer;
        final Thread thread;

        Member(String name, String group, String topic) throws Exception {
            Properties properties = properties();
            properties.put("group.id", group);
            properties.put("client.id", name);
            properties.put("auto.offset.reset", "earliest");
            properties.put("enable.auto.commit", "false");
            consumer = new KafkaConsumer<>(properties);
            consumer.subscribe(List.of(topic));
            CountDownLatch committed = new CountDownLatch(1);
            thread = new Thread(() -> {
                try {
                    while (true) {
                        if (!consumer.poll(Duration.ofMillis(100)).isEmpty()) {
                            // A partition without records has a position a moment later; then it is committed as well.
                            consumer.assignment().forEach(consumer::position);
                            consumer.commitSync();
                            committed.countDown();
                        }
                    }
                } catch (WakeupException leaves) {
                    consumer.close();
                }
            });
            thread.setDaemon(true);
            thread.start();
            if (!committed.await(PATIENCE_NANOS, java.util.concurrent.TimeUnit.NANOSECONDS)) {
                OUT.println("member " + name + " read nothing");
            }
        }

        void leave() throws Exception {
            consumer.wakeup();
            thread.join();
        }
    }
}
