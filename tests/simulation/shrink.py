"""From a list of actions that breaks a law to a short one: leave out ever smaller parts as long as it still breaks."""

from .laws import LawBroken
from .program import Program


def failure(settings: "dict[str, object]", actions: "list[tuple]") -> str:
    """The words of the law that this program breaks, "" if it breaks none."""
    try:
        Program(settings, actions).run()
    except LawBroken as broken:
        return str(broken)
    return ""


def shrink(settings: "dict[str, object]", actions: "list[tuple]", law: str = "") -> "list[tuple]":
    """The shortest list that was found to fail with words that begin with ``law``."""

    def fails(candidate: "list[tuple]") -> bool:
        words = failure(settings, candidate)
        return bool(words) and words.startswith(law)

    size = len(actions)
    while size:
        start = 0
        while start < len(actions):
            candidate = actions[:start] + actions[start + size :]
            if fails(candidate):
                actions = candidate
            else:
                start += size
        size //= 2
    return _simpler(actions, fails)


def _simpler(actions: "list[tuple]", fails: "object") -> "list[tuple]":
    """Publish fewer messages at a time, and pass less time."""
    for index in range(len(actions)):
        action = actions[index]
        if action[0] not in ("publish", "time"):
            continue
        at = 0
        while len(action[-1]) > 1 and at < len(action[-1]):
            shorter = action[:-1] + (action[-1][:at] + action[-1][at + 1 :],)
            candidate = actions[:index] + [shorter] + actions[index + 1 :]
            if fails(candidate):
                actions, action = candidate, shorter
            else:
                at += 1
    return actions
