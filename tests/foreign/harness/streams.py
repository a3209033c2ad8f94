"""Kafka Streams, `exactly_once_v2`: words are counted by two instances, one of which dies by SIGKILL and comes back.

Streams makes its own topics, shares the work by an assignor of its own, writes each state store's changelog and the results in
one transaction, and reads the changelog again where a store was lost. Each word's counts, read committed, must be 1, 2, 3 ...
"""
import contextlib
import json
import pathlib
import secrets
import signal
import subprocess
import time

from . import clients, records, report

FILE = "movies.json"
LINES = 1_200
START_SECONDS = 60


def run(world: clients.World, results: report.Results) -> None:
    print()
    title = f"Kafka Streams: the words of {LINES} lines of {FILE} counted exactly once, an instance killed"
    try:
        seen = counted(world)
    except (Wrong, subprocess.SubprocessError) as error:
        results.fail(title, str(error))
        print(f"FAILED {title}", flush=True)
    else:
        results.passed(title)
        print(f"ok {title}; {seen['counts']} counts of {seen['words']} words", flush=True)


class Wrong(Exception):
    """It is not as it has to be."""


def counted(world: clients.World) -> dict:
    name = f"words-{secrets.token_hex(4)}"
    lines = world.directory / "lines"
    lines.write_bytes(b"\n".join(records.text_lines(world.home, FILE)[:LINES]))
    write(world, f"{name}-out", lines, 0, 0)
    third = LINES // 3
    write(world, f"{name}-in", lines, 0, third)
    with contextlib.ExitStack() as ending:
        def start(number: int) -> "Instance":
            return ending.enter_context(Instance(world, name, number))

        first, second = start(0), start(1)
        for instance in (first, second):
            instance.wait("RUNNING")
        second.process.send_signal(signal.SIGKILL)
        write(world, f"{name}-in", lines, third, 2 * third)
        second = start(1)
        write(world, f"{name}-in", lines, 2 * third, LINES)
        seen = words(world, "judge", f"{name}-out", lines)
        for instance in (first, second):
            instance.close()
    return seen


def write(world: clients.World, topic: str, lines: pathlib.Path, begin: int, end: int) -> None:
    words(world, "write", topic, lines, "--from", str(begin), "--to", str(end))


def words(world: clients.World, what: str, topic: str, lines: pathlib.Path, *more: str) -> dict:
    command = [*world.command((clients.PYTHON[0], clients.PYTHON[1] + "words.py")), what, "--bootstrap", world.bootstrap,
               "--topic", topic, "--lines", str(lines), *more]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=180)
    if done.returncode:
        raise Wrong(f"{what} {topic}: {done.stderr.strip()[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Instance:
    """One process of the application. Its store outlives it."""

    def __init__(self, world: clients.World, name: str, number: int):
        home = world.home / "streams"
        state, self.said = world.directory / f"{name}-{number}", world.directory / f"{name}-{number}-{secrets.token_hex(2)}.log"
        command = ["java", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{home}:{home}/lib/*", "WordCount",
                   "--bootstrap", world.bootstrap, "--application", name, "--input", f"{name}-in", "--output", f"{name}-out",
                   "--state", str(state)]
        with self.said.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)

    def wait(self, state: str) -> None:
        end = time.monotonic() + START_SECONDS
        while f'"state":"{state}"' not in (said := self.said.read_text()):
            if time.monotonic() > end or self.process.poll() is not None:
                raise Wrong(f"an instance is not {state}: {said[-1000:]}")
            time.sleep(0.1)

    def close(self) -> None:
        """It leaves in peace and has met no error, or it is wrong."""
        self.process.stdin.close()
        if self.process.wait(60) or '"closed":"true"' not in self.said.read_text() or '"error"' in self.said.read_text():
            raise Wrong(f"an instance did not end in peace: {self.said.read_text()[-1000:]}")

    def __enter__(self) -> "Instance":
        return self

    def __exit__(self, *_how) -> None:
        self.process.kill()
        self.process.wait()
