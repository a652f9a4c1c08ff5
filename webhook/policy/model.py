"""The policy file: one ``Policy`` document, as people write it.

These models say what may be written and describe it (the JSON Schema is made from them). What a policy does
is compiled from them once, see ``webhook.engine.compile``. The words are those of Kubernetes' own admission
policies (admissionregistration.k8s.io/v1) wherever those have one.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal

from msgspec import field

from webhook.policy.constraints import MaxLen, MinLen, Pattern
from webhook.policy.findings import Action, Severity
from webhook.policy.strict import Strict

API_VERSION: Literal["gpuward.dev/v1alpha1"] = "gpuward.dev/v1alpha1"

# Each pattern has its explanation in webhook.policy.mistakes.
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
REASON_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
FIELD_PATTERN = r"^([^.\[\]]+|\[[^\[\]]+\])(\.[^.\[\]]+|\[[^\[\]]+\])*$"
IDENTIFIER_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"

Name = Annotated[str, Pattern(NAME_PATTERN), MaxLen(253)]
NonEmpty = Annotated[str, MinLen(1)]
FieldPath = Annotated[str, Pattern(FIELD_PATTERN)]


class LabelSelectorRequirement(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """One condition on a label."""

    __pydantic_config__ = {
        "json_schema_extra": {
            "if": {"properties": {"operator": {"enum": ["In", "NotIn"]}}, "required": ["operator"]},
            "then": {"required": ["values"], "properties": {"values": {"minItems": 1}}},
            "else": {"properties": {"values": {"maxItems": 0}}},
        }
    }

    key: NonEmpty
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label's value relates to ``values``."""
    values: list[str] = []
    """Values for In and NotIn; none for Exists and DoesNotExist."""

    def __post_init__(self) -> None:
        if self.operator in ("In", "NotIn") and not self.values:
            raise ValueError(f"operator {self.operator} needs at least one value")
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise ValueError(f"operator {self.operator} takes no values")


class LabelSelector(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """A Kubernetes label selector; all conditions must hold, an empty one selects everything."""

    matchLabels: dict[str, str] = {}
    """Labels that must have exactly these values."""
    matchExpressions: list[LabelSelectorRequirement] = []
    """Further conditions on labels."""


class Condition(Strict, frozen=True, kw_only=True):
    """A CEL expression that must be true for the policy to apply (``matchConditions`` in Kubernetes)."""

    name: NonEmpty
    """What the condition is called in messages and logs."""
    expression: NonEmpty
    """CEL over ``object``, ``oldObject``, ``request``, ``namespaceObject`` and ``variables``; gives a
    bool."""


class Variable(Strict, frozen=True, kw_only=True):
    """A named CEL expression, for others to use as ``variables.NAME``. Evaluated when it is used, and
    once."""

    name: Annotated[str, Pattern(IDENTIFIER_PATTERN)]
    """The name, a CEL identifier."""
    expression: NonEmpty
    """CEL; may use variables defined before it."""


# What an author writes is another tuple, even where it says the same.
_OPERATIONS: Final = ("CREATE", "UPDATE")


class Match(Strict, frozen=True, kw_only=True):
    """Which requests and pods a policy is about. Every part that is given must hold."""

    kinds: list[NonEmpty] = []
    """Kinds as ``Pod``, ``apps/v1/Deployment``, ``batch/*/Job`` or ``*``. Without it, what the rules judge:
    every pod and every pod template inside a workload, and for checks of other objects the kinds they are
    about."""
    operations: tuple[Literal["CREATE", "UPDATE", "DELETE", "CONNECT", "*"], ...] = _OPERATIONS
    """What is being done to the object."""
    namespaces: list[NonEmpty] = []
    """Names of namespaces, or globs over them (``team-*``). Objects without a namespace match none."""
    names: list[NonEmpty] = []
    """Names of objects, or globs over them; ``generateName`` counts where there is no name yet."""
    namespaceSelector: LabelSelector | None = None
    """On the labels of the namespace."""
    objectSelector: LabelSelector | None = None
    """On the labels of the pod (or of the object, for policies about other kinds)."""
    users: list[NonEmpty] = []
    """User names, or globs over them (``system:serviceaccount:ci:*``)."""
    groups: list[NonEmpty] = []
    """Groups, or globs over them; one of the user's must match."""
    accelerators: Literal["Required", "None", "Any"] = "Any"
    """Only pods that request an accelerator, only pods that request none, or both."""
    conditions: list[Condition] = []
    """CEL conditions, all of which must be true."""

    @property
    def names_operations(self) -> bool:
        """Whether the operations are written, be they those that hold without it."""
        return self.operations is not _OPERATIONS


class ExceptionMatch(Strict, frozen=True, kw_only=True):
    """Which objects an exception is for. Every part that is given must hold."""

    kinds: list[NonEmpty] = []
    """Kinds as ``Pod``, ``apps/v1/Deployment``, ``batch/*/Job`` or ``*``. The pods that a controller makes are
    objects of their own, of kind Pod."""
    operations: list[Literal["CREATE", "UPDATE", "DELETE", "CONNECT", "*"]] = []
    """What is being done to the object."""
    namespaces: list[NonEmpty] = []
    """Names of namespaces, or globs over them."""
    namespaceSelector: LabelSelector | None = None
    """On the labels of the namespace."""
    names: list[NonEmpty] = []
    """Names of objects, or globs over them; ``generateName`` counts where there is no name yet."""
    labels: dict[str, str] = {}
    """Labels the pod (or the object) must have, with exactly these values."""
    users: list[NonEmpty] = []
    """User names, or globs over them."""
    groups: list[NonEmpty] = []
    """Groups, or globs over them."""


class InlineException(Strict, frozen=True, kw_only=True):
    """Objects that need not follow some of the policy's rules: why, and until when."""

    name: Name
    """What the exception is called where its use is recorded."""
    reason: NonEmpty
    """Why it is there: a sentence or a ticket."""
    expires: date | None = None
    """The last day it holds (UTC). Afterwards the rules apply again."""
    match: ExceptionMatch
    """The objects it is for."""
    rules: list[NonEmpty] = []
    """The rules it excepts from: their names, or globs over them. Without it, all of the policy."""


class MutateRule(Strict, frozen=True, kw_only=True):
    """One mutation."""

    rule: NonEmpty
    """The name of a mutation; ``gpuward explain`` lists them."""
    parameters: dict[str, Any] = {}
    """The mutation's settings."""


class ValidateRule(Strict, frozen=True, kw_only=True):
    """One check: a rule of the library, or a CEL expression."""

    rule: NonEmpty | None = None
    """The name of a check; ``gpuward explain`` lists them. With ``expression``: the name findings carry."""
    parameters: dict[str, Any] = {}
    """The check's settings."""
    expression: NonEmpty | None = None
    """CEL that must be true, over the variables of a ValidatingAdmissionPolicy: ``object``, ``oldObject``,
    ``request``, ``namespaceObject``, ``variables``."""
    message: NonEmpty | None = None
    """What to tell the author of the object when the expression is false."""
    messageExpression: NonEmpty | None = None
    """CEL that gives the message; ``message`` is the fallback."""
    reason: Annotated[str, Pattern(REASON_PATTERN)] | None = None
    """A stable identifier for findings of the expression."""
    field: FieldPath | None = None
    """The path the expression is about, such as ``spec.priorityClassName``."""
    subject: Literal["Pod", "Object"] | None = None
    """What ``object`` is in the expression: each pod (and pod template as a pod), or the object itself. The
    object itself by default where ``match.kinds`` names the kinds, or all other rules are checks of other
    objects; else each pod."""
    severity: Severity | None = None
    """In place of the policy's own severity."""

    def __post_init__(self) -> None:
        if self.expression is None:
            if self.rule is None:
                raise ValueError("needs a `rule` or an `expression`")
            for name in ("message", "messageExpression", "reason", "field", "subject"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` goes with `expression`, not with `rule`")
        elif self.parameters:
            raise ValueError("`parameters` go with `rule`, not with `expression`")


class PolicySpec(Strict, frozen=True, kw_only=True):
    """What a policy is about, what it changes and what it demands."""

    __pydantic_config__ = {
        "json_schema_extra": {
            "anyOf": [
                {"required": [rules], "properties": {rules: {"minItems": 1}}}
                for rules in ("mutate", "validate")
            ]
        }
    }

    action: Action = Action.ENFORCE
    """What happens at most: Enforce rejects, Warn admits with a warning, Audit only records. The namespace's
    mode can weaken it."""
    failurePolicy: Literal["Fail", "Ignore"] = "Fail"
    """What happens when one of the rules itself fails (a CEL evaluation error): treated as a violation, or
    recorded and passed over."""
    match: Match = field(default_factory=Match)
    """What the policy is about."""
    exclude: list[Match] = []
    """What it is not about: excluded is what any one of these matches."""
    variables: list[Variable] = []
    """CEL expressions with a name."""
    mutate: list[MutateRule] = []
    """Changes to pods, in this order, when they are created."""
    validate_: list[ValidateRule] = field(default_factory=list, name="validate")
    """Checks."""
    exceptions: list[InlineException] = []
    """Who is excepted, why and until when."""

    def __post_init__(self) -> None:
        if not self.mutate and not self.validate_:
            raise ValueError("needs at least one rule under `mutate` or `validate`")


class Metadata(Strict, frozen=True, kw_only=True):
    """The policy's name and descriptions."""

    name: Name
    """Unique among the policies that are loaded together."""
    labels: dict[str, str] = {}
    """Labels, for your own use."""
    annotations: dict[str, str] = {}
    """``gpuward.dev/title``, ``gpuward.dev/category``, ``gpuward.dev/severity`` (critical, high, medium, low,
    info) and ``gpuward.dev/description`` are shown to people; others are for your own use."""


class Policy(Strict, frozen=True, kw_only=True):
    """A gpuward policy."""

    apiVersion: Literal["gpuward.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["Policy"]
    """The kind of document."""
    metadata: Metadata
    """The policy's name and descriptions."""
    spec: PolicySpec
    """What the policy does."""


class PolicyExceptionSpec(Strict, frozen=True, kw_only=True):
    """Objects that need not follow some rules: why, and until when."""

    policies: Annotated[list[NonEmpty], MinLen(1)]
    """The policies it excepts from: their names, or globs over them."""
    rules: list[NonEmpty] = []
    """The rules of these policies it excepts from: their names, or globs over them. Without it, all of them."""
    reason: NonEmpty
    """Why it is there: a sentence or a ticket."""
    expires: date | None = None
    """The last day it holds (UTC). Afterwards the rules apply again."""
    match: ExceptionMatch
    """The objects it is for."""


class PolicyException(Strict, frozen=True, kw_only=True):
    """An exception in a file of its own, from rules of any policies of the set."""

    apiVersion: Literal["gpuward.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["PolicyException"]
    """The kind of document."""
    metadata: Metadata
    """What the exception is called where its use is recorded."""
    spec: PolicyExceptionSpec
    """What it excepts from, and whom."""


class BreakGlassSpec(Strict, frozen=True, kw_only=True):
    """Who is admitted in an emergency whatever the policies say, why, and until when."""

    __pydantic_config__ = {
        "json_schema_extra": {
            "anyOf": [
                {"required": [who], "properties": {who: {"minItems": 1}}} for who in ("users", "groups")
            ]
        }
    }

    users: list[NonEmpty] = []
    """User names, or globs over them. Accounts of the cluster (``system:...``) are matched only by what begins with
    ``system:`` itself."""
    groups: list[NonEmpty] = []
    """Groups, or globs over them. Who is one of the users or in one of the groups is admitted."""
    namespaces: list[NonEmpty] = []
    """Names of namespaces, or globs over them; without it everywhere."""
    reason: NonEmpty
    """What it is for: a sentence, or where the procedure is written down. It is shown and recorded at each use."""
    expires: date | None = None
    """The last day it holds (UTC)."""

    def __post_init__(self) -> None:
        if not self.users and not self.groups:
            raise ValueError("needs somebody under `users` or `groups`")


class BreakGlass(Strict, frozen=True, kw_only=True):
    """Who may pass in an emergency. Policies only record what these users do, and change nothing of it."""

    apiVersion: Literal["gpuward.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["BreakGlass"]
    """The kind of document."""
    metadata: Metadata
    """What the entry is called where its use is recorded."""
    spec: BreakGlassSpec
    """Who, why, and until when."""


class TaintSpec(Strict, frozen=True, kw_only=True):
    """A taint of accelerator nodes. Its value is not compared."""

    key: NonEmpty
    """The taint's key."""
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] = "NoSchedule"
    """The taint's effect."""


class NodeRequirementSpec(Strict, frozen=True, kw_only=True):
    """A condition on a node's label."""

    key: NonEmpty
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How the label's value relates to ``values``."""
    values: list[str] = []
    """Values, where the operator takes any."""


class AcceleratorSpec(Strict, frozen=True, kw_only=True):
    """One family of accelerators."""

    name: Name
    """What it is called. A name that is known already replaces that entry."""
    resources: list[NonEmpty] = []
    """Extended resource names, or globs over them."""
    deviceClasses: list[NonEmpty] = []
    """DeviceClasses that hand out the same devices to resource claims."""
    taints: list[TaintSpec] = []
    """Taints of the nodes that have it."""
    nodeAffinity: list[NodeRequirementSpec] = []
    """The labels by which nodes tell that they have it."""


class AcceleratorCatalogSpec(Strict, frozen=True, kw_only=True):
    """The accelerators of a cluster."""

    accelerators: list[AcceleratorSpec] = []
    """Families of accelerators."""
    rdmaResources: list[NonEmpty] = []
    """Resource names (globs) of network devices whose users lock memory."""


class PodTemplatePath(Strict, frozen=True, kw_only=True):
    """One place where a kind describes pods."""

    path: NonEmpty
    """The pod template (metadata and spec), the PodSpec or the whole object, such as
    ``spec.roles[*].template``: ``[*]`` is every item of a list, ``*`` every value of a map."""
    replicas: NonEmpty | list[NonEmpty] = []
    """The path of the number of pods that are made of it, such as ``spec.roles[*].replicas``, or paths of
    numbers that are multiplied. Wildcards stand for what they stand for in ``path``. One that is absent from an
    object is 1."""


class WorkloadKind(Strict, frozen=True, kw_only=True):
    """One kind that describes pods."""

    kind: NonEmpty
    """The kind as ``group/version/Kind``. Every version of it is taken."""
    templates: list[PodTemplatePath] = []
    """Where its pods are. Without any, objects of the kind are taken to describe none."""


class WorkloadCatalogSpec(Strict, frozen=True, kw_only=True):
    """The workloads of a cluster."""

    workloads: list[WorkloadKind] = []
    """Custom resources that describe pods."""


class WorkloadCatalog(Strict, frozen=True, kw_only=True):
    """Workloads that gpuward does not know out of the box, or knows otherwise."""

    apiVersion: Literal["gpuward.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["WorkloadCatalog"]
    """The kind of document."""
    metadata: Metadata
    """The catalog's name."""
    spec: WorkloadCatalogSpec
    """The workloads."""


class AcceleratorCatalog(Strict, frozen=True, kw_only=True):
    """Accelerators that gpuward does not know out of the box."""

    apiVersion: Literal["gpuward.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["AcceleratorCatalog"]
    """The kind of document."""
    metadata: Metadata
    """The catalog's name."""
    spec: AcceleratorCatalogSpec
    """The accelerators."""
