"""Faults that a test orders in advance: the next call of that name, or the third, or each, fails with an errno."""


class FaultOrders:
    """A list of orders; the first that fits a call is carried out."""

    def __init__(self) -> None:
        self._orders = []

    def add(self, call: str, errno: int, *, short: int, skip: int, times: "int | None", name: str) -> None:
        """See ``WriteListStore.fail_next``."""
        self._orders.append([call, errno, short, skip, times, name])

    def clear(self) -> None:
        """Forget them all."""
        self._orders = []

    def due(self, call: str, name: str) -> "tuple[int, int] | None":
        """(errno, bytes done before it fails) if ``call`` on ``name`` is to fail now."""
        for order in self._orders:
            if order[0] != call or not name.startswith(order[5]):
                continue
            if order[3]:
                order[3] -= 1
                continue
            if order[4] is not None:
                order[4] -= 1
                if not order[4]:
                    self._orders.remove(order)
            return order[1], order[2]
        return None
