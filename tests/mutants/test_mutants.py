"""The laws are worth what they catch: each deliberate fault in the core must break one."""

import pytest

from .mutants import MUTANTS, Mutant
from .run import attempt, changed


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_fault_is_caught(mutant: Mutant) -> None:
    outcome = attempt(mutant)
    assert not outcome.error, outcome.error
    assert outcome.broken, f"{mutant.sentence} Nothing broke in {outcome.programs} programs and all cuts."


def test_without_a_fault_nothing_is_caught() -> None:
    """The hunt finds faults, not itself."""
    source = MUTANTS[0]
    outcome = attempt(Mutant("none", 0, source.file, source.old, source.old, "link", "No fault."))
    assert not outcome.error, outcome.error
    assert outcome.broken == ""


def test_each_law_has_two_faults_at_least() -> None:
    laws = [mutant.law for mutant in MUTANTS]
    assert all(laws.count(law) >= 2 for law in range(1, 11))
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_text_that_is_gone_is_said_in_clear_words() -> None:
    with pytest.raises(ValueError, match="give the mutant a text that is there"):
        changed(Mutant("gone", 1, "journal.py", "no such text", "", "", ""))
