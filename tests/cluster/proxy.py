"""A way to a server that can be cut, or can stop to carry anything."""

import socket
from contextlib import suppress
from threading import Event, Thread


def _port_of_no_client(host):
    """A free port that no connection is given for its own end, which would hold it while the proxy is stopped."""
    for port in range(20_000, 30_000):
        with suppress(OSError):
            socket.create_server((host, port)).close()
            return port
    raise RuntimeError("no port from 20000 to 30000 is free")


class Proxy:
    """Carries connections to a server. It is told by ``port``.

    ``stop()`` refuses and cuts all, ``hang()`` accepts connections and carries nothing, ``start()`` carries again. It
    stops by itself before it would carry the text ``stop_before``.
    """

    def __init__(self, host, port):
        self.host, self.to_port = host, port
        self._flows = Event()
        self._sockets = []
        self._listener = None
        self.stop_before = None
        self.port = _port_of_no_client(host)
        self.start()

    def start(self):
        self.stop()
        self._listener = socket.create_server((self.host, self.port), backlog=100)
        self._flows.set()
        Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def hang(self):
        self._flows.clear()

    def stop(self):
        sockets, self._sockets = self._sockets, []
        for each in [self._listener, *sockets]:
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        self._listener = None
        self._flows.set()  # for those that wait

    def _accept(self, listener):
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((self.host, self.to_port))
                self._sockets += [near, far]
                for ends in ((near, far), (far, near)):
                    Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source, sink):
        before = b""  # the text may come in two pieces
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                if self.stop_before is not None:
                    if self.stop_before in before + data:
                        self.stop()
                        return
                    before = data[1 - len(self.stop_before) :]
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
