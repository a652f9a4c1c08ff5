"""Items are done step by step, all of them together, and none is the worse for the others."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from webhook.server.together import Together


class Steps:
    """Three steps that write down what they do; the last gives the result."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def one(self, item: str) -> str | None:
        self.done.append(f"1{item}")
        if item == "bad":
            raise ValueError(item)
        return "early" if item == "short" else None

    def two(self, item: str) -> None:
        self.done.append(f"2{item}")

    def three(self, item: str) -> str:
        self.done.append(f"3{item}")
        return f"{item}!"

    def together(self, limit: int = 100) -> Together[str, str]:
        return Together((self.one, self.two, self.three), _failure, limit)


def _failure(item: str, error: Exception) -> Exception:
    return LookupError(f"{item}: {error}")


@pytest.fixture
def steps() -> Steps:
    return Steps()


async def test_each_step_is_done_for_all_before_the_next(steps: Steps) -> None:
    together = steps.together()
    assert await asyncio.gather(*(together.take(item, 1) for item in "abc")) == ["a!", "b!", "c!"]
    assert steps.done == ["1a", "1b", "1c", "2a", "2b", "2c", "3a", "3b", "3c"]


async def test_one_that_fails_or_ends_early_leaves_the_others_alone(steps: Steps) -> None:
    together = steps.together()
    waiting = [together.take(item, 1) for item in ("a", "bad", "short", "b")]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [results[0], *results[2:]] == ["a!", "early", "b!"]
    assert isinstance(results[1], LookupError)
    assert str(results[1]) == "bad: bad"
    assert steps.done[4:] == ["2a", "2b", "3a", "3b"]


async def test_one_whose_caller_has_gone_is_not_done(steps: Steps) -> None:
    together = steps.together()
    gone, there = together.take("a", 1), together.take("b", 1)
    gone.cancel()
    assert await there == "b!"
    assert steps.done == ["1b", "2b", "3b"]


async def test_what_comes_a_turn_later_is_done_together_with_what_waits(steps: Steps) -> None:
    together = steps.together()
    first = together.take("a", 1)
    await asyncio.sleep(0)
    second = together.take("b", 1)
    assert await asyncio.gather(first, second) == ["a!", "b!"]
    assert steps.done[:2] == ["1a", "1b"]


async def test_nobody_waits_for_ever_for_those_that_keep_coming(steps: Steps) -> None:
    together = steps.together(limit=10)
    first = together.take("a", 1)
    later: list[asyncio.Future[str]] = []
    while not first.done():
        later.append(together.take("b", 1))
        await asyncio.sleep(0)
        assert len(later) <= 10
    assert await asyncio.gather(*later) == ["b!"] * len(later)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ((4, 6), ["1a1b2a2b3a3b"]),
        ((4, 7), ["1a2a3a", "1b2b3b"]),
        # One that is larger than all together may be is done alone.
        ((11, 1), ["1a2a3a", "1b2b3b"]),
        ((1, 1, 11, 1), ["1a1b2a2b3a3b", "1c2c3c", "1d2d3d"]),
    ],
)
async def test_no_more_are_done_together_than_the_limit_allows(
    steps: Steps, sizes: tuple[int, ...], groups: list[str]
) -> None:
    together = steps.together(limit=10)
    waiting = [together.take(item, size) for item, size in zip("abcd", sizes, strict=False)]
    assert await asyncio.gather(*waiting) == [f"{item}!" for item in "abcd"[: len(sizes)]]
    assert "".join(steps.done) == "".join(groups)


async def test_answers_of_one_group_go_out_before_the_next_is_begun(steps: Steps) -> None:
    together = steps.together(limit=1)
    seen: list[int] = []

    async def ask(item: str) -> None:
        await together.take(item, 1)
        seen.append(len(steps.done))

    await asyncio.gather(ask("a"), ask("b"))
    assert seen == [3, 6]


async def test_what_goes_wrong_with_one_group_does_not_keep_the_next_waiting(steps: Steps) -> None:
    def fails(item: str, error: Exception) -> Exception:
        raise RuntimeError(item) from error

    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))
    together = Together[str, str]((steps.one, steps.two, steps.three), fails, 1)
    lost, there = together.take("bad", 1), together.take("b", 1)
    assert await there == "b!"
    assert not lost.done()
    assert [str(error) for error in seen] == ["bad"]


@pytest.mark.parametrize("item", ["a", "bad", "short"])
async def test_nothing_is_left_to_the_garbage_collector(steps: Steps, item: str) -> None:
    # Here the error is the one that was raised, so that it knows the frames that it came through.
    together = Together[str, str]((steps.one, steps.two, steps.three), lambda _, error: error, 100)

    async def ask() -> None:
        with contextlib.suppress(ValueError):
            await together.take(item, 1)

    await ask()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await ask()
        assert gc.collect() == 0
    finally:
        gc.enable()
