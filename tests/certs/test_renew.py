"""What is due, stage by stage."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certs.inspect import covers, names_of, read_certificates
from certs.mint import Pair, mint_ca, mint_leaf
from certs.renew import (
    Seen,
    Step,
    Stored,
    Trust,
    Wanted,
    after,
    decide,
    is_due,
    may_take,
    refusals,
    renews_at,
    service_names,
    with_new_leaf,
)

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = service_names("gpuward", "ns")
WANTED = Wanted(names=NAMES)
CA, NEW = mint_ca("one", NOW), mint_ca("two", NOW)


def bundle(*pairs: Pair) -> tuple[Any, ...]:
    return tuple(certificate for pair in pairs for certificate in read_certificates(pair.certificate))


def secret(*cas: Pair, leaf_of: Pair = CA, at: datetime = NOW, names: tuple[str, ...] = NAMES) -> Stored:
    return Stored(bundle(*cas), cas[0].key, mint_leaf(leaf_of, names, at))


def trusts(*cas: Pair) -> tuple[Trust, ...]:
    return (Trust("one", NAMES[0], bundle(*cas)), Trust("other", NAMES[0], bundle(*cas)))


GOOD = secret(CA)
ADDED = secret(NEW, CA)
RENEWED = secret(NEW, CA, leaf_of=NEW)
LONG = timedelta(hours=2)

DECISIONS: dict[str, tuple[dict[str, Any], Step, str]] = {
    "all is well": ({"stored": GOOD, "trusts": trusts(CA)}, Step.KEEP, ""),
    "no configuration": ({"stored": GOOD, "trusts": ()}, Step.KEEP, ""),
    "no Secret": ({"stored": None, "trusts": trusts(CA)}, Step.CREATE, "no Secret"),
    "empty Secret": ({"stored": Stored(), "trusts": trusts()}, Step.ADD_CA, "no CA whose key"),
    "key of another CA": ({"stored": replace(GOOD, ca_key=NEW.key), "trusts": trusts(CA)}, Step.ADD_CA, "no CA whose"),
    "a leaf is no CA": (
        {"stored": replace(GOOD, bundle=GOOD.chain, ca_key=GOOD.leaf.key if GOOD.leaf else b""), "trusts": trusts(CA)},
        Step.ADD_CA, "no CA whose",
    ),
    "CA at two thirds": ({"stored": GOOD, "trusts": trusts(CA), "now": NOW + 244 * DAY}, Step.ADD_CA, "near its end"),
    "CA expired": ({"stored": GOOD, "trusts": trusts(CA), "now": NOW + 366 * DAY}, Step.ADD_CA, "not valid now"),
    "CA of the future": ({"stored": GOOD, "trusts": trusts(CA), "now": NOW - DAY}, Step.ADD_CA, "not valid now"),
    "leaf at two thirds": ({"stored": GOOD, "trusts": trusts(CA), "now": NOW + 61 * DAY}, Step.RENEW_LEAF, "near its"),
    "leaf expired": ({"stored": GOOD, "trusts": trusts(CA), "now": NOW + 91 * DAY}, Step.RENEW_LEAF, "not valid now"),
    "leaf lacks a name": (
        {"stored": secret(CA, names=("gpuward.ns.svc",)), "trusts": trusts(CA)}, Step.RENEW_LEAF,
        "is not for gpuward.ns.svc.cluster.local, gpuward.ns",
    ),
    "no leaf": ({"stored": replace(GOOD, leaf=None), "trusts": trusts(CA)}, Step.RENEW_LEAF, "no leaf"),
    "a leaf is renewed although a bundle is wrong": (
        {"stored": GOOD, "trusts": trusts(NEW), "now": NOW + 61 * DAY}, Step.RENEW_LEAF, "near its end",
    ),
    "bundle of another CA": ({"stored": GOOD, "trusts": trusts(NEW)}, Step.TRUST, "one: caBundle"),
    "empty bundle": ({"stored": GOOD, "trusts": trusts()}, Step.TRUST, "caBundle"),
    "bundle with one too many": ({"stored": GOOD, "trusts": trusts(CA, NEW)}, Step.TRUST, "caBundle"),
    "order does not matter": ({"stored": ADDED, "trusts": trusts(CA, NEW)}, Step.KEEP, "waiting until each"),
    "CA added, not trusted": ({"stored": ADDED, "trusts": trusts(CA), "trusted_for": LONG}, Step.TRUST, "caBundle"),
    "CA trusted for a moment": ({"stored": ADDED, "trusts": trusts(NEW, CA)}, Step.KEEP, "waiting until each"),
    "CA trusted for long": (
        {"stored": ADDED, "trusts": trusts(NEW, CA), "trusted_for": WANTED.trust_delay}, Step.RENEW_LEAF, "not of",
    ),
    "nothing good is served": (
        {"stored": secret(NEW, CA, at=NOW - 0 * DAY), "trusts": trusts(NEW, CA), "now": NOW + 91 * DAY},
        Step.RENEW_LEAF, "not of",
    ),
    "leaf of the new CA for a moment": ({"stored": RENEWED, "trusts": trusts(NEW, CA)}, Step.KEEP, "old CA stays"),
    "leaf of the new CA for long": (
        {"stored": RENEWED, "trusts": trusts(NEW, CA), "served_for": WANTED.overlap}, Step.RETIRE_CA, "all replicas",
    ),
    "retired, bundle not yet": ({"stored": secret(NEW, leaf_of=NEW), "trusts": trusts(NEW, CA)}, Step.TRUST, "caB"),
    "a Secret that was restored": (
        {"stored": GOOD, "trusts": trusts(NEW), "serving": bundle(mint_leaf(NEW, NAMES, NOW))}, Step.KEEP_TRUST, "two",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "step", "words"), DECISIONS.values(), ids=DECISIONS)
def test_what_is_due(seen: dict[str, Any], step: Step, words: str) -> None:
    decision = decide(Seen(**{"now": NOW, **seen}), WANTED)
    assert decision.step is step
    assert words in decision.reason
    if step is Step.KEEP and not words:
        assert decision.reason == ""


@pytest.mark.parametrize(
    "seen", [seen for seen, step, _ in DECISIONS.values() if step not in (Step.KEEP, Step.TRUST)]
)
def test_a_step_that_was_done_is_not_due_any_more(seen: dict[str, Any]) -> None:
    before = Seen(**{"now": NOW, **seen})
    step = decide(before, WANTED).step
    stored = after(step, before, WANTED)
    assert stored != before.stored
    assert decide(replace(before, stored=stored), WANTED).step is not step
    assert Stored.read(stored.data()) == stored


def test_a_new_ca_is_added_in_front_of_what_is_trusted_anywhere() -> None:
    third, expired = mint_ca("three", NOW), mint_ca("old", NOW - 400 * DAY)
    seen = Seen(stored=replace(GOOD, ca_key=b""), trusts=trusts(third, expired), now=NOW)
    stored = after(Step.ADD_CA, seen, WANTED)
    assert stored.bundle[1:] == bundle(CA, third)
    assert stored.leaf == GOOD.leaf
    assert stored.ca is not None
    assert stored.ca not in bundle(CA, third)


def test_what_is_made_from_nothing_is_complete() -> None:
    stored = after(Step.CREATE, Seen(stored=None, trusts=trusts(), now=NOW), WANTED)
    assert stored.is_of_signing_ca
    assert len(stored.bundle) == 1
    assert names_of(stored.chain[0]) == NAMES


def test_what_is_trusted_already_waits_for_no_leaf_in_a_new_secret() -> None:
    stored = after(Step.CREATE, Seen(stored=None, trusts=trusts(CA), now=NOW), WANTED)
    assert stored.leaf is None
    assert stored.bundle[1:] == bundle(CA)


def test_the_bundle_is_bounded_and_keeps_the_ca_in_service() -> None:
    stored = GOOD
    for _ in range(12):
        stored = after(Step.ADD_CA, Seen(stored=stored, trusts=(), now=NOW), WANTED)
    assert len(stored.bundle) == 8
    assert bundle(CA)[0] in stored.bundle


def test_replicas_that_want_other_names_do_not_take_turns() -> None:
    other = replace(WANTED, names=("renamed.ns.svc",))
    stored = with_new_leaf(GOOD, other, NOW)
    for wanted in (WANTED, other):
        assert decide(Seen(stored=stored, trusts=trusts(CA), now=NOW), wanted).step is Step.KEEP
    later = NOW + 61 * DAY
    renewed = with_new_leaf(stored, other, later)
    assert names_of(renewed.chain[0]) == ("renamed.ns.svc",)


def test_jitter_makes_one_come_first() -> None:
    (leaf,) = GOOD.chain
    at = renews_at(leaf)
    assert at == NOW + 60 * DAY
    assert is_due(leaf, at)
    assert not is_due(leaf, at, jitter=1.0)
    assert is_due(leaf, NOW + 65 * DAY, jitter=1.0)


def seen(serving: Stored | None, offered: Stored, *cas: Pair, **fields: Any) -> Seen:
    chain = serving.chain if serving else ()
    return Seen(**{"stored": offered, "trusts": trusts(*cas), "serving": chain, "now": NOW, **fields})


EXPIRED = secret(mint_ca("old", NOW - 99 * DAY), leaf_of=mint_ca("old", NOW - 99 * DAY), at=NOW - 95 * DAY)
AGAIN = replace(ADDED, leaf=mint_leaf(CA, NAMES, NOW))

TAKEN = {
    "the first": (seen(None, GOOD, CA), True),
    "the same": (seen(GOOD, GOOD, CA), False),
    "renewed": (seen(GOOD, secret(CA), CA), True),
    "of a CA trusted for a moment": (seen(GOOD, RENEWED, NEW, CA), False),
    "of a CA trusted for long": (seen(GOOD, RENEWED, NEW, CA, trusted_for=LONG), True),
    "of a CA not trusted": (seen(GOOD, RENEWED, CA, trusted_for=LONG), False),
    "neither is trusted": (seen(GOOD, RENEWED, trusted_for=LONG), True),
    "the one in service is not trusted": (seen(GOOD, RENEWED, NEW), True),
    "the one in service expired": (seen(EXPIRED, RENEWED, NEW, CA), True),
    "expired": (seen(None, EXPIRED, CA), False),
    "expired, for an expired one": (seen(EXPIRED, EXPIRED, CA), False),
    "no configuration": (replace(seen(GOOD, RENEWED, CA), trusts=()), True),
    "nothing offered": (seen(GOOD, replace(GOOD, leaf=None), CA), False),
    "no Secret": (replace(seen(GOOD, GOOD, CA), stored=None), False),
}


@pytest.mark.parametrize(("seen", "taken"), TAKEN.values(), ids=TAKEN)
def test_a_replica_takes_what_is_trusted(seen: Seen, taken: bool) -> None:
    assert may_take(seen, WANTED) is taken


def test_refusals_name_the_places_once_for_each_reason() -> None:
    (line,) = refusals(GOOD.chain, trusts(NEW), NOW)
    assert line.startswith("one, other: none of the CAs")
    assert refusals(GOOD.chain, trusts(CA), NOW) == []
    assert "expired" in refusals(GOOD.chain, (), NOW + 99 * DAY)[0]


def test_keys_are_not_shown() -> None:
    shown = repr(Seen(stored=GOOD, trusts=trusts(CA), now=NOW))
    assert "PRIVATE" not in shown
    for key in (GOOD.ca_key, GOOD.leaf.key if GOOD.leaf else b""):
        assert key.splitlines()[1].decode() not in shown


def test_the_name_that_the_api_server_calls_comes_first() -> None:
    assert service_names("a", "b", "corp.example", ["127.0.0.1", "a.b"]) == (
        "a.b.svc", "a.b.svc.corp.example", "a.b", "127.0.0.1",
    )  # fmt: skip


def test_any_data_is_read() -> None:
    assert Stored.read({}) == Stored()
    assert Stored.read({"tls.crt": b"x", "ca.crt": b"\x00", "ca.key": b"y", "other": b"z"}).ca is None
    assert covers(Stored.read(GOOD.data()).chain[0], NAMES[0])
