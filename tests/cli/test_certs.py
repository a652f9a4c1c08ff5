"""``gpuward certs`` without a cluster; with one it is in tests/e2e/test_certificates.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs.inspect import fingerprint, read_certificates
from certs.mint import Pair, mint_ca, mint_leaf
from certs.renew import Stored, Trust
from webhook.cli.certs_report import Report
from webhook.cli.main import main

NOW = datetime.now(UTC)
CA, OTHER = mint_ca("one", NOW), mint_ca("two", NOW)
NAMES = ("gpuward.gpuward.svc", "127.0.0.1")


def write(folder: Path, pair: Pair) -> str:
    file = folder / "tls.crt"
    file.write_bytes(pair.certificate + pair.key)
    return str(file)


def test_a_certificate_file_is_shown_without_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, mint_leaf(CA, NAMES, NOW))
    assert main(["certs", "show", "--no-cluster", "--tls-cert", file]) == 0
    shown = capsys.readouterr().out
    assert "for gpuward.gpuward.svc, 127.0.0.1" in shown
    assert "90 days left" in shown
    assert "renewed" not in shown
    assert "all is as it should be" in shown
    assert "PRIVATE" not in shown


def test_an_expired_certificate_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    then = NOW - timedelta(days=100)
    file = write(tmp_path, mint_leaf(mint_ca("old", then), NAMES, then))
    assert main(["certs", "show", "--no-cluster", "--tls-cert", file, "-o", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["leaf"]["daysLeft"] == -10
    assert "expired at" in report["problems"][0]


WRONG = {
    "no such file": (["show", "--no-cluster", "--tls-cert", "no-such.crt"], "no-such.crt: No such file"),
    "no cluster, no file": (["show", "--no-cluster"], "--no-cluster needs --tls-cert"),
    "no cluster": (["rotate"], "name a kubeconfig file with --kubeconfig"),
    "no kubeconfig": (["install", "--kubeconfig", "no-such"], "no cluster is known: no-such"),
    "no action": ([], "ACTION"),
    "no duration": (["rotate", "--cert-lifetime", "soon"], "is no duration"),
    "no time": (["rotate", "--cert-overlap", "0s"], "must be more than zero"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_done_is_said(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert main(["certs", *arguments]) == 2
    assert words in capsys.readouterr().err


SERVE = {
    "both": (["--cert-secret", "a/b", "--tls-cert", "x", "--tls-key", "y"], "leave it out, or --tls-cert"),
    "with --dev": (["--dev", "--cert-secret", "a/b"], "--dev makes its own certificate"),
    "no cluster": (
        ["--cert-secret", "a/b", "--no-cluster", "--default-mode", "audit"], "--no-cluster and --cert-secret"
    ),
    "no cluster to compare with": (
        ["--dev", "--webhook-configurations", "x"], "--no-cluster and --webhook-configurations contradict"
    ),
    "no namespace": (["--cert-secret", "b"], "$POD_NAMESPACE is not set"),
    "three parts": (["--cert-secret", "a/b/c"], "is neither NAME nor NAMESPACE/NAME"),
    "no name": (["--cert-secret", "a/"], "is neither NAME nor NAMESPACE/NAME"),
    "odd name": (["--cert-secret", "a/b", "--cert-names", "b\u00fccher.example"], "is no name that a certificate"),
    "short overlap": (["--cert-secret", "a/b", "--cert-overlap", "1m"], "--cert-overlap must be at least 3 times"),
    "no pause": (["--cert-secret", "a/b", "--cert-poll", "0"], "must be more than zero"),
    "names without a CA": (["--dev", "--client-names", "x"], "--client-names needs --client-ca"),
    "nothing": ([], "--cert-secret to have one made and renewed"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), SERVE.values(), ids=SERVE)
def test_flags_of_the_server_that_contradict_are_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    assert main(["serve", *arguments]) == 2
    assert words in capsys.readouterr().err


def trusts(*cas: Pair) -> tuple[Trust, ...]:
    bundle = tuple(one for ca in cas for one in read_certificates(ca.certificate))
    return (Trust("Validating gpuward, webhook a", NAMES[0], bundle),)


def test_a_rotation_under_way_is_no_problem() -> None:
    stored = Stored(
        (*read_certificates(OTHER.certificate), *read_certificates(CA.certificate)),
        OTHER.key,
        mint_leaf(CA, NAMES, NOW),
    )
    report = Report.make("Secret a/b", stored, trusts(OTHER, CA), kept=True)
    assert report.problems == ()
    text = report.as_text()
    assert "under way: the new CA is in every caBundle" in text
    assert text.count("CA    ") == 2
    assert "REFUSES" not in text


def test_a_bundle_of_another_ca_is_a_problem() -> None:
    stored = Stored(read_certificates(CA.certificate), CA.key, mint_leaf(CA, NAMES, NOW))
    report = Report.make("Secret a/b", stored, trusts(OTHER), kept=True)
    assert "REFUSES: none of the CAs" in report.as_text()
    assert json.loads(report.as_json())["trusts"][0]["trusted"] is False
    assert any("due: trust" in problem for problem in report.problems)
    assert "PRIVATE" not in report.as_text() + report.as_json() + repr(report)


@pytest.mark.parametrize("stored", [None, Stored(read_certificates(CA.certificate), CA.key, None)])
def test_without_a_leaf_it_is_said_whom_webhooks_trust(stored: Stored | None) -> None:
    report = Report.make("Secret a/b", stored, trusts(OTHER), kept=True)
    text = report.as_text()
    assert f"trusts the CAs [{fingerprint(read_certificates(OTHER.certificate)[0])[:8]}]" in text
    assert "REFUSES" not in text, "of what servers serve nothing is known"
    assert "servers that run go on with the certificate they have" in text
    assert len(report.problems) == len(set(report.problems)) >= 1


def test_no_secret_is_a_problem() -> None:
    report = Report.make("Secret a/b", None, (), kept=True)
    assert report.problems == ("there is no Secret (due: create)",)
