"""What the Python members of a group have in common: their command line, and what they say on stdout.

A member prints one JSON object a line, each with `at`, the wall clock in milliseconds:

    {"owns": [0, 1]}             all partitions that it owns from now on
    {"read": [p, first, last]}   records that it was given
    {"committed": [p, next]}     a commit that the broker has answered
    {"refused": "why"}           a commit that was refused, as happens when a rebalance overtakes it
    {"left": true}               it has left the group; the process ends

It leaves when its stdin ends. A member that is killed says nothing.
"""
import argparse
import json
import sys
import threading
import time

HEARTBEAT_MS = 500


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "group", "topic", "protocol"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--session-ms", type=int, required=True)
    parser.add_argument("--instance")
    parser.add_argument("--output")
    return parser.parse_args(sys.argv[2:] if sys.argv[1:2] in (["member"], ["transact"]) else None)


def say(**event) -> None:
    print(json.dumps(event | {"at": time.time() * 1000}), flush=True)


def leaving() -> threading.Event:
    """Set when stdin ends."""
    event = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        event.set()

    threading.Thread(target=watch, daemon=True).start()
    return event


class Progress:
    """What was read and is not yet committed, by partition."""

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        self.next: dict[int, int] = {}

    def read(self, partition: int, offset: int) -> None:
        self.first.setdefault(partition, offset)
        self.next[partition] = offset + 1

    def take(self) -> dict[int, int]:
        """Says what was read; the offsets to commit."""
        for partition, first in self.first.items():
            say(read=[partition, first, self.next[partition] - 1])
        taken, self.first, self.next = self.next, {}, {}
        return taken
