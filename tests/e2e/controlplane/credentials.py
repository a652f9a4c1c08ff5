"""The keys, certificates and kubeconfig files of a throw-away cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Credentials:
    """One CA for the whole cluster and everything it signs, as files in `folder`.

    Users and groups are the common name and organization of a client certificate
    (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates).
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA(organization_name="gpuward end-to-end tests")
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def server(self, name: str, *identities: str) -> tuple[Path, Path]:
        """Certificate (with chain) and key files of a server called by `identities` (names, addresses)."""
        return self._write(name, self._ca.issue_cert(*identities, common_name=name))

    def client(self, user: str, groups: Sequence[str] = ()) -> tuple[Path, Path]:
        """Certificate and key files of a client. trustme writes one organization, hence at most one group."""
        if len(groups) > 1:
            raise ValueError(f"one group at most, not {list(groups)}; use kubectl --as-group for more")
        leaf = self._ca.issue_cert(
            # A certificate needs some identity; the API server reads the subject alone.
            "client.invalid",
            common_name=user,
            organization_name=groups[0] if groups else None,
        )
        return self._write(user, leaf)

    def kubeconfig(self, server: str, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig file with which a program acts as `user`, certificates inside."""
        certificate, key = self.client(user, groups)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "e2e", "cluster": {"server": server, "certificate-authority": str(self.ca)}}
            ],
            "users": [
                {"name": user, "user": {"client-certificate": str(certificate), "client-key": str(key)}}
            ],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": user}}],
            "current-context": "e2e",
        }
        path = self._folder / f"{_file_name(user)}.kubeconfig"
        path.write_text(json.dumps(config, indent=2))  # JSON is YAML
        path.chmod(0o600)
        return path

    def service_account_key(self) -> Path:
        """The private key that signs (and, as a public key within it, verifies) ServiceAccount tokens."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = self._folder / "service-account.key"
        # "EC PRIVATE KEY": the one form that the API server reads as the signing and as the verifying key.
        form = serialization.PrivateFormat.TraditionalOpenSSL
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        path.chmod(0o600)
        return path

    def _write(self, name: str, leaf: trustme.LeafCert) -> tuple[Path, Path]:
        certificate = self._folder / f"{_file_name(name)}.crt"
        key = self._folder / f"{_file_name(name)}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(key))
        key.chmod(0o600)
        return certificate, key


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
