"""The documents say what the code does."""

from pathlib import Path

from tests.support import window_words as window

_DESIGN = Path(__file__).parent.parent / "persistmq_core" / "DESIGN.md"


def test_the_transition_table_in_the_design_is_the_code_s() -> None:
    rows = [
        f"| {window.STATES[state]} | {window.EVENTS[event]} | {window.STATES[new]} |"
        for state, event, new in window.transitions()
    ]
    begin, end = "<!-- transitions: kept equal to the table by a test -->\n", "\n<!-- end -->"
    table = _DESIGN.read_text().split(begin)[1].split(end)[0].splitlines()
    assert table[2:] == rows
