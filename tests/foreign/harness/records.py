"""Real input: the lines of the JSON and CSV files that the package vega-datasets ships, as Kafka records.

A value is a line as it lies in the file. The key is the first column, or null. Every shape that a record can have is
here: null, empty and binary values, headers that repeat, headers without a value, a record of 119 KB, UTF-8 beyond
ASCII. Timestamps rise through 2024, some are equal.
"""
import contextlib
import csv
import json
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator

from . import install

sys.path.insert(0, str(install.DRIVERS / "python"))
from interchange import Record  # noqa: E402

YEAR_2024_MS = 1_704_067_200_000
STEP_MS = 977
MATRIX_FILES = ("world-110m.json", "movies.json", "airports.csv", "weather.csv", "stocks.csv", "football.json")
# Below the million bytes that librdkafka and Kafka's own producer accept by default.
LONGEST_LINE = 900_000


def matrix(home: pathlib.Path, count: int) -> list[Record]:
    """`count` records of several files; each file's lines stay together, as a program would send them."""
    lines = []
    for name in MATRIX_FILES:
        lines += [(name, line) for line in read_lines(data(home) / name)[:max(1, count // 4)]]
    return [record(index, name, line) for index, (name, line) in enumerate(lines[:count])]


def whole_files(home: pathlib.Path) -> list[Record]:
    """Every line of every file."""
    files = sorted(path for path in data(home).iterdir() if path.suffix in (".json", ".csv", ".tsv"))
    lines = [(path.name, line) for path in files for line in read_lines(path) if len(line) <= LONGEST_LINE]
    return [record(index, name, line) for index, (name, line) in enumerate(lines)]


def text_lines(home: pathlib.Path, name: str) -> list[bytes]:
    """The lines of one file, for tools that carry text."""
    return read_lines(data(home) / name)


def data(home: pathlib.Path) -> pathlib.Path:
    return home / "node" / "node_modules" / "vega-datasets" / "data"


def read_lines(path: pathlib.Path) -> list[bytes]:
    """The lines of a file that are not empty."""
    return [line for line in path.read_bytes().split(b"\n") if line.strip()]


def record(index: int, name: str, line: bytes) -> Record:
    value, own_key = line, key(index, name, line)
    # With a key: kafka-python refuses a record that has neither, and kcat skips an empty line.
    if index % 501 == 500:
        value, own_key = None, f"deleted-{index}".encode()
    elif index % 503 == 502:
        value, own_key = b"", f"emptied-{index}".encode()
    timestamp = YEAR_2024_MS + (index - index % 3) * STEP_MS
    return Record(own_key, value, headers(index, name), timestamp % (YEAR_2024_MS + 366 * 86_400_000), 0)


def key(index: int, name: str, line: bytes) -> bytes | None:
    if index % 509 == 508:
        return b""
    if name.endswith(".csv"):
        return next(csv.reader([line.decode()]), [""])[0].encode() or None
    with contextlib.suppress(ValueError):
        # Lines such as `{"Title": "The Land Girls", ...},`: an object and a comma.
        row = json.loads(line.strip().removesuffix(b","))
        if isinstance(row, dict) and row:
            return str(next(iter(row.values()))).encode() or None
    return None


def headers(index: int, name: str) -> list[tuple[str, bytes | None]]:
    if index % 5 == 0:
        return []
    result: list[tuple[str, bytes | None]] = [("source", name.encode())]
    if index % 7 == 0:
        result += [("tag", b"first"), ("line", str(index).encode()), ("tag", b"second"), ("tag", b"first")]
    if index % 11 == 0:
        result.append(("without-value", None))
    if index % 13 == 0:
        result.append(("empty", b""))
    if index % 17 == 0:
        result.append(("Größe, Länge", "größer = länger".encode()))
    if index % 101 == 0:
        result.append(("binary", bytes(range(256))))
    return result


@contextlib.contextmanager
def workspace(keep: bool) -> Iterator[pathlib.Path]:
    """A directory for the record files of one run."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="foreign-"))
    try:
        yield directory
    finally:
        if keep:
            print(f"kept {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
