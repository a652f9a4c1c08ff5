"""The Secret and the configurations are read, changed and left alone as they should be, by any number of replicas."""

from __future__ import annotations

import logging
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from certs.install import ForeignSecret, Installer, Place, refuse_foreign
from certs.mint import mint_ca, mint_leaf
from certs.renew import Seen, Step, Stored, after
from tests.certs.world import NAME, PLACE, World, without_loop
from webhook.adapters.cluster import ClusterError


@pytest.fixture(autouse=True)
def _no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    without_loop(monkeypatch)


@pytest.fixture
def world() -> World:
    """Three replicas at rest."""
    world = World()
    for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
        world.cluster.add_configuration(kind, "gpuward")
    for _ in range(3):
        world.start_replica()
    world.settle()
    world.pass_time(60)
    world.steps.clear()
    return world


def add_ca(world: World) -> None:
    stored = world.cluster.secret
    assert stored is not None
    world.cluster.put_secret(
        after(Step.ADD_CA, Seen(stored=stored, trusts=(), now=world.clock), world.wanted).data()
    )


def test_from_nothing_all_is_put_in_place_in_two_steps() -> None:
    world = World()
    world.cluster.add_configuration("mutatingwebhookconfigurations", "gpuward")
    replica = world.start_replica()
    replica.look()
    assert world.steps == [Step.CREATE, Step.TRUST]
    assert replica.serving
    (bundles,) = world.cluster.bundles().values()
    assert world.cluster.secret is not None
    assert bundles == [world.cluster.secret.bundle] * 2


def test_a_year_of_replicas_that_look_needs_nobody(world: World) -> None:
    refused = []
    for _ in range(270):
        world.pass_time(86_400)
        for _ in range(3):
            for replica in world.replicas:
                replica.look()
            refused += world.refused()
            world.pass_time(2_000)
    assert refused == []
    assert world.steps.count(Step.RENEW_LEAF) >= 4
    assert world.steps.count(Step.ADD_CA) == world.steps.count(Step.RETIRE_CA) == 1


@pytest.mark.parametrize("calls", range(1, 8))
@pytest.mark.parametrize("saw_the_new_ca", [False, True], ids=["before", "after"])
def test_a_replica_that_was_asleep_takes_nothing_back(world: World, calls: int, saw_the_new_ca: bool) -> None:
    """Wherever in its look it fell asleep, while the others rotated the CA and retired the old one."""
    sleeper, *others = world.replicas
    if saw_the_new_ca:
        add_ca(world)
    for _ in range(calls):
        sleeper.go_on()
    if not saw_the_new_ca:
        add_ca(world)
    world.replicas = list(others)
    world.settle()
    world.pass_time(60)
    world.replicas.append(sleeper)
    for _ in range(40):
        sleeper.go_on()
        assert world.refused() == []
        for other in others:
            assert other.is_called
            other.look()
            assert world.refused() == []


def test_two_at_once_make_one_ca(world: World) -> None:
    world.jump(timedelta(days=250))
    for _ in range(30):
        for replica in world.replicas:
            replica.go_on()
    world.settle()
    assert world.steps.count(Step.ADD_CA) == 1


def test_a_configuration_that_comes_later_gets_its_bundle(world: World) -> None:
    world.cluster.objects = {
        path: obj for path, obj in world.cluster.objects.items() if "mutating" not in path
    }
    path = world.cluster.add_configuration("mutatingwebhookconfigurations", "gpuward", webhooks=4)
    world.settle()
    assert world.cluster.secret is not None
    assert world.cluster.bundles()[path] == [world.cluster.secret.bundle] * 4


@pytest.mark.parametrize(
    "bundle", ["", "!!!", "cnViYmlzaA==", "\u00e4"], ids=["empty", "no base64", "no PEM", "no ASCII"]
)
def test_a_bundle_of_rubbish_is_overwritten(world: World, bundle: str) -> None:
    path = next(iter(world.cluster.bundles()))
    obj = world.cluster.objects[path]
    obj["webhooks"][1]["clientConfig"]["caBundle"] = bundle
    world.settle()
    assert world.steps == [Step.TRUST]
    assert world.cluster.secret is not None
    assert world.cluster.bundles()[path] == [world.cluster.secret.bundle] * 2


def test_a_configuration_that_may_not_be_changed_holds_up_no_leaf(world: World) -> None:
    path, other = world.cluster.bundles()
    world.cluster.refuse[path] = 403
    world.cluster.overwrite_bundle(path, "")
    world.cluster.overwrite_bundle(other, "")
    world.jump(timedelta(days=61))
    world.replicas[2].look()
    assert Step.RENEW_LEAF in world.steps
    assert world.cluster.secret is not None
    assert world.cluster.bundles()[other] == [world.cluster.secret.bundle] * 2


def test_all_else_in_the_secret_stays(world: World) -> None:
    obj = world.cluster.objects[PLACE.path]
    obj["metadata"]["annotations"] = {"note": "of the owner"}
    obj["data"]["other"] = "eA=="
    world.jump(timedelta(days=61))
    world.settle()
    assert world.cluster.objects[PLACE.path]["metadata"]["annotations"] == {"note": "of the owner"}
    assert world.cluster.objects[PLACE.path]["data"]["other"] == "eA=="


CA = mint_ca("x", World().clock)
PAIR = mint_leaf(CA, ["x"], World().clock)


def secret(data: dict[str, bytes], **metadata: Any) -> dict[str, Any]:
    written = {key: b64encode(value).decode() for key, value in data.items()}
    return {"metadata": {"name": "s", "namespace": "n", **metadata}, "data": written}


FOREIGN = {
    "cert-manager's": (
        secret({"tls.crt": PAIR.certificate}, annotations={"cert-manager.io/certificate-name": "x"}),
        "kept by cert-manager",
    ),
    "a pair of somebody's": (
        secret({"tls.crt": PAIR.certificate, "tls.key": PAIR.key}),
        "was not made by gpuward",
    ),
    "a password": (secret({"password": b"secret"}), "was not made by gpuward"),
}
OURS = {
    "empty": secret({}),
    "empty values": secret({"tls.crt": b"", "tls.key": b""}),
    "with the CA's key": secret({"ca.key": b"x"}),
    "labelled": secret({"tls.crt": b"x"}, labels={"gpuward.dev/certificates": "managed"}),
    "odd": {"metadata": "x", "data": ["y"]},
}


@pytest.mark.parametrize(("obj", "words"), FOREIGN.values(), ids=FOREIGN)
def test_the_secret_of_somebody_else_is_left_alone(world: World, obj: dict[str, Any], words: str) -> None:
    with pytest.raises(ForeignSecret, match=words) as raised:
        refuse_foreign(obj)
    assert "secret" not in str(raised.value).replace("--cert-secret", "")
    world.cluster.objects[PLACE.path] = obj
    with pytest.raises(ForeignSecret):
        world.replicas[0].look()
    assert world.cluster.objects[PLACE.path] == obj


@pytest.mark.parametrize("obj", OURS.values(), ids=OURS)
def test_what_gpuward_made_or_nobody_filled_is_taken(obj: dict[str, Any]) -> None:
    refuse_foreign(obj)


def test_errors_and_logs_have_no_key(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.jump(timedelta(days=250))
    world.settle()
    stored = world.cluster.secret
    assert stored is not None
    assert stored.leaf is not None
    logged = "".join(str(vars(record)) for record in caplog.records)
    assert "add-ca" in logged
    for key in (stored.ca_key, stored.leaf.key):
        assert key.splitlines()[1].decode() not in logged


def test_an_error_that_quotes_the_secret_is_not_passed_on(world: World) -> None:
    class Quotes(type(world.cluster)):  # type: ignore[misc]  # known when it runs
        """An API server, or a webhook in its way, that quotes what it was sent."""

        async def send_json(self, method: str, path: str, body: Any, **_: Any) -> Any:
            raise ClusterError(f"422 invalid: {body}", 422)

    installer = Installer(Quotes(), PLACE, world.wanted, clock=lambda: world.clock)
    with pytest.raises(ClusterError) as raised:
        run(installer.write(Stored(), None))
    assert str(raised.value) == f"{PLACE.collection}: the API server answered 422"
    assert raised.value.__cause__ is None


def run(coroutine: Any) -> Any:
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


def test_a_secret_that_others_change_all_the_time_is_given_up_on(world: World) -> None:
    world.jump(timedelta(days=61))
    world.cluster.refuse[PLACE.path] = 409
    world.cluster.objects[PLACE.path]["metadata"]["resourceVersion"] = "0"
    with pytest.raises(ClusterError, match="others change it all the time"):
        run(world.replicas[0].installer.advance())


@pytest.mark.parametrize(
    ("client", "name"),
    [
        ({"service": {"name": "a", "namespace": "b"}}, "a.b.svc"),
        ({"url": "https://hooks.example:8443/x"}, "hooks.example"),
        ({"url": "https://[::1]:8443/x"}, "::1"),
        ({"url": "https://[/"}, ""),
        ({}, ""),
    ],
)
def test_the_name_that_is_called_is_the_one_in_the_configuration(
    world: World, client: dict[str, Any], name: str
) -> None:
    path = world.cluster.add_configuration("validatingwebhookconfigurations", "one", webhooks=1)
    world.cluster.objects[path]["webhooks"][0]["clientConfig"] = client
    place = Place(PLACE.namespace, PLACE.secret, ("one",))
    installer = Installer(
        world.cluster, place, replace(world.wanted, names=(NAME,)), clock=lambda: world.clock
    )
    (trust,) = run(installer.look()).seen.trusts
    assert trust.name == name
