"""Brokers, and those who are asked what a log holds: Kafka's own clients and its DumpLogSegments."""
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = REPOSITORY / "fixtures" / "wire" / "batches"
REAL_KAFKA = REPOSITORY / "tests" / "real-kafka" / "real-kafka"
JAVA = REPOSITORY / "tests" / "evidence" / "Evidence.java"
VERSION = "4.3.1"
SEGMENT = "00000000000000000000.log"

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
# What Evidence.java writes, by the names of the topics. The mock has no transactions.
PLAIN_JAVA = [*(f"java-{codec}" for codec in CODECS), "java-timestamps", "java-idempotent",
              "java-log-append-time", "java-log-append-time-zstd"]
TRANSACTIONAL_JAVA = ["java-transactional"]
LIBRDKAFKA = [*(f"librdkafka-{codec}" for codec in CODECS), "librdkafka-idempotent"]


@contextlib.contextmanager
def workspace() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="evidence-") as directory:
        yield pathlib.Path(directory)


@contextlib.contextmanager
def broker(command: list) -> Iterator[str]:
    """Starts what prints `READY host:port`, and stops it."""
    with subprocess.Popen(list(map(str, command)), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline().split()
            if ready[:1] != ["READY"]:
                sys.exit(f"the broker did not start: {' '.join(map(str, command))}")
            yield ready[1]
        finally:
            process.terminate()


def real(data: pathlib.Path) -> list:
    """A real Kafka whose segments are where we can read them."""
    return [REAL_KAFKA, "serve", "--property", f"log.dirs={data}"]


def build() -> pathlib.Path:
    """Our two programs, in one call, so that they share their dependencies; says where they are."""
    subprocess.run(["cargo", "build", "--quiet", "-p", "mockbroker", "-p", "system-tests", "--bins"], cwd=REPOSITORY, check=True)
    return REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"


def java(what: str, bootstrap: str, *arguments: object) -> None:
    path = run([REAL_KAFKA, "classpath"]).strip()
    log = f"-Dlog4j2.configurationFile={REAL_KAFKA.parent / 'log4j2-tool.properties'}"
    run(["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", log, "-cp", path, JAVA, what, bootstrap, *arguments])


def dump(segments: list[pathlib.Path]) -> dict[str, list[str]]:
    """What DumpLogSegments tells of each segment, by topic. Ends the run if it complains about one."""
    told = run([REAL_KAFKA, "tool", "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--print-data-log",
                "--files", ",".join(map(str, segments))])
    by_topic: dict[str, list[str]] = {}
    for line in told.splitlines():
        if found := re.fullmatch(r"Dumping (.*)", line):
            lines = by_topic.setdefault(pathlib.Path(found[1]).parent.name.removesuffix("-0"), [])
        elif line.startswith("baseOffset: ") and " isvalid: true" in line or line.startswith("| offset: "):
            lines.append(line.rstrip())
        elif line and not line.startswith("Log starting offset: "):
            sys.exit(f"DumpLogSegments complains: {line}")
    return by_topic


def run(command: list) -> str:
    """What the command says; ends the run if it fails."""
    done = subprocess.run(list(map(str, command)), cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))[-300:]}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
