"""Has Java's consumer and DumpLogSegments read what our client and our broker write, and compares mock with Kafka."""
import pathlib
from dataclasses import dataclass

from . import witness

OURS = [f"client-{codec}" for codec in witness.CODECS]
# Written by our client without a codec, compressed by the broker.
RECOMPRESSED = [f"recompressed-{codec}" for codec in witness.CODECS if codec != "none"]
ALL = OURS + RECOMPRESSED + witness.PLAIN_JAVA
# What is in a batch of these is decided by the producer, to the last byte.
SAME_BYTES = [topic for topic in OURS + witness.PLAIN_JAVA if "append-time" not in topic and "idempotent" not in topic]


def run() -> int:
    programs = witness.build()
    faults: list[str] = []
    with witness.workspace() as directory:
        sides = {"mock": [programs / "mockbroker", "serve", "--port", "0"], "kafka": witness.real(directory / "data")}
        for side, command in sides.items():
            (directory / side).mkdir()
            with witness.broker(command) as bootstrap:
                ours = Ours(programs / "write-evidence", bootstrap, directory / side)
                write(bootstrap, ours)
                faults += read(side, bootstrap, ours)
        faults += segments(directory)
    for fault in faults:
        print(fault)
    print(f"{len(ALL)} topics on the mock and on Kafka {witness.VERSION}, read by Java's consumer and by DumpLogSegments: "
          f"{len(faults) or 'no'} faults")
    return 1 if faults else 0


@dataclass(frozen=True)
class Ours:
    """`write-evidence` and whom it talks to."""
    program: pathlib.Path
    bootstrap: str
    directory: pathlib.Path

    def __call__(self, what: str, topics: list[str]) -> None:
        witness.run([self.program, what, self.bootstrap, self.directory, *topics])


def write(bootstrap: str, ours: Ours) -> None:
    witness.java("create", bootstrap, *OURS, *RECOMPRESSED)
    ours("produce", OURS + RECOMPRESSED)
    witness.java("write", bootstrap, *witness.PLAIN_JAVA)


def read(side: str, bootstrap: str, ours: Ours) -> list[str]:
    """What Java's consumer reads, against what was written; and all bytes, for `segments`."""
    directory = ours.directory
    witness.java("read", bootstrap, directory, *ALL)
    ours("fetch", ALL)
    faults = []
    for topic in ALL:
        seen = (directory / f"{topic}.read").read_text().splitlines()
        if topic in witness.PLAIN_JAVA:
            wanted = (witness.FIXTURES / f"{topic}.records.txt").read_text().splitlines()
            wanted = [line for line in wanted if line.startswith("offset: ")]
        else:
            wanted = (directory / f"{topic}.expected").read_text().splitlines()
        if "append-time" in topic:
            seen, wanted = [timeless(line) for line in seen], [timeless(line) for line in wanted]
        if seen != wanted:
            faults.append(f"{side}, {topic}: the consumer read other records:\n  " + "\n  ".join(line[:200] for line in seen))
    return faults


def timeless(line: str) -> str:
    """A record without the time that the broker gave it."""
    before, after = line.split(" timestamp: ")
    return before + after[after.index(" "):]


def segments(directory: pathlib.Path) -> list[str]:
    """All bytes of each topic as a segment: DumpLogSegments does not complain, and tells of the records that are there."""
    faults = []
    for side in ("mock", "kafka"):
        dumped = witness.dump([directory / side / f"{topic}-0" / witness.SEGMENT for topic in ALL])
        for topic in ALL:
            told = sum(line.startswith("| offset: ") for line in dumped[topic])
            there = len((directory / side / f"{topic}.read").read_text().splitlines())
            if told != there:
                faults.append(f"{side}, {topic}: DumpLogSegments tells of {told} records, the consumer of {there}")
            codec = topic.rsplit("-", 1)[-1]
            codec = codec if codec in witness.CODECS else "none"
            batches = [line for line in dumped[topic] if line.startswith("baseOffset: ")]
            if not all(f" compresscodec: {codec} " in line for line in batches):
                faults.append(f"{side}, {topic}: compressed otherwise: {batches}")
    for topic in ALL:
        stored = (directory / "data" / f"{topic}-0" / witness.SEGMENT).read_bytes()
        if (directory / "kafka" / f"{topic}-0" / witness.SEGMENT).read_bytes() != stored:
            faults.append(f"kafka, {topic}: what was fetched is not what is in the segment")
        if topic in SAME_BYTES and (directory / "mock" / f"{topic}-0" / witness.SEGMENT).read_bytes() != stored:
            faults.append(f"{topic}: the mock stored other bytes than Kafka")
    return faults
