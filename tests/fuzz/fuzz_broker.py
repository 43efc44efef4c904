"""What a broker sends, coverage-guided: python -m tests.fuzz.fuzz_broker [SECONDS]. Wants atheris (group "fuzz")."""

import sys

import atheris

with atheris.instrument_imports(include=["persistmq_core", "persistmq"]):
    from tests.fuzz.broker_judge import codec, delivery
    from tests.fuzz.choices import Choices
    from tests.fuzz.guided import run


def judge(content: bytes) -> None:
    # The first byte decides what the others are: a stream as it is, or decisions.
    if content[:1] < b"\x80":
        codec(content[2:], 1 + (content[1] if len(content) > 1 else 0))
    else:
        delivery(Choices(content[1:]))


if __name__ == "__main__":
    run(judge, int(sys.argv[1]) if len(sys.argv) > 1 else 60)
