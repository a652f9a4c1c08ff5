"""The checks in CEL, one module each: ``translate(check, target)`` yields the check's demands.

A check that is not in the table is listed as left out wherever a policy with it is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from webhook.export.vap.parts import Demand, Inexpressible, Target
from webhook.export.vap.rules import (
    accelerator_request_equals_limit,
    allowed_priority_classes,
    allowed_registries,
    drop_capabilities,
    max_accelerators,
    no_accelerator_squatting,
    no_host_namespaces,
    no_host_path,
    no_latest_tag,
    no_privileged,
    no_secrets_in_environment,
    require_limits,
    required_labels,
)
from webhook.policy.rule import Check

TRANSLATIONS: Final[Mapping[str, Callable[[Any, Target], Iterator[Demand]]]] = {
    "accelerator-request-equals-limit": accelerator_request_equals_limit.translate,
    "allowed-priority-classes": allowed_priority_classes.translate,
    "allowed-registries": allowed_registries.translate,
    "drop-capabilities": drop_capabilities.translate,
    "max-accelerators": max_accelerators.translate,
    "no-accelerator-squatting": no_accelerator_squatting.translate,
    "no-host-namespaces": no_host_namespaces.translate,
    "no-host-path": no_host_path.translate,
    "no-latest-tag": no_latest_tag.translate,
    "no-privileged": no_privileged.translate,
    "no-secrets-in-environment": no_secrets_in_environment.translate,
    "require-limits": require_limits.translate,
    "required-labels": required_labels.translate,
}

NO_TRANSLATION: Final = "there is no translation of this rule into CEL"

_REASONS: Final = {
    "pod-security": "Kubernetes judges the Pod Security Standards itself: label the namespaces"
    " pod-security.kubernetes.io/enforce instead (it knows no exemption of images from single controls)",
}


def translate(check: Check, target: Target) -> list[Demand]:
    """The demands of a check.

    Raises:
        Inexpressible: they cannot be said in CEL, or not with these parameters.
    """
    translation = TRANSLATIONS.get(check.name)
    if translation is None:
        raise Inexpressible(_REASONS.get(check.name, NO_TRANSLATION))
    return list(translation(check, target))
