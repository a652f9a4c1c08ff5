"""The check ``no-host-path`` in CEL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from webhook.checks.no_host_path import NoHostPath
from webhook.export.vap.cel import texts
from webhook.export.vap.parts import Demand, Target


def translate(check: NoHostPath, _target: Target) -> Iterator[Demand]:
    """Volumes of directories that are not allowed, and writable mounts of those that are for reading."""
    allowed = check.parameters.allowed
    writable = [_folder(entry.pathPrefix) for entry in allowed if not entry.readOnly]
    readable = [_folder(entry.pathPrefix) for entry in allowed if entry.readOnly]
    named = [entry.pathPrefix + (" (read-only)" if entry.readOnly else "") for entry in allowed]
    others = "use a PersistentVolumeClaim for data, an emptyDir for scratch space"
    good = f"!{_below('v', writable + readable)}" if allowed else "true"
    yield Demand(
        "volumes",
        "spec",
        f"variables.hostPaths.filter(v, {good}).map(v, v.name)",
        "volumes that mount directories of the node",
        f"{others}, or mount {' or '.join(named)}" if named else others,
    )
    if readable:
        but_not = f" && !{_below('v', writable)}" if writable else ""
        only_read = f"{_below('v', readable)}{but_not}"
        yield Demand(
            "writable",
            "containers",
            "variables.judged.filter(c, c.?volumeMounts.orValue([]).exists(m, m.?readOnly.orValue(false) != true"
            f" && variables.hostPaths.exists(v, v.name == m.name && {only_read}))).map(c, c.name)",
            "containers that may write to directories of the node",
            "add readOnly: true to the mounts",
        )


def _folder(prefix: str) -> str:
    return "/" + "".join(f"{part}/" for part in prefix.split("/") if part not in ("", "."))


def _below(volume: str, folders: Iterable[str]) -> str:
    # Folders and paths end with a slash, so whole parts are compared.
    return f"{texts(folders)}.exists(a, {volume}.path.startsWith(a))"
