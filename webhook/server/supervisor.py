"""Several server processes on one port, and the one that watches over them.

The workers are forked after the policies are compiled, so that they share that memory. Each has a listening socket of
its own on the same port (SO_REUSEPORT), among which the kernel shares out connections evenly; with one socket for all,
whoever wakes first takes a burst of connections alone. This process holds all of the sockets too, so that connections
which wait for a worker that dies are there for the next one. It serves no reviews. It asks the workers how they are for
``/readyz`` and ``/metrics``, replaces one that dies or falls silent, and passes signals on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from aiohttp import web

from webhook.adapters.metrics import SupervisorMetrics
from webhook.adapters.metrics_merge import MergedMetrics, dump
from webhook.server.accept import Acceptor
from webhook.server.app import AdminApp
from webhook.server.connections import Listener
from webhook.server.health import Health, State
from webhook.server.limits import MAX_ADMIN_CONNECTIONS
from webhook.server.replies import Reply
from webhook.server.status import Line, Status

logger: Final = logging.getLogger("gpuward.supervisor")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# How long an answer to a question about a worker's state may take before it is given without that worker.
_ASK_SECONDS: Final = 1.0

# A worker is asked so often; one that is silent for so long hangs and is replaced. A review of the largest pod takes
# seconds at most.
_WATCH_SECONDS: Final = 2.0
_SILENT_SECONDS: Final = 15.0

_BACKOFF_SECONDS: Final = (0.1, 10.0)

# A worker that has lived for so long died of something new.
_SETTLED_SECONDS: Final = 60.0

_REAP_SECONDS: Final = 0.02

# Where the limit of open files is huge or none, nobody has this many open before the first worker starts.
_MOST_FILES: Final = 65_536


class _Worker:
    """One worker process."""

    def __init__(self, pid: int, line: Line) -> None:
        self.pid: Final = pid
        self.line: Final = line
        self.started: Final = time.monotonic()


class Supervisor:
    """Runs workers until it is told to stop."""

    def __init__(
        self,
        listening: Sequence[socket.socket],
        work: Callable[[socket.socket, socket.socket], int],
        *,
        grace: float,
    ) -> None:
        """There is a worker for each of the sockets ``listening``. ``work`` is called in each new process with its
        socket and its end of the channel (see ``status``), and gives its exit status. ``grace`` is the longest
        time, in seconds, that workers take to stop."""
        self._listening: Final = tuple(listening)
        self._work: Final = work
        self._grace: Final = grace
        self._workers: dict[int, _Worker] = {}
        self._stop: Final = asyncio.Event()
        self._failed = False
        self._merged: Final = MergedMetrics()
        self._metrics: Final = SupervisorMetrics(lambda: len(self._workers))

    async def run(self, admin: socket.socket | None, ready: Callable[[int], None]) -> bool:
        """Run the workers until SIGTERM or SIGINT. ``ready`` is called once, when all of them first are, with the
        number of policies. Returns whether all of them ended well."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGHUP)
        keepers = [asyncio.create_task(self._keep(slot)) for slot in range(len(self._listening))]
        announce = asyncio.create_task(self._announce(ready))
        listener = Listener(self._answer)
        acceptor = Acceptor(admin, listener, MAX_ADMIN_CONNECTIONS) if admin is not None else None
        if acceptor is not None:
            acceptor.start()
        try:
            await asyncio.gather(*keepers)
        finally:
            announce.cancel()
            self._pass_on(signal.SIGKILL)
            if acceptor is not None:
                acceptor.close()
            listener.pre_shutdown()
            await listener.shutdown(0.1)
        return not self._failed

    # Life and death of workers

    async def _keep(self, slot: int) -> None:
        """Keep one worker running; a new one takes the place of one that dies."""
        attempt = 0
        while not self._stop.is_set():
            worker = self._workers[slot] = self._fork(self._listening[slot])
            status = await self._outlive(worker)
            del self._workers[slot]
            if worker.line.last is not None:
                self._merged.retire(worker.line.last["metrics"])
            worker.line.close()
            if self._stop.is_set():
                self._failed |= status != 0
                return
            attempt = 0 if time.monotonic() - worker.started > _SETTLED_SECONDS else attempt + 1
            fields = {"pid": worker.pid, "status": status, "attempt": attempt}
            logger.error("a worker died and is replaced", extra={"fields": fields})
            self._metrics.restarts.inc()
            first, longest = _BACKOFF_SECONDS
            await _wait(self._stop, min(longest, first * 2.0 ** min(attempt, 16)))

    async def _outlive(self, worker: _Worker) -> int:
        """Watch a worker until it has ended; its exit status, negative for the signal that ended it."""
        watch = asyncio.create_task(self._watch(worker))
        try:
            stopped: float | None = None
            while (status := _reap(worker.pid)) is None:
                await asyncio.sleep(_REAP_SECONDS)
                if self._stop.is_set():
                    stopped = stopped or time.monotonic()
                    if time.monotonic() - stopped > self._grace:
                        os.kill(worker.pid, signal.SIGKILL)
            return status
        finally:
            watch.cancel()

    async def _watch(self, worker: _Worker) -> None:
        """Ask a worker now and then; kill it when it has been silent for too long."""
        while True:
            try:
                await worker.line.ask(_SILENT_SECONDS)
            except TimeoutError:
                logger.error("a worker hangs and is killed", extra={"fields": {"pid": worker.pid}})  # noqa: TRY400  # says all
                os.kill(worker.pid, signal.SIGKILL)
                return
            except (ConnectionError, ValueError):
                return
            await asyncio.sleep(_WATCH_SECONDS)

    def _fork(self, listening: socket.socket) -> _Worker:
        ours, theirs = socket.socketpair()
        # A signal between the fork and the child's own handlers would reach handlers of this process' event loop.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become_worker(listening, theirs)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        ours.setblocking(False)
        return _Worker(pid, Line(ours))

    def _become_worker(self, listening: socket.socket, channel: socket.socket) -> None:
        """In the new process: forget the supervisor, work, and end. Does not return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
            asyncio._set_running_loop(None)  # the supervisor's, which goes on there and not here
            _close_all_but((listening, channel))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            status = self._work(listening, channel)
        except BaseException:  # noqa: BLE001  # nothing of it may run on into the supervisor's code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _asked_to_stop(self) -> None:
        logger.info("stopping", extra={"fields": {"workers": len(self._workers)}})
        self._stop.set()
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: int) -> None:
        for worker in self._workers.values():
            os.kill(worker.pid, number)

    # Health

    async def _answer(self, request: web.BaseRequest) -> Reply:
        path = request.raw_path.partition("?")[0]
        statuses = await self._ask_all() if path in ("/readyz", "/metrics") else []
        families = [status["metrics"] for status in statuses]
        health = Health(
            [("workers", lambda: self._workers_state(statuses)), ("shutdown", self._shutdown_state)],
            lambda accept: self._merged.render([dump(self._metrics.registry), *families], accept),
        )
        return await AdminApp(health).answer(request)

    async def _ask_all(self) -> list[Status]:
        asked = await asyncio.gather(
            *(worker.line.ask(_ASK_SECONDS) for worker in self._workers.values()), return_exceptions=True
        )
        return [status for status in asked if not isinstance(status, BaseException)]

    def _workers_state(self, statuses: Sequence[Status]) -> State:
        """Ready where one worker is: they share the port, and whoever is ready takes the calls."""
        ready = sum(status["ready"] for status in statuses)
        lines = [f"{ready} of {len(self._listening)} ready"]
        for number, status in enumerate(statuses, start=1):
            for name, good, detail in status["checks"]:
                lines.append(f"    [{'+' if good else '-'}]worker {number} {name}: {detail}")
        return State(ready > 0, "\n".join(lines))

    def _shutdown_state(self) -> State:
        stopping = self._stop.is_set()
        return State(not stopping, "draining" if stopping else "serving")

    async def _announce(self, ready: Callable[[int], None]) -> None:
        while True:
            statuses = await self._ask_all()
            if len(statuses) == len(self._listening) and all(status["ready"] for status in statuses):
                ready(statuses[0]["policies"])
                return
            await asyncio.sleep(0.05)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _reap(pid: int) -> int | None:
    """The exit status of a child that has ended, negative for the signal that ended it; None while it runs."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _close_all_but(sockets: Sequence[socket.socket]) -> None:
    """Close every file but the standard ones and these sockets.

    What the supervisor has open is not for workers: a connection stays open while any process has it.
    """
    kept = sorted({0, 1, 2, *(one.fileno() for one in sockets)})
    limit = min(os.sysconf("SC_OPEN_MAX"), _MOST_FILES)
    for before, after in pairwise([*kept, max(limit, kept[-1] + 1)]):
        # closerange(0, 0) closes everything on some versions of Python, so it is never asked for nothing.
        if after - before > 1:
            os.closerange(before + 1, after)
