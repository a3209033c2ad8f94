"""What is kept in the repository: what passes on Kafka, what of it on the mock, and the percentages.

`baseline/SUITE.txt` names the tests that passed on a real Kafka every time; a line `# NAME: WHY` is one that did not, a line
`# NAME: unsteady: WHY` one that does not always.
`mock.txt` names those of them that the mock passes, and may only grow.
"""
import datetime
import os
import pathlib

from harness.brokers import REPOSITORY

from . import catalogue

HERE = pathlib.Path(__file__).resolve().parents[1]
MOCK = HERE / "mock.txt"
COMPATIBILITY = REPOSITORY / "docs" / "COMPATIBILITY.md"
UNSTEADY = "unsteady: "
BEGIN, END = "<!-- suites: begin -->", "<!-- suites: end -->"


def baseline(suite: "catalogue.Suite") -> set[str]:
    return set(names(baseline_path(suite)))


def write_baseline(suite: "catalogue.Suite", passed: set[str], said: dict[str, str]) -> None:
    """Keeps the reasons that somebody wrote by hand, for what fails still and for what passes by luck."""
    path = baseline_path(suite)
    before = reasons(path)
    # Three runs do not show every test that fails now and then; what was found unsteady once stays so.
    said = said | {name: why for name, why in before.items() if why.startswith(UNSTEADY)}
    passed = passed - set(said)
    lines = [f"# What passes of {suite.title} on Kafka {kafka_version()}. Written by `tests/suites/run --baseline`.",
             "# A line `# NAME: WHY` is a test that does not count."]
    lines += [f"# {name}: {why}" for name, why in sorted((said | {n: w for n, w in before.items() if n in said}
                                                          | suite.left_out).items())]
    path.write_text("\n".join([*lines, *sorted(passed)]) + "\n", encoding="utf-8")
    print(f"{path.relative_to(REPOSITORY)}: {len(passed)} pass, {len(said)} do not")


def mock(suite: "catalogue.Suite") -> set[str]:
    prefix = f"{suite.name} "
    return {line.removeprefix(prefix) for line in names(MOCK) if line.startswith(prefix)}


def write_mock(suite: "catalogue.Suite", passed: set[str]) -> None:
    others = [line for line in names(MOCK) if not line.startswith(f"{suite.name} ")]
    lines = sorted([*others, *(f"{suite.name} {name}" for name in passed)])
    comment = "# What the mock passes of baseline/. It may only grow: `tests/suites/run --record` writes it, the diff is read."
    MOCK.write_text("\n".join([comment, *lines]) + "\n", encoding="utf-8")


def write_percentages() -> None:
    """The table between the markers of COMPATIBILITY.md."""
    rows = ["| suite | tests that pass on Kafka | of them on mockbroker | |", "| --- | --- | --- | --- |"]
    for suite in catalogue.SUITES.values():
        passing, wanted = len(mock(suite)), len(baseline(suite))
        rows.append(f"| {suite.title} | {wanted} | {passing} | {percent(passing, wanted)} |")
    today = datetime.date.today().isoformat()
    table = "\n".join([BEGIN, f"{today}, Kafka {kafka_version()}:", "", *rows, END])
    text = COMPATIBILITY.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    COMPATIBILITY.write_text(before + table + rest.split(END)[1], encoding="utf-8")


def percent(part: int, whole: int) -> str:
    return f"{100 * part // whole} %" if whole else "-"


def kafka_version() -> str:
    return os.environ.get("KAFKA_VERSION", "4.3.1")


def baseline_path(suite: "catalogue.Suite") -> pathlib.Path:
    return HERE / "baseline" / f"{suite.name}.txt"


def names(path: pathlib.Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line for line in lines if line and not line.startswith("#")]


def reasons(path: pathlib.Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pairs = (line.removeprefix("# ").partition(": ") for line in lines[2:] if line.startswith("# "))
    return {name: why for name, _, why in pairs}
