"""The broker under test: one that runs, the mock, or a real Kafka."""
import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Broker:
    """Where it listens; a mock that was started here can also be asked what happened."""
    bootstrap: str
    control: str | None = None

    def requests(self, group: str) -> list[str]:
        """The requests that named the group, a line each, as far back as the journal goes; in its place why there are none."""
        if self.control is None:
            return ["this broker keeps no journal"]
        try:
            return self.journal(group)
        except (OSError, ValueError) as error:
            return [f"the broker does not tell: {error}"]

    def journal(self, group: str) -> list[str]:
        ask, since = f"{self.control}/clusters/main/journal/text?group={group}", 0
        while True:
            try:
                with urllib.request.urlopen(f"{ask}&since={since}") as answer:
                    return answer.read().decode().splitlines()
            except urllib.error.HTTPError as refused:
                problem = json.load(refused)
                if problem["type"] != "urn:mockbroker:forgotten":
                    raise
                # More may be forgotten until it is asked again.
                since = problem["oldest"] + 100


@contextlib.contextmanager
def broker(arguments: argparse.Namespace, options: Sequence[str] = (),
           journal: bool = False) -> Iterator[Broker]:
    """What is started here, with options that Kafka and mock share, is stopped here."""
    if arguments.bootstrap:
        yield Broker(arguments.bootstrap)
        return
    if arguments.real:
        command = [REPOSITORY / "tests" / "real-kafka" / "real-kafka", "serve"]
    else:
        profile = ["--release"] if arguments.release else []
        subprocess.run(["cargo", "build", "--quiet", *profile, "-p", "mockbroker"], cwd=REPOSITORY, check=True)
        command = ["cargo", "run", "--quiet", *profile, "-p", "mockbroker", "--", "serve", "--port", "0"]
        command += ["--control", "127.0.0.1:0"] if journal else []
    # The records bear timestamps of 2024: any Kafka whose retention is seven days deletes them at its next pass.
    command += ["--brokers", str(arguments.brokers), "--property", "log.retention.ms=-1", *options]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline().split()
            if ready[:1] != ["READY"]:
                sys.exit(f"the broker did not start: {' '.join(map(str, command))}")
            control = process.stdout.readline().split()[1] if "--control" in command else None
            yield Broker(ready[1], control)
        finally:
            process.terminate()
