"""The check ``drop-capabilities`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.drop_capabilities import DropCapabilities
from webhook.checks.wording import listed
from webhook.export.vap.cel import is_rdma, texts
from webhook.export.vap.parts import Demand, Target

_NOT_WINDOWS = "variables.spec.?os.?name.orValue('') != 'windows'"
_CAPABILITIES = "c.?securityContext.?capabilities"


def translate(check: DropCapabilities, target: Target) -> Iterator[Demand]:
    """Containers that do not drop all, and those that add what they may not."""
    allowed = check.parameters.allowedAdd
    yield Demand(
        "drop",
        "containers",
        f"variables.judged.filter(c, {_NOT_WINDOWS} && !('ALL' in {_CAPABILITIES}.?drop.orValue([]))).map(c, c.name)",
        "containers that keep Linux capabilities they do not need",
        "add securityContext.capabilities: {drop: [ALL]}",
    )
    uses_rdma = (
        "[c.?resources.?limits.orValue({}), c.?resources.?requests.orValue({})].exists(q, q.exists(r,"
        f" {is_rdma('r', target.catalog)} && quantity(string(q[r])).isGreaterThan(quantity('0'))))"
    )
    allowing = f"; allowed: {listed(allowed)}" if allowed else ""
    yield Demand(
        "add",
        "containers",
        f"variables.judged.filter(c, {_NOT_WINDOWS} && {_CAPABILITIES}.?add.orValue([]).exists(a,"
        f" !(a in {texts(allowed)}) && !(a == 'IPC_LOCK' && {uses_rdma}))).map(c, c.name)",
        "containers that add Linux capabilities",
        f"remove them{allowing}; IPC_LOCK is for containers that request RDMA",
    )
