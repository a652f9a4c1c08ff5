"""The steps of a review in this process, without any server."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from tests.bench.settings import summary
from tests.support import POLICIES
from webhook.adapters import policy_files
from webhook.engine.decision import Decision, Facts, Phase
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.envelope import decode_without_managed_fields as decode  # as the server does
from webhook.kube.review import AdmissionRequest, encode
from webhook.policy.findings import Mode

# What a server without a cluster knows: every namespace is in force and has no labels.
NO_LABELS: Final = Facts(mode=Mode.ENFORCE)
# A namespace that every shipped policy is about.
ML_NAMESPACE: Final = Facts(mode=Mode.ENFORCE, namespace_labels={"workload": "ml"})

# One sample is so many calls that the clock's own cost is nothing beside them.
_SAMPLE_SECONDS: Final = 0.01

# As between the reviews of a server at light load.
REST_SECONDS: Final = 0.001
# One sample of calls after a rest is at least so many, as some find the caches as they were and some do not.
_RESTED_CALLS: Final = 50

Figures = dict[str, float]


def load_ruleset() -> Ruleset:
    """The shipped policies."""
    loaded = policy_files.load(POLICIES)
    if loaded.ruleset is None:
        raise RuntimeError("\n".join(map(str, loaded.problems)))
    return loaded.ruleset


def answer(request: AdmissionRequest, decision: Decision) -> bytes:
    """The body of the answer, as the server writes it."""
    return encode(
        request.uid,
        allowed=decision.allowed,
        message=decision.message,
        warnings=decision.warnings,
        patch=decision.patch,
        audit_annotations=decision.audit_annotations,
    )


def path(body: bytes, ruleset: Ruleset, facts: Facts, phase: Phase) -> bytes:
    """Everything between the bytes that come in and those that go out."""
    request = decode(body)
    return answer(request, review(request, ruleset, facts, phase))


def timed(function: Callable[[], object], seconds: float) -> Figures:
    """Microseconds a call: median, least and greatest of samples taken for ``seconds``.

    CPU time of this process, so that what others do on the machine counts as little as it can. Garbage
    collection is on, as in the server.
    """
    function()
    calls = 1
    while (took := _sample(function, calls)) < _SAMPLE_SECONDS:
        calls = max(calls * 2, min(int(calls * _SAMPLE_SECONDS / max(took, 1e-6)), calls * 100))
    samples = [took / calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        samples.append(_sample(function, calls) / calls)
    return summary([sample * 1e6 for sample in samples])


def _sample(function: Callable[[], object], calls: int) -> float:
    start = time.process_time_ns()
    for _ in range(calls):
        function()
    return (time.process_time_ns() - start) / 1e9


def timed_after_rest(functions: Sequence[Callable[[], object]], seconds: float) -> Figures:
    """Microseconds a call where each comes after a rest of ``REST_SECONDS``: median, least and greatest of samples.

    The CPU time is that of the calls alone. What it is more than without a rest is the machine's: caches that others
    have used meanwhile, a processor that wakes up.
    """
    times = -(-_RESTED_CALLS // len(functions))
    samples = []
    end = time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        taken = 0
        for function in functions * times:
            time.sleep(REST_SECONDS)
            start = time.process_time_ns()
            function()
            taken += time.process_time_ns() - start
        samples.append(taken / 1e9 / times / len(functions))
    return summary([sample * 1e6 for sample in samples])


def garbage(function: Callable[[], object]) -> int:
    """How many objects one call leaves for the garbage collector, because they refer to each other in a circle.

    Such objects keep the whole review in memory until the collector finds them, which costs more than the review:
    the time it takes itself, and that every call works on cold memory.
    """
    function()
    gc.collect()
    gc.disable()
    try:
        function()
        return gc.collect()
    finally:
        gc.enable()


def measure(bodies: Mapping[str, tuple[bytes, ...]], seconds: float) -> dict[str, Any]:
    """Microseconds a review of every step, the mean over each set of bodies; ``seconds`` for each figure."""
    ruleset = load_ruleset()
    return {
        "compile": timed(load_ruleset, seconds),
        "policies": len(ruleset.policies),
        "sets": [
            {
                "bodies": name,
                "count": len(contents),
                "steps": _steps(contents, ruleset, seconds),
                "garbage": {
                    phase.value: garbage(_whole(contents, ruleset, phase)) / len(contents)
                    for phase in (Phase.VALIDATE, Phase.MUTATE)
                },
            }
            for name, contents in bodies.items()
        ],
    }


def _whole(bodies: tuple[bytes, ...], ruleset: Ruleset, phase: Phase) -> Callable[[], object]:
    return lambda: [path(body, ruleset, NO_LABELS, phase) for body in bodies]


def _steps(bodies: tuple[bytes, ...], ruleset: Ruleset, seconds: float) -> dict[str, Figures]:
    requests = [decode(body) for body in bodies]

    def mean(step: Callable[[], object]) -> Figures:
        return {key: value / len(bodies) for key, value in timed(step, seconds).items()}

    def reviewing(facts: Facts, phase: Phase) -> Callable[[], object]:
        return lambda: [review(request, ruleset, facts, phase) for request in requests]

    def encoding(phase: Phase) -> Callable[[], object]:
        decided = [(request, review(request, ruleset, NO_LABELS, phase)) for request in requests]
        return lambda: [answer(request, decision) for request, decision in decided]

    def rested(phase: Phase) -> Figures:
        return timed_after_rest([partial(path, body, ruleset, NO_LABELS, phase) for body in bodies], seconds)

    return {
        "decode": mean(lambda: [decode(body) for body in bodies]),
        "review validate": mean(reviewing(NO_LABELS, Phase.VALIDATE)),
        "review mutate": mean(reviewing(NO_LABELS, Phase.MUTATE)),
        "review both": mean(reviewing(NO_LABELS, Phase.BOTH)),
        "review both, ML namespace": mean(reviewing(ML_NAMESPACE, Phase.BOTH)),
        "encode validate": mean(encoding(Phase.VALIDATE)),
        "encode mutate": mean(encoding(Phase.MUTATE)),
        "decode, validate, encode": mean(_whole(bodies, ruleset, Phase.VALIDATE)),
        "decode, mutate, encode": mean(_whole(bodies, ruleset, Phase.MUTATE)),
        "decode, validate, encode, after 1 ms of rest": rested(Phase.VALIDATE),
        "decode, mutate, encode, after 1 ms of rest": rested(Phase.MUTATE),
    }
