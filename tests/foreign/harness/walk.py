"""A newcomer's first steps, each with default settings and topics that nobody made."""
import secrets
import subprocess
from collections.abc import Callable

from . import records, report
from .clients import Client, Job, World
from .install import REAL_KAFKA
from .matrix import seen_through, unlike

import interchange

LIMIT_SECONDS = 30
CONSOLE_PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"


class Unlike(Exception):
    """What came out is not what went in."""


def run(world: World, chosen: list[Client], results: report.Results) -> None:
    names = {client.name for client in chosen}
    steps: list[tuple[str, Callable[[World], None]]] = []
    if "kcat" in names:
        steps.append(("kcat -P on one terminal, kcat -C on another", kcat_on_two_terminals))
    if "java" in names:
        steps.append(("Java's console producer, Java's console consumer", java_console))
    if {"java", "kcat"} <= names:
        steps.append(("kcat writes, Java's console consumer reads keys and headers", kcat_to_java_console))
        steps.append(("Java's console producer writes keys and headers, kcat reads", java_console_to_kcat))
    if world.groups and {"java", "kcat"} <= names:
        steps.append(("Java's console consumer and kcat -G, each in a group", in_a_group))
    for client in chosen:
        if client.name != "kcat" and (world.groups or not client.reads_in_group):
            steps.append((f"{client.name} writes and reads with its defaults", lambda _, each=client: defaults(world, each)))
    print()
    for name, step in steps:
        try:
            step(world)
        except (Unlike, subprocess.SubprocessError) as error:
            results.fail(name, str(error))
            print(f"FAILED {name}", flush=True)
        else:
            results.passed(name)
            print(f"ok {name}", flush=True)


def kcat_on_two_terminals(world: World) -> None:
    topic, lines = fresh_topic(), records.text_lines(world.home, "movies.json")
    half = len(lines) // 2
    kcat = ["kcat", "-b", world.bootstrap, "-t", topic]
    execute([*kcat, "-P"], join(lines[:half]))
    # The reader is there before the second half is: it leaves only with the last line.
    with subprocess.Popen([*kcat, "-C", "-q", "-c", str(len(lines))], stdout=subprocess.PIPE) as reader:
        try:
            execute([*kcat, "-P"], join(lines[half:]))
            compare(reader.communicate(timeout=LIMIT_SECONDS)[0], join(lines))
        finally:
            reader.kill()


def java_console(world: World) -> None:
    topic, lines = fresh_topic(), records.text_lines(world.home, "airports.csv")
    execute(tool(world, CONSOLE_PRODUCER, topic), join(lines))
    compare(execute(reading(world, topic, len(lines))), join(lines))


def kcat_to_java_console(world: World) -> None:
    topic, lines = fresh_topic(), records.text_lines(world.home, "stocks.csv")
    execute(["kcat", "-P", "-b", world.bootstrap, "-t", topic, "-K,", "-H", "source=stocks", "-H", "empty="], join(lines))
    shown = ("print.key=true", "print.headers=true", "key.separator=,")
    expected = [b"source:stocks,empty:," + line for line in lines]
    compare(execute(reading(world, topic, len(lines), *shown)), join(expected))


def java_console_to_kcat(world: World) -> None:
    topic, lines = fresh_topic(), records.text_lines(world.home, "stocks.csv")
    command = tool(world, CONSOLE_PRODUCER, topic)
    for setting in ("parse.key=true", "parse.headers=true", "key.separator=,"):
        command += ["--reader-property", setting]
    execute(command, join([b"source:stocks,other:2\t" + line for line in lines]))
    kcat = ["kcat", "-C", "-b", world.bootstrap, "-t", topic, "-e", "-q", "-f", "%h|%k,%s\n"]
    compare(execute(kcat), join([b"source=stocks,other=2|" + line for line in lines]))


def in_a_group(world: World) -> None:
    topic, lines = fresh_topic(), records.text_lines(world.home, "seattle-weather.csv")
    execute(["kcat", "-P", "-b", world.bootstrap, "-t", topic], join(lines))
    command = tool(world, CONSOLE_CONSUMER, topic)
    compare(execute([*command, "--from-beginning", "--max-messages", str(len(lines))]), join(lines))
    group = ["kcat", "-b", world.bootstrap, "-G", f"walk-{secrets.token_hex(3)}", "-q", "-c", str(len(lines))]
    compare(execute([*group, "-X", "auto.offset.reset=earliest", topic]), join(lines))


def defaults(world: World, client: Client) -> None:
    """Only the address, the topic and the records are given."""
    topic, input = fresh_topic(), records.matrix(world.home, 1200)
    file, output = world.directory / f"{topic}.jsonl", world.directory / f"{topic}-read.jsonl"
    file.write_text("".join(map(interchange.line, input)), encoding="utf-8", newline="\n")
    error = world.drive(client, "produce", [Job(topic, file, codec="default")], partition=None)
    error = error or world.drive(client, "consume", [Job(topic, output, count=len(input))], partition=None)
    if error:
        raise Unlike(error)
    path = (client.writes, client.reads)
    for index, (sent, line) in enumerate(zip(input, output.open(encoding="utf-8", newline="\n"), strict=True)):
        want, got = (seen_through(record, *path) for record in (sent, interchange.parse(line)))
        if want != got:
            raise Unlike(f"record {index}: {unlike(want, got)}")


def fresh_topic() -> str:
    return f"walk-{secrets.token_hex(4)}"


def tool(world: World, name: str, topic: str) -> list[str]:
    return [str(REAL_KAFKA), "tool", name, "--bootstrap-server", world.bootstrap, "--topic", topic]


def reading(world: World, topic: str, count: int, *formatting: str) -> list[str]:
    command = tool(world, CONSOLE_CONSUMER, topic)
    command += ["--partition", "0", "--offset", "earliest", "--max-messages", str(count)]
    for setting in formatting:
        command += ["--formatter-property", setting]
    return command


def execute(command: list[str], input: bytes | None = None) -> bytes:
    done = subprocess.run(command, input=input, capture_output=True, timeout=LIMIT_SECONDS)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-1000:]
        raise Unlike(f"{' '.join(command[:3])}: exit code {done.returncode}: {said}")
    return done.stdout


def join(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def compare(actual: bytes, expected: bytes) -> None:
    if actual == expected:
        return
    got, want = actual.split(b"\n"), expected.split(b"\n")
    for index, pair in enumerate(zip(got, want)):
        if pair[0] != pair[1]:
            raise Unlike(f"line {index}: expected {pair[1][:200]!r}, got {pair[0][:200]!r}")
    raise Unlike(f"{len(got) - 1} lines, expected {len(want) - 1}")
