"""confluent-kafka, Confluent's Python client over librdkafka."""
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

import interchange

SILENCE_SECONDS = 30


def main() -> None:
    what, bootstrap, partition, jobs = interchange.command_line()
    if what == "consume":
        consume(bootstrap, partition or 0, jobs)
        return
    for job in jobs:
        produce(bootstrap, partition, job)


def produce(bootstrap: str, partition: int | None, job: interchange.Job) -> None:
    settings = {"bootstrap.servers": bootstrap}
    if job.codec != "default":
        settings["compression.type"] = job.codec
    producer = Producer(settings)
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(error)

    where = {} if partition is None else {"partition": partition}
    for record in interchange.read(job.input):
        while True:
            try:
                producer.produce(job.topic, record.value, record.key, headers=record.headers,
                                 timestamp=record.timestamp, on_delivery=delivered, **where)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(SILENCE_SECONDS)
    if left or failures:
        sys.exit(f"{job.topic}: {left} records without an answer, {len(failures)} refused: {failures[:1]}")


def consume(bootstrap: str, partition: int, jobs: list[interchange.Job]) -> None:
    """All topics at once: librdkafka waits half a second for each end of a partition, and the waits overlap."""
    # Without subscribe() the group is only a name: nothing joins and nothing is committed.
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                         "enable.partition.eof": True})
    consumer.assign([TopicPartition(job.topic, partition, OFFSET_BEGINNING) for job in jobs])
    counts = {job.topic: job.count for job in jobs}
    lines: dict[str, list[str]] = {job.topic: [] for job in jobs}
    unfinished, last = set(counts), time.monotonic()
    while unfinished:
        # consume() returns when it has as many as it is asked for, or at its time limit, whichever is first.
        for message in consumer.consume(1000, timeout=0.1):
            topic, last = message.topic(), time.monotonic()
            if message.error() is None:
                lines[topic].append(interchange.line(record_of(message)))
            elif message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(f"{topic}: {message.error()}")
            elif len(lines[topic]) >= counts[topic]:
                unfinished.discard(topic)
        if time.monotonic() > last + SILENCE_SECONDS:
            sys.exit("nothing more; read so far: " + ", ".join(f"{topic}: {len(lines[topic])}" for topic in unfinished))
    consumer.close()
    for job in jobs:
        interchange.write(job, lines[job.topic])


def record_of(message) -> interchange.Record:
    return interchange.Record(message.key(), message.value(), message.headers() or [], message.timestamp()[1],
                              message.partition())


main()
