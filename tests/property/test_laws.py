"""The laws of a review, with the shipped policies, on any pod."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import pods
from tests.support import assert_patch_is_sound, shipped_ruleset
from webhook.engine.decision import Facts, Phase
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.policy.findings import Mode

LABELS: dict[str, str] = {"workload": "ml"}
ENFORCE = Facts(mode=Mode.ENFORCE, namespace_labels=LABELS)


@given(pods())
def test_the_patch_applies_and_keeps_what_the_user_wrote(pod: dict[str, Any]) -> None:
    assert_patch_is_sound(pod, review(request_for(pod), shipped_ruleset(), ENFORCE))


@given(pods())
def test_reviewing_the_result_changes_nothing_more(pod: dict[str, Any]) -> None:
    first = review(request_for(pod), shipped_ruleset(), ENFORCE)
    assert first.object is not None
    second = review(request_for(first.object), shipped_ruleset(), ENFORCE)
    assert second.patch == ()
    assert second.findings == first.findings


@given(pods())
def test_mutation_adds_no_violation(pod: dict[str, Any]) -> None:
    mutated = review(request_for(pod), shipped_ruleset(), ENFORCE)
    as_written = review(request_for(pod), shipped_ruleset(), ENFORCE, Phase.VALIDATE)
    # The message may tell of less than before: one of two missing limits has been filled in.
    assert {(f.rule, f.path) for f in mutated.findings} <= {(f.rule, f.path) for f in as_written.findings}


@given(pods())
def test_mutating_and_then_validating_is_the_review(pod: dict[str, Any]) -> None:
    both = review(request_for(pod), shipped_ruleset(), ENFORCE)
    mutated = review(request_for(pod), shipped_ruleset(), ENFORCE, Phase.MUTATE)
    assert mutated.patch == both.patch
    assert mutated.object is not None
    validated = review(request_for(mutated.object), shipped_ruleset(), ENFORCE, Phase.VALIDATE)
    assert validated.findings == both.findings
    assert validated.allowed == both.allowed
    assert validated.message == both.message


@given(pods())
def test_audit_never_blocks_and_never_patches_and_says_what_enforcing_would_do(pod: dict[str, Any]) -> None:
    enforced = review(request_for(pod), shipped_ruleset(), ENFORCE)
    audited = review(request_for(pod), shipped_ruleset(), Facts(mode=Mode.AUDIT, namespace_labels=LABELS))
    assert audited.allowed
    assert audited.patch == ()
    assert audited.warnings == ()
    assert audited.would_patch == enforced.patch
    assert [(f.rule, f.path) for f in audited.findings] == [(f.rule, f.path) for f in enforced.findings]


@given(pods(), st.randoms(use_true_random=False))
def test_the_order_of_loading_makes_no_difference(pod: dict[str, Any], random: Any) -> None:
    policies = list(shipped_ruleset().policies)
    random.shuffle(policies)
    assert review(request_for(pod), Ruleset(policies, shipped_ruleset().catalog), ENFORCE) == review(
        request_for(pod), shipped_ruleset(), ENFORCE
    )


@pytest.mark.parametrize("mode", list(Mode))
@given(pod=pods())
def test_the_request_is_never_changed(mode: Mode, pod: dict[str, Any]) -> None:
    before = copy.deepcopy(pod)
    review(request_for(pod), shipped_ruleset(), Facts(mode=mode, namespace_labels=LABELS))
    assert pod == before


@given(pods())
def test_a_template_is_judged_like_the_pod_it_makes(pod: dict[str, Any]) -> None:
    template = {key: pod[key] for key in ("metadata", "spec") if key in pod}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x"},
        "spec": {"template": template},
    }
    of_template = review(request_for(workload), shipped_ruleset(), ENFORCE)
    of_pod = review(request_for(pod), shipped_ruleset(), ENFORCE)
    assert of_template.allowed == of_pod.allowed
    assert of_template.patch == ()
    assert [(f.rule, f.path) for f in of_template.findings] == [
        (f.rule, ("spec", "template", *f.path)) for f in of_pod.findings
    ]
