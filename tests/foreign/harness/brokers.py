"""The broker under test: one that runs, the mock, or a real Kafka."""
import argparse
import contextlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


@contextlib.contextmanager
def broker(arguments: argparse.Namespace, options: Sequence[str] = ()) -> Iterator[str]:
    """The bootstrap servers. What is started here, with options that Kafka and mock share, is stopped here."""
    if arguments.bootstrap:
        yield arguments.bootstrap
        return
    if arguments.real:
        command = [REPOSITORY / "tests" / "real-kafka" / "real-kafka", "serve"]
    else:
        profile = ["--release"] if arguments.release else []
        subprocess.run(["cargo", "build", "--quiet", *profile, "-p", "mockbroker"], cwd=REPOSITORY, check=True)
        command = ["cargo", "run", "--quiet", *profile, "-p", "mockbroker", "--", "serve", "--port", "0"]
    # The records bear timestamps of 2024: any Kafka whose retention is seven days deletes them at its next pass.
    command += ["--brokers", str(arguments.brokers), "--property", "log.retention.ms=-1", *options]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline().split()
            if ready[:1] != ["READY"]:
                sys.exit(f"the broker did not start: {' '.join(map(str, command))}")
            yield ready[1]
        finally:
            process.terminate()
