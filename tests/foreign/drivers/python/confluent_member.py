"""A member of a group: confluent-kafka, which is librdkafka."""
from confluent_kafka import Consumer, KafkaException, TopicPartition

import member

AT_MOST = 200


def main() -> None:
    given = member.command_line()
    settings = {"bootstrap.servers": given.bootstrap, "group.id": given.group, "auto.offset.reset": "earliest",
                "enable.auto.commit": False, "fetch.wait.max.ms": 100, "topic.metadata.refresh.interval.ms": 1000}
    if given.protocol == "consumer":
        settings["group.protocol"] = "consumer"
    else:
        settings |= {"partition.assignment.strategy": given.protocol, "session.timeout.ms": given.session_ms,
                     "heartbeat.interval.ms": member.HEARTBEAT_MS}
    if given.instance:
        settings["group.instance.id"] = given.instance
    consumer = Consumer(settings)
    owned: set[int] = set()
    progress = member.Progress()
    # What was read and is not committed: a refused commit is tried again while the partition stays, as it does in a
    # cooperative rebalance. Maybe nothing comes after it that would commit it along.
    pending: dict[int, int] = {}

    def commit() -> None:
        pending.update(progress.take())
        if not pending:
            return
        wanted = [TopicPartition(given.topic, partition, offset) for partition, offset in pending.items()]
        try:
            for done in consumer.commit(offsets=wanted, asynchronous=False):
                if done.error is None:
                    del pending[done.partition]
                    member.say(committed=[done.partition, done.offset])
                else:
                    member.say(refused=str(done.error))
        except KafkaException as error:
            member.say(refused=str(error))

    def on_assign(_consumer, partitions) -> None:
        owned.update(each.partition for each in partitions)
        member.say(owns=sorted(owned))

    def on_revoke(_consumer, partitions) -> None:
        commit()
        drop(partitions)

    def on_lost(_consumer, partitions) -> None:
        pending.update(progress.take())
        drop(partitions)

    def drop(partitions) -> None:
        for each in partitions:
            owned.discard(each.partition)
            pending.pop(each.partition, None)
        member.say(owns=sorted(owned))

    consumer.subscribe([given.topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)
    leaving, count = member.leaving(), 0
    while not leaving.is_set():
        # One at a time: a callback runs between two messages, never with messages in hand.
        message = consumer.poll(0.05)
        if message is None or count >= AT_MOST:
            commit()
            count = 0
        if message is not None and message.error() is None:
            progress.read(message.partition(), message.offset())
            count += 1
    commit()
    consumer.close()
    member.say(left=True)


main()
