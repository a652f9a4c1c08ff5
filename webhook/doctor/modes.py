"""Whether each mode of a namespace gets what it promises, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.doctor.diagnosis import Diagnosis, Level, Ref, puts
from webhook.doctor.entries import Call, Entry
from webhook.doctor.installation import Installation
from webhook.kube.names import NAMESPACE_NAME_LABEL
from webhook.kube.path import json_pointer
from webhook.kube.shape import JSONObject, mapping, text
from webhook.policy.findings import MODE_LABEL, Mode
from webhook.policy.problems import did_you_mean

_SOME: Final = "a-namespace"
_POD: Final = Call("", "v1", "pods", "CREATE", _SOME)
_MODES: Final = tuple(mode.value for mode in Mode)


def _is_called(entry: Entry, mode: str) -> bool:
    """Whether it is called for pods."""
    return entry.may_be_called(_POD, {NAMESPACE_NAME_LABEL: _SOME, MODE_LABEL: mode})


def _may_be_called(entry: Entry, mode: str) -> bool:
    return bool(entry.called_in(_SOME, {NAMESPACE_NAME_LABEL: _SOME, MODE_LABEL: mode}))


def failing(installation: Installation) -> Iterator[Diagnosis]:
    """Entries that refuse requests while gpuward is down where nothing may be refused."""
    for entry in installation.ours:
        if not entry.fails:
            continue
        gentle = [mode for mode in ("audit", "warn") if entry.mode == mode or _may_be_called(entry, mode)]
        if gentle:
            message = (
                f"{entry.name} has failurePolicy Fail and is called in {' and '.join(gentle)} namespaces: "
                "what promises to refuse nothing refuses everything while gpuward does not answer"
            )
        elif entry.mutating:
            message = (
                f"{entry.name} changes pods and has failurePolicy Fail: while gpuward does not answer, no pod can be "
                "created; validation sees the pod afterwards, changed or not"
            )
        else:
            continue
        remedy = "write failurePolicy: Ignore; only validation in enforce namespaces may be Fail"
        patch: tuple[JSONObject, ...] = (puts(entry.field("failurePolicy"), "Ignore"),)
        if _means_to_enforce(entry):
            # To fail open would mend it too, and enforcement would be gone.
            remedy, patch = f"select {MODE_LABEL} In [enforce] and nothing else", ()
        yield Diagnosis(
            "gentle-mode-fails" if gentle else "mutation-fails",
            Level.ERROR if gentle else Level.WARNING,
            Ref.of(entry.configuration),
            entry.field("failurePolicy"),
            message,
            remedy,
            patch,
        )


def _means_to_enforce(entry: Entry) -> bool:
    """Whether it is the one entry that may fail closed, and it is its selector that is wrong."""
    return (
        not entry.mutating and entry.mode == Mode.ENFORCE.value and _may_be_called(entry, Mode.ENFORCE.value)
    )


def addresses(installation: Installation) -> Iterator[Diagnosis]:
    """Entries whose address names one mode and whose selector another: what they do is not what the label says."""
    for entry in installation.ours:
        called = [mode for mode in _MODES if _may_be_called(entry, mode)]
        wrong = [mode for mode in called if entry.mode and mode != entry.mode]
        if not wrong:
            continue
        right = f"/{'mutate' if entry.mutating else 'validate'}/{wrong[0]}"
        where = ("clientConfig", "service", "path") if entry.service else ("clientConfig", "url")
        fixable = len(called) == 1 and entry.service is not None and not _means_to_enforce(entry)
        yield Diagnosis(
            "mode-mismatch",
            Level.ERROR,
            Ref.of(entry.configuration),
            entry.field(*where),
            f"{entry.name} is called for namespaces of mode {' and '.join(wrong)}, and its address {entry.path} makes "
            f"gpuward treat them as {entry.mode}",
            f"select {MODE_LABEL} In [{entry.mode}]" + (f", or call {right}" if fixable else ""),
            ({"op": "replace", "path": json_pointer(entry.field(*where)), "value": right},)
            if fixable
            else (),
        )


def coverage(installation: Installation) -> Iterator[Diagnosis]:
    """Modes that no entry serves, or that several serve."""
    for kind, mutating in (("MutatingWebhookConfiguration", True), ("ValidatingWebhookConfiguration", False)):
        entries = [entry for entry in installation.ours if entry.mutating is mutating]
        word = "mutation" if mutating else "validation"
        if not entries:
            if installation.ours or installation.whole:
                other = next(iter(installation.ours), None)
                yield Diagnosis(
                    "no-configuration",
                    Level.ERROR if installation.ours else Level.WARNING,
                    Ref.of(other.configuration) if other else Ref(kind, "", "gpuward"),
                    (),
                    f"there is no {kind} that calls gpuward, so there is no {word} in any namespace",
                    "install the webhook configurations of the chart or the manifests",
                )
            continue
        for mode in _MODES:
            serving = [entry for entry in entries if _is_called(entry, mode)]
            if not serving:
                yield Diagnosis(
                    "mode-not-served",
                    Level.WARNING,
                    Ref.of(entries[0].configuration),
                    ("webhooks",),
                    f"no entry is called for pods in namespaces of mode {mode}: the label promises {word} and there "
                    "is none",
                    f"add an entry that selects {MODE_LABEL} In [{mode}]",
                )
            elif len(serving) > 1:
                names = " and ".join(entry.name for entry in serving)
                yield Diagnosis(
                    "mode-served-twice",
                    Level.WARNING,
                    Ref.of(serving[1].configuration),
                    serving[1].field("namespaceSelector"),
                    f"{names} are both called for pods in namespaces of mode {mode}: every review is made twice",
                    "select each mode in one entry",
                )


def labels(installation: Installation) -> Iterator[Diagnosis]:
    """Namespaces whose label is no mode."""
    for namespace in installation.of_kind("Namespace"):
        value = mapping(mapping(namespace, "metadata"), "labels").get(MODE_LABEL)
        if value is None or value in _MODES:
            continue
        meant = did_you_mean(str(value), _MODES)
        path = ("metadata", "labels", MODE_LABEL)
        yield Diagnosis(
            "unknown-mode",
            Level.WARNING,
            Ref.of(namespace),
            path,
            f'namespace {text(mapping(namespace, "metadata"), "name")} has the mode "{value}", which is none: '
            "nothing is enforced there",
            f"write one of {', '.join(_MODES)}" + (f"; {meant}" if meant else ""),
        )
