"""The command line and the record files that every driver has in common. See ../../README.md."""
import argparse
import base64
import json
import sys
from dataclasses import dataclass


@dataclass
class Record:
    """A record as Kafka has it: bytes or null, headers in order, milliseconds since 1970."""
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int
    partition: int


@dataclass
class Job:
    """One topic to write or to read."""
    topic: str
    codec: str | None = None
    input: str | None = None
    count: int | None = None
    output: str | None = None


def command_line() -> tuple[str, str, int | None, list[Job]]:
    """What to do, the bootstrap servers, the partition or None for the client's own choice, and the jobs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["produce", "consume"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--partition", type=int)
    for name in ("--topic", "--codec", "--input", "--output"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--count", action="append", default=[], type=int)
    given = parser.parse_args()
    if given.what == "produce":
        jobs = [Job(*job) for job in zip(given.topic, given.codec, given.input, strict=True)]
    else:
        jobs = [Job(topic, count=count, output=output)
                for topic, count, output in zip(given.topic, given.count, given.output, strict=True)]
    return given.what, given.bootstrap, given.partition, jobs


def read(path: str) -> list[Record]:
    return [parse(line) for line in open(path, encoding="utf-8", newline="\n")]


def write(job: Job, lines: list[str]) -> None:
    """Writes what was read of a topic; ends the process if it is not as many records as there should be."""
    if len(lines) != job.count:
        sys.exit(f"{job.topic}: {len(lines)} records, expected {job.count}")
    with open(job.output, "w", encoding="utf-8", newline="\n") as output:
        output.writelines(lines)


def parse(line: str) -> Record:
    fields = json.loads(line)
    headers = [(name, unpack(value)) for name, value in fields["headers"]]
    return Record(unpack(fields["key"]), unpack(fields["value"]), headers, fields["timestamp"], fields["partition"])


def line(record: Record) -> str:
    """The one way to write a record: this order of fields, no spaces, UTF-8. Equal records are equal lines."""
    fields = {
        "key": pack(record.key),
        "value": pack(record.value),
        "headers": [[name, pack(value)] for name, value in record.headers],
        "timestamp": record.timestamp,
        "partition": record.partition,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"


def pack(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode("ascii")


def unpack(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
