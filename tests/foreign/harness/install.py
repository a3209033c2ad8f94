"""Installs the foreign clients, each once, at the versions that the repository pins.

Everything lands in `target/foreign` (or FOREIGN_HOME), except kcat, which is Debian's. A stamp per client holds a
digest of what it was made from, so that a second call takes no time.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from . import brokers

DRIVERS = pathlib.Path(__file__).resolve().parents[1] / "drivers"
REAL_KAFKA = brokers.REPOSITORY / "tests" / "real-kafka" / "real-kafka"


def everything(chosen: Iterable, *more: str) -> pathlib.Path:
    """Installs the real data, what these clients need, and more; says where."""
    return these({"node", "workspace", *more} | {client.needs for client in chosen})


def these(needs: Iterable[str]) -> pathlib.Path:
    """Installs what is needed; says where."""
    home = pathlib.Path(os.environ.get("FOREIGN_HOME", brokers.REPOSITORY / "target" / "foreign")).resolve()
    home.mkdir(parents=True, exist_ok=True)
    for need in sorted(needs):
        INSTALLERS[need](home)
    return home


def kcat(_home: pathlib.Path) -> None:
    if shutil.which("kcat") and shutil.which("tshark"):
        return
    print("installing kcat and tshark", flush=True)
    if os.geteuid() != 0:
        sys.exit("kcat or tshark is not installed: apt-get install kcat tshark (as root this is done for you)")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    say(["apt-get", "update", "-qq"], env=environment)
    say(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "kcat", "tshark"], env=environment)


def python(home: pathlib.Path) -> None:
    def make() -> None:
        environment = home / "python"
        shutil.rmtree(environment, ignore_errors=True)
        say([sys.executable, "-m", "venv", environment])
        say([environment / "bin" / "pip", "install", "-q", "-r", DRIVERS / "python" / "requirements.txt"])
    once(home, "python", [DRIVERS / "python" / "requirements.txt"], make)


def node(home: pathlib.Path) -> None:
    manifests = [DRIVERS / "kafkajs" / "package.json", DRIVERS / "kafkajs" / "package-lock.json"]

    def make() -> None:
        directory = home / "node"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for manifest in manifests:
            shutil.copy(manifest, directory)
        say(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=directory)
    once(home, "node", manifests, make)


def go(home: pathlib.Path) -> None:
    sources = [*(DRIVERS / "go").rglob("*.go"), DRIVERS / "go" / "go.mod", DRIVERS / "go" / "go.sum"]

    def make() -> None:
        (home / "go").mkdir(exist_ok=True)
        say(["go", "build", "-mod=readonly", "-o", f"{home / 'go'}/", "./..."], cwd=DRIVERS / "go")
    once(home, "go", sources, make)


def rdkafka(home: pathlib.Path) -> None:
    package = DRIVERS / "rdkafka"
    sources = [package / "Cargo.toml", package / "Cargo.lock", *(package / "src").glob("*.rs")]
    build = ["cargo", "build", "--quiet", "--locked", "--manifest-path", package / "Cargo.toml", "--target-dir", home / "rdkafka"]
    once(home, "rdkafka", sources, lambda: say(build))


def java(home: pathlib.Path) -> None:
    sources = sorted((DRIVERS / "java").glob("*.java"))
    path = subprocess.run([REAL_KAFKA, "classpath"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    (home / "java").mkdir(exist_ok=True)
    (home / "java" / "classpath").write_text(f"{home / 'java'}:{path}")
    once(home, "java", [*sources, home / "java" / "classpath"],
         lambda: say(["javac", "-cp", path, "-d", home / "java", *sources]))


def junit5(home: pathlib.Path) -> None:
    manifest = brokers.REPOSITORY / "tests" / "languages" / "junit5" / "pom.xml"

    def make() -> None:
        shutil.rmtree(home / "junit5", ignore_errors=True)
        say(["mvn", "-q", "-B", "-f", manifest, "dependency:copy-dependencies", f"-DoutputDirectory={home / 'junit5'}"])
    once(home, "junit5", [manifest], make)


def streams(home: pathlib.Path) -> None:
    package = DRIVERS / "streams"

    def make() -> None:
        shutil.rmtree(home / "streams", ignore_errors=True)
        jars = home / "streams" / "lib"
        say(["mvn", "-q", "-B", "-f", package / "pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={jars}"])
        say(["javac", "-cp", f"{jars}/*", "-d", home / "streams", package / "WordCount.java"])
    once(home, "streams", [package / "pom.xml", package / "WordCount.java"], make)


def target() -> pathlib.Path:
    """Where this workspace is built."""
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", brokers.REPOSITORY / "target")).resolve()


def workspace(_home: pathlib.Path) -> None:
    # Cargo knows itself what has changed.
    say(["cargo", "build", "--quiet", "-p", "system-tests", "--bin", "group-member",
         "--bin", "drive-async-kafka"], cwd=brokers.REPOSITORY)


INSTALLERS: dict[str, Callable[[pathlib.Path], None]] = {
    "go": go, "java": java, "junit5": junit5, "kcat": kcat, "node": node, "python": python, "rdkafka": rdkafka,
    "streams": streams, "workspace": workspace,
}


def once(home: pathlib.Path, name: str, sources: list[pathlib.Path], make: Callable[[], None]) -> None:
    """Makes it unless the stamp says that it was made from the same bytes."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sorted(sources))).hexdigest()
    stamp = home / f"{name}.stamp"
    if stamp.exists() and stamp.read_text() == digest:
        return
    stamp.unlink(missing_ok=True)
    print(f"installing {name}", end="", flush=True)
    started = time.monotonic()
    make()
    stamp.write_text(digest)
    print(f", {time.monotonic() - started:.0f} s", flush=True)


def say(command: list, **options) -> None:
    """Runs it; what it says goes to stderr, what it refuses ends the run."""
    done = subprocess.run(list(map(str, command)), stdout=sys.stderr, **options)
    if done.returncode:
        sys.exit(f"\ncould not install: {' '.join(map(str, command))}")
