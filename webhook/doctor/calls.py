"""How the API server calls: how long it waits, and what it takes the webhook to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.doctor.diagnosis import Diagnosis, Level, Ref, puts
from webhook.doctor.entries import Entry
from webhook.doctor.installation import Installation
from webhook.kube.shape import strings, text

# A review takes about a millisecond. Source: Kubernetes, "Admission Webhook Good Practices": small timeouts.
_LONG: Final = 5
_TOO_LONG: Final = 10
_ADVISED: Final = 3


def addresses(installation: Installation) -> Iterator[Diagnosis]:
    """Entries that call an address at which gpuward does not do what they are there for."""
    for entry in installation.ours:
        wanted = "mutate" if entry.mutating else "validate"
        if entry.phase == wanted:
            continue
        if not entry.phase:
            consequence = "gpuward answers 404 there, and " + (
                "all that it is called for is refused" if entry.fails else "nothing is judged"
            )
        elif entry.mutating:
            consequence = "gpuward only judges there, and nothing is changed"
        else:
            consequence = "gpuward only makes changes there, which are dropped, and nothing is judged"
        mode = entry.mode or "MODE"
        yield Diagnosis(
            "address-wrong",
            Level.ERROR,
            Ref.of(entry.configuration),
            entry.field("clientConfig", *(("service", "path") if entry.service else ("url",))),
            f"{entry.name} calls {entry.path}: {consequence}",
            f"write /{wanted}/{mode}"
            + (
                ""
                if entry.mode
                else ", with audit, warn or enforce, the mode of the namespaces that it selects"
            ),
            (puts(entry.field("clientConfig", "service", "path"), f"/{wanted}/{mode}"),)
            if entry.service and entry.mode
            else (),
        )


def timeouts(installation: Installation) -> Iterator[Diagnosis]:
    """Entries that hold requests up for long while gpuward does not answer."""
    for entry in installation.ours:
        if entry.timeout > _LONG:
            written = "" if "timeoutSeconds" in entry.raw else ", the default"
            yield Diagnosis(
                "long-timeout",
                Level.ERROR if entry.timeout > _TOO_LONG else Level.WARNING,
                Ref.of(entry.configuration),
                entry.field("timeoutSeconds"),
                f"{entry.name} waits {entry.timeout} s{written}: while gpuward does not answer, every request takes "
                "that long, and controllers fall behind, also with failurePolicy Ignore",
                f"write timeoutSeconds: {_ADVISED}; a review takes about a millisecond",
                (puts(entry.field("timeoutSeconds"), _ADVISED),),
            )


def promises(installation: Installation) -> Iterator[Diagnosis]:
    """Fields by which an entry says less of gpuward than is true, so that it is not called when it should be."""
    for entry in installation.ours:
        if text(entry.raw, "sideEffects") not in ("None", "NoneOnDryRun"):
            yield _wrong(
                entry,
                "side-effects",
                "sideEffects",
                "None",
                "requests with dryRun (kubectl diff, --dry-run=server) are refused, as it does not say that it has no "
                "side effects; it has none",
            )
        if text(entry.raw, "matchPolicy") == "Exact":
            yield _wrong(
                entry,
                "match-policy-exact",
                "matchPolicy",
                "Equivalent",
                "it is not called for objects that are sent in another version of their API",
            )
        if entry.mutating and text(entry.raw, "reinvocationPolicy") != "IfNeeded":
            yield _wrong(
                entry,
                "reinvocation-never",
                "reinvocationPolicy",
                "IfNeeded",
                "containers that another webhook injects afterwards (a sidecar) get nothing of what policies add",
            )
        versions = strings(entry.raw, "admissionReviewVersions")
        if "v1" not in versions:
            yield Diagnosis(
                "review-version",
                Level.ERROR,
                Ref.of(entry.configuration),
                entry.field("admissionReviewVersions"),
                f"{entry.name} is sent AdmissionReviews of {', '.join(versions) or 'no version'}, and gpuward reads v1",
                "write admissionReviewVersions: [v1]",
                (puts(entry.field("admissionReviewVersions"), ["v1"]),),
            )
        if entry.service is None:
            yield Diagnosis(
                "address-outside",
                Level.WARNING,
                Ref.of(entry.configuration),
                entry.field("clientConfig", "url"),
                f"{entry.name} is called by a URL: the cluster does not know which pods answer, so no disruption "
                "budget and no readiness counts",
                "name a Service under clientConfig.service",
            )


def _wrong(entry: Entry, code: str, field: str, value: str, message: str) -> Diagnosis:
    return Diagnosis(
        code,
        Level.WARNING,
        Ref.of(entry.configuration),
        entry.field(field),
        f"{entry.name} has {field} {text(entry.raw, field) or 'not set'}: {message}",
        f"write {field}: {value}",
        (puts(entry.field(field), value),),
    )
