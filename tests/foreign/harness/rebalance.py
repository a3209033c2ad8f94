"""Groups of foreign members: they join, share, crash, come back, leave and resume, while records are written.

What has to be true is read from what the members said (`members.histories`) and from what the broker says of the group:
no record is lost, none is given to anybody once a commit has covered it, no partition has two owners, and what was
committed is what the broker has.
"""
import concurrent.futures
import contextlib
import json
import secrets
import subprocess
from collections.abc import Iterator

from . import clients, report
from .members import KINDS, Group, Kind, Wrong, delivered, histories

PARTITIONS = 6
AT_ONCE = 3
# Time for a new process to be there before its predecessor is missed, on a slow machine too.
STATIC_SESSION_MS = 30_000
# Equal on both brokers: the sessions of the new protocol are the broker's to say, and nobody waits for a first rebalance.
OPTIONS = [part for setting in (
    "group.initial.rebalance.delay.ms=0",
    "group.consumer.min.session.timeout.ms=1000", "group.consumer.session.timeout.ms=6000",
    "group.consumer.min.heartbeat.interval.ms=100", "group.consumer.heartbeat.interval.ms=500",
    "group.consumer.assignment.interval.ms=0",
) for part in ("--property", setting)]


def run(world: clients.World, names: list[str], results: report.Results, only: str = "") -> None:
    kinds = [KINDS[name] for name in names]
    steps = [(f"{kind.name}, {protocol}: join, share, crash, come back, leave, resume", life, (kind, protocol))
             for kind in kinds for protocol in kind.protocols]
    steps += [(f"{name}, static members: a restart disturbs nobody", static, (KINDS[name],))
              for name in ("java", "confluent", "async-kafka") if name in names]
    steps += [(f"{name}: from the classic to the consumer protocol and back, one by one", upgrade, (KINDS[name],))
              for name in ("java", "confluent", "async-kafka") if name in names]
    for protocol in ("range", "roundrobin", "sticky", "cooperative-sticky", "consumer"):
        sharing = [kind for kind in kinds if protocol in kind.protocols and kind.mixes]
        if len(sharing) > 1:
            steps.append((f"{', '.join(kind.name for kind in sharing)} in one group, {protocol}", together, (sharing, protocol)))
    steps = [step for step in steps if only in step[0]]
    print()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(step, world, *arguments): name for name, step, arguments in steps}
        for done in concurrent.futures.as_completed(running):
            name = running[done]
            try:
                done.result()
            except (Wrong, subprocess.SubprocessError) as error:
                results.fail(name, str(error))
                print(f"FAILED {name}", flush=True)
            else:
                results.passed(name)
                print(f"ok {name}", flush=True)


def life(world: clients.World, kind: Kind, protocol: str) -> None:
    with fed(world) as (group, feeder):
        first = group.start("first", kind, protocol)
        group.wait_balanced(first)
        second = group.start("second", kind, protocol)
        group.wait_balanced(first, second)
        third = group.start("third", kind, protocol)
        group.wait_balanced(first, second, third)
        feeder.look(group, members=3)
        second.kill()
        group.wait_balanced(first, third)
        again = group.start("second again", kind, protocol)
        group.wait_balanced(first, third, again)
        first.leave()
        group.wait_balanced(third, again)
        third.leave()
        group.wait_balanced(again)
        again.leave()
        feeder.look(group, members=0)
        # Records go on while nobody reads; whoever comes next begins where the last one stopped.
        last = group.start("last", kind, protocol)
        group.wait_balanced(last)
        finish(group, feeder)


def static(world: clients.World, kind: Kind) -> None:
    with fed(world) as (group, feeder):
        names = ("first", "second", "third")
        members = {name: group.start(name, kind, "range", STATIC_SESSION_MS, instance=name) for name in names}
        group.wait_balanced(*members.values())
        feeder.look(group, members=len(names))
        shares = {name: list(member.owns) for name, member in members.items()}
        told = {name: sum(1 for member, event in group.events if member.name == name and "owns" in event)
                for name in ("first", "third")}
        members["second"].kill()
        again = group.start("second again", kind, "range", STATIC_SESSION_MS, instance="second")
        group.wait("the old share for the new process", lambda: again.owns == shares["second"])
        for name, count in told.items():
            now = sum(1 for member, event in group.events if member.name == name and "owns" in event)
            if now != count:
                raise Wrong(f"{name} was disturbed: it told {now - count} more assignments")
        # A static member that closes stays in the group until its session ends.
        finish(group, feeder, stay=len(names))


def upgrade(world: clients.World, kind: Kind) -> None:
    """KIP-848, migration policy `bidirectional`, which is Kafka's default. Range, since Kafka refuses to take over members
    whose assignor has data of its own, as librdkafka's cooperative-sticky has: GROUP_ID_NOT_FOUND."""
    with fed(world) as (group, feeder):
        old = [group.start(f"classic {number}", kind, "range") for number in (1, 2)]
        group.wait_balanced(*old)
        # A group that is between two generations cannot go over: Kafka answers GROUP_ID_NOT_FOUND.
        feeder.look(group, members=2)
        new = []
        for number, member in enumerate(old, 1):
            new.append(group.start(f"consumer {number}", kind, "consumer"))
            group.wait_balanced(*old[number - 1:], *new)
            member.leave()
            group.wait_balanced(*old[number:], *new)
        back = group.start("classic again", kind, "range")
        group.wait_balanced(*new, back)
        for number, member in enumerate(new, 1):
            member.leave()
            group.wait_balanced(*new[number:], back)
        finish(group, feeder)


def together(world: clients.World, kinds: list[Kind], protocol: str) -> None:
    with fed(world) as (group, feeder):
        members = [group.start(kind.name, kind, protocol) for kind in kinds]
        group.wait_balanced(*members)
        feeder.look(group, members=len(kinds))
        crashed = members.pop()
        crashed.kill()
        group.wait_balanced(*members)
        finish(group, feeder)


def finish(group: Group, feeder: "Feeder", stay: int = 0) -> None:
    """Ends the writing, lets the group read to the end and leave, then judges."""
    ends = feeder.finish()
    group.wait(f"commits up to {ends}, have {group.committed}", lambda: group.committed == ends)
    for member in list(group.alive):
        member.leave()
    feeder.look(group, members=stay, committed=ends)
    complaints = list(histories(group))
    ranges = delivered(group)
    complaints += [f"partition {partition}: given {ranges.get(partition)}, written 0 to {end - 1}"
                   for partition, end in ends.items() if ranges.get(partition) != [(0, end - 1)]]
    if complaints:
        raise Wrong("; ".join(complaints[:5]) + f" ({len(complaints)} in all)")


class Feeder:
    """The process that writes, and the questions to the broker."""

    def __init__(self, world: clients.World, topic: str) -> None:
        self.world = world
        self.command = [*world.command((clients.PYTHON[0], clients.PYTHON[1] + "feed.py")), "--bootstrap",
                        world.bootstrap, "--topic", topic, "--partitions", str(PARTITIONS)]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.process.stdout.readline():
            raise Wrong("the topic could not be made")

    def finish(self) -> dict[int, int]:
        said, _ = self.process.communicate(timeout=60)
        if self.process.returncode:
            raise Wrong("the feeder failed")
        return {int(partition): end for partition, end in json.loads(said).items()}

    def look(self, group: Group, members: int, committed: dict[int, int] | None = None) -> None:
        """The broker says that the group has so many members, and nothing less than the members saw committed."""
        seen_before = dict(group.committed)
        command = [*self.command, "--look", group.group_id, "--members", str(members)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60)
        if done.returncode:
            raise Wrong("the group cannot be described")
        look = json.loads(done.stdout)
        state = "STABLE" if members else "EMPTY"
        if (look["members"], look["state"]) != (members, state):
            raise Wrong(f"the broker says {look['members']} members, {look['state']}; there are {members}, {state}")
        has = {int(partition): offset for partition, offset in look["committed"].items()}
        behind = {partition: (offset, has[partition]) for partition, offset in seen_before.items() if has[partition] < offset}
        if behind or (committed is not None and has != committed):
            raise Wrong(f"the broker has {has} committed, the members {committed or seen_before}")


@contextlib.contextmanager
def fed(world: clients.World) -> Iterator[tuple[Group, Feeder]]:
    """A new topic that is being written to, and a group without members."""
    name = f"rebalance-{secrets.token_hex(4)}"
    group, feeder = Group(world, name, name, PARTITIONS), Feeder(world, name)
    try:
        yield group, feeder
    finally:
        group.end()
        feeder.process.kill()
