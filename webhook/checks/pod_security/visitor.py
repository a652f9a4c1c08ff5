"""The parts of a pod that a control judges: its init, regular and ephemeral containers, and the pod itself."""

from __future__ import annotations

from webhook.checks.wording import container_called
from webhook.kube.pod import Container, Pod
from webhook.kube.shape import JSONObject

Holder = Pod | Container


class Visitor:
    """One pod, as one control sees it.

    ``containers`` are the init, regular and ephemeral containers that are not exempt from the control.
    ``judges_pod`` says whether fields that are the pod's own are judged: where every container is exempt, they
    are not. ``exempt_names`` are the exempt containers' names, for what refers to containers by name.
    """

    __slots__ = ("containers", "contexts", "exempt_names", "judges_pod", "pod")

    def __init__(self, pod: Pod, exempt: frozenset[int] = frozenset(), *, judges_pod: bool = True) -> None:
        """``exempt`` has the positions in ``pod.containers`` of those that are exempt."""
        self.pod = pod
        self.judges_pod = judges_pod
        self.containers = pod.containers
        self.exempt_names: frozenset[str] = frozenset()
        if exempt:
            self.containers = tuple(c for i, c in enumerate(pod.containers) if i not in exempt)
            self.exempt_names = frozenset(pod.containers[i].name for i in exempt)
            # Two containers of one name are refused by the API server. Until then, none hides the other.
            self.exempt_names -= {container.name for container in self.containers}
        holders: tuple[Holder, ...] = (pod, *self.containers) if judges_pod else self.containers
        # The pod and the containers that have a securityContext, each with it.
        self.contexts: tuple[tuple[Holder, JSONObject], ...] = tuple(
            [(holder, context) for holder in holders if (context := holder.security_context)]
        )


def called(holder: Holder) -> str:
    """How a message names the pod or one of its containers."""
    return container_called(holder) if isinstance(holder, Container) else "the pod"
