"""A sensor node on an ESP32: wake, measure, store, sleep; every tenth time connect and deliver.

Copy it to the board as main.py (tools/deploy PORT does) with your own Wi-Fi, broker and sensor. What was stored
survives power cuts and days without a network.
"""

import sys
import time

import machine
from persistmq import PersistClient, StoreError
from persistmq.wlan import Wlan

CLIENT_ID = "pole-17"  # the broker keeps the session under it: one for each board, for ever
SSID, PASSWORD = "my-network", "my-password"
BROKER, PORT = "broker.example", 1883
SLEEP_MS = 60000
DRAIN_EVERY = 10  # wakes; the radio is what empties the battery


def wakes() -> int:
    """How often it woke since power-on: a number that deep sleep keeps."""
    memory = machine.RTC().memory()
    count = (int.from_bytes(memory[:2], "big") if len(memory) >= 2 else 0) + 1
    machine.RTC().memory((count & 0xFFFF).to_bytes(2, "big"))
    return count


def measure() -> float:
    """Volts at pin 34; put your sensor here."""
    return machine.ADC(machine.Pin(34)).read_uv() / 1000000


def work() -> None:
    client = PersistClient(CLIENT_ID, cache_path="/cache")
    try:
        client.publish("poles/%s/volts" % CLIENT_ID, "%d %.3f" % (time.time(), measure()))
    except StoreError as failure:
        print("not stored:", failure)  # the flash is full; this one is lost, a delivery makes room for the next ones
    status = client.get_status()
    if wakes() % DRAIN_EVERY == 0 or status["waiting"] > 500:
        client.before_connect = Wlan(SSID, PASSWORD)
        client.connect_async(BROKER, PORT, keepalive=60)
        print("delivered:", client.flush(30))
    client.stop()


def main() -> None:
    try:
        work()
    except Exception as failure:  # noqa: BLE001 - a sensor, the memory: awake it would empty the battery
        sys.print_exception(failure)
    machine.deepsleep(SLEEP_MS)  # not after Ctrl-C: who wants the prompt gets it


main()
