"""Whatever lies in the cache directory, the client starts, and delivers every record that is whole."""

import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import tally
from tests.support.rng import Rng

from .choices import Choices
from .judge import Broken, one
from .real_directory import RealDirectory

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
SECONDS = 300 if LONG else 12


def first_seed() -> int:
    # The ordinary run is the same each time; the long one looks where nobody has looked.
    seed = int(os.environ.get("PERSISTMQ_SEED") or (random.randrange(1 << 24) if LONG else 1))
    print("seed", seed)
    return seed


def test_random_damage() -> None:
    first = first_seed()
    until = time.monotonic() + SECONDS
    seed = first
    while time.monotonic() < until:
        try:
            one(Rng(seed))
        except Broken as error:
            pytest.fail("seed %d: %s" % (seed, error))
        seed += 1
    print("%d directories in %d s" % (seed - first, SECONDS))
    tally.count("damaged cache directories opened", seed - first)
    assert seed - first > 100


def test_random_damage_to_real_directories(tmp_path: Path) -> None:
    """The same, as files under the CPython port's store, with directories where files belong."""
    first = first_seed()
    for seed in range(first, first + (3000 if LONG else 150)):
        try:
            with RealDirectory(tmp_path / str(seed)) as place:
                one(Rng(seed), place.lay)
        except Broken as error:
            pytest.fail("seed %d: %s" % (seed, error))


@settings(max_examples=5000 if LONG else 150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=120))
def test_damage_that_can_be_shrunk(steering: bytes) -> None:
    one(Choices(steering))
