"""Break-glass: who is admitted in an emergency whatever the policies say, from documents of kind BreakGlass.

An entry is for people. One that would let the cluster's own accounts pass would switch the policies off for everybody:
it is controllers that create most pods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from webhook.engine.ruleset import CLUSTERS_OWN, CompiledBreakGlass, Identities
from webhook.kube.shape import JSONObject
from webhook.policy.match import Names
from webhook.policy.model import BreakGlass
from webhook.policy.problems import InvalidPolicy, Problem
from webhook.policy.validation import validate_document

_WILDCARD: Final = re.compile(r"\[[^\]]*\]|[*?]")

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"

# Source: kubernetes.io "Using RBAC Authorization" and "Authenticating": the names of the control plane's parts and of
# the groups that hold everybody.
_COMPONENTS: Final = re.compile(
    r"system:(anonymous|apiserver|kube-controller-manager|kube-scheduler|kube-proxy|node:.*"
    r"|serviceaccount:kube-system:.*)"
)
_EVERYBODY: Final = re.compile(
    r"system:(authenticated(:.*)?|unauthenticated|serviceaccounts(:kube-system)?|nodes)"
)


def compile_break_glass(document: JSONObject) -> CompiledBreakGlass:
    """Compile one document of kind BreakGlass, given as plain data.

    Raises:
        InvalidPolicy: with every problem found: of form, and users or groups that are more than anybody can mean.
    """
    model = validate_document(BreakGlass, document)
    spec = model.spec
    problems = [*_too_wide("users", spec.users), *_too_wide("groups", spec.groups)]
    if problems:
        raise InvalidPolicy(problems)
    return CompiledBreakGlass(
        name=model.metadata.name,
        reason=spec.reason,
        expires=spec.expires,
        users=Identities(spec.users),
        groups=Identities(spec.groups),
        namespaces=Names(spec.namespaces),
    )


def _too_wide(field: str, names: Sequence[str]) -> Iterator[Problem]:
    for i, name in enumerate(names):
        message = _objection(field, name)
        if message:
            yield Problem(("spec", field, i), f'"{name}" {message}', "name those who may break the glass")


def _objection(field: str, name: str) -> str:
    """Why this user or group, or glob over them, cannot be meant; empty where it can."""
    if not re.search(r"\w", _WILDCARD.sub("", name)):
        return "is everybody"
    is_glob = _WILDCARD.search(name) is not None
    if field == "users":
        if name.startswith(_SERVICE_ACCOUNT) and is_glob:
            namespace = name.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
            if _WILDCARD.search(namespace) or not name.startswith(f"{_SERVICE_ACCOUNT}{namespace}:"):
                return "is the service accounts of more than one namespace, and controllers with them"
        elif is_glob and name.startswith(CLUSTERS_OWN):
            return "is the cluster's own accounts, the controllers that create pods among them"
        if _COMPONENTS.fullmatch(name):
            return "is part of the cluster itself and acts for everybody"
    elif is_glob and name.startswith(CLUSTERS_OWN):
        return "is the cluster's own groups, which hold everybody"
    elif _EVERYBODY.fullmatch(name):
        return "is a group that holds everybody, or the controllers that create pods"
    return ""
