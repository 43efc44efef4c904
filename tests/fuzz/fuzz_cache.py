"""Cache directories, coverage-guided: python -m tests.fuzz.fuzz_cache [SECONDS]. Wants atheris (group "fuzz")."""

import sys

import atheris

with atheris.instrument_imports(include=["persistmq_core"]):
    from tests.fuzz.choices import Choices
    from tests.fuzz.guided import run
    from tests.fuzz.judge import one


def judge(steering: bytes) -> None:
    one(Choices(steering))


if __name__ == "__main__":
    run(judge, int(sys.argv[1]) if len(sys.argv) > 1 else 60)
