"""The check ``allowed-priority-classes`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.allowed_priority_classes import AllowedPriorityClasses
from webhook.checks.wording import listed
from webhook.export.vap.cel import among, texts
from webhook.export.vap.parts import Demand, Target

_CLASS = "variables.spec.?priorityClassName.orValue('')"


def translate(check: AllowedPriorityClasses, _target: Target) -> Iterator[Demand]:
    """A class that is not allowed, and none where one is needed."""
    names, required = check.parameters.names, check.parameters.required
    wanted = f"write {listed(names, 'or')}" if names else "remove it"
    if required:
        yield Demand(
            "missing",
            "spec",
            f"['spec.priorityClassName'].filter(f, {_CLASS} == '')",
            "the pod names no priority class",
            wanted,
        )
    # No glob admits the classes of Kubernetes itself.
    admitted = (
        f"n in {texts(names)} || (!n.startsWith('system-') && {among('n', names)})" if names else "false"
    )
    yield Demand(
        "class",
        "spec",
        f"[{_CLASS}].filter(n, n != '' && !({admitted}))",
        "the priority class is not allowed here",
        wanted + (", or leave it out" if names and not required else ""),
    )
