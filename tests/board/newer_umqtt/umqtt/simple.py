"""What differs in umqtt.simple 1.4 and later, on top of 1.3.4: ``connect`` takes a timeout, ``ssl`` is a context."""

import sys

_own = sys.modules.pop("umqtt.simple", None)
_package = sys.modules.pop("umqtt", None)
_path = sys.path[:]
sys.path[:] = [folder for folder in _path if not folder.endswith("newer_umqtt")]
from umqtt import simple as _old  # noqa: E402

sys.path[:] = _path
MQTTException = _old.MQTTException


class MQTTClient(_old.MQTTClient):
    def __init__(self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=None):
        super().__init__(client_id, server, port, user, password, keepalive)
        self.ssl = ssl

    def connect(self, clean_session=True, timeout=None):
        context = self.ssl
        real = _old.socket
        _old.socket = _Socket(real, timeout)
        if context is not None:
            sys.modules["ussl"] = self
            self.ssl_params = {}
        try:
            return super().connect(clean_session)
        finally:
            _old.socket = real
            sys.modules.pop("ussl", None)

    def wrap_socket(self, sock):
        return self.ssl.wrap_socket(sock, server_hostname=self.server)


class _Socket:
    """Stands for the socket module while 1.3.4 connects."""

    def __init__(self, real, timeout):
        self._real = real
        self._timeout = timeout

    def socket(self):
        made = self._real.socket()
        made.settimeout(self._timeout)
        return made

    def getaddrinfo(self, *arguments):
        return self._real.getaddrinfo(*arguments)
