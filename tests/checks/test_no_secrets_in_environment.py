"""no-secrets-in-environment: secrets are files."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.no_secrets_in_environment import NoSecretsInEnvironment

from .pods import JUNK, Said, container, judge, spec, table, violations


def reference(secret: str = "hub", name: str = "HF_TOKEN") -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}}


def literal(name: str, value: Any = "hf_abcdef") -> dict[str, Any]:
    return {"name": name, "value": value}


def env(*variables: Any, **fields: Any) -> dict[str, Any]:
    return spec(container(env=list(variables), **fields))


E = "spec.containers[0].env"
REFERENCE: Said = [("secret-env", f"{E}[0].valueFrom.secretKeyRef")]
LITERAL: Said = [("literal-secret", f"{E}[0].value")]

CASES: dict[str, tuple[Any, dict[str, Any], Said]] = {
    "plain settings": ({}, env(literal("NCCL_DEBUG", "INFO")), []),
    "a secret": ({}, env(reference()), REFERENCE),
    "a secret that is allowed": ({"allowedSecrets": ["hub*"]}, env(reference()), []),
    "another secret than allowed": ({"allowedSecrets": ["public"]}, env(reference()), REFERENCE),
    "a field of the pod": ({}, env({"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}), []),
    "a config map": ({}, env({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}), []),
    "all of a secret": (
        {},
        spec(container(envFrom=[{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "hub"}}])),
        [("secret-env-from", "spec.containers[0].envFrom[1].secretRef")],
    ),
    "all of a secret that is allowed": (
        {"allowedSecrets": ["hub"]},
        spec(container(envFrom=[{"secretRef": {"name": "hub"}}])),
        [],
    ),
    "a token in the manifest": ({}, env(literal("HF_TOKEN")), LITERAL),
    "a key in the manifest": ({}, env(literal("WANDB_API_KEY")), LITERAL),
    "in lower case": ({}, env(literal("db_password")), LITERAL),
    "literals are not judged": ({"literals": False}, env(literal("HF_TOKEN"), reference()), [
        ("secret-env", f"{E}[1].valueFrom.secretKeyRef")
    ]),
    "other names": ({"secretVariables": ["*_PIN"]}, env(literal("CARD_PIN"), literal("HF_TOKEN")), LITERAL),
    "every container": (
        {},
        {
            "initContainers": [container(env=[literal("A_TOKEN")])],
            "containers": [container(env=[reference()])],
            "ephemeralContainers": [container(envFrom=[{"secretRef": {"name": "s"}}])],
        },
        [
            ("literal-secret", "spec.initContainers[0].env[0].value"),
            ("secret-env", "spec.containers[0].env[0].valueFrom.secretKeyRef"),
            ("secret-env-from", "spec.ephemeralContainers[0].envFrom[0].secretRef"),
        ],
    ),
}  # fmt: skip


@table(CASES, "parameters, pod, said")
def test_secrets_are_not_in_the_environment(parameters: Any, pod: dict[str, Any], said: Said) -> None:
    assert sorted(judge(NoSecretsInEnvironment, pod, parameters)) == sorted(said)


@pytest.mark.parametrize(
    "name",
    ["MAX_TOKENS", "TOKENIZERS_PARALLELISM", "HF_TOKEN_PATH", "SECRET_NAME", "PASSWORD_FILE", "AWS_REGION"],
)
def test_names_that_only_speak_of_secrets_are_free(name: str) -> None:
    assert judge(NoSecretsInEnvironment, env(literal(name))) == []


@pytest.mark.parametrize("value", ["", "yes", "FALSE", "128", "$(HF_TOKEN)", "$(USER)$(REST)", None, 7])
def test_values_that_are_nobodys_secret_are_free(value: Any) -> None:
    assert judge(NoSecretsInEnvironment, env(literal("ALLOW_EMPTY_PASSWORD", value))) == []


def test_a_secret_is_never_repeated() -> None:
    (violation,) = violations(NoSecretsInEnvironment, env(literal("HF_TOKEN", "hf_verysecret")))
    assert "verysecret" not in violation.message
    assert 'HF_TOKEN in container "train"' in violation.message


@pytest.mark.parametrize("junk", JUNK)
def test_parts_of_the_wrong_type_do_not_crash(junk: Any) -> None:
    for pod in (
        spec(container(env=junk, envFrom=junk)),
        env(junk, {"name": junk, "value": "x"}, {"name": "A", "valueFrom": junk}),
        env({"name": "A", "valueFrom": {"secretKeyRef": junk}}),
        spec(container(envFrom=[junk, {"secretRef": junk}, {"secretRef": {"name": junk}}])),
    ):
        judge(NoSecretsInEnvironment, pod, {"allowedSecrets": ["a"]})
