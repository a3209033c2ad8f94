"""Every client writes the same records with every codec; every other client reads them, byte for byte."""
import concurrent.futures
import dataclasses
import pathlib
import secrets
import time

from . import report
from .clients import Carries, Client, Job, World
from .records import Record

import interchange

AT_ONCE = 2
RETRY_SECONDS = 60


@dataclasses.dataclass
class Written:
    """One topic: who wrote it and how, and between which times."""
    writer: Client
    codec: str
    topic: str
    error: str | None = None
    since_ms: int = 0


def run(world: World, chosen: list[Client], codecs: list[str], input: list[Record], results: report.Results,
        writers: list[str] | None = None) -> None:
    file = world.directory / "input.jsonl"
    file.write_text("".join(map(interchange.line, input)), encoding="utf-8", newline="\n")
    expectation = Expectation(input)
    writing = [client for client in chosen if writers is None or client.name in writers]
    reading = [client for client in chosen if world.groups or not client.reads_in_group]
    print(f"\n{len(input)} records, {file.stat().st_size / 1e6:.1f} MB as JSON lines; codecs {', '.join(codecs)}", flush=True)
    table = report.Table(writing, reading, codecs)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        topics = [topic for group in pool.map(lambda client: write(world, client, codecs, file), writing) for topic in group]
        for written in topics:
            if written.error:
                results.fail(f"{written.writer.name} writes {written.codec}", written.error)
        for outcomes in pool.map(lambda client: read(world, client, topics, expectation), reading):
            for written, reader, error in outcomes:
                table.put(written.writer, reader, written.codec, error)
                name = f"{written.writer.name} writes {written.codec}, {reader.name} reads"
                results.passed(name) if error is None else results.fail(name, error)
    table.print()
    for client in chosen:
        if client not in reading:
            print(f"{client.name} reads through groups only: not asked to read (--groups)")


def write(world: World, client: Client, codecs: list[str], file: pathlib.Path) -> list[Written]:
    started, since = time.monotonic(), time.time_ns() // 1_000_000
    run = secrets.token_hex(3)
    topics = [Written(client, codec, f"foreign-{run}-{client.name}-{codec}", since_ms=since) for codec in codecs]
    if world.drive(client, "produce", [Job(each.topic, file, codec=each.codec) for each in topics]):
        # Which of them it was is worth a second try, each alone and on a fresh topic.
        for each in topics:
            each.topic += "-alone"
            each.error = world.drive(client, "produce", [Job(each.topic, file, codec=each.codec)])
    print(f"{client.name} wrote {len(topics)} topics in {time.monotonic() - started:.1f} s", flush=True)
    return topics


def read(world: World, client: Client, topics: list[Written], expectation: "Expectation"):
    started = time.monotonic()
    others = [topic for topic in topics if topic.writer != client]
    files = {topic.topic: world.directory / f"{client.name}-{topic.topic}.jsonl" for topic in others}
    jobs = {each.topic: Job(each.topic, files[each.topic], count=expectation.count) for each in others if not each.error}
    errors: dict[str, str | None] = {}
    if jobs and world.drive(client, "consume", list(jobs.values())):
        errors = one_by_one(world, client, jobs)
    outcomes = []
    for topic in others:
        error = "was not written" if topic.error else errors.get(topic.topic)
        outcomes.append((topic, client, error or expectation.difference(topic, client, files[topic.topic])))
        files[topic.topic].unlink(missing_ok=True)
    print(f"{client.name} read {len(jobs)} topics in {time.monotonic() - started:.1f} s", flush=True)
    return outcomes


def one_by_one(world: World, client: Client, jobs: dict[str, Job]) -> dict[str, str | None]:
    """Which topics a reader fails at. Not the time of every one of them, if it fails at all."""
    end, errors = time.monotonic() + RETRY_SECONDS, {}
    for topic, job in jobs.items():
        errors[topic] = world.drive(client, "consume", [job]) if time.monotonic() < end else "no time left to try it"
    return errors


class Expectation:
    """What a reader should see of what a writer wrote."""

    def __init__(self, input: list[Record]):
        self.input = input
        self.count = len(input)
        self.cache: dict[tuple[Carries, Carries], list[str]] = {}

    def difference(self, topic: Written, reader: Client, file: pathlib.Path) -> str | None:
        """None, or the first difference."""
        carries = (topic.writer.writes, reader.reads)
        if carries not in self.cache:
            self.cache[carries] = [interchange.line(seen_through(record, *carries)) for record in self.input]
        expected, actual = self.cache[carries], file.read_text(encoding="utf-8", errors="replace").splitlines(True)
        if actual == expected:
            return None
        until_ms = time.time_ns() // 1_000_000
        for index, (want, got) in enumerate(zip(expected, actual)):
            if want == got:
                continue
            record = interchange.parse(got)
            if not topic.writer.writes.timestamps and not topic.since_ms <= record.timestamp <= until_ms:
                return f"record {index} has the timestamp {record.timestamp}, not one of this run"
            if interchange.line(seen_through(record, *carries)) != want:
                return f"record {index}: " + unlike(interchange.parse(want), record)
        if len(actual) != self.count:
            return f"{len(actual)} records, expected {self.count}"
        return None


def unlike(want: Record, got: Record) -> str:
    """The fields that differ."""
    pairs = [(field.name, getattr(want, field.name), getattr(got, field.name)) for field in dataclasses.fields(Record)]
    return "; ".join(f"{name} is {read!r:.200}, expected {expected!r:.200}" for name, expected, read in pairs if expected != read)


def seen_through(record: Record, *path: Carries) -> Record:
    """The record with only what every client on its way carries."""
    for carries in path:
        if not carries.empty:
            record = dataclasses.replace(record, key=record.key or None, value=record.value or None,
                                         headers=[(name, value or None) for name, value in record.headers])
        if carries.headers == "none":
            record = dataclasses.replace(record, headers=[])
        if carries.headers == "grouped":
            names = list(dict.fromkeys(name for name, _ in record.headers))
            record = dataclasses.replace(record, headers=sorted(record.headers, key=lambda header: names.index(header[0])))
        if not carries.null_headers:
            record = dataclasses.replace(record, headers=[(name, value or b"") for name, value in record.headers])
        if not carries.timestamps:
            record = dataclasses.replace(record, timestamp=0)
    return record
