import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;

/**
 * Kafka Streams' first program, exactly once: lines in, each word's count out, one record for every time it is seen.
 *
 * <p>Grouping by word makes Streams create a repartition topic and, for its RocksDB store, a changelog; an instance that comes
 * back after SIGKILL drops its store and reads it from there. Says when it runs; closes when its stdin ends.
 */
public final class WordCount {
    public static void main(String[] args) throws Exception {
        Map<String, String> given = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            given.put(args[i], args[i + 1]);
        }
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, given.get("--application"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("--bootstrap"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, given.get("--state"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        // Without a cache every update of a count goes out, so that one too many or too few is seen.
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 6_000);

        StreamsBuilder topology = new StreamsBuilder();
        topology.<String, String>stream(given.get("--input"))
            .flatMapValues(line -> Arrays.asList(line.split("[^A-Za-z]+")))
            .filter((key, word) -> !word.isEmpty())
            .groupBy((key, word) -> word.toLowerCase(Locale.ROOT))
            .count()
            .toStream()
            .mapValues(String::valueOf)
            .to(given.get("--output"));

        try (KafkaStreams streams = new KafkaStreams(topology.build(), settings)) {
            streams.setStateListener((now, before) -> say("state", now.name()));
            streams.setUncaughtExceptionHandler(error -> {
                say("error", String.valueOf(error).replace('"', '\''));
                return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            while (System.in.read() >= 0) {
                continue;
            }
            say("closed", String.valueOf(streams.close(Duration.ofSeconds(30))));
        }
    }

    private static synchronized void say(String what, String value) {
        System.out.println("{\"" + what + "\":\"" + value + "\"}");
        System.out.flush();
    }
}
