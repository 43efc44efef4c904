"""Run the example as main.py, on a board that is faked. Options: example, memory (a file for what deep sleep keeps)."""

import sys

import board

board.mount()
MEMORY = board.options["memory"]


class Asleep(BaseException):
    """Deep sleep ends the program."""


class RTC:
    def memory(self, content=None):
        if content is not None:
            with open(MEMORY, "wb") as file:
                file.write(content)
            return None
        try:
            with open(MEMORY, "rb") as file:
                return file.read()
        except OSError:
            return b""


class Pin:
    def __init__(self, number):
        self.number = number


class ADC:
    def __init__(self, pin):
        self.pin = pin

    def read_uv(self):
        return 1234000


class Machine:
    RTC = RTC
    Pin = Pin
    ADC = ADC

    @staticmethod
    def deepsleep(sleep_ms):
        print("asleep for %d ms" % sleep_ms)
        raise Asleep


class WLAN:
    def __init__(self, interface):
        self.asked = 0

    def isconnected(self):
        self.asked += 1
        return self.asked > 2

    def active(self, on):
        pass

    def connect(self, ssid, password):
        print("joined", ssid)


class Network:
    STA_IF = 0
    WLAN = WLAN


sys.modules["machine"] = Machine
sys.modules["network"] = Network
with open(board.options["example"]) as file:
    source = file.read()
try:
    exec(source, {"__name__": "__main__"})
except Asleep:
    pass
