"""Where jitter and the number of a new cache come from."""

import random

from persistmq_core.contracts import Random


class SystemRandom(Random):
    """The system's, so that a fleet of devices that starts at the same moment does not knock at the same moment."""

    def below(self, bound: int) -> int:
        return random.SystemRandom().randrange(bound)
