"""The suites: where each comes from, what broker it wants, and how one of its tests is started."""
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from . import install, record
from .execute import Test

RSKAFKA, RDKAFKA, RDKAFKA_SYS = "rskafka 0.6.0", "rdkafka 0.39.0", "rdkafka-sys 4.10.0"
KAFKA_PYTHON = "kafka-python 3.0.12"
# What tests/java_helper.rs of rskafka has j4rs download. Here before the first test, for each is a process of its own.
JAVA_OF_RSKAFKA = ("org.apache.kafka:kafka-clients:3.5.0", "org.apache.commons:commons-lang3:3.12.0", "org.lz4:lz4-java:1.8.0",
                   "org.xerial.snappy:snappy-java:1.1.10.2", "com.github.luben:zstd-jni:1.5.5-5", "org.slf4j:slf4j-api:2.0.7")
# The ones of upstream's smoke test (`SMOKE_TESTS` in librdkafka's tests/Makefile) that need a broker.
LIBRDKAFKA_TESTS = ("0001", "0004", "0012", "0017", "0022", "0030", "0039", "0049", "0103")


@dataclass(frozen=True)
class Suite:
    """A suite, and the broker that its authors run it against."""
    name: str
    title: str
    install: Callable[[], None]
    # The tests, told where the broker is.
    tests: Callable[[str], list[Test]]
    brokers: int = 1
    properties: dict[str, str] = field(default_factory=dict)
    # How long one test may take on Kafka; on the mock, where some clients wait for what is not there yet, less.
    seconds: float = 90
    seconds_on_mock: float = 40
    at_once: int = 4
    # Tests that are not run at all, and why.
    left_out: dict[str, str] = field(default_factory=dict)

    def home(self) -> pathlib.Path:
        return install.home() / self.name

    def output(self, real: bool) -> pathlib.Path:
        """Where the tests' own words go."""
        return self.home() / "output" / ("kafka" if real else "mock")

    def options(self) -> list[str]:
        """For `serve`: two suites take it that the first node is 0."""
        pairs = [f"--property={key}={value}" for key, value in self.properties.items()]
        return ["--first-node-id", "0", *pairs]


def install_rskafka() -> None:
    targets = ["client", "consumer", "producer", "produce_consume"]
    # rsasl 2.2.0, which its author locked, is refused by compilers of today (rust-lang/rust#141402).
    install.crate(RSKAFKA, install.home() / "rskafka", [f"--test={target}" for target in targets], {"rsasl": "2.3.1"})
    install.jars_of_j4rs(JAVA_OF_RSKAFKA)


def install_rdkafka() -> None:
    install.crate(RDKAFKA, install.home() / "rdkafka", ["--tests"])


def rskafka(bootstrap: str) -> list[Test]:
    environment = {"TEST_INTEGRATION": "1", "TEST_BROKER_IMPL": "kafka", "KAFKA_CONNECT": bootstrap,
                   "TEST_JAVA_INTEROPT": "1"}
    tests = rust_tests(install.home() / "rskafka", environment)
    return [test for test in tests if test.name not in SUITES["rskafka"].left_out]


def rdkafka(bootstrap: str) -> list[Test]:
    environment = {"KAFKA_HOST": bootstrap, "KAFKA_VERSION": record.kafka_version(), "RUST_LOG": "off"}
    return rust_tests(install.home() / "rdkafka", environment)


def rust_tests(home: pathlib.Path, environment: dict[str, str]) -> list[Test]:
    """The tests of the executables that the installation left; a module that several of them share counts once."""
    tests: dict[str, Test] = {}
    for executable in json.loads((home / "executables.json").read_text()):
        listed = subprocess.run([executable["path"], "--list", "--format", "terse"], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            name = line.removesuffix(": test")
            shared = name.startswith("utils::")
            unique = name if shared else f"{executable['name']}::{name}"
            command = [executable["path"], "--exact", name, "--test-threads", "1"]
            tests.setdefault(unique, Test(unique, command, home / "source", environment))
    return list(tests.values())


def install_kafka_python() -> None:
    install.kafka_python(KAFKA_PYTHON, install.home() / "kafka-python")


def kafka_python(bootstrap: str) -> list[Test]:
    home = install.home() / "kafka-python"
    environment = {"KAFKA_URI": f"kafka://{bootstrap.split(',')[0]}", "KAFKA_VERSION": record.kafka_version(),
                   "KAFKA_ROOT": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    pytest = [home / "python" / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", "-q", "--no-header", "--tb=short",
              "--show-capture=no", "--durations=0"]
    files = [f"test/integration/test_{name}_integration.py" for name in ("admin", "consumer", "producer")]
    listed = subprocess.run([*pytest, "--collect-only", *files], cwd=home / "source", env=os.environ | environment,
                            capture_output=True, text=True)
    found = re.findall(r"^test/integration/(test_\w+)_integration\.py::(\S+)$", listed.stdout, re.MULTILINE)
    if not found:
        sys.exit(f"pytest finds no tests: {listed.stdout}{listed.stderr}")
    return [Test(f"{module}::{name}", [*pytest, f"test/integration/{module}_integration.py::{name}"],
                 home / "source", environment) for module, name in found]


def install_librdkafka() -> None:
    install.librdkafka(RDKAFKA_SYS, install.home() / "librdkafka")


def librdkafka(bootstrap: str) -> list[Test]:
    home = install.home() / "librdkafka"
    # A file for each broker, so that two runs can be under way.
    configuration = home / f"{bootstrap.partition(',')[0].replace(':', '-')}.conf"
    configuration.write_text(f"bootstrap.servers={bootstrap}\ntest.topic.random=true\n")
    environment = {"RDKAFKA_TEST_CONF": str(configuration), "TEST_KAFKA_VERSION": record.kafka_version(),
                   "LD_LIBRARY_PATH": f"{home / 'source' / 'src'}:{home / 'source' / 'src-cpp'}"}
    # Quick, without the sockets that lose bytes on purpose, one after the other.
    command = ["./test-runner", "-Q", "-E", "-p1"]
    return [Test(number, command, home / "source" / "tests", environment | {"TESTS": number}) for number in LIBRDKAFKA_TESTS]


SUITES = {suite.name: suite for suite in (
    Suite("rskafka", f"crate {RSKAFKA}", install_rskafka, rskafka, brokers=3,
          properties={"auto.create.topics.enable": "false"}, seconds_on_mock=60,
          left_out={"client::test_sasl": "wants a SASL listener", "client::test_tls": "its author ignores it",
                    "client::test_socks5": "wants a SOCKS5 proxy"}),
    Suite("kafka-python", KAFKA_PYTHON, install_kafka_python, kafka_python,
          properties={"num.partitions": "4", "group.min.session.timeout.ms": "1000",
                      "allow.everyone.if.no.acl.found": "true",
                      "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer"}),
    Suite("rdkafka", f"crate {RDKAFKA}", install_rdkafka, rdkafka, properties={"num.partitions": "3"}),
    Suite("librdkafka", "librdkafka 2.12.1, nine of its own tests", install_librdkafka, librdkafka, brokers=3,
          properties={"num.partitions": "4", "default.replication.factor": "3"}, seconds=180, seconds_on_mock=60, at_once=3),
)}


def chosen(names: list[str]) -> list[Suite]:
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        sys.exit(f"no such suite: {', '.join(unknown)}; there are {', '.join(SUITES)}")
    return [SUITES[name] for name in names]
