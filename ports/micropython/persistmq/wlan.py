"""Wi-Fi for ``client.before_connect``."""

import time


class Wlan:
    """Joins a network when a connection is wanted, and tells whether it is there. Never waits.

        client.before_connect = Wlan("ssid", "password")

    Raises whatever ``network.WLAN`` raises; the client tries again later.
    """

    def __init__(self, ssid: str, password: "str | None" = None, rejoin_ms: int = 15000) -> None:
        """``rejoin_ms``: an attempt that did not join by then is begun again."""
        self._ssid = ssid
        self._password = password
        self._rejoin_ms = rejoin_ms
        self._began_ticks = None
        self.interface = None  # the network.WLAN, once it was needed

    def __call__(self) -> bool:
        if self.interface is None:
            import network  # noqa: PLC0415 - only boards have it

            self.interface = network.WLAN(network.STA_IF)
        if self.interface.isconnected():
            self._began_ticks = None
            return True
        now = time.ticks_ms()
        if self._began_ticks is None or time.ticks_diff(now, self._began_ticks) >= self._rejoin_ms:
            if self._began_ticks is not None:
                self.interface.disconnect()
            self._began_ticks = now
            self.interface.active(True)
            self.interface.connect(self._ssid, self._password)
        return False
