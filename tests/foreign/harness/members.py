"""Members of a group as processes, and what they said (`drivers/python/member.py` tells the lines)."""
import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import clients

WAIT_SECONDS = 40
# How long a member that was killed is waited for. With the consumer protocol the broker says it (`rebalance.OPTIONS`).
SESSION_MS = 6_000
# Of what is told of a group that did not do what was waited for.
STORY_EVENTS = 5
STORY_REQUESTS = 80


class Wrong(Exception):
    """What a rebalance must not do."""


@dataclass(frozen=True)
class Kind:
    """A client's member program, and the protocols that it speaks."""
    name: str
    needs: str
    command: tuple[str, ...]
    protocols: tuple[str, ...]
    # It says that partitions are gone before it stops handling them.
    tells_early: bool = False
    # Others know its assignor by the same name (kafkajs says RoundRobinAssigner) and understand what it assigns.
    mixes: bool = True


JAVA = clients.CLIENTS["java"].command[:-1]

KINDS = {kind.name: kind for kind in (
    # Ours, from this workspace.
    Kind("async-kafka", "workspace", ("{workspace}/debug/group-member",),
         ("range", "roundrobin", "sticky", "cooperative-sticky", "consumer")),
    Kind("confluent", "python", (clients.PYTHON[0], clients.PYTHON[1] + "confluent_member.py"),
         ("range", "cooperative-sticky", "consumer")),
    Kind("java", "java", (*JAVA, "Member"), ("range", "cooperative-sticky", "consumer")),
    Kind("kafka-python", "python", (clients.PYTHON[0], clients.PYTHON[1] + "kafka_python_member.py"), ("range",)),
    Kind("aiokafka", "python", (clients.PYTHON[0], clients.PYTHON[1] + "aiokafka_member.py"), ("roundrobin",), tells_early=True),
    Kind("kafkajs", "node", ("node", "{drivers}/kafkajs/member.js"), ("roundrobin",), tells_early=True, mixes=False),
    Kind("franz-go", "go", ("{home}/go/franz-go",), ("cooperative-sticky", "sticky")),
    Kind("kafka-go", "go", ("{home}/go/kafka-go",), ("range",), mixes=False),
)}


def chosen(of: list[clients.Client]) -> list[str]:
    """The kinds whose programs are installed with these clients."""
    needs = {client.needs for client in of} | {"workspace"}
    return [kind.name for kind in KINDS.values() if kind.needs in needs]


class Member:
    """One process. What it said is in `events`, each with the member's name and wall clock."""

    def __init__(self, group: "Group", name: str, kind: Kind, protocol: str, session_ms: int,
                 instance: str | None) -> None:
        self.group, self.name, self.kind = group, name, kind
        self.owns: list[int] = []
        self.killed_at: float | None = None
        command = group.world.command(kind.command)
        command += ["transact" if group.transact_to else "member", "--bootstrap", group.world.bootstrap, "--group", group.group_id, "--topic", group.topic,
                    "--protocol", protocol, "--session-ms", str(session_ms)]
        command += ["--instance", instance] if instance else []
        command += ["--output", group.transact_to] if group.transact_to else []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=group.errors, env=group.world.environment())
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        for line in self.process.stdout:
            # Some clients warn on stdout.
            if line.startswith("{"):
                self.group.heard(self, json.loads(line))

    def leave(self) -> None:
        """Asks it to leave and waits until it has."""
        self.process.stdin.close()
        if self.process.wait(timeout=WAIT_SECONDS):
            raise Wrong(f"{self.name} did not leave in peace: exit code {self.process.returncode}: {self.group.last_words()}")
        self.group.wait(f"{self.name} to say that it left", lambda: self.name in self.group.left)
        self.group.gone(self)

    def kill(self) -> None:
        """SIGKILL: it cannot say goodbye."""
        self.process.kill()
        self.process.wait()
        self.killed_at = time.time() * 1000
        self.group.gone(self)


class Group:
    """The members of one group, and all that was said in it."""

    def __init__(self, world: clients.World, group_id: str, topic: str, partitions: int) -> None:
        self.world, self.group_id, self.topic, self.partitions = world, group_id, topic, partitions
        self.events: list[tuple[Member, dict]] = []
        self.alive: list[Member] = []
        self.left: set[str] = set()
        # The topic that the members write to, if they do.
        self.transact_to: str | None = None
        self.committed: dict[int, int] = {}
        self.changed = threading.Condition()
        self.errors = (world.directory / f"{group_id}.stderr").open("w+")

    def start(self, name: str, kind: Kind, protocol: str, session_ms: int = SESSION_MS,
              instance: str | None = None) -> Member:
        member = Member(self, name, kind, protocol, session_ms, instance)
        self.alive.append(member)
        return member

    def heard(self, member: Member, event: dict) -> None:
        with self.changed:
            self.events.append((member, event))
            if "owns" in event:
                member.owns = sorted(event["owns"])
            elif "committed" in event:
                partition, offset = event["committed"]
                self.committed[partition] = max(offset, self.committed.get(partition, 0))
            elif "left" in event:
                self.left.add(member.name)
            self.changed.notify_all()

    def gone(self, member: Member) -> None:
        with self.changed:
            self.alive.remove(member)

    def wait(self, what: str, is_so: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        with self.changed:
            if self.changed.wait_for(lambda: is_so() or self.dead(), seconds) and is_so():
                return
            owned = {member.name: member.owns for member in self.alive}
            raise Wrong(f"waited for {what}; owned is {owned}, dead {self.dead()}; {self.last_words()}\n{self.story()}")

    def wait_balanced(self, *members: Member) -> None:
        """Until the members own all partitions, each its share, no partition twice."""
        def is_balanced() -> bool:
            owned = sorted(partition for member in members for partition in member.owns)
            least = self.partitions // len(members)
            return owned == list(range(self.partitions)) and all(len(member.owns) >= least for member in members)
        self.wait(f"a share each for {', '.join(member.name for member in members)}", is_balanced)

    def dead(self) -> list[str]:
        """Members that ended by themselves."""
        return [member.name for member in self.alive if member.process.poll() not in (None, 0)]

    def last_words(self) -> str:
        self.errors.flush()
        with open(self.errors.name, errors="replace") as said:
            return said.read()[-600:].strip()

    def story(self) -> str:
        """The last that each member said, and the last requests of the group as far as the broker can be asked for them."""
        lines = [f"  {member.name} at {event['at']:.0f}: {json.dumps(event)}" for member in self.alive
                 for event in [event for teller, event in self.events if teller is member][-STORY_EVENTS:]]
        return "\n".join(lines + [f"  {line}" for line in self.world.broker.requests(self.group_id)[-STORY_REQUESTS:]])

    def end(self) -> None:
        for member in list(self.alive):
            with contextlib.suppress(ProcessLookupError):
                member.process.kill()
        self.errors.close()


def histories(group: Group) -> Iterator[str]:
    """What is wrong with what was said, if anything: the rules of a group, read from the members' own lines."""
    owner: dict[int, tuple[Member, float]] = {}
    committed: dict[int, tuple[int, float]] = {}
    for member, event in sorted(group.events, key=lambda each: each[1]["at"]):
        at = event["at"]
        if "owns" in event:
            for partition in [each for each, (holder, _) in owner.items() if holder is member]:
                del owner[partition]
            for partition in event["owns"]:
                holder = owner.get(partition, (member, at))[0]
                if holder is not member and (holder.killed_at or at) >= at and not holder.kind.tells_early:
                    yield f"{member.name} got partition {partition} while {holder.name} owned it"
                owner[partition] = (member, at)
        elif "read" in event:
            partition, first, last = event["read"]
            until, when = committed.get(partition, (0, 0))
            if first < until and not member.kind.tells_early:
                yield f"{member.name} was given {partition}:{first}-{last}, committed up to {until} {at - when:.0f} ms before"
            if owner.get(partition, (None, 0))[0] is not member and not member.kind.tells_early:
                yield f"{member.name} was given {partition}:{first}-{last} and does not own it"
        elif "committed" in event:
            partition, offset = event["committed"]
            committed[partition] = (max(offset, committed.get(partition, (0, 0))[0]), at)


def delivered(group: Group) -> dict[int, list[tuple[int, int]]]:
    """The ranges of offsets that somebody was given, by partition, joined where they touch."""
    ranges: dict[int, list[tuple[int, int]]] = {}
    for _, event in group.events:
        if "read" in event:
            partition, first, last = event["read"]
            ranges.setdefault(partition, []).append((first, last))
    for partition, each in ranges.items():
        joined: list[tuple[int, int]] = []
        for first, last in sorted(each):
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
            else:
                joined.append((first, last))
        ranges[partition] = joined
    return ranges
