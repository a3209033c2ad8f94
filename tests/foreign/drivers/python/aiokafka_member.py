"""A member of a group: aiokafka, the client for asyncio."""
import asyncio

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

import member

ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}


class Listener(ConsumerRebalanceListener):
    """A rebalance runs beside the application and does not wait for what that has in hand."""

    async def on_partitions_revoked(self, revoked) -> None:
        member.say(owns=[])

    async def on_partitions_assigned(self, assigned) -> None:
        member.say(owns=sorted(each.partition for each in assigned))


async def main() -> None:
    given = member.command_line()
    consumer = AIOKafkaConsumer(bootstrap_servers=given.bootstrap, group_id=given.group, auto_offset_reset="earliest",
                                enable_auto_commit=False, fetch_max_wait_ms=100, session_timeout_ms=given.session_ms,
                                heartbeat_interval_ms=member.HEARTBEAT_MS,
                                partition_assignment_strategy=[ASSIGNORS[given.protocol]])
    consumer.subscribe([given.topic], listener=Listener())
    leaving = member.leaving()
    await consumer.start()
    while not leaving.is_set():
        await work(consumer, given.topic)
    await consumer.stop()
    member.say(left=True)


async def work(consumer: AIOKafkaConsumer, topic: str) -> None:
    progress = member.Progress()
    for records in (await consumer.getmany(timeout_ms=100, max_records=200)).values():
        for record in records:
            progress.read(record.partition, record.offset)
    offsets = progress.take()
    if not offsets:
        return
    try:
        await consumer.commit({TopicPartition(topic, partition): offset for partition, offset in offsets.items()})
        for partition, offset in offsets.items():
            member.say(committed=[partition, offset])
    except KafkaError as error:
        member.say(refused=repr(error))


asyncio.run(main())
