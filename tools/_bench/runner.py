"""Runs contestants, each in its own process and folder, in rounds of rotated order."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from _bench.broker import Broker
from _bench.peers import Contestant

_TIMEOUT_S = 1800
Result = dict[str, Any]
Results = dict[str, list[Result]]


class BenchFailed(Exception):
    """A contestant did not do what it was to do: there is no figure."""


class Runner:
    """`say` is told what runs just now."""

    def __init__(self, mosquitto: str, folder: Path, rounds: int, say: Callable[[str], None]) -> None:
        self.mosquitto = mosquitto
        self.folder = folder
        self.rounds = rounds
        self.subscriber_wait_s = 60  # without a message; then it says what has come
        self._say = say

    def rounds_of(
        self, contestants: list[Contestant], play: Callable[[Contestant], Result], rounds: int | None = None
    ) -> Results:
        """Each round has all contestants one after another, so that what the machine does meanwhile meets all of them;
        each begins with the next one.
        """
        results: Results = {contestant.name: [] for contestant in contestants}
        rounds = rounds or self.rounds
        for number in range(rounds):
            first = number % len(contestants)
            for contestant in contestants[first:] + contestants[:first]:
                self._say(f"round {number + 1} of {rounds}: {contestant.name}")
                results[contestant.name].append(play(contestant))
        return results

    def process(self, contestant: Contestant, function: str, **task: Any) -> Result:
        """Call one function of the contestant's module in a process; what it returns."""
        command = [sys.executable, "-m", "_bench.contestant", contestant.module]
        words = json.dumps({**contestant.settings, **task, "function": function})
        with self.new_folder() as folder:
            try:
                done = subprocess.run(
                    command,
                    input=words,
                    capture_output=True,
                    text=True,
                    cwd=folder,
                    env=contestant.environment(),
                    timeout=_TIMEOUT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired as expired:
                raise BenchFailed(f"{contestant.name}: not done after {expired.timeout:.0f} s") from expired
        if done.returncode:
            raise BenchFailed(f"{contestant.name} failed: {done.stderr.strip()[-600:]}")
        result: Result = json.loads(done.stdout)
        return result

    def new_folder(self) -> "tempfile.TemporaryDirectory[str]":
        return tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True)

    def end_to_end(
        self, contestant: Contestant, messages: int, payload_bytes: int, qos: int, limits: str, counted: bool = False
    ) -> Result:
        """One burst through a broker that was just started. With `counted` a subscriber must see every message."""
        count = contestant.count_of(messages)
        warm_up = max(5, count // 50)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(self.new_folder()))
            broker = stack.enter_context(Broker(self.mosquitto, folder, limits))
            subscriber = (
                stack.enter_context(Subscriber(broker.port, payload_bytes, self.subscriber_wait_s)) if counted else None
            )
            if subscriber:
                subscriber.expect(warm_up + count)
            task = {"port": broker.port, "messages": count, "warm_up": warm_up, "payload_bytes": payload_bytes}
            result = self.process(contestant, "publish", qos=qos, **task)
            if subscriber and (seen := subscriber.seen()) != warm_up + count:
                raise BenchFailed(f"{contestant.name}: {warm_up + count} were acknowledged, {seen} came out")
        return result


class Subscriber:
    """The process of `subscriber.py`."""

    def __init__(self, port: int, payload_bytes: int, wait_s: int) -> None:
        command = [sys.executable, "-m", "_bench.subscriber", str(port), str(payload_bytes), str(wait_s)]
        environment = Contestant("subscriber", "").environment()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> "Subscriber":
        if self._line() != "subscribed":
            raise BenchFailed("the subscriber did not come up")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def expect(self, count: int) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def seen(self) -> int:
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()
