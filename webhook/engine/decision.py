"""What goes into a review besides the request, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import Struct, field

from webhook.kube.shape import JSONObject
from webhook.policy.draft import Operation
from webhook.policy.findings import Finding, Mode


class Phase(Enum):
    """Which half of admission is asked for. The server has an address for each; everything else does both in turn."""

    MUTATE = "mutate"
    VALIDATE = "validate"
    BOTH = "both"


class Facts(Struct, frozen=True):
    """What a review may know besides the request. The engine looks nothing up itself.

    ``mode`` is the namespace's (None: it has not opted in), ``namespace_labels`` its labels, ``namespace_object`` the
    whole Namespace where it is known, ``now`` the time (aware; exceptions expire), ``device_classes`` the
    DeviceClasses behind resource claims and claim templates of the namespace, by their names.
    """

    mode: Mode | None
    namespace_labels: Mapping[str, Any] = field(default_factory=dict)
    namespace_object: JSONObject | None = None
    now: datetime | None = None
    device_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Exempted(Struct, frozen=True):
    """One use of an exception: the rule of the policy was not applied, and why."""

    policy: str
    rule: str
    exception: str
    reason: str


class BrokenGlass(Struct, frozen=True):
    """One use of a break-glass entry: the policies were only recorded, and why."""

    name: str
    reason: str


class Decision(Struct, frozen=True):
    """The answer to one request.

    ``findings`` holds every violation with its effective action; ``allowed`` is false if one of them is Enforce.
    ``message`` is the text of a refusal, ``warnings`` what an allowed or refused caller is shown besides.
    ``patch`` leads from the request's object to ``object``; ``would_patch`` is what policies that only record would
    have changed on top of it. ``mutated_by`` names (policy, rule) of every mutation behind ``patch``.
    ``exempted`` lists each exception that freed something from a rule; ``break_glass`` is the entry that let the
    request pass where policies would have done something about it.
    """

    allowed: bool = True
    findings: tuple[Finding, ...] = ()
    message: str = ""
    warnings: tuple[str, ...] = ()
    patch: tuple[Operation, ...] = ()
    would_patch: tuple[Operation, ...] = ()
    object: JSONObject | None = None
    mutated_by: tuple[tuple[str, str], ...] = ()
    exempted: tuple[Exempted, ...] = ()
    break_glass: BrokenGlass | None = None
    audit_annotations: Mapping[str, str] = field(default_factory=dict)
