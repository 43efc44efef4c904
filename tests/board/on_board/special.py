"""What only some jobs need: a counter that wraps as a board's does, and TLS that checks the broker's certificate."""

import ssl
import time

from persistmq import client  # of which the clock is a part on a board


class BoardTime:
    """Counts 2^30 milliseconds, as boards do: here the counter has 2^62."""

    SPAN = 1 << 30

    def __init__(self, left_ms):
        self.time = time.time
        self.gmtime = time.gmtime
        self._offset = self.SPAN - left_ms - time.ticks_ms()

    def ticks_ms(self):
        return (time.ticks_ms() + self._offset) % self.SPAN

    def ticks_diff(self, new, old):
        return (new - old + self.SPAN // 2) % self.SPAN - self.SPAN // 2


def let_the_counter_wrap_in(left_ms):
    """Before the client is made."""
    client.time = BoardTime(left_ms)


def trusting(mqtt_client, file_name):
    """``ssl`` for connect_async, with the authority (DER) in the file."""
    with open(file_name, "rb") as file:
        authority = file.read()
    if mqtt_client.ssl is False:  # umqtt.simple 1.3.4
        return {"cert_reqs": ssl.CERT_REQUIRED, "cadata": authority, "server_hostname": "localhost"}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority)
    return context
