"""Namespaces that are left alone: the server's list, and that of the webhook configurations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.doctor.diagnosis import Diagnosis, Level, Ref, puts
from webhook.doctor.entries import Entry
from webhook.doctor.installation import Installation, Server
from webhook.kube.names import NAMESPACE_NAME_LABEL
from webhook.kube.shape import JSONObject, items, mapping, strings
from webhook.kube.system_namespaces import CLUSTER_NAMESPACES
from webhook.policy.findings import MODE_LABEL, Mode

_SOME: Final = "a-namespace"
_MODES: Final = tuple(mode.value for mode in Mode)
_POD_NAMESPACE: Final = "POD_NAMESPACE"


def exemptions(installation: Installation) -> Iterator[Diagnosis]:
    """Servers that let pass, unseen, what the API server asks them about; and that would judge what it never does."""
    for server in installation.servers():
        entries = [
            entry
            for entry in installation.ours
            if entry.service is not None and entry.service[0] == server.namespace and _by_mode(entry)
        ]
        exempt = _exempt(server)
        for configuration in {id(entry.configuration): entry.configuration for entry in entries}.values():
            those = [entry for entry in entries if entry.configuration is configuration]
            yield from _asked_in_vain(installation, exempt, those)
        yield from _never_asked(server, exempt, entries)


def _asked_in_vain(
    installation: Installation, exempt: list[str], entries: list[Entry]
) -> Iterator[Diagnosis]:
    """Entries of one configuration that are called in namespaces where the server looks at nothing."""
    asked = {entry.index: [name for name in exempt if _may_call(entry, name)] for entry in entries}
    names = [name for name in exempt if any(name in found for found in asked.values())]
    if not names:
        return
    entry = next(entry for entry in entries if asked[entry.index])
    promised = [
        name
        for name in names
        if any(
            one.called_in(name, installation.labels_of(name)) for one in entries if name in asked[one.index]
        )
    ]
    fails = any(one.fails for one in entries if asked[one.index])
    label = (
        f"the label {MODE_LABEL} on {_listed(promised)} promises"
        if promised
        else f"{MODE_LABEL} there would promise"
    )
    yield Diagnosis(
        "exempt-but-asked",
        Level.ERROR if promised else Level.WARNING,
        Ref.of(entry.configuration),
        entry.field("namespaceSelector"),
        f"the server lets everything pass unseen in {_listed(exempt)} (--exempt-namespaces and its own), and "
        f"{entry.name} excludes {_listed(_excluded(entry)) or 'none by name'}: {label} policies, and none is judged"
        + (", while pods wait for gpuward when it does not answer" if fails else ""),
        f"exclude {_listed(names)} in the namespaceSelector too, by {NAMESPACE_NAME_LABEL}, or take them out of "
        "--exempt-namespaces",
        tuple(
            _excluding(one, found)
            for one in entries
            if (found := asked[one.index])
            and items(mapping(one.raw, "namespaceSelector"), "matchExpressions")
        ),
    )


def _never_asked(server: Server, exempt: list[str], entries: list[Entry]) -> Iterator[Diagnosis]:
    """Namespaces that every entry excludes and the server would judge."""
    lists = [_excluded(entry) for entry in entries]
    names = [
        name
        for name in (lists[0] if lists else ())
        if name not in exempt and name != server.namespace and all(name in one for one in lists)
    ]
    if names:
        yield Diagnosis(
            "excluded-but-not-exempt",
            Level.NOTE,
            Ref.of(server.deployment),
            ("spec", "template", "spec", "containers", server.index, "args"),
            f"the webhook configurations exclude {_listed(lists[0])}, and the server lets pass unseen only "
            f"{_listed(exempt)} (--exempt-namespaces and its own): {_listed(names)} would be judged as soon as another "
            "webhook configuration asks",
            f"write --exempt-namespaces={','.join(dict.fromkeys([*lists[0], *exempt]))}",
        )


def _by_mode(entry: Entry) -> bool:
    """Whether it is called in namespaces at all; what guards the gate is called for namespaces themselves."""
    return any(_may_call(entry, _SOME, mode) for mode in _MODES)


def _may_call(entry: Entry, namespace: str, *modes: str) -> bool:
    """Whether a label would have it called in a namespace."""
    return any(
        entry.called_in(namespace, {NAMESPACE_NAME_LABEL: namespace, MODE_LABEL: mode})
        for mode in modes or _MODES
    )


def _exempt(server: Server) -> list[str]:
    written = server.flags.get("exempt-namespaces")
    names = CLUSTER_NAMESPACES if written is None else tuple(name.strip() for name in written.split(","))
    own = (server.namespace,) if _POD_NAMESPACE in server.environment else ()
    return [name for name in dict.fromkeys((*names, *own)) if name]


def _excluded(entry: Entry) -> list[str]:
    """The namespaces that its selector excludes by name."""
    return [
        name
        for one in items(mapping(entry.raw, "namespaceSelector"), "matchExpressions")
        if one.get("key") == NAMESPACE_NAME_LABEL and one.get("operator") == "NotIn"
        for name in strings(one, "values")
    ]


def _excluding(entry: Entry, names: list[str]) -> JSONObject:
    # Put at the end, so that it goes together with other patches of the selector.
    return puts(
        entry.field("namespaceSelector", "matchExpressions", "-"),
        {"key": NAMESPACE_NAME_LABEL, "operator": "NotIn", "values": names},
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names)
