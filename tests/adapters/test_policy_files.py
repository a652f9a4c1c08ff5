"""Policies from files, folders and mounted ConfigMaps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import POLICIES
from webhook.adapters import policy_documents, policy_files
from webhook.adapters.policy_documents import LoadedPolicies
from webhook.adapters.policy_files import default_policies_path, digest, load
from webhook.engine.decision import Facts
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.kube.accelerators import Catalog
from webhook.policy.findings import Mode
from webhook.policy.model import AcceleratorCatalog
from webhook.policy.validation import validate_document


def policy(name: str, rule: str = "no-privileged") -> str:
    return f"""\
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata:
  name: {name}
spec:
  validate:
    - rule: {rule}
"""


CATALOG = """\
apiVersion: gpuward.dev/v1alpha1
kind: AcceleratorCatalog
metadata: {name: ours}
spec:
  accelerators:
    - name: npu
      resources: [example.com/npu]
      taints: [{key: example.com/npu}]
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files, by path below an empty folder, which becomes the current one."""
    monkeypatch.chdir(tmp_path)

    def write(**files: str) -> Path:
        for name, content in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return tmp_path

    return write


def names(loaded: LoadedPolicies) -> list[str]:
    assert loaded.ruleset is not None, loaded.problems
    return [found.name for found in loaded.ruleset.policies]


def problems(loaded: LoadedPolicies) -> list[str]:
    assert loaded.ruleset is None
    return [str(problem) for problem in loaded.problems]


def catalog(loaded: LoadedPolicies) -> Catalog:
    assert loaded.ruleset is not None, loaded.problems
    return loaded.ruleset.catalog


# --- which files -----------------------------------------------------------------------------------------


def test_folder_is_read_with_all_below_it(write: Write) -> None:
    write(**{
        "p/a.yaml": policy("a"), "p/deep/er/b.yml": policy("b"), "p/c.json": '{"apiVersion": "gpuward.dev/v1alpha1", '
        '"kind": "Policy", "metadata": {"name": "c"}, "spec": {"validate": [{"rule": "no-privileged"}]}}',
    })  # fmt: skip
    assert names(load("p")) == ["a", "b", "c"]


def test_what_is_no_policy_file_is_left_out(write: Write) -> None:
    write(**{
        "p/a.yaml": policy("a"), "p/cases/case.yaml": "kind: PolicyCase", "p/x/cases/y/case.yaml": "kind: PolicyCase",
        "p/README.md": "# a: [", "p/.hidden.yaml": "a: [", "p/.git/x.yaml": "a: [", "p/values.yaml.bak": "a: [",
    })  # fmt: skip
    assert names(load("p")) == ["a"]


def test_folder_alone_is_read_where_that_is_asked_for(write: Write) -> None:
    write(**{"p/a.yaml": policy("a"), "p/b/b.yaml": policy("b")})
    assert names(load("p", recursive=False)) == ["a"]
    assert digest("p", recursive=False) == load("p", recursive=False).digest != digest("p")


def test_file_is_read_whatever_its_name(write: Write) -> None:
    write(**{"policy.txt": policy("a")})
    assert names(load("policy.txt")) == ["a"]


def test_files_are_told_apart_by_their_paths_and_not_by_what_a_file_system_numbers_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n")
    (tmp_path / "b.yaml").hardlink_to(tmp_path / "a.yaml")
    assert policy_files.read(tmp_path) == [("a.yaml", b"a: 1\n"), ("b.yaml", b"a: 1\n")]


def test_file_that_two_links_lead_to_is_read_once(write: Write) -> None:
    folder = write(**{"p/real/a.yaml": policy("a")})
    (folder / "p/link.yaml").symlink_to("real/a.yaml")
    (folder / "p/loop").symlink_to("../p")
    (folder / "p/zoo").symlink_to("real")
    assert names(load("p")) == ["a"]


def mount(folder: Path, version: str, files: dict[str, str]) -> None:
    """Write a ConfigMap's files as the kubelet does: a folder of that version, reached through links."""
    target = folder / f"..{version}"
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(content)
    swap = folder / "..data_tmp"
    swap.symlink_to(target.name)
    swap.rename(folder / "..data")
    for name in files:
        top = name.split("/")[0]
        if not (folder / top).is_symlink():
            (folder / top).symlink_to(f"..data/{top}")


def test_mounted_config_map_is_read_once_and_its_swap_is_noticed(tmp_path: Path) -> None:
    mount(tmp_path, "2026_11_21", {"policy.yaml": policy("a"), "more/policy.yaml": policy("b")})
    loaded = load(tmp_path)
    assert names(loaded) == ["a", "b"]
    assert loaded.digest == digest(tmp_path)
    mount(tmp_path, "2026_11_22", {"policy.yaml": policy("c"), "more/policy.yaml": policy("b")})
    assert digest(tmp_path) != loaded.digest
    assert names(load(tmp_path)) == ["b", "c"]


def test_problem_in_a_mounted_config_map_names_the_file_as_it_is_mounted(tmp_path: Path) -> None:
    mount(tmp_path, "2026_11_21", {"policy.yaml": policy("a", "no-privilege")})
    (problem,) = load(tmp_path).problems
    assert problem.file == str(tmp_path / "policy.yaml")


def test_version_that_is_removed_while_it_is_read_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount(tmp_path, "1", {"policy.yaml": policy("a")})
    read_bytes = Path.read_bytes

    def swap_first(file: Path) -> bytes:
        if file.parent.name == "..1":
            mount(tmp_path, "2", {"policy.yaml": policy("b")})
            file.unlink()
        return read_bytes(file)

    monkeypatch.setattr(Path, "read_bytes", swap_first)
    assert names(load(tmp_path)) == ["b"]


UNUSABLE = [
    pytest.param({}, "nowhere", "nowhere: no such file or folder", id="missing"),
    pytest.param(
        {"p/README.md": ""}, "p", "p: no policies here; looked for *.yaml, *.yml, *.json", id="empty folder"
    ),
    pytest.param({"p/a.yaml": "# nothing\n"}, "p", "p: no document of kind Policy here", id="empty file"),
    pytest.param({"p/a.yaml": CATALOG}, "p", "p: no document of kind Policy here", id="catalog alone"),
]


@pytest.mark.parametrize(("files", "path", "message"), UNUSABLE)
def test_path_without_policies_is_an_error(
    write: Write, files: dict[str, str], path: str, message: str
) -> None:
    write(**files)
    assert problems(load(path)) == [message]


def test_file_that_is_a_broken_link_is_an_error(write: Write) -> None:
    folder = write(**{"p/a.yaml": policy("a")})
    (folder / "p/b.yaml").symlink_to("nowhere.yaml")
    assert problems(load("p")) == ["p/b.yaml: cannot be read: No such file or directory"]


# --- documents -------------------------------------------------------------------------------------------


def test_documents_of_a_file_and_items_of_a_list_are_policies(write: Write) -> None:
    items = "".join(
        f"  - {line}" if i == 0 else f"    {line}" for i, line in enumerate(policy("c").splitlines(True))
    )
    write(
        **{
            "p/a.yaml": policy("a")
            + "---\n"
            + policy("b")
            + "---\napiVersion: v1\nkind: List\nitems:\n"
            + items
        }
    )
    assert names(load("p")) == ["a", "b", "c"]


def test_all_problems_of_all_files_are_found_in_their_order(write: Write) -> None:
    old = policy("old").replace("v1alpha1", "v1")
    other = "kind: Job\napiVersion: batch/v1\n"
    write(**{
        "p/a.yaml": f"a: [\n---\n{policy('a', 'no-privilege')}---\n{old}",
        "p/b.yaml": policy("b"),
        "p/c.yaml": f"{policy('c').replace('kind: Policy', 'kind: Polici')}---\n{other}",
    })  # fmt: skip
    kinds = f"must be one of {', '.join(policy_documents.KINDS)}"
    alone = "this folder is for policies, and for objects of the kinds that a policy's paramKind names"
    assert problems(load("p")) == [
        "p/a.yaml:1:5: a value was expected here",
        'p/a.yaml:9:13: spec.validate[0].rule: unknown rule "no-privilege"; did you mean "no-privileged"?',
        'p/a.yaml:11:13: apiVersion: must be gpuward.dev/v1alpha1, not "gpuward.dev/v1"',
        f'p/c.yaml:2:7: kind: {kinds}, not "Polici"; did you mean "Policy"?',
        f'p/c.yaml:9:7: kind: {kinds}, not "Job"; {alone}',
    ]


def test_good_policies_of_a_bad_set_are_still_there_to_look_at(write: Write) -> None:
    write(**{"p/a.yaml": policy("a", "no-privilege"), "p/b.yaml": policy("b")})
    loaded = load("p")
    assert loaded.ruleset is None
    assert [(found.name, written.file) for found, written in loaded.policies] == [("b", "p/b.yaml")]


def test_two_policies_of_one_name_are_an_error_that_names_both_places(write: Write) -> None:
    write(**{"p/a.yaml": policy("x"), "p/b.yaml": "# second\n" + policy("x")})
    (problem,) = problems(load("p"))
    assert problem.startswith('p/b.yaml:5:9: metadata.name: the policy at p/a.yaml:4 is called "x" too; ')


def test_catalog_extends_the_built_in_one(write: Write) -> None:
    write(**{"p/a.yaml": policy("a"), "p/b.yaml": CATALOG})
    loaded = catalog(load("p"))
    assert [getattr(loaded.find(name), "name", None) for name in ("example.com/npu", "nvidia.com/gpu")] == [
        "npu", "nvidia",
    ]  # fmt: skip


def test_catalog_replaces_an_entry_of_the_same_name(write: Write) -> None:
    write(**{"p/a.yaml": policy("a"), "p/b.yaml": CATALOG.replace("name: npu", "name: nvidia")})
    loaded = catalog(load("p"))
    assert loaded.find("example.com/npu") is not None
    assert loaded.find("nvidia.com/gpu") is None


def test_mistake_in_a_catalog_is_found(write: Write) -> None:
    write(**{"p/a.yaml": policy("a"), "p/b.yaml": CATALOG.replace("resources:", "resource:")})
    assert problems(load("p")) == [
        'p/b.yaml:7:7: spec.accelerators[0].resource: unknown field "resource"; did you mean "resources"?'
    ]


WORKLOADS = """\
apiVersion: gpuward.dev/v1alpha1
kind: WorkloadCatalog
metadata: {name: ours}
spec:
  workloads:
    - kind: example.com/v1/Trainer
      templates:
        - path: spec.roles[*].pod
          replicas: spec.roles[*].replicas
"""


def test_a_workload_catalog_says_where_pods_are(write: Write) -> None:
    about_it = policy("a", "no-privileged") + "  match: {kinds: [Trainer]}\n"
    write(**{"p/a.yaml": about_it, "p/b.yaml": WORKLOADS})
    ruleset = load("p").ruleset
    assert ruleset is not None
    container = {"name": "main", "securityContext": {"privileged": True}}
    obj = {
        "apiVersion": "example.com/v1",
        "kind": "Trainer",
        "spec": {"roles": [{"replicas": 3, "pod": {"containers": [container]}}]},
    }
    decision = review(request_for(obj), ruleset, Facts(mode=Mode.ENFORCE))
    assert [finding.field for finding in decision.findings] == [
        "spec.roles[0].pod.containers[0].securityContext.privileged"
    ]


def test_mistakes_in_a_workload_catalog_have_their_places(write: Write) -> None:
    broken = WORKLOADS.replace("spec.roles[*].pod", "spec.roles[0].pod").replace("v1/Trainer", "Trainer")
    write(
        **{
            "p/a.yaml": policy("a"),
            "p/b.yaml": broken,
            "p/c.yaml": WORKLOADS + WORKLOADS.split("workloads:")[1],
        }
    )
    assert problems(load("p")) == [
        (
            'p/b.yaml:6:13: spec.workloads[0].kind: "example.com" in "example.com/Trainer" is no API version; write '
            "group/version/Kind, such as apps/v1/Deployment"
        ),
        (
            'p/b.yaml:8:17: spec.workloads[0].templates[0].path: "spec.roles[0].pod" names one item of a list; '
            "write [*] for every item"
        ),
        (
            'p/c.yaml:11:13: spec.workloads[1].kind: "example.com/v1/Trainer" is described twice; '
            "put its templates into one entry"
        ),
    ]


def test_two_catalogs_must_not_describe_one_kind(write: Write) -> None:
    write(**{"p/a.yaml": policy("a"), "p/b.yaml": WORKLOADS, "p/c.yaml": WORKLOADS})
    (problem,) = problems(load("p"))
    assert problem.startswith(
        'p/c.yaml:6:13: spec.workloads[0].kind: "example.com/v1/Trainer" is described twice'
    )


def test_built_in_catalog_is_a_good_catalog() -> None:
    document = policy_documents.built_in_catalog_document()
    assert validate_document(AcceleratorCatalog, document).spec.accelerators


# --- digests and defaults --------------------------------------------------------------------------------


def test_digest_changes_with_every_byte_and_name_and_with_nothing_else(write: Write) -> None:
    folder = write(**{"p/a.yaml": policy("a"), "p/b/c.yaml": policy("c")})
    first = digest("p")
    assert digest(folder / "p") == first == load("p").digest
    write(**{"p/README.md": "x", "p/cases/x.yaml": "x"})
    assert digest("p") == first
    write(**{"p/a.yaml": policy("a") + " "})
    second = digest("p")
    assert second != first
    (folder / "p/a.yaml").rename(folder / "p/z.yaml")
    assert digest("p") not in (first, second)


def test_digest_tells_apart_where_one_file_ends_and_the_next_starts(write: Write) -> None:
    write(**{"p/a.yaml": "x", "p/b.yaml": "y", "q/a.yaml": "xb.yamly", "r/a.yaml": "", "r/b.yaml": "xy"})
    assert len({digest(path) for path in ("p", "q", "r")}) == 3


def test_digest_of_what_is_not_there_is_empty(write: Write) -> None:
    write()
    assert digest("nowhere") == load("nowhere").digest == ""


def test_policies_come_from_the_first_place_that_has_any(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPUWARD_POLICIES", raising=False)
    folder = write()
    assert default_policies_path() == POLICIES
    (folder / "policies").mkdir()
    assert default_policies_path() == Path("policies")
    monkeypatch.setenv("GPUWARD_POLICIES", "elsewhere")
    assert default_policies_path() == Path("elsewhere")
    assert default_policies_path("given") == Path("given")
    monkeypatch.setenv("GPUWARD_POLICIES", "")
    assert default_policies_path() == Path("policies")


def test_installed_package_brings_its_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "webhook/shipped_policies").mkdir(parents=True)
    monkeypatch.setattr("webhook.__file__", str(tmp_path / "webhook/__init__.py"))
    assert policy_files.shipped_policies_path() == tmp_path / "webhook/shipped_policies"


def test_shipped_policies_are_good() -> None:
    assert names(load(POLICIES))


EXCEPTION = """\
apiVersion: gpuward.dev/v1alpha1
kind: PolicyException
metadata: {{name: {name}}}
spec:
  policies: [{policy}]
  rules: [{rule}]
  reason: ticket ML-123
  match: {{namespaces: [legacy]}}
"""

BREAK_GLASS = """\
apiVersion: gpuward.dev/v1alpha1
kind: BreakGlass
metadata: {{name: on-call}}
spec:
  reason: emergencies
  users: [{user}]
"""


def exception(name: str = "legacy", policy: str = "a", rule: str = "no-privileged") -> str:
    return EXCEPTION.format(name=name, policy=policy, rule=rule)


def privileged(namespace: str, user: str, loaded: LoadedPolicies) -> bool:
    """Whether a user may make a privileged pod."""
    assert loaded.ruleset is not None, loaded.problems
    container = {"name": "main", "image": "x:1", "securityContext": {"privileged": True}}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [container]}}
    request = request_for(obj, default_namespace=namespace, username=user)
    return review(request, loaded.ruleset, Facts(Mode.ENFORCE)).allowed


def test_exceptions_and_break_glass_in_files_of_their_own_are_in_force(write: Write) -> None:
    write(**{
        "p/a/policy.yaml": policy("a"),
        "p/exceptions/a.yaml": exception(),
        "p/break-glass.yaml": BREAK_GLASS.format(user="ada"),
    })  # fmt: skip
    loaded = load("p")
    assert not privileged("ml", "eve", loaded)
    assert privileged("legacy", "eve", loaded)
    assert privileged("ml", "ada", loaded)


def test_exceptions_from_what_is_not_there_are_problems_with_their_place(write: Write) -> None:
    write(**{
        "p/a.yaml": policy("limits"),
        "p/b.yaml": exception(policy="limit") + "---\n" + exception("other", "limits", "no-privilege"),
    })  # fmt: skip
    assert problems(load("p")) == [
        'p/b.yaml:5:14: spec.policies[0]: unknown policy "limit"; did you mean "limits"?',
        'p/b.yaml:15:11: spec.rules[0]: unknown rule "no-privilege"; did you mean "no-privileged"?',
    ]


def test_a_broken_policy_does_not_make_its_exceptions_wrong(write: Write) -> None:
    write(**{"p/a.yaml": policy("a", "no-privilege"), "p/b.yaml": exception(rule="its-own")})
    assert [problem.file for problem in load("p").problems] == ["p/a.yaml"]


def test_two_documents_of_one_kind_need_two_names_and_those_of_two_kinds_do_not(write: Write) -> None:
    write(**{"p/a.yaml": policy("a"), "p/b.yaml": exception("a"), "p/c.yaml": exception("a")})
    assert problems(load("p")) == [
        (
            'p/c.yaml:3:18: metadata.name: the exception at p/b.yaml:3 is called "a" too; '
            "exceptions loaded together need different names"
        )
    ]


def test_break_glass_for_everybody_is_refused(write: Write) -> None:
    write(**{"p/a.yaml": policy("a"), "p/b.yaml": BREAK_GLASS.format(user='"*"')})
    assert problems(load("p")) == [
        'p/b.yaml:6:11: spec.users[0]: "*" is everybody; name those who may break the glass'
    ]
