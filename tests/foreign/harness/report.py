"""What passed and what did not."""
import time
from collections.abc import Iterable

SHOWN = 20


class Results:
    """Counts checks and says at the end what failed."""

    def __init__(self) -> None:
        self.count = 0
        self.failures: list[tuple[str, str]] = []
        self.started = time.monotonic()

    def passed(self, _name: str) -> None:
        self.count += 1

    def fail(self, name: str, reason: str) -> None:
        self.failures.append((name, reason))

    def finish(self) -> int:
        """Prints the failures and the counts; the exit code."""
        for name, reason in self.failures[:SHOWN]:
            print(f"\nFAILED {name}\n  {reason}")
        if len(self.failures) > SHOWN:
            print(f"\nand {len(self.failures) - SHOWN} more")
        print(f"\n{time.monotonic() - self.started:.0f} s")
        print(f"{self.count} passed, {len(self.failures)} failed")
        return 1 if self.failures or not self.count else 0


class Table:
    """Writers down, readers across; a cell counts the codecs that arrived, or names those that did not."""

    def __init__(self, writers: Iterable, readers: Iterable, codecs: list[str]):
        self.writers = [writer.name for writer in writers]
        self.readers = [reader.name for reader in readers]
        self.codecs = codecs
        self.failed: dict[tuple[str, str], list[str]] = {}

    def put(self, writer, reader, codec: str, error: str | None) -> None:
        codecs = self.failed.setdefault((writer.name, reader.name), [])
        if error is not None:
            codecs.append(codec)

    def print(self) -> None:
        rows = [["wrote \\ read", *self.readers]]
        for writer in self.writers:
            rows.append([writer, *(self.cell(writer, reader) for reader in self.readers)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        print()
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())

    def cell(self, writer: str, reader: str) -> str:
        if (writer, reader) not in self.failed:
            return "-"
        missing = self.failed[writer, reader]
        return f"not {','.join(missing)}" if missing else f"{len(self.codecs)}/{len(self.codecs)}"
