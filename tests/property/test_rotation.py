"""Rotation of certificates under any order of events: whoever may be called is trusted, and all comes to rest."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from certs import install
from certs.inspect import is_valid_at
from certs.renew import Step, Stored
from tests.certs.world import PLACE, World, without_loop

REPLICAS = 3


class Rotation(RuleBasedStateMachine):
    """Three replicas, two configurations. Everything can happen between any two calls of the API."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.expired = False
        self.backup: dict[str, bytes] = {}

    @initialize()
    def install(self) -> None:
        for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
            self.world.cluster.add_configuration(kind, "gpuward")
        for _ in range(REPLICAS):
            self.world.start_replica()
        self.world.settle()
        self.world.pass_time(60)

    @rule(index=st.integers(0, REPLICAS - 1), calls=st.integers(1, 4))
    def go_on(self, index: int, calls: int) -> None:
        replica = self.world.replicas[index]
        for _ in range(calls):
            replica.go_on()

    @rule(index=st.integers(0, REPLICAS - 1))
    def look(self, index: int) -> None:
        self.world.replicas[index].look()

    @rule()
    def everyone_looks(self) -> None:
        for replica in self.world.replicas:
            replica.look()

    @rule(seconds=st.sampled_from([1.0, 7.0, 19.0, 31.0, 700.0, 1700.0, 3700.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(days=st.sampled_from([1, 20, 29, 61, 70, 120]))
    def clocks_jump(self, days: int) -> None:
        self.world.jump(timedelta(days=days))

    @rule(index=st.integers(0, REPLICAS - 1))
    def a_replica_dies_and_another_starts(self, index: int) -> None:
        self.world.kill(self.world.replicas[index])
        self.world.start_replica()

    @rule(count=st.integers(1, 2))
    def answers_are_lost(self, count: int) -> None:
        self.world.cluster.lose_answers = count

    @rule()
    def somebody_asks_for_another_ca(self) -> None:
        """As ``gpuward certs rotate --ca``."""
        stored = self.world.cluster.secret
        if stored is not None and stored.ca is not None and len(stored.bundle) < 4:
            seen = install.Seen(stored=stored, trusts=(), now=self.world.clock)
            if is_valid_at(stored.ca, self.world.clock):
                self.world.cluster.put_secret(install.after(Step.ADD_CA, seen, self.world.wanted).data())

    @precondition(lambda self: self.world.replicas and self.world.cluster.secret is not None)
    @rule()
    def somebody_deletes_the_secret(self) -> None:
        self.world.cluster.objects.pop(PLACE.path, None)

    @rule()
    def somebody_keeps_a_copy_of_the_secret(self) -> None:
        stored = self.world.cluster.secret
        if stored is not None:
            self.backup = stored.data()

    @precondition(lambda self: self.backup and self.world.cluster.secret is not None)
    @rule()
    def somebody_restores_the_copy(self) -> None:
        self.world.cluster.put_secret(self.backup)

    @invariant()
    def whoever_may_be_called_is_trusted(self) -> None:
        # What has expired is refused, whatever is done; from then on only recovery can be asked for.
        leaves = [replica.serving for replica in self.world.replicas if replica.is_called]
        stored = self.world.cluster.secret or Stored()
        self.expired |= any(
            not is_valid_at(chain[0], self.world.clock) for chain in (*leaves, stored.chain) if chain
        )
        if not self.expired:
            assert self.world.refused() == []

    def teardown(self) -> None:
        if not self.world.replicas:
            return
        self.world.cluster.lose_answers = 0
        self.world.settle()
        stored = self.world.cluster.secret
        assert stored is not None
        assert len(stored.bundle) == 1
        assert stored.is_of_signing_ca
        for bundles in self.world.cluster.bundles().values():
            assert all(bundle == stored.bundle for bundle in bundles)
        for replica in self.world.replicas:
            assert replica.serving == stored.chain
        self.world.pass_time(60)
        assert self.world.refused() == []


@pytest.fixture
def _no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    without_loop(monkeypatch)


@pytest.mark.usefixtures("_no_loop")
class TestRotation(Rotation.TestCase):  # type: ignore[name-defined,misc]  # made by Hypothesis
    settings = settings(
        max_examples=25, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow], deadline=None
    )
