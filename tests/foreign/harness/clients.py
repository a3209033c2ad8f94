"""The foreign clients: how each is started, and what of a record it can carry.

A driver is one program per client with one command line:

    drive produce --bootstrap A [--partition P] (--topic T --codec C --input F)...
    drive consume --bootstrap A [--partition P] (--topic T --count N --output F)...
"""
import os
import pathlib
import subprocess
import sys
from dataclasses import dataclass, field

from . import brokers, install

# A driver that neither ends nor gives up by itself.
LIMIT_SECONDS = 90


@dataclass(frozen=True)
class Carries:
    """What of a record survives a client. Everything, unless it is said here."""
    # False: an empty key, value or header is written, or read, as null.
    empty: bool = True
    # "all"; "grouped": in order within one name; "none".
    headers: str = "all"
    # False: a header without a value gets an empty one.
    null_headers: bool = True
    # False: the client writes the time of sending.
    timestamps: bool = True


@dataclass(frozen=True)
class Client:
    """One client and its driver."""
    name: str
    needs: str
    command: tuple[str, ...]
    writes: Carries = field(default_factory=Carries)
    reads: Carries = field(default_factory=Carries)
    # It cannot read a partition without joining a group.
    reads_in_group: bool = False


PYTHON = ("{home}/python/bin/python", "{drivers}/python/")

CLIENTS = {client.name: client for client in (
    Client("kcat", "kcat", (sys.executable, "{drivers}/python/kcat.py"),
           writes=Carries(empty=False, headers="none", timestamps=False)),
    Client("rdkafka", "rdkafka", ("{home}/rdkafka/debug/drive-rdkafka",)),
    Client("confluent", "python", (PYTHON[0], PYTHON[1] + "confluent.py")),
    Client("kafka-python", "python", (PYTHON[0], PYTHON[1] + "kafka_python.py"),
           writes=Carries(null_headers=False)),
    Client("kafkajs", "node", ("node", "{drivers}/kafkajs/drive.js"),
           writes=Carries(headers="grouped", null_headers=False), reads=Carries(headers="grouped"), reads_in_group=True),
    Client("kafka-go", "go", ("{home}/go/kafka-go",), reads=Carries(empty=False)),
    Client("franz-go", "go", ("{home}/go/franz-go",)),
    Client("async-kafka", "workspace", ("{workspace}/debug/drive-async-kafka",)),
    Client("java", "java", ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                            "-Dlog4j2.configurationFile={drivers}/../../real-kafka/log4j2-tool.properties", "-cp",
                            "{classpath}", "Drive")),
)}


def chosen(names: str) -> list[Client]:
    """The clients of a comma-separated list."""
    unknown = [name for name in names.split(",") if name not in CLIENTS]
    if unknown:
        sys.exit(f"no such client: {', '.join(unknown)}; there are {', '.join(CLIENTS)}")
    return [CLIENTS[name] for name in names.split(",")]


@dataclass(frozen=True)
class Job:
    """One topic to write (`codec`, `file`) or to read (`count`, `file`)."""
    topic: str
    file: pathlib.Path
    codec: str | None = None
    count: int | None = None

    def arguments(self) -> list[str]:
        if self.codec is not None:
            return ["--topic", self.topic, "--codec", self.codec, "--input", str(self.file)]
        return ["--topic", self.topic, "--count", str(self.count), "--output", str(self.file)]


@dataclass(frozen=True)
class World:
    """Where everything is in this run."""
    broker: brokers.Broker
    home: pathlib.Path
    directory: pathlib.Path
    groups: bool

    @property
    def bootstrap(self) -> str:
        return self.broker.bootstrap

    def drive(self, client: Client, what: str, jobs: list[Job], partition: int | None = 0) -> str | None:
        """Runs the driver over the jobs. None, or the end of what it said when it failed."""
        command = self.command(client.command)
        command += [what, "--bootstrap", self.bootstrap]
        command += [] if partition is None else ["--partition", str(partition)]
        for job in jobs:
            command += job.arguments()
        return run(command, env=self.environment())

    def command(self, template: tuple[str, ...]) -> list[str]:
        """The command with this run's places in it."""
        class_path = self.home / "java" / "classpath"
        places = {"home": self.home, "drivers": install.DRIVERS, "workspace": install.target(),
                  "classpath": class_path.read_text() if class_path.exists() else ""}
        return [part.format_map(places) for part in template]

    def environment(self) -> dict[str, str]:
        """What the drivers find in their environment."""
        return os.environ | {"NODE_PATH": str(self.home / "node" / "node_modules"),
                             "KAFKAJS_NO_PARTITIONER_WARNING": "1", "NODE_NO_WARNINGS": "1"}


def run(command: list[str], **options) -> str | None:
    """None, or the end of what the command said when it failed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS, **options)
    except subprocess.TimeoutExpired as expired:
        return f"no end after {LIMIT_SECONDS} s: {(expired.output or b'').decode(errors='replace')[-500:]}"
    return None if done.returncode == 0 else done.stdout.decode(errors="replace").strip()[-1500:] or f"exit code {done.returncode}"
