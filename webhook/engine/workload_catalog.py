"""Compiling a document of kind WorkloadCatalog: kinds whose pods somebody describes in configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from webhook.kube.kinds import BUILT_IN, CUSTOM, Kind
from webhook.kube.path import Path
from webhook.kube.shape import JSONObject
from webhook.kube.workloads import POLICY_GROUPS, Finders
from webhook.kube.workloads.configured import Template, configured, parse_replicas_path, parse_template_path
from webhook.kube.workloads.paths import Finder, Segments
from webhook.policy.match import parse_kind
from webhook.policy.model import PodTemplatePath, WorkloadCatalog, WorkloadKind
from webhook.policy.problems import InvalidPolicy, Problem
from webhook.policy.validation import validate_document

# Nearly the same name as a known kind's is that kind misspelt; another name is a kind we have not heard of.
_MISSPELT: Final = 0.9

R = TypeVar("R")


def compile_workload_catalog(document: JSONObject, known: Finders) -> Mapping[Kind, Finder]:
    """The kinds that one WorkloadCatalog, given as plain data, describes; ``known`` are those of other catalogs.

    A kind that gpuward knows is described anew: what the catalog says replaces it.

    Raises:
        InvalidPolicy: with every problem found: of form, kinds that cannot be meant, paths at which no pod can be.
    """
    catalog = validate_document(WorkloadCatalog, document)
    compiler = _Compiler(known)
    for index, workload in enumerate(catalog.spec.workloads):
        compiler.add(workload, ("spec", "workloads", index))
    if compiler.problems:
        raise InvalidPolicy(compiler.problems)
    return compiler.found


class _Compiler:
    """Compiles the entries of one catalog and collects their problems."""

    def __init__(self, known: Finders) -> None:
        self.problems: list[Problem] = []
        self.found: dict[Kind, Finder] = {}
        self._known = known

    def add(self, workload: WorkloadKind, path: Path) -> None:
        kind = self._try(lambda: _kind(workload.kind), (*path, "kind"))
        if kind is not None and (kind in self.found or kind in self._known):
            self.problems.append(
                Problem(
                    (*path, "kind"),
                    f'"{workload.kind}" is described twice',
                    "put its templates into one entry",
                )
            )
        templates = [
            self._template(template, (*path, "templates", index))
            for index, template in enumerate(workload.templates)
        ]
        if kind is not None:
            self.found[kind] = configured(template for template in templates if template is not None)

    def _template(self, template: PodTemplatePath, path: Path) -> Template | None:
        place = self._try(lambda: parse_template_path(template.path), (*path, "path"))
        if place is None:
            return None
        replicas = template.replicas
        written = (
            [(replicas, ())] if isinstance(replicas, str) else [(r, (i,)) for i, r in enumerate(replicas)]
        )
        counts = [self._try(_replicas_of(place, count), (*path, "replicas", *at)) for count, at in written]
        return Template(place, tuple(count for count in counts if count is not None))

    def _try(self, read: Callable[[], R], path: Path) -> R | None:
        try:
            return read()
        except ValueError as error:
            self.problems.append(Problem(path, str(error)))
            return None


def _replicas_of(place: Segments, written: str) -> Callable[[], Segments]:
    return lambda: parse_replicas_path(written, place)


def _kind(written: str) -> Kind:
    """The group and kind an entry is about.

    Raises:
        ValueError: nobody can describe pods of it; the message says why.
    """
    group, _, kind = parse_kind(written, _new(written))
    if "*" in (group, kind):
        raise ValueError(f'"{written}" is not one kind; name it as group/version/Kind')
    if group in BUILT_IN:
        raise ValueError(
            f'where the pods of "{written}" are is known; only custom resources can be described'
        )
    if group in POLICY_GROUPS:
        raise ValueError(f'objects of "{written}" say what pods must be like, they describe none')
    return group, kind


def _new(written: str) -> tuple[Kind, ...]:
    """The kind, if it is a custom resource like none that is known of its group: one we have not heard of."""
    # Imported where a catalog is: most policy sets have none.
    from difflib import get_close_matches

    group, _, rest = written.partition("/")
    kind = rest.rpartition("/")[2]
    if group in BUILT_IN or get_close_matches(kind, CUSTOM.get(group, ()), n=1, cutoff=_MISSPELT):
        return ()
    return ((group, kind),)
