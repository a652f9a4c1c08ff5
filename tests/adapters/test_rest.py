"""Work beside the reviews rests in proportion."""

from __future__ import annotations

import threading

import pytest

from webhook.adapters import rest as rest_module
from webhook.adapters.rest import Rest


class Clocks:
    """Those that a ``Rest`` looks at, and the rests it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.thread, self.process, self.wall = 10.0, 50.0, 1000.0
        self.rests: list[float] = []
        monkeypatch.setattr(rest_module.time, "thread_time", lambda: self.thread)
        monkeypatch.setattr(rest_module.time, "process_time", lambda: self.process)
        monkeypatch.setattr(rest_module.time, "monotonic", lambda: self.wall)
        monkeypatch.setattr(threading.Event, "wait", lambda _, seconds: self.rests.append(seconds))

    def work(self, seconds: float, *, passed: float = 0.0, reviews: float = 0.0) -> None:
        """Work for so long while so much time passes, in which reviews take so much of the processor."""
        self.thread += seconds
        self.process += seconds + reviews
        self.wall += max(passed, seconds)


@pytest.mark.parametrize(
    ("reviews", "share"),
    [(0.0, 0.2), (0.5, 0.1), (0.75, 0.05), (0.9, 0.02), (1.0, 0.02), (1.7, 0.02), (-0.1, 0.2)],
)
def test_whoever_works_beside_the_reviews_takes_a_part_of_what_they_leave(
    monkeypatch: pytest.MonkeyPatch, reviews: float, share: float
) -> None:
    clocks = Clocks(monkeypatch)
    rest = Rest()
    rest()
    clocks.work(0.02, passed=1.0, reviews=reviews)
    rest()
    assert clocks.rests == [pytest.approx(0.02 / share - 0.02)]
    # A second later the reviews take as much, and the work is half as long.
    clocks.work(0.01, passed=1.0, reviews=reviews)
    rest()
    assert clocks.rests[1:] == [pytest.approx(0.01 / share - 0.01)]


def test_little_work_needs_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    rest = Rest()
    rest()
    clocks.work(0.0001)
    rest()
    assert clocks.rests == []
    clocks.work(0.001)
    rest()
    assert len(clocks.rests) == 1
    rest()
    assert len(clocks.rests) == 1


def test_the_first_call_of_another_thread_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    main = threading.current_thread()
    monkeypatch.setattr(
        rest_module.time, "thread_time", lambda: 5.0 if threading.current_thread() is main else 1e6
    )
    rest = Rest()
    rest()
    thread = threading.Thread(target=rest, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it rests for as long as the threads' clocks are apart"


def test_there_are_no_rests_when_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [10.0]
    monkeypatch.setattr(rest_module.time, "thread_time", lambda: clock[0])
    rest = Rest()
    rest()
    rest.end()
    clock[0] += 1e6
    rest()  # for 46 days, otherwise
