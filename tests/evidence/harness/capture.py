"""Remakes fixtures/wire/batches: segments of a real Kafka as hex text, and what Kafka says is in them."""
import os
import pathlib
import subprocess
import sys

from . import witness

# The Python environment of the foreign clients has librdkafka.
FOREIGN_HOME = pathlib.Path(os.environ.get("FOREIGN_HOME", witness.REPOSITORY / "target" / "foreign"))
LIBRDKAFKA = witness.REPOSITORY / "tests" / "evidence" / "librdkafka.py"


def run(today: str) -> int:
    python = FOREIGN_HOME / "python" / "bin" / "python"
    if not python.exists():
        subprocess.run([witness.REPOSITORY / "tests" / "foreign" / "run", "install", "--clients", "confluent"], check=True)
    librdkafka = witness.run([python, "-c", "import confluent_kafka as c; print(c.libversion()[0])"]).strip()
    by_java = witness.PLAIN_JAVA + witness.TRANSACTIONAL_JAVA
    clients = {topic: f"Java's producer {witness.VERSION}" for topic in by_java}
    clients |= {topic: f"librdkafka {librdkafka}" for topic in witness.LIBRDKAFKA}
    with witness.workspace() as directory:
        data = directory / "data"
        with witness.broker(witness.real(data)) as bootstrap:
            witness.java("write", bootstrap, *by_java)
            witness.java("create", bootstrap, *witness.LIBRDKAFKA)
            witness.run([python, LIBRDKAFKA, bootstrap, *witness.LIBRDKAFKA])
            witness.java("read", bootstrap, directory, *clients)
            segments = {topic: data / f"{topic}-0" / witness.SEGMENT for topic in clients}
            dumped = witness.dump(list(segments.values()))
            witness.FIXTURES.mkdir(parents=True, exist_ok=True)
            for topic, client in clients.items():
                head = f"# Apache Kafka {witness.VERSION}, {today}, {client}, `just capture-batches`"
                records = (directory / f"{topic}.read").read_text().splitlines()
                write(topic, ".hex", [head, *hexadecimal(segments[topic].read_bytes())])
                write(topic, ".records.txt", [head, *witnesses(dumped[topic], records)])
    print(f"{len(clients)} topics, {sum(map(len, dumped.values()))} lines of DumpLogSegments", file=sys.stderr)
    return 0


def write(topic: str, extension: str, lines: list[str]) -> None:
    (witness.FIXTURES / (topic + extension)).write_text("".join(f"{line}\n" for line in lines))


def hexadecimal(segment: bytes) -> list[str]:
    return [segment[at : at + 48].hex() for at in range(0, len(segment), 48)]


def witnesses(dumped: list[str], records: list[str]) -> list[str]:
    """The batches as DumpLogSegments tells of them, each with its records as Java's consumer does.

    The dump does not know null from empty and leaves out the values of headers; the consumer does not show markers.
    """
    lines, rest, in_control = [], iter(records), False
    for line in dumped:
        if line.startswith("baseOffset: "):
            in_control = " isControl: true " in line
            lines.append(line)
        else:
            lines.append(line if in_control else next(rest))
    if list(rest):
        sys.exit(f"the consumer read more records than there are in {dumped[0]}")
    return lines
