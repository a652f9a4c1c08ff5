"""What a control of the Pod Security Standards is: a rule that may have changed from one Kubernetes to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from msgspec import Struct

from webhook.kube.path import Path

if TYPE_CHECKING:
    from webhook.checks.pod_security.visitor import Visitor

Level = Literal["baseline", "restricted"]

# Kubernetes' own names of its checks, in kebab case as the reasons of all findings are: seccompProfile_restricted is
# seccomp-profile-restricted. They stand in policies and in findings, so they do not change.
ControlId = Literal[
    "app-armor-profile",
    "capabilities-baseline",
    "host-namespaces",
    "host-path-volumes",
    "host-ports",
    "host-probes-and-host-lifecycle",
    "privileged",
    "proc-mount",
    "se-linux-options",
    "seccomp-profile-baseline",
    "sysctls",
    "windows-host-process",
    "allow-privilege-escalation",
    "capabilities-restricted",
    "proc-mount-restricted",
    "restricted-volumes",
    "run-as-non-root",
    "run-as-user",
    "seccomp-profile-restricted",
]

# The minor version of the newest Kubernetes 1 whose standards are known here.
NEWEST: Final = 37


class Breach(NamedTuple):
    """One place where a pod breaks a control: the field in the whole object, and a sentence for its author."""

    path: Path
    message: str


# Must not raise on any JSON, as a check must not.
Judge = Callable[["Visitor"], Iterable[Breach]]


class Revision(Struct, frozen=True):
    """What a control demands from Kubernetes v1.``since`` on, up to its next revision."""

    since: int
    judge: Judge


class Control(Struct, frozen=True):
    """One control. ``revisions`` are in the order of their versions.

    ``kubernetes_id`` is what k8s.io/pod-security-admission calls it. A restricted control that is a stricter form
    of a baseline one names it in ``replaces``: at level restricted it is judged in its place.
    """

    id: ControlId
    kubernetes_id: str
    level: Level
    revisions: tuple[Revision, ...]
    replaces: ControlId | None = None

    @property
    def since(self) -> int:
        """The minor version of the first Kubernetes that has the control."""
        return self.revisions[0].since

    def at(self, minor: int) -> Judge | None:
        """What it demands at Kubernetes v1.``minor``; None before there was such a control."""
        judges = [revision.judge for revision in self.revisions if revision.since <= minor]
        return judges[-1] if judges else None


def unless_windows(judge: Judge) -> Judge:
    """The same for all pods but those that say they are for Windows, where the field does not exist."""

    def judge_others(visitor: Visitor) -> Iterable[Breach]:
        return () if visitor.pod.is_windows else judge(visitor)

    return judge_others


def unless_user_namespace(judge: Judge) -> Judge:
    """The same for all pods but those in a user namespace of their own (``hostUsers: false``): root there is nobody
    on the node."""

    def judge_others(visitor: Visitor) -> Iterable[Breach]:
        return () if visitor.pod.spec.get("hostUsers") is False else judge(visitor)

    return judge_others


def parse_version(written: str) -> int:
    """The minor version that ``latest`` or ``v1.29`` stands for.

    Raises:
        ValueError: it is neither, or newer than what is known here; the message says what to write.
    """
    if written == "latest":
        return NEWEST
    major, dot, minor = written.removeprefix("v").partition(".")
    # As Kubernetes reads the label enforce-version: no patch, no leading zeros.
    if major != "1" or not dot or not (minor.isascii() and minor.isdigit()) or (minor != str(int(minor))):
        raise ValueError('write "latest", or a version such as "v1.29"')
    if not written.startswith("v"):
        raise ValueError(f'write "v{written}"')
    if int(minor) > NEWEST:
        raise ValueError(f'{written} is newer than v1.{NEWEST}, the newest known here; write "latest"')
    return int(minor)
