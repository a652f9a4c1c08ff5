"""A network between a replica and the API server that is slow, breaks, or falls silent."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Final, Self
from urllib.parse import urlsplit

_CHUNK: Final = 65536


class Proxy:
    """Passes on what comes to it, byte for byte. A context manager."""

    def __init__(self, target: str) -> None:
        """``target`` is the URL of the API server."""
        url = urlsplit(target)
        assert url.hostname is not None
        assert url.port is not None
        self._target = (url.hostname, url.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self.url = f"https://127.0.0.1:{self._listening.getsockname()[1]}"
        self.delay = 0.0
        """Seconds by which every piece is late, in both directions."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes accept(), which close() alone does not.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.drop()

    def drop(self) -> int:
        """Break every connection; how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.close()
        return len(pairs)

    def silence(self) -> int:
        """From now on nothing comes through on the connections that are open, which stay open; others work."""
        with self._lock:
            for pair in self._pairs:
                pair.silent = True
            return len(self._pairs)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
            except OSError:
                if self._listening.fileno() < 0:
                    return
                near.close()  # the API server is away
                continue
            pair = _Pair(near, far)
            with self._lock:
                self._pairs.append(pair)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(pair, source, sink), daemon=True).start()

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                time.sleep(self.delay)
                if not pair.silent:
                    sink.sendall(chunk)
        pair.close()


class _Pair:
    def __init__(self, *sockets: socket.socket) -> None:
        self._sockets = sockets
        self.silent = False

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
