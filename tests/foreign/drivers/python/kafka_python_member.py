"""A member of a group: kafka-python."""
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import OffsetAndMetadata
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import KafkaError

import member

ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}


class Listener(ConsumerRebalanceListener):
    """Eager: everything goes, everything comes."""

    def on_partitions_revoked(self, revoked) -> None:
        member.say(owns=[])

    def on_partitions_assigned(self, assigned) -> None:
        member.say(owns=sorted(each.partition for each in assigned))


def main() -> None:
    given = member.command_line()
    consumer = KafkaConsumer(bootstrap_servers=given.bootstrap.split(","), group_id=given.group,
                             auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=100,
                             session_timeout_ms=given.session_ms, heartbeat_interval_ms=member.HEARTBEAT_MS,
                             max_poll_records=200, partition_assignment_strategy=[ASSIGNORS[given.protocol]])
    # A group that is joined before the topic is known is joined once more as soon as it is. If `poll` comes back in the middle
    # of that, the client forgets to take the assignment, for good (dpkp/kafka-python#2855; 2 of 100 on a real Kafka too).
    consumer.partitions_for_topic(given.topic)
    consumer.subscribe([given.topic], listener=Listener())
    leaving, progress = member.leaving(), member.Progress()
    while not leaving.is_set():
        for records in consumer.poll(timeout_ms=100).values():
            for record in records:
                progress.read(record.partition, record.offset)
        offsets = progress.take()
        if not offsets:
            continue
        try:
            consumer.commit({TopicPartition(given.topic, partition): OffsetAndMetadata(offset, "", -1)
                             for partition, offset in offsets.items()})
            for partition, offset in offsets.items():
                member.say(committed=[partition, offset])
        except KafkaError as error:
            member.say(refused=repr(error))
    consumer.close(autocommit=False)
    member.say(left=True)


main()
