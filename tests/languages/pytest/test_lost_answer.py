"""The answer of a Produce is lost: an idempotent producer asks again, and the record is written once."""
import pytest
from confluent_kafka import Producer


def test_a_record_whose_answer_is_lost_is_written_once(kafka):
    lost = kafka.post("/accidents", {"kind": "lose_produce_answer", "topic": "orders"})["fault"]
    producer = Producer({
        "bootstrap.servers": kafka.bootstrap_servers,
        "enable.idempotence": True,
        "retry.backoff.ms": 1,
        "reconnect.backoff.ms": 1,
    })
    delivered = []
    producer.produce("orders", b"paid", on_delivery=lambda error, message: delivered.append((error, message.offset())))
    assert producer.flush(30) == 0
    assert delivered == [(None, 0)]
    assert kafka.post(f"/faults/{lost['id']}/wait")["hits"] == 1
    assert [record["value"] for record in kafka.get("/topics/orders/partitions/0/records")] == ["paid"]
    writes = kafka.get("/journal?api=Produce")["entries"]
    assert [write["decision"] for write in writes] == ["closed", "answered"]


def test_a_fault_that_never_fires_is_an_error(kafka):
    lost = kafka.post("/accidents", {"kind": "lose_produce_answer", "topic": "orders"})["fault"]
    with pytest.raises(Exception, match="never fired: 0 requests were in its scope"):
        kafka.delete(f"/faults/{lost['id']}")
