import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** The answer of EndTxn is lost: the producer asks again with the same decision, and the transaction is committed once. */
class LostCommitTest {
    @RegisterExtension
    final Mockbroker kafka = new Mockbroker("""
        {"topics": [{"name": "orders", "partitions": 1}]}""");

    @Test
    void aCommitWhoseAnswerIsLostIsCommittedOnce() throws Exception {
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", kafka.bootstrapServers(),
            "transactional.id", "payments-1",
            "retry.backoff.ms", 1,
            "reconnect.backoff.ms", 1);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>("orders", "paid")).get();
            JsonNode lost = kafka.post("/accidents", """
                {"kind": "lose_commit_answers", "transactional_id": "payments-1"}""").get("fault");

            CompletableFuture<Void> commit = CompletableFuture.runAsync(producer::commitTransaction);
            kafka.post("/faults/" + lost.get("id") + "/wait", "");
            kafka.delete("/faults/" + lost.get("id"));
            commit.get(30, TimeUnit.SECONDS);
        }
        kafka.post("/transactions/payments-1/wait", """
            {"state": "CompleteCommit"}""");
        List<String> log = new ArrayList<>();
        for (JsonNode record : kafka.get("/topics/orders/partitions/0/records")) {
            log.add(record.get("marker").isNull() ? record.get("value").asText() : record.get("marker").asText());
        }
        assertEquals(List.of("paid", "commit"), log);
    }
}
