"""Fixtures for tests against mockbroker: copy this file beside your tests. Needs pytest and the program, nothing else.

    def test_something(kafka):
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        kafka.post("/faults", {"scope": {"api": "Produce"}, "when": "after_apply", "fault": {"kind": "disconnect"}})

`mockbroker` is the program, started once; `kafka` is a cluster for one test, and what can be asked of it (docs/CONTROL.md).
A fault that the test mounted and that never fired fails it.
"""
import json
import os
import subprocess
import urllib.error
import urllib.request

import pytest


class ControlError(AssertionError):
    """What the control address refused, with the cluster's report if something was waited for in vain."""

    def __init__(self, problem: dict) -> None:
        super().__init__("\n".join(filter(None, [f"{problem['title']}: {problem['detail']}", problem.get("report")])))
        self.problem = problem


class Control:
    """A URL of the control address, and all below it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, body: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                content = answer.read()
                return json.loads(content) if answer.headers.get_content_type() == "application/json" else content.decode()
        except urllib.error.HTTPError as refusal:
            raise ControlError(json.load(refusal)) from None

    def get(self, path: str):
        return self.ask("GET", path)

    def post(self, path: str, body: dict | None = None):
        return self.ask("POST", path, body or {})

    def delete(self, path: str) -> None:
        self.ask("DELETE", path)


class Cluster(Control):
    """A cluster of its own."""

    def __init__(self, control: Control, state: dict) -> None:
        super().__init__(f"{control.url}/clusters/{state['name']}")
        self.bootstrap_servers = state["bootstrap_servers"]


@pytest.fixture(scope="session")
def mockbroker():
    """The program's control address. The program ends with this process, however that ends."""
    program = os.environ.get("MOCKBROKER", "mockbroker")
    command = [program, "serve", "--port", "0", "--control", "127.0.0.1:0", "--until-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        told = dict(process.stdout.readline().split() for _ in ("READY", "CONTROL"))
        yield Control(told["CONTROL"])
        process.stdin.close()


@pytest.fixture
def kafka(mockbroker):
    """A cluster with the topic `orders` of one partition. Its time is moved by `kafka.post("/clock/advance", {"by_ms": 45000})`."""
    new = {"topics": [{"name": "orders", "partitions": 1}], "clock": {"kind": "manual"}}
    cluster = Cluster(mockbroker, mockbroker.post("/clusters", new))
    yield cluster
    cluster.delete("")
