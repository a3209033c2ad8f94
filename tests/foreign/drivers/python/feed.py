"""Makes a topic and writes numbered records to it, round robin, until stdin ends; then says how many each partition got.

With `--count N` it writes so many at once. With `--read LEVEL` it tells how many records there are at that isolation
level, and how many different ones. With `--look GROUP` it tells what the broker says of a group instead: its state, its members, what it has committed. A
rebalance may still be on its way, so it looks until the group is at rest, stable or empty, with `--members` members.
"""
import argparse
import json
import threading
import sys
import time

from confluent_kafka import (OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, KafkaError, Producer,
                             TopicPartition)
from confluent_kafka.admin import AdminClient, NewTopic

PER_SECOND = 300
LOOK_SECONDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--count", type=int)
    parser.add_argument("--read", choices=["read_committed", "read_uncommitted"])
    parser.add_argument("--look")
    parser.add_argument("--members", type=int)
    given = parser.parse_args()
    admin = AdminClient({"bootstrap.servers": given.bootstrap})
    said = read(given) if given.read else look(admin, given) if given.look else feed(admin, given)
    print(json.dumps(said), flush=True)


def feed(admin: AdminClient, given: argparse.Namespace) -> dict[int, int]:
    new = NewTopic(given.topic, num_partitions=given.partitions, replication_factor=1)
    admin.create_topics([new])[given.topic].result()
    ends = dict.fromkeys(range(given.partitions), 0)

    def delivered(error, message) -> None:
        if error is not None:
            sys.exit(f"a record was refused: {error}")
        ends[message.partition()] = max(ends[message.partition()], message.offset() + 1)

    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    settings = {"bootstrap.servers": given.bootstrap, "queue.buffering.max.messages": 1_000_000}
    producer, count = Producer(settings), 0
    print(json.dumps({"topic": given.topic}), flush=True)
    while count < given.count if given.count is not None else not ended.is_set():
        producer.produce(given.topic, str(count), partition=count % given.partitions, on_delivery=delivered)
        producer.poll(0 if given.count is not None else 1 / PER_SECOND)
        count += 1
    if left := producer.flush(30):
        sys.exit(f"{left} records without an answer")
    return ends


def read(given: argparse.Namespace) -> dict[str, int]:
    consumer = Consumer({"bootstrap.servers": given.bootstrap, "group.id": "unused", "enable.auto.commit": False,
                         "enable.partition.eof": True, "isolation.level": given.read})
    consumer.assign([TopicPartition(given.topic, each, OFFSET_BEGINNING) for each in range(given.partitions)])
    values, ended = [], set()
    while len(ended) < given.partitions:
        for message in consumer.consume(1000, timeout=0.2):
            if message.error() is None:
                values.append(message.value())
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                sys.exit(str(message.error()))
    consumer.close()
    return {"records": len(values), "different": len(set(values))}


def look(admin: AdminClient, given: argparse.Namespace) -> dict:
    end = time.monotonic() + LOOK_SECONDS
    while True:
        group = admin.describe_consumer_groups([given.look])[given.look].result()
        at_rest = group.state.name == ("STABLE" if given.members else "EMPTY")
        if (at_rest and len(group.members) == given.members) or time.monotonic() > end:
            break
        time.sleep(0.1)
    wanted = ConsumerGroupTopicPartitions(given.look, [TopicPartition(given.topic, each) for each in range(given.partitions)])
    offsets = admin.list_consumer_group_offsets([wanted])[given.look].result().topic_partitions
    return {"state": group.state.name, "members": len(group.members),
            "committed": {each.partition: max(each.offset, 0) for each in offsets}}


main()
