"""Consume, transform, produce, exactly once: confluent-kafka, which is librdkafka. See member.py for the lines that it says.

Each record of the input goes to the output with the offsets in one transaction; one transaction in ten is written, aborted on
purpose and done again.
"""
import random
import sys

from confluent_kafka import Consumer, KafkaException, Producer

import member

AT_MOST = 500


def main() -> None:
    given = member.command_line()
    consumer = Consumer({"bootstrap.servers": given.bootstrap, "group.id": given.group, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, "isolation.level": "read_committed", "fetch.wait.max.ms": 100,
                         "partition.assignment.strategy": "range", "session.timeout.ms": given.session_ms,
                         "heartbeat.interval.ms": member.HEARTBEAT_MS})
    producer = Producer({"bootstrap.servers": given.bootstrap, "transactional.id": given.instance, "linger.ms": 2,
                         "transaction.timeout.ms": 20_000})
    producer.init_transactions(30)
    consumer.subscribe([given.topic], on_assign=lambda _, parts: member.say(owns=sorted(each.partition for each in parts)),
                       on_revoke=lambda *_: member.say(owns=[]))
    leaving = member.leaving()
    while not leaving.is_set():
        messages = [each for each in consumer.consume(AT_MOST, timeout=0.1) if each.error() is None]
        if messages and not transacted(consumer, producer, given, messages):
            rewind(consumer)
    consumer.close()
    member.say(left=True)


def transacted(consumer: Consumer, producer: Producer, given, messages: list) -> bool:
    """Whether what was read has gone through. An error that no abort can mend ends the process."""
    try:
        producer.begin_transaction()
        for message in messages:
            producer.produce(given.output, message.value(), partition=message.partition())
            producer.poll(0)
        assigned = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(assigned, consumer.consumer_group_metadata(), 30)
        if random.random() < 0.1:
            # What was not sent yet would not be written at all.
            producer.flush(30)
            producer.abort_transaction(30)
            member.say(aborted=len(messages))
            return False
        producer.commit_transaction(30)
        member.say(transacted=len(messages))
        return True
    except KafkaException as error:
        kafka = error.args[0]
        member.say(refused=str(kafka))
        if not kafka.txn_requires_abort():
            sys.exit(f"fatal: {kafka}")
        producer.abort_transaction(30)
        return False


def rewind(consumer: Consumer) -> None:
    """To what is committed: the records that were aborted come again."""
    for each in consumer.committed(consumer.assignment(), timeout=30):
        each.offset = max(each.offset, 0)
        try:
            consumer.seek(each)
        except KafkaException as error:
            member.say(refused=str(error))


main()
