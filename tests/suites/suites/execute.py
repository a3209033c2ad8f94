"""Runs tests, each in a process of its own, so that one that hangs costs its own time and no more."""
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

# How an output says that nothing was tested, although the exit code is 0.
NOTHING_TESTED = re.compile(r"^1 skipped\b|^running 0 tests$|\b0 passed; 0 failed; 1 ignored", re.MULTILINE)
# The lines worth showing of a test that failed, the best first.
TELLING = [re.compile(pattern, re.MULTILINE) for pattern in (
    r"^E   +(\S.*)$",                                      # pytest
    r"^thread '.*panicked at .*\n((?:.+\n?){1,3})",         # Rust
    r"(Error: .*)$",
    r"^### Test .* failed at .* ###\n(.*)$",                # librdkafka's test program
)]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SHOWN_CHARACTERS = 180


@dataclass(frozen=True)
class Test:
    """One test: a command that ends with 0 if it passes."""
    name: str
    command: Sequence[str | os.PathLike[str]]
    directory: pathlib.Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a test."""
    passed: bool
    # The reason, when it did not pass.
    said: str = ""


def all_of(tests: Sequence[Test], seconds: float, at_once: int, output: pathlib.Path,
           expected: Collection[str]) -> dict[str, Outcome]:
    """Runs the tests, some at once. What each said is left in the directory `output`.

    One that was expected to pass and fails is run once more, alone: what is lost to a busy machine says nothing of a broker.
    """
    output.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        outcomes = dict(zip((test.name for test in tests), pool.map(lambda test: one(test, seconds, output), tests)))
    for test in tests:
        first = outcomes[test.name]
        if not first.passed and test.name in expected:
            outcomes[test.name] = one(test, seconds, output)
            if outcomes[test.name].passed:
                print(f"  passed when alone: {test.name}; before: {first.said}", flush=True)
    return outcomes


def one(test: Test, seconds: float, output: pathlib.Path) -> Outcome:
    """Runs a test and everything that it starts, no longer than this."""
    path = output / (re.sub(r"[^\w.-]+", "_", test.name) + ".txt")
    with path.open("wb") as file:
        process = subprocess.Popen(list(map(str, test.command)), cwd=test.directory, env=os.environ | dict(test.environment),
                                   stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end(process)
    if code is None:
        return Outcome(False, f"no end after {seconds:.0f} s")
    text = COLOUR.sub("", path.read_text(errors="replace"))
    if code == 0 and not NOTHING_TESTED.search(text):
        return Outcome(True)
    return Outcome(False, "skipped" if code == 0 else reason(text, code))


def end(process: subprocess.Popen) -> None:
    """Kills what is left of the session that the test leads."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def reason(text: str, code: int) -> str:
    for pattern in TELLING:
        if found := pattern.search(text):
            return " ".join(found[1].split())[:SHOWN_CHARACTERS]
    lines = text.strip().splitlines() or [""]
    end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"{end}: {lines[-1].strip()[:SHOWN_CHARACTERS]}"
