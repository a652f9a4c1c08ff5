"""A steady load of creates through the API server, and what became of each."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Any, Final, Self

from tests.e2e.certificates import POD
from tests.e2e.cluster import ControlPlane

# Longer than any webhook may take; who waits for longer has lost the API server itself.
_CLIENT_SECONDS: Final = 20.0

# A caller that fails at once does not fail a thousand times a second.
_AFTER_FAILURE_SECONDS: Final = 0.1

_CREATED: Final = 201


@dataclass(frozen=True, slots=True)
class Outcome:
    """One create: when it began and ended (``time.monotonic``), and why it failed; empty where it did not."""

    began: float
    ended: float
    failure: str

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Load:
    """Creates a good pod as a dry run in an enforce namespace, on several connections, until the block ends.

    A create fails where it is refused, where there is no answer, and also where it comes through without what
    gpuward would have changed: mutation fails open, which nobody would notice otherwise.
    """

    def __init__(
        self,
        cluster: ControlPlane,
        namespace: str,
        *,
        clients: int = 4,
        pause: float = 0.02,
        longest: float = 600,
    ) -> None:
        """Each of the ``clients`` waits for ``pause`` seconds after an answer; the load ends after ``longest``."""
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
        self._body = json.dumps(POD)
        self._clients = clients
        self._pause = pause
        self._longest = longest
        self._stop = threading.Event()
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self._clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_CLIENT_SECONDS + 5)

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.failure]

    @property
    def worst(self) -> float:
        """The longest time that one create took, failed or not; in seconds."""
        return max((outcome.seconds for outcome in self.outcomes), default=0.0)

    def recovery(self, since: float) -> float:
        """Seconds from ``since`` to the end of the last create that failed; 0 where none did."""
        return max((outcome.ended - since for outcome in self.failures), default=0.0)

    def in_flight(self, at: float) -> list[Outcome]:
        """Those that had begun and not ended at that time."""
        return [outcome for outcome in self.outcomes if outcome.began <= at <= outcome.ended]

    def admitted_since(self, when: float) -> int:
        """How many that began after ``when`` came through."""
        return sum(outcome.began >= when and not outcome.failure for outcome in list(self.outcomes))

    def _run(self) -> None:
        connection = self._cluster.connection(_CLIENT_SECONDS)
        with contextlib.closing(connection):
            while not self._stop.is_set() and time.monotonic() - self.began < self._longest:
                began = time.monotonic()
                failure = self._create(connection)
                self.outcomes.append(Outcome(began, time.monotonic(), failure))
                self._stop.wait(_AFTER_FAILURE_SECONDS if failure else self._pause)

    def _create(self, connection: http.client.HTTPSConnection) -> str:
        try:
            connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()  # the next request connects anew
            return f"no answer: {type(error).__name__}: {error}"
        if response.status != _CREATED:
            return f"{response.status}: {answer.get('message', answer)}"
        return "" if _is_changed(answer) else "came through without its changes"


def _is_changed(pod: dict[str, Any]) -> bool:
    context = pod["spec"]["containers"][0].get("securityContext", {})
    return context.get("allowPrivilegeEscalation") is False
