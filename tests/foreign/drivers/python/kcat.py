"""kcat, the command line client over librdkafka. It is run as a person would, and its output parsed.

What it cannot say: with -Z an empty key or value is written as null; -H gives every record the same headers, so none
are written; a timestamp cannot be chosen.
"""
import concurrent.futures
import json
import subprocess

import interchange

AT_ONCE = 6
KEY_DELIMITER = "\x1f"
# Lengths before bytes, so that nothing in a record can be mistaken for the format.
FORMAT = "%T %K %S %p\n%k%s"


def main() -> None:
    what, bootstrap, partition, jobs = interchange.command_line()
    if what == "produce":
        for job in jobs:
            produce(bootstrap, partition, job)
        return
    # kcat waits half a second for the end of a partition; several wait side by side.
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda job: consume(bootstrap, partition or 0, job), jobs):
            pass


def produce(bootstrap: str, partition: int | None, job: interchange.Job) -> None:
    command = ["kcat", "-P", "-b", bootstrap, "-t", job.topic, "-K", KEY_DELIMITER, "-Z"]
    if partition is not None:
        command += ["-p", str(partition)]
    if job.codec not in ("default", "none"):
        command += ["-z", job.codec]
    lines = bytearray()
    for record in interchange.read(job.input):
        if record.key:
            lines += record.key + KEY_DELIMITER.encode()
        lines += (record.value or b"") + b"\n"
    subprocess.run(command, input=lines, check=True)


def consume(bootstrap: str, partition: int, job: interchange.Job) -> None:
    command = ["kcat", "-C", "-b", bootstrap, "-t", job.topic, "-p", str(partition), "-o", "beginning", "-q"]
    plain = subprocess.run([*command, "-e", "-f", FORMAT], stdout=subprocess.PIPE, check=True).stdout
    # -f prints headers without a way to tell where one ends; -J prints them apart. The end was seen above.
    envelopes = subprocess.run([*command, "-c", str(job.count), "-J"], stdout=subprocess.PIPE, check=True).stdout
    headers = [headers_of(line) for line in envelopes.split(b"\n") if line]
    position, lines = 0, []
    while position < len(plain):
        record, position = next_record(plain, position)
        record.headers = headers[len(lines)] if len(lines) < len(headers) else []
        lines.append(interchange.line(record))
    interchange.write(job, lines)


def next_record(plain: bytes, position: int) -> tuple[interchange.Record, int]:
    newline = plain.index(b"\n", position)
    timestamp, key_length, value_length, partition = map(int, plain[position:newline].split())
    key, position = field(plain, newline + 1, key_length)
    value, position = field(plain, position, value_length)
    return interchange.Record(key, value, [], timestamp, partition), position


def field(plain: bytes, position: int, length: int) -> tuple[bytes | None, int]:
    """The bytes at `position`; a length of -1 is null."""
    if length < 0:
        return None, position
    return plain[position:position + length], position + length


def headers_of(envelope: bytes) -> list[tuple[str, bytes | None]]:
    # kcat copies bytes that are not UTF-8 as they are.
    flat = json.loads(envelope.decode("utf-8", "surrogateescape"), strict=False).get("headers", [])
    return [(name, None if value is None else value.encode("utf-8", "surrogateescape"))
            for name, value in zip(flat[::2], flat[1::2], strict=True)]


main()
