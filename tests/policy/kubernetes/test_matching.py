"""Which requests an admission policy is about."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from webhook.kube.resources import GroupVersionResource
from webhook.policy.kubernetes.documents import MatchResources
from webhook.policy.kubernetes.matching import Attributes, ResourceMatcher
from webhook.policy.validation import validate_document

PODS = GroupVersionResource("", "v1", "pods")
WIDGETS = GroupVersionResource("example.com", "v1", "widgets")
NODES = GroupVersionResource("", "v1", "nodes")
NAMESPACES = GroupVersionResource("", "v1", "namespaces")

POD = Attributes(
    resource=PODS,
    subresource="",
    operation="CREATE",
    namespace="team",
    name="train",
    namespace_labels={"tier": "ml"},
    obj={"metadata": {"labels": {"app": "train"}}},
    old_object=None,
)


def rule(**fields: Any) -> dict[str, Any]:
    return {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"], **fields}


def matcher(*rules: dict[str, Any], **fields: Any) -> ResourceMatcher:
    return ResourceMatcher(validate_document(MatchResources, {"resourceRules": list(rules), **fields}))


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({}, True),
        ({"apiGroups": [""]}, True),
        ({"apiGroups": ["apps", "batch"]}, False),
        ({"apiVersions": ["v1", "v2"]}, True),
        ({"apiVersions": ["v2"]}, False),
        ({"operations": ["CREATE", "UPDATE"]}, True),
        ({"operations": ["DELETE"]}, False),
        ({"resources": ["pods"]}, True),
        ({"resources": ["services"]}, False),
        ({"resources": ["pods/*"]}, True),
        ({"resources": ["pods/status"]}, False),
        ({"resources": ["*/*"]}, True),
        ({"scope": "Namespaced"}, True),
        ({"scope": "Cluster"}, False),
        ({"scope": "*"}, True),
        ({"resourceNames": ["train", "serve"]}, True),
        ({"resourceNames": ["serve"]}, False),
        ({"resourceNames": []}, True),
    ],
    ids=str,
)
def test_every_part_of_a_rule_must_match(fields: dict[str, Any], matches: bool) -> None:
    assert matcher(rule(**fields)).matches(POD) is matches
    # What is excluded is the same the other way round.
    assert matcher(rule(), excludeResourceRules=[rule(**fields)]).matches(POD) is not matches


@pytest.mark.parametrize(
    ("resources", "matches"),
    [
        (["pods"], False),
        (["*"], False),
        (["pods/exec"], True),
        (["pods/*"], True),
        (["*/exec"], True),
        (["*/*"], True),
        (["services/*"], False),
        (["*/status"], False),
    ],
    ids=str,
)
def test_subresources_are_named_by_themselves(resources: list[str], matches: bool) -> None:
    shell = replace(POD, subresource="exec", operation="CONNECT")
    assert matcher(rule(resources=resources)).matches(shell) is matches


def test_without_rules_everything_matches() -> None:
    assert ResourceMatcher(None).matches(POD)
    assert matcher().matches(POD)
    assert not matcher(excludeResourceRules=[rule()]).matches(POD)


@pytest.mark.parametrize(
    ("scope", "pod", "node", "namespace"),
    [("Namespaced", True, False, False), ("Cluster", False, True, True), ("*", True, True, True)],
)
def test_a_namespace_lives_in_none(scope: str, pod: bool, node: bool, namespace: bool) -> None:
    scoped = matcher(rule(scope=scope))
    assert scoped.matches(POD) is pod
    assert scoped.matches(replace(POD, resource=NODES, namespace="", name="n")) is node
    assert scoped.matches(replace(POD, resource=NAMESPACES, namespace="team", name="team")) is namespace


def test_namespaces_are_selected_by_their_labels() -> None:
    assert matcher(rule(), namespaceSelector={"matchLabels": {"tier": "ml"}}).matches(POD)
    assert not matcher(rule(), namespaceSelector={"matchLabels": {"tier": "web"}}).matches(POD)


def test_what_lives_in_no_namespace_is_selected_by_every_selector_of_namespaces_and_a_namespace_is_not() -> (
    None
):
    web = matcher(rule(), namespaceSelector={"matchLabels": {"tier": "web"}})
    assert web.matches(replace(POD, resource=NODES, namespace=""))
    assert not web.matches(replace(POD, resource=NAMESPACES, namespace="team", name="team"))


OTHER = {"metadata": {"labels": {"app": "other"}}}


@pytest.mark.parametrize(
    ("obj", "old", "matches"),
    [
        (POD.obj, None, True),
        (OTHER, POD.obj, True),
        (POD.obj, OTHER, True),
        (OTHER, OTHER, False),
        (None, POD.obj, True),
        (None, None, False),
        ({"metadata": None}, None, False),
        ({}, None, False),
    ],
)
def test_the_object_is_selected_before_or_after(obj: Any, old: Any, matches: bool) -> None:
    selecting = matcher(rule(), objectSelector={"matchLabels": {"app": "train"}})
    assert selecting.matches(replace(POD, obj=obj, old_object=old)) is matches


def test_an_empty_selector_selects_also_what_has_no_object() -> None:
    assert matcher(rule(), objectSelector={}).matches(replace(POD, obj=None))


@pytest.mark.parametrize(
    ("policy", "versions", "matches"),
    [
        ("Equivalent", ["v1beta1"], True),
        ("Exact", ["v1beta1"], False),
        ("Exact", ["v1"], True),
        (None, ["v1beta1"], True),
    ],
)
def test_other_versions_of_a_custom_resource_are_equivalent(
    policy: str | None, versions: list[str], matches: bool
) -> None:
    widget = replace(POD, resource=WIDGETS)
    asked = matcher(rule(apiVersions=versions, resources=["widgets"]), matchPolicy=policy)
    assert asked.matches(widget) is matches
    assert asked.admits(WIDGETS, "", "CREATE", namespaced=True) is matches


def test_a_version_that_is_not_served_is_equivalent_to_nothing() -> None:
    assert not matcher(rule(apiGroups=[""], apiVersions=["v1beta1"])).matches(POD)


def test_the_version_an_object_was_converted_to_counts_where_versions_are_equivalent() -> None:
    converted = replace(POD, resource=replace_version(PODS, "v9"), converted=PODS)
    assert matcher(rule(apiVersions=["v1"])).matches(converted)
    assert not matcher(rule(apiVersions=["v1"]), matchPolicy="Exact").matches(converted)


def replace_version(resource: GroupVersionResource, version: str) -> GroupVersionResource:
    return resource._replace(version=version)


HPA_V1 = GroupVersionResource("autoscaling", "v1", "horizontalpodautoscalers")
HPA_V2 = HPA_V1._replace(version="v2")


@pytest.mark.parametrize(
    ("versions", "policy", "resource", "converted", "wanted"),
    [
        (["v1"], None, HPA_V1, None, None),
        (["v1"], None, HPA_V2, None, HPA_V1),
        (["v1", "v2"], None, HPA_V2, None, None),
        (["*"], None, HPA_V2, None, None),
        (["v1"], None, HPA_V1, HPA_V2, HPA_V1),
        (["v2"], None, HPA_V1, HPA_V2, None),
        (["v1"], "Exact", HPA_V1, HPA_V2, HPA_V1),
        (["v2"], None, WIDGETS, None, None),
    ],
)
def test_the_version_that_the_api_server_would_show_is_known(
    versions: list[str],
    policy: str | None,
    resource: GroupVersionResource,
    converted: GroupVersionResource | None,
    wanted: GroupVersionResource | None,
) -> None:
    asked = matcher(rule(apiVersions=versions), matchPolicy=policy)
    request = replace(POD, resource=resource, converted=converted)
    assert asked.matches(request)
    assert asked.wanted(request) == wanted


GROUPS = st.sampled_from(["", "apps", "example.com", "*"])
VERSIONS = st.sampled_from(["v1", "v1beta1", "*"])
NAMES = st.sampled_from(["pods", "nodes", "namespaces", "widgets", "*"])
SUBRESOURCES = st.sampled_from(["", "status", "exec", "*"])
OPERATIONS = st.sampled_from(["CREATE", "UPDATE", "DELETE", "CONNECT", "*"])
RULES = st.builds(
    rule,
    apiGroups=st.lists(GROUPS, min_size=1, max_size=2),
    apiVersions=st.lists(VERSIONS, min_size=1, max_size=2),
    operations=st.lists(OPERATIONS, min_size=1, max_size=2),
    resources=st.lists(
        st.builds(lambda name, sub: f"{name}/{sub}" if sub else name, NAMES, SUBRESOURCES),
        min_size=1,
        max_size=2,
    ),
    scope=st.sampled_from(["*", "Cluster", "Namespaced"]),
    resourceNames=st.lists(st.sampled_from(["train", "team"]), max_size=1),
)
REQUESTS = st.builds(
    replace,
    st.just(POD),
    resource=st.sampled_from([PODS, WIDGETS, NODES, NAMESPACES]),
    subresource=st.sampled_from(["", "status", "exec"]),
    operation=st.sampled_from(["CREATE", "UPDATE", "DELETE", "CONNECT"]),
    namespace=st.sampled_from(["", "team"]),
    name=st.sampled_from(["", "train", "team"]),
)
MATCHERS = st.builds(
    lambda rules, excluded, policy: matcher(*rules, excludeResourceRules=excluded, matchPolicy=policy),
    st.lists(RULES, max_size=3),
    st.lists(RULES, max_size=1),
    st.sampled_from([None, "Exact", "Equivalent"]),
)


@given(MATCHERS, REQUESTS)
def test_what_matches_is_admitted_by_the_index(asked: ResourceMatcher, request: Attributes) -> None:
    """The index may only leave out what cannot match."""
    admitted = asked.admits(
        request.resource, request.subresource, request.operation, namespaced=bool(request.namespace)
    )
    assert admitted or not asked.matches(request)


@given(st.lists(RULES, min_size=1, max_size=3), RULES, REQUESTS)
def test_a_further_rule_only_adds_and_a_further_exclusion_only_takes_away(
    rules: list[dict[str, Any]], further: dict[str, Any], request: Attributes
) -> None:
    before = matcher(*rules).matches(request)
    assert matcher(*rules, further).matches(request) >= before
    assert matcher(*rules, excludeResourceRules=[further]).matches(request) <= before
