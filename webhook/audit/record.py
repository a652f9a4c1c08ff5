"""What the decision log tells of a namespace: requests that would have been rejected, had they been enforced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from webhook.engine.ruleset import Ruleset
from webhook.kube.shape import items, text
from webhook.policy.findings import Action


class Offence(Struct, frozen=True):
    """One thing that would have been rejected, whoever sends it how often."""

    user: str
    kind: str
    policy: str
    rule: str


class Record(Struct):
    """What the log holds of one namespace.

    ``requests`` counts those that had findings, ``rejected`` those of them that would have been rejected, and
    ``offences`` how often each was found. ``unreadable`` counts lines that are no decision.
    """

    requests: int = 0
    rejected: int = 0
    unreadable: int = 0
    offences: dict[Offence, int] = field(default_factory=dict)


def read_record(lines: Iterable[Any], namespace: str, ruleset: Ruleset) -> Record:
    """The record of a namespace from the lines of a decision log, each as JSON data; None for one that is no JSON.

    A policy that only warns or audits by itself would reject nothing; one that is not in the set any more neither.
    """
    enforcing = {policy.name for policy in ruleset.policies if policy.action is Action.ENFORCE}
    record = Record()
    for line in lines:
        if type(line) is not dict:
            record.unreadable += 1
        elif text(line, "namespace") == namespace and type(line.get("findings")) is list:
            record.requests += 1
            _count(line, enforcing, record)
    return record


def _count(line: Mapping[str, Any], enforcing: set[str], record: Record) -> None:
    offences = {
        Offence(text(line, "user"), text(line, "kind"), text(finding, "policy"), text(finding, "rule"))
        for finding in items(line, "findings")
        if text(finding, "policy") in enforcing and finding.get("error") is not True
    }
    if offences:
        record.rejected += 1
    for offence in offences:
        record.offences[offence] = record.offences.get(offence, 0) + 1
