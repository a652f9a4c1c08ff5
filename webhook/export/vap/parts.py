"""What a translation is made of, and what an export gives."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec import Struct

from webhook.kube.accelerators import Catalog
from webhook.kube.kinds import Kind
from webhook.kube.shape import JSONObject

if TYPE_CHECKING:
    from webhook.policy.model import BreakGlass, PolicyException


class Inexpressible(Exception):
    """What Kubernetes' admission policies cannot say. The message is the reason, for people."""


class LeftOut(NamedTuple):
    """A part of a policy that is not in the export, and why. ``rule`` is empty for the policy as a whole."""

    policy: str
    rule: str
    reason: str


class Note(NamedTuple):
    """A part of a policy that is in the export and judges otherwise there in some case: which."""

    policy: str
    rule: str
    text: str


class Exported(Struct, frozen=True):
    """The documents (policies, each followed by its bindings), what is not in them, and what is different."""

    objects: tuple[JSONObject, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[Note, ...] = ()


class Setting(Struct, frozen=True):
    """What a policy is exported with: the day (UTC), the exceptions and break-glass entries of its policy set, and the
    kinds that configuration says exist."""

    today: date
    exceptions: tuple[PolicyException, ...] = ()
    break_glass: tuple[BreakGlass, ...] = ()
    declared: tuple[Kind, ...] = ()


class Target(Struct, frozen=True):
    """What translations are made for: pods alone, or also the templates in Kubernetes' own workloads."""

    catalog: Catalog
    templates: bool = False


About = Literal["containers", "spec", "labels", "workload"]
"""Which part a demand is about: an update that leaves the part as it was is not judged. Demands about containers
take the containers from ``variables.judged``, which leaves out those that an update leaves."""


class Demand(Struct, frozen=True):
    """One demand of a check, in CEL.

    ``culprits`` is a list of strings: what breaks the rule, named for people; empty where nothing does.
    ``wrong`` and ``instead`` make the message: ``WRONG: CULPRITS; INSTEAD``. ``name`` is a CEL identifier.
    """

    name: str
    about: About
    culprits: str
    wrong: str
    instead: str
