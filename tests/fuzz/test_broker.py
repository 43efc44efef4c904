"""Whatever a broker sends, the client neither breaks nor believes what was not said."""

import os
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rng import Rng

from .broker_judge import Wrong, codec, delivery
from .choices import Choices
from .streams import stream

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
SECONDS = 120 if LONG else 4


def for_a_while(judge: Callable[[Rng], None]) -> None:
    first = int(os.environ.get("PERSISTMQ_SEED") or (random.randrange(1 << 24) if LONG else 1))
    print("seed", first)
    seed = first
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            judge(Rng(seed))
        except Wrong as error:
            pytest.fail("seed %d: %s" % (seed, error))
        except Exception as error:
            raise AssertionError("seed %d: %r" % (seed, error)) from error
        seed += 1
    print("%d streams" % (seed - first))
    assert seed - first > 200


def test_streams_to_the_readers() -> None:
    for_a_while(lambda rng: codec(stream(rng, mqtt5=bool(rng.below(2))), 1 + rng.below(20)))


def test_streams_to_the_delivery() -> None:
    for_a_while(delivery)


@settings(max_examples=20_000 if LONG else 500, deadline=None)
@given(st.binary(max_size=40), st.integers(1, 40))
def test_bytes_to_the_readers(content: bytes, step: int) -> None:
    codec(content, step)


@settings(max_examples=5000 if LONG else 100, deadline=None)
@given(st.binary(max_size=120))
def test_answers_that_can_be_shrunk(steering: bytes) -> None:
    delivery(Choices(steering))
