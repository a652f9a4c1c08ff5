"""Certificates whose whole life passes while the API server calls, or has passed before anybody looked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from certs.inspect import read_certificates
from certs.install import Place, manifest
from certs.mint import mint_ca, mint_leaf
from certs.renew import Stored
from tests.e2e.certificates import SECRET, Installation, readiness, stored
from tests.e2e.cluster import ControlPlane


def test_certificates_that_live_for_seconds_are_replaced_in_time_and_no_call_fails(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """Nobody asks for anything: a CA of 45 seconds, and leaves of 24."""
    host = () if control_plane.address is None else ("--host", "0.0.0.0")
    quick = ("--ca-lifetime", "45s", "--cert-lifetime", "24s")
    installation = Installation(control_plane, tmp_path, *quick, *host)
    with installation.served:
        installation.install_webhooks()
        control_plane.wait_for(installation.creates_a_pod, 30, "a pod to come through the webhook")
        first = stored(control_plane, installation.namespace)
        seen = set()

        def replaced() -> bool:
            now = stored(control_plane, installation.namespace)
            seen.update(now.chain)
            return len(now.bundle) == 1 and now.bundle != first.bundle

        with installation.load() as load:
            control_plane.wait_for(replaced, 90, "the first CA to be retired")
    control_plane.remove_webhooks()
    assert load.failures == []
    assert len(seen) > 1


def test_a_server_that_starts_with_an_expired_secret_recovers(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    installation = Installation(control_plane, tmp_path)
    then = datetime.now(UTC) - timedelta(days=500)
    ca = mint_ca("of long ago", then)
    expired = Stored(read_certificates(ca.certificate), ca.key, mint_leaf(ca, [installation.name], then))
    control_plane.apply(manifest(Place(installation.namespace, SECRET, ()), expired))
    with installation.served as served:
        assert readiness(served.admin_url)[0] == 200
        assert stored(control_plane, installation.namespace).chain != expired.chain
