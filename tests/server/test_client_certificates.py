"""Callers that have to show a certificate: who is served, who is turned away, and that its CA file is followed."""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import trustme

from certs.mint import mint_ca, mint_leaf
from tests.e2e.serving import Served
from tests.server.conftest import trust
from tests.server.inprocess import until_it
from tests.support import POLICIES
from webhook.server.tls import CertificateError, ServingCertificate, names_of_client

ONE, OTHER = trustme.CA(), trustme.CA()


def client(folder: Path, authority: trustme.CA, common_name: str, san: str = "x.invalid") -> Path:
    """A file with certificate and key of a client."""
    pair = authority.issue_cert(san, common_name=common_name)
    file = folder / f"{common_name}-{id(authority)}.pem"
    pair.private_key_and_cert_chain_pem.write_to_path(str(file))
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """Serves only kube-apiserver, and what has the SAN api.example.com, both of the CA ``ONE``."""
    (folder / "client-ca.crt").write_bytes(ONE.cert_pem.bytes())
    arguments = (
        "--policies",
        str(POLICIES),
        "--no-cluster",
        "--default-mode",
        "enforce",
        "--admin-port",
        "auto",
    )
    clients = (
        "--client-ca",
        str(folder / "client-ca.crt"),
        "--client-names",
        "kube-apiserver, api.example.com",
    )
    with Served(folder / "server", *arguments, *clients) as server:
        yield server
        assert server.stop() == 0


async def ask(served: Served, certificate: Path | None) -> int:
    context = trust(served.ca_file)
    if certificate is not None:
        context.load_cert_chain(certificate)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{served.url}/validate/enforce", data=b"{}", ssl=context) as response,
    ):
        return response.status


REFUSED = (aiohttp.ClientError, ConnectionError, ssl.SSLError)


async def test_the_caller_with_the_right_name_is_served(served: Served, folder: Path) -> None:
    # 415: it came as far as being judged as a call.
    assert await ask(served, client(folder, ONE, "kube-apiserver")) == 415
    assert await ask(served, client(folder, ONE, "whoever", "api.example.com")) == 415


async def test_a_caller_without_a_certificate_is_not_served(served: Served) -> None:
    with pytest.raises(REFUSED):
        await ask(served, None)


async def test_a_caller_of_another_ca_is_not_served(served: Served, folder: Path) -> None:
    with pytest.raises(REFUSED):
        await ask(served, client(folder, OTHER, "kube-apiserver"))


async def test_a_caller_with_another_name_is_not_served_and_logged(served: Served, folder: Path) -> None:
    with pytest.raises(REFUSED):
        await ask(served, client(folder, ONE, "somebody"))
    await until_it(lambda: _true(any("somebody" in line for line in served.log)))
    assert any("turned away" in line for line in served.log)


async def _true(value: bool) -> bool:
    return value


async def test_the_admin_port_asks_for_no_certificate(served: Served) -> None:
    def ready() -> int:
        with urllib.request.urlopen(f"{served.admin_url}/readyz", timeout=10) as response:
            status: int = response.status
            return status

    assert await asyncio.to_thread(ready) == 200


async def test_the_file_of_cas_is_followed(served: Served, folder: Path) -> None:
    both = ONE.cert_pem.bytes() + OTHER.cert_pem.bytes()
    (folder / "client-ca.crt").write_bytes(both)

    async def is_served() -> bool:
        try:
            return await ask(served, client(folder, OTHER, "kube-apiserver")) == 415
        except REFUSED:
            return False

    await until_it(is_served)
    assert await ask(served, client(folder, ONE, "kube-apiserver")) == 415


@pytest.mark.parametrize(
    ("content", "words"), [(b"rubbish", "no usable PEM certificates"), (None, "No such file")]
)
def test_a_file_without_cas_is_an_error_at_start(tmp_path: Path, content: bytes | None, words: str) -> None:
    now = datetime.now(UTC)
    pair = mint_leaf(mint_ca("x", now), ["x"], now)
    (tmp_path / "tls.crt").write_bytes(pair.certificate)
    (tmp_path / "tls.key").write_bytes(pair.key)
    if content is not None:
        (tmp_path / "ca.crt").write_bytes(content)
    with pytest.raises(CertificateError, match=words):
        ServingCertificate(tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "ca.crt")


def test_the_names_of_a_client_are_its_common_names_and_sans() -> None:
    shown = {
        "subject": ((("organizationName", "acme"),), (("commonName", "kube-apiserver"),)),
        "subjectAltName": (("DNS", "api.example.com"), ("URI", "spiffe://cluster/api")),
    }
    assert names_of_client(shown) == {"kube-apiserver", "api.example.com", "spiffe://cluster/api"}
    assert names_of_client(None) == names_of_client({}) == set()
