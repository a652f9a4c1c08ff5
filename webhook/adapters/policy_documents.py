"""Policy documents: what was read, from files or from the cluster, becomes a compiled ruleset.

Everything that is wrong is found at once, with file, line and column. A set with a problem gives no ruleset: half of a
policy set is not what anybody wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

import webhook
from webhook.adapters.yaml_documents import Document, DocumentError, read_documents
from webhook.engine.break_glass import compile_break_glass
from webhook.engine.compile import compile_policy
from webhook.engine.exceptions import (
    SharedException,
    compile_shared_exception,
    unknown_names,
    with_exceptions,
)
from webhook.engine.ruleset import CompiledBreakGlass, CompiledPolicy, Ruleset
from webhook.engine.workload_catalog import compile_workload_catalog
from webhook.kube import path as field_path
from webhook.kube.accelerators import Catalog, catalog_from_documents
from webhook.kube.kinds import Kind
from webhook.kube.shape import JSONObject, mapping, text
from webhook.kube.workloads import Finders
from webhook.kube.workloads.paths import Finder
from webhook.policy.live import as_written
from webhook.policy.model import API_VERSION, AcceleratorCatalog
from webhook.policy.problems import InvalidPolicy, Problem, did_you_mean
from webhook.policy.rule import Context
from webhook.policy.validation import validate_document

if TYPE_CHECKING:
    from webhook.engine.kubernetes.policies import MutatingPolicy, ValidatingPolicy

T = TypeVar("T")

# Test cases of policies are documents of another kind, see webhook.adapters.policy_cases.
CASES: Final = "cases"

KINDS: Final = (
    "Policy",
    "PolicyException",
    "BreakGlass",
    "AcceleratorCatalog",
    "WorkloadCatalog",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "List",
)
# Kubernetes' own, which are compiled together with the objects that hold their parameters.
_KUBERNETES: Final = frozenset(kind for kind in KINDS if "AdmissionPolicy" in kind)


class PolicyFileProblem(Struct, frozen=True):
    """One mistake in a policy file.

    ``line`` and ``column`` count from 1; a line of 0 means the file (or folder) as a whole. ``path`` is where
    in the document it is.
    """

    file: str
    line: int
    column: int
    path: field_path.Path
    message: str
    suggestion: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def text(self) -> str:
        """What is wrong, without the file: field, message and suggestion."""
        field = f"{field_path.render(self.path)}: " if self.path else ""
        return f"{field}{self.message}{'; ' + self.suggestion if self.suggestion else ''}"

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class Written(Struct, frozen=True):
    """A policy document where it stands: its file, and its path in the file's document (that of a List's
    item)."""

    file: str
    document: Document
    base: field_path.Path
    data: JSONObject

    def problem(self, problem: Problem) -> PolicyFileProblem:
        """A problem with this document, with its place in the file."""
        path = self.base + problem.path
        line, column = self.document.locate(path, problem.on_key, problem.offset)
        message = problem.message
        if not line and problem.offset:
            # Of a document that is in no file, this is all that can be said of the place.
            message += " (line {}, column {} of the expression)".format(*problem.offset)
        return PolicyFileProblem(self.file, line, column, path, message, problem.suggestion)


class LoadedPolicies(Struct, frozen=True):
    """What a path holds: the ruleset, or what is wrong with it.

    ``policies`` are the good policies with where they are written, and so are ``exceptions`` and ``break_glass``.
    ``context`` is what the policies know of the cluster, ``digest`` that of what was read. ``kubernetes``
    are Kubernetes' own admission policies, ``warnings`` what works and is hardly meant.
    """

    ruleset: Ruleset | None
    problems: tuple[PolicyFileProblem, ...]
    policies: tuple[tuple[CompiledPolicy, Written], ...]
    digest: str
    exceptions: tuple[tuple[SharedException, Written], ...] = ()
    break_glass: tuple[tuple[CompiledBreakGlass, Written], ...] = ()
    context: Context = field(default_factory=lambda: Context(catalog_from_documents([])))
    kubernetes: tuple[tuple[ValidatingPolicy | MutatingPolicy, Written], ...] = ()
    warnings: tuple[PolicyFileProblem, ...] = ()

    def ruleset_of(self, policies: Iterable[CompiledPolicy | ValidatingPolicy | MutatingPolicy]) -> Ruleset:
        """Some of the policies as a set of their own, with the catalogs, exceptions and break-glass of the whole."""
        shared = [exception for exception, _ in self.exceptions]
        own: list[CompiledPolicy] = []
        kubernetes: list[ValidatingPolicy | MutatingPolicy] = []
        for policy in policies:
            if isinstance(policy, CompiledPolicy):
                own.append(with_exceptions(policy, shared))
            else:
                kubernetes.append(policy)
        admission = None
        if kubernetes:
            # Imported where there are any: most policy sets have none.
            from webhook.engine.kubernetes.admission import KubernetesAdmission
            from webhook.engine.kubernetes.policies import MutatingPolicy, ValidatingPolicy

            admission = KubernetesAdmission(
                [policy for policy in kubernetes if isinstance(policy, ValidatingPolicy)],
                [policy for policy in kubernetes if isinstance(policy, MutatingPolicy)],
            )
        return Ruleset(
            own,
            self.context.catalog,
            self.context.workloads,
            (entry for entry, _ in self.break_glass),
            admission,
        )


@cache
def built_in_catalog_document() -> JSONObject:
    """The accelerators gpuward knows out of the box, as a document of kind AcceleratorCatalog."""
    source = Path(webhook.__file__).parent / "kube" / "accelerators.yaml"
    (document,) = read_documents(source.read_bytes(), str(source))
    if isinstance(document, DocumentError):
        raise TypeError(str(document))
    data: JSONObject = document.data
    return data


Pause = Callable[[], None]
"""Called between one piece of the work and the next: where something else goes on beside it, it may wait there."""


def no_pause() -> None:
    """Go on at once."""


class Loading(Struct):
    """The policies of one path, while they are read: ``add_file`` and ``add_resource``, then ``finish``."""

    root: Path
    may_be_empty: bool = False
    pause: Pause = no_pause
    problems: list[PolicyFileProblem] = field(default_factory=list)
    written: dict[str, list[Written]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    others: list[Written] = field(default_factory=list)
    """Kubernetes' own admission policies, what holds their parameters, and what is not known."""
    files: list[str] = field(default_factory=list)

    def add_file(self, file: str, content: bytes | OSError) -> None:
        """Take the documents of a file, or that it cannot be read."""
        self.pause()
        self.files.append(file)
        if isinstance(content, OSError):
            message = f"cannot be read: {content.strerror or content}"
            self.problems.append(PolicyFileProblem(file, 0, 0, (), message))
            return
        for document in read_documents(content, file, positions=True):
            if isinstance(document, DocumentError):
                self.problems.append(
                    PolicyFileProblem(file, document.line, document.column, (), document.message)
                )
            else:
                self._add(Written(file, document, (), document.data), in_list=False)

    def add_resource(self, name: str, data: JSONObject) -> None:
        """Take a document from elsewhere; ``name`` stands for its file in problems."""
        self._add(Written(name, Document(name, 0, 0, data), (), data), in_list=False)
        if data.get("kind") == "AcceleratorCatalog":
            # Of two entries about one accelerator the later one holds: that of a file.
            catalogs = self.written["AcceleratorCatalog"]
            catalogs.insert(0, catalogs.pop())

    def _add(self, written: Written, *, in_list: bool) -> None:
        data: Any = written.data
        if type(data) is not dict:
            self._problem(
                written,
                Problem((), f"must be a document of kind {_listed(KINDS)}, not plain text or a list"),
            )
            return
        data = as_written(data)
        given, written = written, replace(written, data=data)
        kind = data.get("kind")
        if kind == "List" and not in_list and type(data.get("items")) is list:
            for i, item in enumerate(data["items"]):
                self._add(Written(written.file, written.document, ("items", i), item), in_list=True)
        elif kind in ("List", "PolicyCase") or type(kind) is not str:
            self._problem(written, _unknown_kind(data))
        elif kind in self.written and kind not in _KUBERNETES:
            self.written[kind].append(written)
        else:
            # What holds parameters stays as it is: expressions may look at all of it.
            self.others.append(written if kind in _KUBERNETES else given)

    def _problem(self, written: Written, problem: Problem) -> None:
        self.problems.append(written.problem(problem))

    def finish(self, digest: str) -> LoadedPolicies:
        """Compile everything together; ``digest`` is that of what was read."""
        context = Context(self._catalog(), self._workloads())
        policies = self._compile("Policy", lambda data: compile_policy(data, context))
        exceptions = self._compile(
            "PolicyException", lambda data: compile_shared_exception(data, context.workloads)
        )
        break_glass = self._compile("BreakGlass", compile_break_glass)
        kubernetes, warnings = self._kubernetes()
        if not (self.written["Policy"] or kubernetes or self.problems or self.may_be_empty):
            self.problems.append(
                PolicyFileProblem(str(self.root), 0, 0, (), "no document of kind Policy here")
            )
        self.pause()
        self._check_exceptions(policies, [policy.name for policy, _ in kubernetes])
        self.pause()
        # In the order of the files, and within one from top to bottom. The sort is stable.
        order = {file: i for i, file in enumerate(self.files)}
        problems = sorted(
            self.problems, key=lambda problem: (order.get(problem.file, -1), problem.line, problem.column)
        )
        loaded = LoadedPolicies(
            None, tuple(problems), policies, digest, exceptions, break_glass, context, kubernetes, warnings
        )
        if problems:
            return loaded
        both: list[CompiledPolicy | ValidatingPolicy | MutatingPolicy] = [policy for policy, _ in policies]
        both += [policy for policy, _ in kubernetes]
        return replace(loaded, ruleset=loaded.ruleset_of(both))

    def _kubernetes(
        self,
    ) -> tuple[tuple[tuple[ValidatingPolicy | MutatingPolicy, Written], ...], tuple[PolicyFileProblem, ...]]:
        """Kubernetes' own policies, and warnings about them. What is none of these is a problem."""
        if not self.others:
            return (), ()
        # Imported where there is something else than gpuward's own documents: most policy sets have nothing.
        from webhook.engine.kubernetes.load import compile_set

        compiled = compile_set([written.data for written in self.others])
        for index in compiled.unknown:
            self._problem(self.others[index], _unknown_kind(self.others[index].data))
        self.problems += [self.others[index].problem(problem) for index, problem in compiled.problems]
        warnings = tuple(self.others[index].problem(problem) for index, problem in compiled.warnings)
        found: list[tuple[int, ValidatingPolicy | MutatingPolicy]] = [
            *compiled.validating,
            *compiled.mutating,
        ]
        return tuple((policy, self.others[index]) for index, policy in found), warnings

    def _compile(self, kind: str, compile_one: Callable[[JSONObject], T]) -> tuple[tuple[T, Written], ...]:
        """The good documents of a kind, which must have different names."""
        taken: dict[str, Written] = {}
        good: list[tuple[T, Written]] = []
        for written in self.written[kind]:
            self.pause()
            self._check_name(written, taken)
            try:
                good.append((compile_one(written.data), written))
            except InvalidPolicy as invalid:
                self.problems.extend(map(written.problem, invalid.problems))
        return tuple(good)

    def _check_exceptions(
        self, good: Iterable[tuple[CompiledPolicy, Written]], kubernetes: Collection[str]
    ) -> None:
        policies: dict[str, CompiledPolicy | None] = dict.fromkeys(map(_name, self.written["Policy"]))
        policies |= {policy.name: policy for policy, _ in good}
        for written in self.written["PolicyException"]:
            self.problems += map(written.problem, unknown_names(written.data, policies, kubernetes))

    def _catalog(self) -> Catalog:
        documents = [built_in_catalog_document()]
        for written in self.written["AcceleratorCatalog"]:
            try:
                validate_document(AcceleratorCatalog, written.data)
                documents.append(written.data)
            except InvalidPolicy as invalid:
                self.problems.extend(map(written.problem, invalid.problems))
        return catalog_from_documents(documents)

    def _workloads(self) -> Finders:
        found: dict[Kind, Finder] = {}
        for written in self.written["WorkloadCatalog"]:
            try:
                found |= compile_workload_catalog(written.data, found)
            except InvalidPolicy as invalid:
                self.problems.extend(map(written.problem, invalid.problems))
        return found

    def _check_name(self, written: Written, taken: dict[str, Written]) -> None:
        name = _name(written)
        if not name:
            return
        if name in taken:
            other = taken[name].problem(_SAME_NAME)
            one, several = _NOUNS[written.data["kind"]]
            message = f'the {one} at {other.file}:{other.line} is called "{name}" too'
            hint = f"{several} loaded together need different names"
            self._problem(written, replace(_SAME_NAME, message=message, suggestion=hint))
        else:
            taken[name] = written


def _name(written: Written) -> str:
    """The document's name, empty where it has none."""
    return text(mapping(written.data, "metadata"), "name")


_NOUNS: Final[Mapping[str, tuple[str, str]]] = {
    "Policy": ("policy", "policies"),
    "PolicyException": ("exception", "exceptions"),
    "BreakGlass": ("break-glass entry", "break-glass entries"),
}

_SAME_NAME: Final = Problem(("metadata", "name"), "")


def _unknown_kind(data: JSONObject) -> Problem:
    kind = data.get("kind")
    if kind is None:
        return Problem(("kind",), "is required", f"kind is one of {', '.join(KINDS)}")
    if type(kind) is not str:
        return Problem(("kind",), f"must be one of {', '.join(KINDS)}")
    if kind == "List":
        return Problem((), "a List needs a list under `items`, and holds no Lists")
    if kind == "PolicyCase":
        return Problem(
            ("kind",), "a PolicyCase is no policy", f"it goes into the folder {CASES}/ beside its policy"
        )
    api_version = str(data.get("apiVersion", API_VERSION))
    foreign = api_version != API_VERSION and not api_version.startswith("admissionregistration.k8s.io/")
    alone = "this folder is for policies, and for objects of the kinds that a policy's paramKind names"
    hint = alone if foreign else did_you_mean(kind, KINDS)
    return Problem(("kind",), f'must be one of {", ".join(KINDS)}, not "{kind}"', hint)


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
