"""Writes ``webhook/kube/apply/types.json``: how Kubernetes merges each built-in kind, from its own OpenAPI.

``make types`` runs this. It starts the control plane of the end-to-end tests, reads ``/openapi/v3`` and keeps of each
type its fields, whether it is replaced as a whole, and how its lists are merged.

How it is read is what Kubernetes does with it: k8s.io/kube-openapi ``pkg/schemaconv``. The notation is described in
``webhook/kube/apply/types.py``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .cluster import ControlPlane
from .controlplane import assets

FILE = Path(__file__).parents[2] / "webhook" / "kube" / "apply" / "types.json"

_PREFIX = "io.k8s."
_BUILT_IN = ("io.k8s.api.", "io.k8s.apiextensions-apiserver.", "io.k8s.kube-aggregator.")
# Types that Kubernetes knows by name, whatever their schema says.
_BY_NAME = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "u",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "x",
}
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_MAP_TYPES = {"atomic": "!", "granular": "+"}

Schema = Mapping[str, Any]


def documents(plane: ControlPlane) -> Iterable[dict[str, Any]]:
    """The OpenAPI documents of the API server, one a group and version."""
    for path in plane.api("GET", "/openapi/v3")["paths"]:
        if path.startswith(("api/v1", "apis/")) and path.count("/") in (1, 2):
            yield plane.api("GET", f"/openapi/v3/{path}")


def condense(version: str, openapi: Iterable[Schema]) -> str:
    """The text of the file, for the API server of a version (``v1.36.3``)."""
    schemas: dict[str, Schema] = {}
    for document in openapi:
        schemas.update(document.get("components", {}).get("schemas", {}))
    kinds = {}
    for name, schema in schemas.items():
        if not name.startswith(_BUILT_IN):
            continue  # from a CustomResourceDefinition of whoever shares the control plane
        if _META not in json.dumps(schema.get("properties", {}).get("metadata", {})):
            continue  # neither a list, nor options, nor a status: nothing that is admitted
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            group = f"{kind['group']}/" if kind["group"] else ""
            kinds[f"{group}{kind['version']}/{kind['kind']}"] = name
    types: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    wanted = sorted({*kinds.values(), _META})
    while wanted:
        name = wanted.pop()
        if name in types:
            continue
        condenser = _Condenser(schemas)
        types[name] = condenser.definition(name)
        defaults.update(condenser.defaults)
        wanted += condenser.references
    return _text(
        version,
        {kind: _short(name) for kind, name in kinds.items()},
        {_short(name): types[name] for name in types},
        {_short(name): defaults[name] for name in defaults},
    )


def _short(name: str) -> str:
    return name.removeprefix(_PREFIX)


def _text(version: str, kinds: Schema, types: Schema, defaults: Schema) -> str:
    """JSON, one entry a line: what changes between two versions of Kubernetes is seen."""

    def block(entries: Schema) -> str:
        return ",\n".join(f"{json.dumps(key)}: {json.dumps(entries[key])}" for key in sorted(entries))

    return (
        f'{{"kubernetes": {json.dumps(version)},\n"kinds": {{\n{block(kinds)}\n}},\n'
        f'"types": {{\n{block(types)}\n}},\n"defaults": {{\n{block(defaults)}\n}}}}\n'
    )


class _Condenser:
    """One type, and the types it refers to."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self._schemas = schemas
        self.references: list[str] = []
        self.defaults: dict[str, dict[str, Any]] = {}
        """Of the types of list items, what a key field is where it is absent."""

    def definition(self, name: str) -> Any:
        schema = self._schemas[name]
        if name in _BY_NAME:
            return _BY_NAME[name]
        properties = schema.get("properties", {})
        if not properties:
            return self._inline(schema)
        assert "additionalProperties" not in schema, f"{name} has both kinds of properties"
        fields = {field: self._reference(properties[field]) for field in sorted(properties)}
        # No field has such a name.
        return {"!": ""} | fields if schema.get("x-kubernetes-map-type") == "atomic" else fields

    def _reference(self, schema: Schema) -> str:
        target = schema.get("$ref", "")
        alternatives = schema.get("allOf", ())
        if not target and len(alternatives) == 1:
            target = alternatives[0].get("$ref", "")
        if not target:
            return self._inline(schema)
        name = target.rpartition("/")[2]
        self.references.append(name)
        return "@" + _MAP_TYPES.get(schema.get("x-kubernetes-map-type", ""), "") + _short(name)

    def _inline(self, schema: Schema) -> str:
        kind = schema.get("type", "")
        if kind == "array":
            return self._list(schema)
        if kind == "object":
            return self._map(schema)
        if kind in ("integer", "number"):
            return kind[0]
        if kind == "boolean":
            return "b"
        if kind == "string":
            return "s" if schema.get("format", "") in ("", "byte") else "u"
        assert not kind, f"a type {kind!r}"
        return "d"

    def _map(self, schema: Schema) -> str:
        assert not schema.get("properties"), "a structure without a name"
        values = schema.get("additionalProperties", True)
        atomic = "!" if schema.get("x-kubernetes-map-type") == "atomic" else ""
        return f"{atomic}{{{self._reference(values) if isinstance(values, dict) else 'd'}"

    def _list(self, schema: Schema) -> str:
        item = self._reference(schema["items"])
        kind = schema.get("x-kubernetes-list-type")
        keys = schema.get("x-kubernetes-list-map-keys", ())
        if kind is None:
            # The older annotation, of strategic merge patches.
            merges = schema.get("x-kubernetes-patch-strategy") in ("merge", "merge,retainKeys")
            key = schema.get("x-kubernetes-patch-merge-key")
            kind, keys = ("map" if key else "set", [key]) if merges else ("atomic", ())
        if kind == "map":
            name = self.references[-1]
            properties = self._schemas[name].get("properties", {})
            found = {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}
            if found:
                self.defaults.setdefault(name, {}).update(found)
            return f"<{','.join(keys)}>[{item}"
        return {"atomic": "[", "set": "=["}[kind] + item


def main() -> None:
    """Write the file anew."""
    programs = assets.locate(lambda line: sys.stderr.write(f"{line}\n"))
    with (
        tempfile.TemporaryDirectory() as folder,
        ControlPlane(programs, Path(folder)) as plane,
    ):
        FILE.write_text(condense(programs.version, documents(plane)), encoding="utf-8")
    sys.stderr.write(f"wrote {FILE}\n")


if __name__ == "__main__":
    main()
