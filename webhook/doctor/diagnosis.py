"""What the doctor says about an installation."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from webhook.kube.path import Path, json_pointer, render
from webhook.kube.shape import JSONObject, mapping, text


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """The cluster can be locked, admission does not work, or it does not do what the configuration says."""
    WARNING = "warning"
    """It works today; an upgrade, a drained node or another mistake turns it into an error."""
    NOTE = "note"
    """Worth knowing; nothing needs to be changed for it."""


class Ref(Struct, frozen=True):
    """The object a diagnosis is about."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, obj: JSONObject) -> Ref:
        """The reference to an object."""
        metadata = mapping(obj, "metadata")
        return cls(text(obj, "kind"), text(metadata, "namespace"), text(metadata, "name"))

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Diagnosis(Struct, frozen=True):
    """One thing that is wrong.

    ``code`` is a stable identifier of the kind of mistake (kebab-case), ``path`` where in the object it is,
    ``message`` one sentence that says what is wrong and what it leads to, ``remedy`` what to change.
    ``patch`` is that change as a JSON Patch (RFC 6902) of the object, empty where nobody but a person can say it.
    """

    code: str
    level: Level
    about: Ref
    path: Path
    message: str
    remedy: str
    patch: tuple[JSONObject, ...] = ()

    @property
    def field(self) -> str:
        """The path as text; empty where it is about the whole object."""
        return render(self.path)


def puts(path: Path, value: object) -> JSONObject:
    """The operation of a patch that sets a field."""
    return {"op": "add", "path": json_pointer(path), "value": value}
