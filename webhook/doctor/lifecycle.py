"""How pods start, are asked how they are, and stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.doctor.diagnosis import Diagnosis, Level, Ref, puts
from webhook.doctor.installation import Installation, Server
from webhook.kube.duration import parse_duration
from webhook.kube.path import Path
from webhook.kube.shape import JSONObject, mapping, strings, text

# Seconds, with `gpuward serve`'s own defaults. A test compares them with the command's.
DRAIN_DELAY: Final = 5.0
SHUTDOWN_TIMEOUT: Final = 10.0
_KUBERNETES_GRACE: Final = 30

# So long, in seconds, endpoints may take to travel to every API server.
_TRAVEL: Final = 1.0

_ALIVE: Final = "/healthz"
_READY: Final = "/readyz"
_HANDLERS: Final = ("httpGet", "tcpSocket", "exec", "grpc")


def probes(installation: Installation) -> Iterator[Diagnosis]:
    """Servers that are called before they are ready, and those that are restarted for what no restart mends."""
    for server in installation.servers():
        yield from _readiness(server)
        for kind in ("startupProbe", "livenessProbe"):
            yield from _life(server, kind)
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            yield from _unanswered(server, kind)


def _readiness(server: Server) -> Iterator[Diagnosis]:
    probe = mapping(server.container, "readinessProbe")
    # What a command finds out nobody can tell from here.
    if mapping(probe, "exec") or _path(probe) == _READY:
        return
    if _path(probe):
        wrong = f"{_path(probe)} does not say who is ready:"
    elif any(kind in probe for kind in _HANDLERS):
        wrong = "an open port does not say who is ready:"
    else:
        wrong = "without a readiness probe"
    yield Diagnosis(
        "no-readiness-probe",
        Level.ERROR,
        Ref.of(server.deployment),
        (*_container(server), "readinessProbe"),
        f"{wrong} the API server calls pods that have not read their policies yet, and those whose certificate it does "
        "not trust",
        f"probe {_READY} on the admin port",
        (_mended_readiness(server),) if server.admin_port is not None else (),
    )


def _mended_readiness(server: Server) -> JSONObject:
    field: Path = (*_container(server), "readinessProbe")
    if _path(mapping(server.container, "readinessProbe")):
        return puts((*field, "httpGet", "path"), _READY)
    return puts(field, {"httpGet": {"path": _READY, "port": server.admin_port}, "periodSeconds": 2})


def _life(server: Server, kind: str) -> Iterator[Diagnosis]:
    if _path(mapping(server.container, kind)) != _READY:
        return
    path: Path = (*_container(server), kind, "httpGet", "path")
    yield Diagnosis(
        "restarted-when-not-ready",
        Level.WARNING,
        Ref.of(server.deployment),
        path,
        f"a {kind} that asks {_READY} restarts every replica at once when the certificate or the policies are in "
        "trouble: no restart mends these, and calls that would have been answered fail",
        f"ask {_ALIVE} there; {_READY} is for the readinessProbe",
        (puts(path, _ALIVE),),
    )


def _unanswered(server: Server, kind: str) -> Iterator[Diagnosis]:
    """A probe that nobody answers, or not so."""
    probe = mapping(server.container, kind)
    asked = mapping(probe, "httpGet")
    if not asked:
        return
    wrong = _why_not_answered(server, asked)
    if not wrong:
        return
    consequence = (
        "no pod ever becomes ready" if kind == "readinessProbe" else "the pods are restarted again and again"
    )
    path = _READY if kind == "readinessProbe" else _ALIVE
    fitting = {"path": path, "port": server.admin_port, "scheme": "HTTP"}
    field: Path = (*_container(server), kind, "httpGet")
    yield Diagnosis(
        "probe-fails",
        Level.ERROR,
        Ref.of(server.deployment),
        field,
        f"the {kind} fails: {wrong}, so {consequence}",
        f"write {{path: {path}, port: {server.admin_port}, scheme: HTTP}}"
        if server.admin_port is not None
        else "give the server an --admin-port, and probe that",
        (puts(field, fitting),) if server.admin_port is not None else (),
    )


def _why_not_answered(server: Server, asked: JSONObject) -> str:
    """What is wrong with such a request; empty where it is answered."""
    written, scheme, path = asked.get("port"), text(asked, "scheme") or "HTTP", text(asked, "path")
    port = server.port_number(written)
    if path.partition("?")[0] not in (_ALIVE, _READY):
        return f"there is nothing at {path or '/'}"
    if port == server.admin_port and port is not None:
        return "the admin port speaks plain HTTP" if scheme != "HTTP" else ""
    if port != server.port:
        return f"nobody listens on port {written!r}"
    if scheme != "HTTPS":
        return "the webhook's port speaks HTTPS"
    return "the webhook's port asks for a client certificate" if "client-ca" in server.flags else ""


def stopping(installation: Installation) -> Iterator[Diagnosis]:
    """Servers that go before callers know, or before they have answered."""
    for server in installation.servers():
        delay = _seconds(server.flags.get("drain-delay"), DRAIN_DELAY)
        finish = _seconds(server.flags.get("shutdown-timeout"), SHUTDOWN_TIMEOUT)
        before = _before_stop(server)
        if before is None:
            continue
        if before + delay < _TRAVEL:
            sleep: JSONObject = {"sleep": {"seconds": 5}}
            hook: Path = (*_container(server), "lifecycle")
            if "lifecycle" in server.container:
                hook = (*hook, "preStop")
            else:
                sleep = {"preStop": sleep}
            yield Diagnosis(
                "no-drain",
                Level.WARNING,
                Ref.of(server.deployment),
                (*_container(server), "lifecycle", "preStop"),
                f"a pod that is told to stop serves for another {before + delay:g} s, and the API server calls it "
                "until the endpoints have travelled: calls fail at every update and every drained node",
                "leave out --drain-delay, whose default is 5s, or write lifecycle: {preStop: {sleep: {seconds: 5}}}",
                (puts(hook, sleep),),
            )
        grace = server.pod.get("terminationGracePeriodSeconds", _KUBERNETES_GRACE)
        needed = before + delay + finish
        if isinstance(grace, int | float) and grace < needed:
            parts = ("the preStop hook, " if before else "") + "--drain-delay and --shutdown-timeout"
            path: Path = ("spec", "template", "spec", "terminationGracePeriodSeconds")
            yield Diagnosis(
                "grace-period-short",
                Level.WARNING,
                Ref.of(server.deployment),
                path,
                f"pods get {grace:g} s to stop, and {parts} take up to {needed:g} s: calls under way are cut off",
                f"write terminationGracePeriodSeconds: {int(needed) + 5}",
                (puts(path, int(needed) + 5),),
            )


def requests(installation: Installation) -> Iterator[Diagnosis]:
    """Servers that nobody keeps room for."""
    for server in installation.servers():
        if not mapping(mapping(server.container, "resources"), "requests"):
            yield Diagnosis(
                "no-requests",
                Level.WARNING,
                Ref.of(server.deployment),
                (*_container(server), "resources", "requests"),
                "without requests the pods are the first to be evicted from a full node",
                "request cpu and memory, such as {cpu: 100m, memory: 128Mi}",
            )


def _container(server: Server) -> Path:
    return ("spec", "template", "spec", "containers", server.index)


def _path(probe: JSONObject) -> str:
    """What a probe asks for; empty where it is no HTTP request."""
    return text(mapping(probe, "httpGet"), "path").partition("?")[0]


def _before_stop(server: Server) -> float | None:
    """How long a preStop hook serves on, in seconds; None where nobody can tell."""
    hook = mapping(mapping(server.container, "lifecycle"), "preStop")
    if not hook:
        return 0.0
    seconds = mapping(hook, "sleep").get("seconds")
    if type(seconds) is int:
        return float(seconds)
    match strings(mapping(hook, "exec"), "command"):
        case [command, duration] if command.rpartition("/")[2] == "sleep" and duration.isdigit():
            return float(duration)
    return None


def _seconds(written: str | None, default: float) -> float:
    if not written:
        return default
    try:
        return float(written) if written.replace(".", "", 1).isdigit() else parse_duration(written)
    except ValueError:
        return default
