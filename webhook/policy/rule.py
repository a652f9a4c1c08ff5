"""What a rule is: the base of every check and every mutation.

A rule is a class. Its docstring is its specification (what, why, what is allowed, how to mend) and the source of
the reference pages; its ``Parameters`` are the settings a policy can give; constructing it compiles it; calling it
judges or changes one pod, or judges one object. Instances are immutable and shared between requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct, field

from webhook.kube.accelerators import Catalog
from webhook.kube.kinds import Kind
from webhook.kube.workloads import Finders
from webhook.policy.findings import Severity, Violation
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object
    from webhook.kube.pod import Pod
    from webhook.policy.cel import Program, Scope
    from webhook.policy.draft import Draft


class ParameterError(ValueError):
    """Parameters that have the right types and still make no sense together.

    ``field`` is the parameter at fault, e.g. ``perAccelerator.cpu``; empty where it is about all of them. ``offset`` is
    the line and column within its text, both from 1, where that is known.
    """

    def __init__(self, message: str, field: str = "", offset: tuple[int, int] | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.offset = offset


class NoParameters(Strict, frozen=True):
    """A rule without settings."""


def _no_expressions(expression: str, field: str) -> Program:  # noqa: ARG001 - the signature of those that compile
    raise ParameterError("expressions cannot be used here", field)


class Context(Struct, frozen=True):
    """What rules may use of their surroundings when they are compiled."""

    catalog: Catalog
    workloads: Finders = field(default_factory=dict)
    """Kinds whose pods are described in configuration."""
    compile: Callable[[str, str], Program] = _no_expressions
    """Compiles a CEL expression of a parameter, which may use the policy's variables and gives a JSON value or an
    ``Object{...}``. Takes the expression and the parameter's name; raises ParameterError."""


class Rule(ABC):
    """The common part. ``name`` is what policies write under ``rule:``; ``title`` one line for lists of rules."""

    name: ClassVar[str]
    title: ClassVar[str]
    # Its attribute docstrings describe the parameters in the schema and the reference.
    Parameters: ClassVar[type[Strict]] = NoParameters

    def __init__(self, parameters: Any, context: Context) -> None:
        """Compile the rule.

        Raises:
            ParameterError: the parameters cannot be meant.
        """
        self.parameters = parameters
        self.context = context


class Validation(Rule):
    """What policies name under ``validate``: yields one violation for each breach and changes nothing.

    Either of pods, wherever they are described (``Check``), or of other objects as they are (``ObjectCheck``).
    """

    severity: ClassVar[Severity] = Severity.MEDIUM


class Check(Validation):
    """A validation of pods."""

    @abstractmethod
    def __call__(self, pod: Pod) -> Iterable[Violation]:
        """Judge one pod; paths of violations are those of its root. Must not raise on any JSON, however odd."""

    def check_workload(self, pods: Sequence[Pod]) -> Iterable[Violation]:  # noqa: ARG002 - for those that override it
        """Judge what a whole object asks for: all its pods that the policy is about, each ``pod.replicas`` times.

        Called besides, not instead of, the judgement of each pod. Paths of violations are those of the object the
        user wrote. Most checks have nothing to say here.
        """
        return ()


class ObjectCheck(Validation):
    """A validation of objects of certain kinds, as they are and not for the pods they may describe."""

    kinds: ClassVar[tuple[Kind, ...]]
    """The kinds it judges, of any version. A policy that names no kinds matches these."""
    judges_deletion: ClassVar[bool] = False
    """Whether it also judges objects as they are deleted, where the policy is about DELETE."""
    judges_changes: ClassVar[bool] = False
    """Whether it compares an update with the object before it itself, and finds nothing in what was there already."""

    @abstractmethod
    def __call__(self, obj: Object) -> Iterable[Violation]:
        """Judge one object of one of the ``kinds``; paths of violations are those of its root. Must not raise on any
        JSON, however odd."""


class Mutation(Rule):
    """A change to pods. Idempotent, and never overwrites what the user set."""

    computes: bool = False
    """Whether some of its values are expressions: it is called through ``compute`` then. Set in the constructor."""

    @abstractmethod
    def __call__(self, pod: Pod, draft: Draft) -> None:
        """Record the changes for one pod in the draft, which is of the pod's root, under the pod's own paths.

        ``pod`` shows the state before this mutation. Must not raise on any JSON.
        """

    def misfits(self) -> Iterable[ParameterError]:
        """What the parameters say to write and no pod can have: misspelt fields, values of the wrong type.

        Asked once, when a policy is compiled. Where a rule writes fields of its own choice there is nothing to say.
        """
        return ()

    def compute(self, pod: Pod, draft: Draft, scope: Scope) -> None:  # noqa: ARG002 - for those that compute
        """As calling it, for a mutation with expressions: ``scope`` is what they see.

        Raises:
            CelEvaluationError: an expression gave no value, or one that cannot be used.
        """
        self(pod, draft)
