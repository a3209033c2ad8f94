"""Takes the suites from their registries and builds them in `target/suites` (or SUITES_HOME). Nothing of them is committed."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable

from harness.brokers import REPOSITORY
from harness.install import once, say

HERE = pathlib.Path(__file__).resolve()
REQUIREMENTS = HERE.parents[1] / "requirements.txt"
# The sdist of kafka-python leaves out this module of its tests. Of it, a broker that runs needs only these names.
SERVICE = '''
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self): ...
    def close(self): ...
    def dump_logs(self): ...


class SpawnedService: ...
'''


def home() -> pathlib.Path:
    return pathlib.Path(os.environ.get("SUITES_HOME", REPOSITORY / "target" / "suites")).resolve()


def crate(pinned: str, directory: pathlib.Path, targets: list[str], instead: dict[str, str] | None = None) -> None:
    """Builds the tests of a crate with what its author locked, except `instead`, and lists the executables."""
    def make() -> None:
        unpack_crate(pinned, directory / "source")
        with (directory / "source" / "Cargo.toml").open("a") as manifest:
            manifest.write("\n[workspace]\n")
        for name, version in (instead or {}).items():
            update = ["cargo", "update", "--quiet", "--package", name, "--precise", version]
            subprocess.run(update, cwd=directory / "source", env=cargo_environment(), check=True)
        command = ["cargo", "test", "--no-run", "--locked", "--message-format=json-render-diagnostics", *targets]
        environment = cargo_environment() | {"CARGO_TARGET_DIR": str(home() / "cargo"), "CARGO_PROFILE_DEV_DEBUG": "0"}
        built = subprocess.run(command, cwd=directory / "source", env=environment, stdout=subprocess.PIPE, text=True)
        if built.returncode:
            sys.exit(f"could not build the tests of {pinned}")
        messages = [json.loads(line) for line in built.stdout.splitlines()]
        executables = [{"name": message["target"]["name"], "path": message["executable"]} for message in messages
                       if message.get("executable") and message["target"]["kind"] == ["test"]]
        (directory / "executables.json").write_text(json.dumps(executables, indent=1))
    prepared(directory, f"{pinned} {targets} {instead}", make)


def jars_of_j4rs(artifacts: tuple[str, ...]) -> None:
    """Puts these where the crate j4rs looks before it downloads."""
    directory = home() / "cargo" / "debug" / "jassets"
    for artifact in artifacts:
        _, name, version = artifact.split(":")
        if not (directory / f"{name}-{version}.jar").exists():
            copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
            say(["mvn", "-q", "-B", copy, f"-Dartifact={artifact}", f"-DoutputDirectory={directory}"])


def unpack_crate(pinned: str, target: pathlib.Path) -> None:
    """A copy of the sources that cargo fetched, and whose digest it checked."""
    name, version = pinned.split()
    with_manifest = target.parent / "fetch"
    (with_manifest / "src").mkdir(parents=True, exist_ok=True)
    (with_manifest / "src" / "lib.rs").touch()
    (with_manifest / "Cargo.toml").write_text(
        f'[package]\nname = "fetch"\nedition = "2024"\n[dependencies]\n{name} = "={version}"\n[workspace]\n')
    command = ["cargo", "metadata", "--format-version", "1", "--quiet"]
    done = subprocess.run(command, cwd=with_manifest, env=cargo_environment(), stdout=subprocess.PIPE, check=True)
    packages = json.loads(done.stdout)["packages"]
    [manifest] = [package["manifest_path"] for package in packages if package["name"] == name]
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(pathlib.Path(manifest).parent, target)


def cargo_environment() -> dict[str, str]:
    """With our toolchain: a crate may bring a `rust-toolchain.toml` of its own."""
    channel = re.search(r'channel = "(.*)"', (REPOSITORY / "rust-toolchain.toml").read_text())
    return os.environ | ({"RUSTUP_TOOLCHAIN": channel[1]} if channel else {})


def kafka_python(pinned: str, directory: pathlib.Path) -> None:
    def make() -> None:
        shutil.rmtree(directory / "python", ignore_errors=True)
        say([sys.executable, "-m", "venv", directory / "python"])
        pip = [directory / "python" / "bin" / "pip", "--quiet", "--disable-pip-version-check"]
        say([*pip, "install", "-r", REQUIREMENTS])
        shutil.rmtree(directory / "sdist", ignore_errors=True)
        requirement = pinned.replace(" ", "==")
        say([*pip, "download", "--no-deps", "--no-binary", ":all:", "--dest", directory / "sdist", requirement])
        [archive] = (directory / "sdist").iterdir()
        shutil.rmtree(directory / "source", ignore_errors=True)
        with tarfile.open(archive) as file:
            file.extractall(directory / "sdist", filter="data")
        [unpacked] = [path for path in (directory / "sdist").iterdir() if path.is_dir()]
        unpacked.rename(directory / "source")
        # Without it Python's own package `test` comes first.
        (directory / "source" / "test" / "__init__.py").touch()
        (directory / "source" / "test" / "service.py").write_text(SERVICE)
    prepared(directory, pinned, make, REQUIREMENTS)


def librdkafka(pinned: str, directory: pathlib.Path) -> None:
    def make() -> None:
        unpack_crate(pinned, directory / "crate")
        source = directory / "source"
        shutil.rmtree(source, ignore_errors=True)
        (directory / "crate" / "librdkafka").rename(source)
        for script in ("configure", "lds-gen.py", "tests/run-test.sh"):
            (source / script).chmod(0o755)
        say(["./configure", "--disable-gssapi", "--disable-curl", "--disable-ssl", "--disable-syslog",
             "--disable-optimization"], cwd=source)
        jobs = f"-j{os.cpu_count() or 1}"
        say(["make", jobs, "libs"], cwd=source)
        say(["make", jobs, "-C", "tests", "build"], cwd=source)
    prepared(directory, pinned, make)


def prepared(directory: pathlib.Path, pinned: str, make: Callable[[], None], *sources: pathlib.Path) -> None:
    """Made once from what is pinned, from these files, and as this module says."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pinned").write_text(pinned)
    once(home(), directory.name, [HERE, directory / "pinned", *sources], make)
