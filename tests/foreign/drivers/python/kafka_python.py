"""kafka-python, the client in pure Python."""
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

import interchange

SILENCE_SECONDS = 30


def main() -> None:
    what, bootstrap, partition, jobs = interchange.command_line()
    for job in jobs:
        if what == "produce":
            produce(bootstrap, partition, job)
        else:
            consume(bootstrap, partition or 0, job)


def produce(bootstrap: str, partition: int | None, job: interchange.Job) -> None:
    settings = {} if job.codec in ("default", "none") else {"compression_type": job.codec}
    producer = KafkaProducer(bootstrap_servers=bootstrap, **settings)
    # It refuses a header without a value: "All headers items must be (str, bytes) tuples".
    sent = [producer.send(job.topic, record.value, record.key, [(name, value or b"") for name, value in record.headers],
                          partition, record.timestamp)
            for record in interchange.read(job.input)]
    producer.flush(SILENCE_SECONDS)
    for future in sent:
        future.get(0)
    producer.close()


def consume(bootstrap: str, partition: int, job: interchange.Job) -> None:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=SILENCE_SECONDS * 1000)
    where = TopicPartition(job.topic, partition)
    consumer.assign([where])
    consumer.seek_to_beginning(where)
    seen = 0
    with open(job.output, "w", encoding="utf-8", newline="\n") as output:
        for message in consumer:
            output.write(interchange.line(interchange.Record(
                message.key, message.value, list(message.headers), message.timestamp, message.partition)))
            seen += 1
            if seen == job.count:
                break
    end = consumer.end_offsets([where])[where]
    consumer.close(autocommit=False)
    if seen != job.count or end != job.count:
        sys.exit(f"{job.topic}: {seen} records read and end offset {end}, expected {job.count}")


main()
