"""The input and the judge of a word count: writes lines, and reads what became of them.

`write` makes the topic unless it is there, and writes lines FROM to TO of a file, round robin over its partitions. `judge` reads
the counts, committed ones only, until each word's last count is right; any count that does not follow the one before it, one too
many or a second time, ends it at once. It prints how many counts it has read.
"""
import argparse
import collections
import json
import pathlib
import re
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
PATIENCE_SECONDS = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["write", "judge"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--lines", required=True, type=pathlib.Path)
    parser.add_argument("--from", dest="begin", type=int, default=0)
    parser.add_argument("--to", dest="end", type=int)
    given = parser.parse_args()
    lines = given.lines.read_bytes().split(b"\n")[given.begin:given.end]
    print(json.dumps(write(given, lines) if given.what == "write" else judge(given, lines)), flush=True)


def write(given: argparse.Namespace, lines: list[bytes]) -> dict[str, int]:
    admin = AdminClient({"bootstrap.servers": given.bootstrap})
    try:
        admin.create_topics([NewTopic(given.topic, num_partitions=PARTITIONS, replication_factor=1)])[given.topic].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    producer = Producer({"bootstrap.servers": given.bootstrap})

    def delivered(error, _message) -> None:
        if error is not None:
            sys.exit(f"a line was refused: {error}")

    for number, line in enumerate(lines):
        producer.produce(given.topic, line, partition=number % PARTITIONS, on_delivery=delivered)
        producer.poll(0)
    if left := producer.flush(30):
        sys.exit(f"{left} lines without an answer")
    return {"written": len(lines)}


def judge(given: argparse.Namespace, lines: list[bytes]) -> dict[str, int]:
    expected = collections.Counter(word for line in lines for word in re.findall("[a-z]+", line.decode(errors="replace").translate(LOWER)))
    consumer = Consumer({"bootstrap.servers": given.bootstrap, "group.id": "judge", "enable.auto.commit": False,
                         "isolation.level": "read_committed"})
    partitions = consumer.list_topics(given.topic, timeout=10).topics[given.topic].partitions
    consumer.assign([TopicPartition(given.topic, each, OFFSET_BEGINNING) for each in partitions])
    seen: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + PATIENCE_SECONDS
    while seen != expected:
        if time.monotonic() > end:
            sys.exit(f"{sum(seen.values())} of {sum(expected.values())} counts after {PATIENCE_SECONDS} s; wrong: {wrong(expected, seen)}")
        for message in consumer.consume(1000, 0.5):
            if message.error():
                sys.exit(str(message.error()))
            word, count = message.key().decode(), int(message.value())
            if count != seen[word] + 1 or count > expected[word]:
                sys.exit(f"count {count} of '{word}' after {seen[word]}; there are {expected[word]}")
            seen[word] = count
    consumer.close()
    return {"counts": sum(seen.values()), "words": len(seen)}


# ASCII only, as the program splits.
LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def wrong(expected: collections.Counter[str], seen: collections.Counter[str]) -> dict[str, tuple[int, int]]:
    """The first few words whose count is not right: what it is and what it was to be."""
    words = [word for word in expected | seen if seen[word] != expected[word]]
    return {word: (seen[word], expected[word]) for word in words[:5]}


if __name__ == "__main__":
    main()
