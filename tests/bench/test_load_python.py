"""Our own loader: what is due is counted from when it was due, and answers in chunks have an end."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench.bodies import training_review
from tests.bench.load import LEAD_IN_SECONDS, LoadError, run_paced
from tests.bench.load_python import Connection, arrivals
from tests.bench.servers import Server, make_certificates, reference_server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@pytest.fixture(scope="module")
def constant(folder: Path) -> Iterator[Server]:
    with reference_server("constant", make_certificates(folder), folder, None) as server:
        yield server


@pytest.fixture(scope="module")
def body(folder: Path) -> Path:
    file = folder / "body.json"
    file.write_bytes(training_review())
    return file


def test_arrivals_are_the_same_every_time_and_of_the_rate_that_was_asked_for() -> None:
    times = arrivals(1000, 10)
    assert times == arrivals(1000, 10)
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 10
    # 10,000 on average, with a standard deviation of 100.
    assert 9_500 < len(times) < 10_500


def counted(rate: float, seconds: float) -> list[float]:
    """When what is counted is due, in seconds from the start of the measurement."""
    due = [arrival - LEAD_IN_SECONDS for arrival in arrivals(rate, LEAD_IN_SECONDS + seconds)]
    return [time for time in due if time >= 0]


def test_everything_that_is_due_is_sent_and_counted_once(constant: Server, body: Path) -> None:
    due = counted(200, 0.6)
    paced = run_paced(None, constant.port, "/review", [body], seconds=0.6, rate=200, windows=[0.2, 0.6])
    assert (paced.whole.requests, paced.whole.errors) == (len(due), 0)
    early = sum(time < 0.2 for time in due)
    assert [window.requests for window in paced.windows] == [early, len(due) - early]
    assert 0 < paced.whole.p50 <= paced.whole.p99 <= paced.whole.p999 <= paced.whole.longest


def test_what_waits_because_everything_is_late_counts_as_waiting(constant: Server, body: Path) -> None:
    # All of it was due before the program began.
    start = time.perf_counter() - 5
    paced = run_paced(None, constant.port, "/review", [body], seconds=0.5, rate=100, start=start)
    assert paced.whole.errors > 0 or paced.whole.p50 > 4000


def test_wrong_answers_at_a_rate_are_errors(constant: Server, body: Path) -> None:
    paced = run_paced(None, constant.port, "/elsewhere", [body], seconds=0.3, rate=100)
    assert paced.whole.errors == paced.whole.requests == len(counted(100, 0.3))


def test_there_is_no_load_at_no_rate(constant: Server, body: Path) -> None:
    with pytest.raises(LoadError, match="answered nothing"):
        run_paced(None, constant.port, "/review", [body], seconds=0.3, rate=0)


class Pieces:
    """A socket from which these pieces come, and nothing more."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            raise ssl.SSLWantReadError
        return self._pieces.pop(0)


def connection(*pieces: bytes) -> Any:
    made: Any = SimpleNamespace(
        socket=Pieces(*pieces), _answer=b"", _expected=0, _chunked=False, _unsent=memoryview(b""), status=0
    )
    made._read_head = lambda: Connection._read_head(made)
    return made


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"], True, id="a length"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"], False, id="a length, not all there"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"], True, id="chunks"
        ),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Enc", b"oding: chunked\r\n\r\n2\r\n{}\r\n0", b"\r\n\r\n"],
            True,
            id="chunks in pieces",
        ),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"], False, id="no last chunk"
        ),
    ],
)
def test_an_answer_is_whole_when_its_end_is_there(pieces: list[bytes], whole: bool) -> None:
    made = connection(*pieces)
    assert Connection.advance(made) is whole
    assert made.status == 200


def test_an_answer_without_an_end_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="without an end"):
        Connection.advance(connection(b"HTTP/1.1 200 OK\r\n\r\n"))
