"""What the address of a call says."""

from __future__ import annotations

import pytest

from webhook.engine.decision import Phase
from webhook.policy.findings import Mode
from webhook.server.calls import Call, read_target
from webhook.server.replies import CallError


@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("/mutate", Call("mutate", Phase.MUTATE, None, 9.5)),
        ("/validate", Call("validate", Phase.VALIDATE, None, 9.5)),
        ("/mutate/audit", Call("mutate", Phase.MUTATE, Mode.AUDIT, 9.5)),
        ("/validate/warn", Call("validate", Phase.VALIDATE, Mode.WARN, 9.5)),
        ("/validate/enforce?timeout=10s", Call("validate", Phase.VALIDATE, Mode.ENFORCE, 9.5)),
        ("/mutate?timeout=1s", Call("mutate", Phase.MUTATE, None, 0.9)),
        ("/mutate?timeout=500ms", Call("mutate", Phase.MUTATE, None, 0.45)),
        ("/mutate?timeout=1m30s", Call("mutate", Phase.MUTATE, None, 29.5)),
        ("/mutate?other=1&timeout=2s", Call("mutate", Phase.MUTATE, None, 1.8)),
        ("https://gpuward.gpuward.svc/mutate?timeout=2s", Call("mutate", Phase.MUTATE, None, 1.8)),
    ],
)
def test_an_address_says_phase_mode_and_time(target: str, call: Call) -> None:
    found = read_target(target)
    assert (found.webhook, found.phase, found.mode) == (call.webhook, call.phase, call.mode)
    assert found.seconds == pytest.approx(call.seconds)


@pytest.mark.parametrize(
    "target", ["/", "/mutate2", "/Mutate", "mutate", "*", "//mutate", "/x/mutate", "http://["]
)
def test_any_other_address_is_not_found(target: str) -> None:
    with pytest.raises(CallError, match="nothing at this address") as error:
        read_target(target)
    assert error.value.status == 404


@pytest.mark.parametrize("target", ["/validate/Enforce", "/validate/", "/validate/audit/", "/validate/none"])
def test_an_unknown_mode_is_not_found_and_the_known_ones_are_named(target: str) -> None:
    with pytest.raises(CallError, match="/validate/audit, /validate/warn, /validate/enforce") as error:
        read_target(target)
    assert error.value.status == 404


@pytest.mark.parametrize("timeout", ["", "10", "soon", "0s", "-1s"])
def test_a_timeout_that_is_none_is_a_bad_request(timeout: str) -> None:
    with pytest.raises(CallError, match="timeout: ") as error:
        read_target(f"/mutate?timeout={timeout}")
    assert error.value.status == 400
