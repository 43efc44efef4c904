"""Making a connected socket may wait for DNS, TCP and TLS: it does so on a thread of its own."""

import ssl
import threading
import time
from collections.abc import Callable
from typing import Any


class Connector:
    """One try to make a socket. ``finished`` is called, on the other thread, when there is something to ``take``."""

    def __init__(self, make_socket: Callable[[], Any], abort: Callable[[], None], finished: Callable[[], None]) -> None:
        self._make_socket = make_socket
        self._abort = abort
        self._finished = finished
        self._lock = threading.Lock()
        self._socket: Any = None
        self._is_cancelled = False
        self._is_done = False
        self._started_s = time.monotonic()
        self.reason = ""  # why there is no socket
        self.refused = False  # and whether a person must act
        # A daemon: a DNS server that does not answer must not keep a program from ending.
        self._thread = threading.Thread(target=self._run, name="persistmq-connect", daemon=True)

    def start(self) -> None:
        """Raises RuntimeError if the system has no thread left."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return not self._is_done

    @property
    def age_s(self) -> int:
        """Whole seconds since it was made."""
        return int(time.monotonic() - self._started_s)

    def take(self) -> Any:
        """The connected socket, whose owner is the caller from now on; None if there is none (yet)."""
        with self._lock:
            sock, self._socket = self._socket, None
            return sock

    @property
    def is_finished(self) -> bool:
        """Whether ``take`` gives the socket or ``reason`` says why not."""
        return self._socket is not None or self.reason != ""

    def cancel(self) -> None:
        """Nobody will ``take`` it: it is closed, now or when it comes."""
        with self._lock:
            self._is_cancelled = True
            sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()
        elif self.is_running:
            self._abort()

    def _run(self) -> None:
        sock = None
        try:
            sock = self._make_socket()
        except ssl.SSLCertVerificationError as error:
            self.refused = True
            self.reason = "the broker's certificate was not accepted: %s" % (error.verify_message or error)
        except ssl.SSLError as error:
            self.refused = is_about_certificate(error)
            self.reason = "TLS failed: %s" % error
        except OSError as error:
            self.reason = error.strerror or str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001 - a proxy's or a websocket header function's: the thread must report it
            self.reason = "%s: %s" % (type(error).__name__, error)
        with self._lock:
            if not self._is_cancelled:
                self._socket, sock = sock, None
        if sock is not None:
            sock.close()
        self._is_done = True
        self._finished()


def is_about_certificate(error: OSError) -> bool:
    """Whether a TLS alert says that our certificate, or the lack of one, is what the broker refuses."""
    alert = getattr(error, "reason", None) or ""
    return isinstance(error, ssl.SSLError) and "ALERT" in alert and ("CERTIFICATE" in alert or "UNKNOWN_CA" in alert)
