"""Work beside the reviews rests in proportion."""

from __future__ import annotations

import threading

import pytest

from webhook.adapters import rest as rest_module
from webhook.adapters.rest import Rest


def test_whoever_works_beside_the_reviews_rests_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rests = [10.0], list[float]()
    monkeypatch.setattr(rest_module.time, "thread_time", lambda: clock[0])
    monkeypatch.setattr(threading.Event, "wait", lambda _, seconds: rests.append(seconds))
    rest = Rest()
    rest()
    clock[0] += 0.0001
    rest()
    assert rests == []
    clock[0] += 0.0199
    rest()
    assert rests == [pytest.approx(0.02 * 4)]
    rest()
    assert len(rests) == 1


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
