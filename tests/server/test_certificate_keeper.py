"""What one process finds out about certificates reaches all that serve."""

from __future__ import annotations

import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.inspect import read_certificates
from certs.mint import Pair, mint_ca, mint_leaf
from certs.renew import Wanted
from tests.certs.world import NAME, PLACE, FakeCluster
from webhook.adapters.cluster import ClusterError
from webhook.server.certificates import CertificateKeeper, CertificateSettings, PairFolder, TrustState
from webhook.server.tls import ServingCertificate

NOW = datetime.now(UTC)
CA = mint_ca("one", NOW)


def leaf(ca: Pair = CA) -> Pair:
    return mint_leaf(ca, [NAME], NOW)


class Awaitable(FakeCluster):
    """The cluster in a dictionary, for an event loop; ``down`` makes it fall silent."""

    down = False

    async def get_json(self, path: str, query: Any = (), *, seconds: float) -> Any:
        if self.down:
            raise ClusterError("no route to host")
        if path not in self.objects:
            raise ClusterError("404", 404)
        return self.objects[path]

    async def send_json(self, *args: Any, **options: Any) -> Any:
        coroutine = super().send_json(*args, **options)
        coroutine.send(None)
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value


def settings(folder: Path, *, keep: bool = True, stale: float = 1800) -> CertificateSettings:
    wanted = Wanted(names=(NAME,)) if keep else None
    return CertificateSettings(folder=folder, place=PLACE, wanted=wanted, poll=0.01, stale=stale)


@pytest.fixture
def cluster() -> Awaitable:
    cluster = Awaitable()
    cluster.add_configuration("validatingwebhookconfigurations", "gpuward")
    return cluster


def test_a_pair_is_replaced_whole_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    pair = PairFolder(tmp_path)
    assert pair.chain() == ()
    pair.put(leaf())
    served = ServingCertificate(pair.certificate, pair.key)
    new = leaf()
    pair.put(new)
    served.look()
    assert served.problem == ""
    assert served.chain == read_certificates(new.certificate)
    for file in (pair.certificate, pair.key):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # Old keys do not stay behind.
    assert len(list(tmp_path.glob("pair-*"))) == 1


async def test_the_server_is_ready_once_the_api_server_is_told_to_trust_it(
    tmp_path: Path, cluster: Awaitable
) -> None:
    stand_in = PairFolder(tmp_path)
    stand_in.put(leaf())
    trust, keeper = TrustState(settings(tmp_path)), CertificateKeeper(settings(tmp_path), cluster)
    trust.look()
    assert trust.state(stand_in.chain()).detail == "not looked at yet: asking the API server"
    await keeper.look()
    trust.look()
    state = trust.state(stand_in.chain())
    assert state.ready
    assert "is trusted by 2 webhooks" in state.detail
    assert trust.ca_expires_at is not None
    assert trust.ca_expires_at > time.time() + 364 * 86_400
    other = trust.state(read_certificates(leaf().certificate))
    assert not other.ready
    assert "Secret gpuward/gpuward-certs: none of the CAs" in other.detail
    # Two webhooks and the Secret, for one reason.
    assert "ValidatingWebhookConfiguration gpuward, webhook 0.gpuward.dev" in other.detail


async def test_a_server_without_news_for_too_long_is_not_ready(tmp_path: Path, cluster: Awaitable) -> None:
    given = settings(tmp_path, stale=0.05)
    pair, trust, keeper = PairFolder(tmp_path), TrustState(given), CertificateKeeper(given, cluster)
    cluster.down = True
    await keeper.look()
    trust.look()
    assert trust.state(()).detail == "not looked at yet: no route to host"
    cluster.down = False
    await keeper.look()
    trust.look()
    assert trust.state(pair.chain()).ready
    cluster.down = True
    await keeper.look()
    time.sleep(0.1)  # noqa: ASYNC251  # nothing else runs
    trust.look()
    state = trust.state(pair.chain())
    assert not state.ready
    assert "no route to host" in state.detail


async def test_the_foreign_secret_is_told_of(tmp_path: Path, cluster: Awaitable) -> None:
    cluster.objects[PLACE.path] = {"metadata": {}, "data": {"tls.crt": "eA=="}}
    trust, keeper = TrustState(settings(tmp_path)), CertificateKeeper(settings(tmp_path), cluster)
    await keeper.look()
    trust.look()
    state = trust.state(())
    assert not state.ready
    assert "was not made by gpuward" in state.detail


async def test_a_folder_that_is_full_is_told_of_where_it_can_be(
    tmp_path: Path, cluster: Awaitable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "tls.crt")

    monkeypatch.setattr(PairFolder, "put", full)
    trust, keeper = TrustState(settings(tmp_path)), CertificateKeeper(settings(tmp_path), cluster)
    await keeper.look()
    trust.look()
    assert "No space left on device" in trust.state(()).detail


async def test_files_of_ones_own_are_judged_where_the_cluster_can_be_read(
    tmp_path: Path, cluster: Awaitable
) -> None:
    given = settings(tmp_path, keep=False, stale=0)
    trust, keeper = TrustState(given), CertificateKeeper(given, cluster)
    chain = read_certificates(leaf().certificate)
    cluster.down = True
    await keeper.look()
    trust.look()
    assert trust.state(chain).ready
    cluster.down = False
    await keeper.look()
    trust.look()
    # Without a caBundle the roots of the system are trusted: that is not seen from here.
    assert trust.state(chain).ready
    cluster.add_configuration("mutatingwebhookconfigurations", "gpuward", ca=mint_ca("two", NOW).certificate)
    await keeper.look()
    trust.look()
    assert not trust.state(chain).ready
    cluster.add_configuration("mutatingwebhookconfigurations", "gpuward", ca=CA.certificate)
    await keeper.look()
    trust.look()
    assert trust.state(chain).ready
    later = read_certificates(mint_leaf(CA, ["other.svc"], NOW, timedelta(days=1)).certificate)
    assert "is not for gpuward.gpuward.svc" in trust.state(later).detail
    assert PLACE.path not in cluster.objects
