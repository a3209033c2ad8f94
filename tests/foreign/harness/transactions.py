"""Consume, transform, produce with workers of foreign clients that are killed and started again.

Two workers share a group; each record of the input goes to the output in a transaction with its offset. Workers die by
SIGKILL, sometimes two generations in a row, and come back with the same transactional id. In the end the output holds,
read committed, every input exactly once; read uncommitted, the aborted ones as well.
"""
import json
import secrets
import subprocess
import time

from . import clients, members, report

RECORDS = 100_000
PARTITIONS = 6
KILLS = 5
WAIT_SECONDS = 150

KINDS = {
    "confluent": members.Kind("confluent", "python", (clients.PYTHON[0], clients.PYTHON[1] + "confluent_transact.py"), ()),
    "franz-go": members.Kind("franz-go", "go", ("{home}/go/franz-go",), ()),
    "java": members.Kind("java", "java", (*members.JAVA, "Transact"), ()),
    "kafkajs": members.Kind("kafkajs", "node", ("node", "{drivers}/kafkajs/transact.js"), ()),
    "rdkafka": members.Kind("rdkafka", "rdkafka", ("{home}/rdkafka/debug/drive-rdkafka",), ()),
}


def run(world: clients.World, names: list[str], results: report.Results) -> None:
    print()
    for name in (name for name in names if name in KINDS):
        title = f"{name}: {RECORDS} records exactly once, {KILLS} workers killed"
        try:
            seen = exactly_once(world, KINDS[name])
        except (members.Wrong, subprocess.SubprocessError) as error:
            results.fail(title, str(error))
            print(f"FAILED {title}", flush=True)
        else:
            results.passed(title)
            print(f"ok {title}; {seen}", flush=True)


def exactly_once(world: clients.World, kind: members.Kind) -> str:
    name = f"transact-{secrets.token_hex(4)}"
    source, output = f"{name}-in", f"{name}-out"
    ask(world, output, "--count", "0")
    ends = ask(world, source, "--count", str(RECORDS))
    assert sum(ends.values()) == RECORDS
    group = members.Group(world, name, source, PARTITIONS)
    group.transact_to = output
    try:
        workers = [group.start(f"worker {each}", kind, "range", instance=f"{name}-{each}") for each in (0, 1)]
        for kill in range(KILLS):
            # In the middle of the work: some transactions of the new generation have gone through.
            done = transacted(group)
            group.wait("work to go on", lambda: transacted(group) > done + 1000 or transacted(group) >= RECORDS)
            number = kill % 2
            workers[number].kill()
            workers[number] = group.start(f"worker {number}, life {kill + 2}", kind, "range", instance=f"{name}-{number}")
        end = time.monotonic() + WAIT_SECONDS
        while (committed := ask(world, output, "--read", "read_committed"))["records"] < RECORDS:
            if time.monotonic() > end or group.dead():
                raise members.Wrong(f"{committed} of {RECORDS} after {WAIT_SECONDS} s; dead {group.dead()}: {group.last_words()}")
            time.sleep(0.5)
        for worker in list(group.alive):
            worker.leave()
    finally:
        group.end()
    committed, all_there = (ask(world, output, "--read", level) for level in ("read_committed", "read_uncommitted"))
    if committed != {"records": RECORDS, "different": RECORDS}:
        raise members.Wrong(f"read committed: {committed}, written {RECORDS}")
    if all_there["records"] <= RECORDS or all_there["different"] != RECORDS:
        raise members.Wrong(f"read uncommitted: {all_there}, which shows no aborted record")
    return f"{all_there['records'] - RECORDS} aborted"


def transacted(group: members.Group) -> int:
    return sum(event.get("transacted", 0) for _, event in list(group.events))


def ask(world: clients.World, topic: str, *question: str) -> dict:
    command = [*world.command((clients.PYTHON[0], clients.PYTHON[1] + "feed.py")), "--bootstrap", world.bootstrap,
               "--topic", topic, "--partitions", str(PARTITIONS), *question]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=120)
    if done.returncode:
        raise members.Wrong(f"{' '.join(question)} of {topic} failed")
    said = json.loads(done.stdout.splitlines()[-1])
    return {int(key) if key.isdigit() else key: value for key, value in said.items()}
