"""Which containers of a pod use accelerators, and how many."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache
from typing import Final

from webhook.kube.pod import Container, Pod
from webhook.kube.shape import items, mapping, text

# Far more than any node has: a request for that many is a mistake, and nothing should be multiplied by it.
MOST_ACCELERATORS: Final = 10_000

_ZERO: Final = Decimal(0)
_TOO_MANY: Final = Decimal(MOST_ACCELERATORS + 1)


def accelerator_count(pod: Pod, container: Container) -> int:
    """How many accelerators a container asks for, by resource name and by claim.

    How many devices a claim hands out is not known here: each request in it counts as one. A claim whose
    DeviceClass is not known counts as one too, as in ``Pod.requests_accelerator``. Slices (MIG) and shares
    count like devices. At most one more than MOST_ACCELERATORS.
    """
    by_name = container.accelerators
    count = _up_to_most(sum(by_name.values(), _ZERO)) if by_name else 0
    if "resourceClaims" in pod.spec:
        count += _claimed(pod, container)
    return count


# Counts are few and the same again and again; arithmetic with decimals is slow.
@lru_cache(maxsize=256)
def _up_to_most(count: Decimal) -> int:
    return math.ceil(min(count, _TOO_MANY))


def _claimed(pod: Pod, container: Container) -> int:
    used = {text(claim, "name") for claim in items(mapping(container.raw, "resources"), "claims")}
    if not used:
        return 0
    count = 0
    known = pod.device_classes or {}
    for claim in items(pod.spec, "resourceClaims"):
        if text(claim, "name") in used:
            reference = text(claim, "resourceClaimTemplateName") or text(claim, "resourceClaimName")
            classes = known.get(reference)
            count += sum(pod.catalog.find_device_class(c) is not None for c in classes) if classes else 1
    return count
