"""How long a message may live, as the application says it and as storage keeps it. Without that nobody loads this."""

from .limits import EXPIRES_S_MAX

_NUMBERS = (int, float)
_FOREVER = float("inf")


def expiry_seconds(expires_after: "float | None") -> int:
    """Whole seconds for storage, rounded up; 0 for never. Raises ValueError or TypeError."""
    if expires_after is None or expires_after == _FOREVER:
        return 0
    if isinstance(expires_after, bool) or not isinstance(expires_after, _NUMBERS):
        raise TypeError("expires_after is a number of seconds, not %r" % (expires_after,))
    if not 0 < expires_after <= EXPIRES_S_MAX:
        raise ValueError("expires_after is %r: more than 0 and at most %d seconds" % (expires_after, EXPIRES_S_MAX))
    return -int(-expires_after // 1)
