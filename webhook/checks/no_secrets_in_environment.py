"""The check ``no-secrets-in-environment``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final

from webhook.checks.wording import container_called, short
from webhook.kube.shape import indexed, mapping, text
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Listed
from webhook.policy.rule import Check, Context
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.pod import Container, Pod

# Switches and numbers are nobody's password, whatever the variable is called.
_HARMLESS: Final = re.compile(r"|true|false|yes|no|on|off|none|null|[0-9]{1,5}", re.IGNORECASE)
# All of the value is taken from other variables, which are judged where they stand.
_REFERENCES: Final = re.compile(r"(?:\$\([-._a-zA-Z][-._a-zA-Z0-9]*\))+")


class NoSecretsInEnvironment(Check):
    """A container gets its secrets as files, not as environment variables.

    Why:
        The environment goes to every child process, into crash reports, experiment trackers that log it, and the
        output of kubectl describe where the value is written out; and it keeps the old value when the secret is
        rotated. A file is read by who opens it and follows the secret.

    Restricted fields:
        spec.initContainers[*].env[*].valueFrom.secretKeyRef
        spec.containers[*].env[*].valueFrom.secretKeyRef
        spec.ephemeralContainers[*].env[*].valueFrom.secretKeyRef
        spec.initContainers[*].env[*].value
        spec.containers[*].env[*].value
        spec.ephemeralContainers[*].env[*].value
        spec.initContainers[*].envFrom[*].secretRef
        spec.containers[*].envFrom[*].secretRef
        spec.ephemeralContainers[*].envFrom[*].secretRef

    Allowed values:
        secretKeyRef and secretRef only for secrets of ``allowedSecrets``. With ``literals``, no variable that is
        called like a secret (``secretVariables``, upper or lower case) has a value written out; empty values,
        switches (true, no, ...), short numbers and values made of nothing but $(OTHER) are none.

    Remediation:
        Mount the secret as a volume (volumes: [{name: token, secret: {secretName: ...}}]) or take it from an external
        store with the Secrets Store CSI driver, and give the program the path: most take one, as in HF_TOKEN_PATH or
        AWS_SHARED_CREDENTIALS_FILE.

    Source:
        https://kubernetes.io/docs/concepts/security/secrets-good-practices/
        k8s.io/api core/v1/types.go (EnvVarSource, EnvFromSource)
    """

    name = "no-secrets-in-environment"
    title = "Containers get secrets as files, not in the environment"
    severity = Severity.MEDIUM

    class Parameters(Strict, frozen=True):
        """Settings of ``no-secrets-in-environment``."""

        allowedSecrets: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Names of secrets, or globs over them, that may be environment variables all the same."""
        literals: bool = True
        """Whether values that are written out in the manifest count, by the name of the variable."""
        secretVariables: tuple[Annotated[str, MinLen(1)], ...] = (
            "*PASSWORD",
            "*PASSWD",
            "*PASSPHRASE",
            "*SECRET",
            "*TOKEN",
            "*API_KEY",
            "*APIKEY",
            "*ACCESS_KEY",
            "*SECRET_KEY",
            "*PRIVATE_KEY",
            "*CREDENTIALS",
        )
        """Names of variables that hold secrets, as globs; the case does not matter. A name that only speaks of one
        (MAX_TOKENS, TOKEN_PATH, SECRET_NAME) matches none of the default."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._allowed = Listed(parameters.allowedSecrets)
        self._called_secret = (
            _names_a_secret(parameters.secretVariables)
            if parameters.literals and parameters.secretVariables
            else None
        )

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        for container in pod.containers:
            raw = container.raw
            if "env" in raw:
                yield from self._variables(container)
            if "envFrom" in raw:
                for i, source in indexed(raw, "envFrom"):
                    if type(source.get("secretRef")) is dict:
                        secret = text(source["secretRef"], "name")
                        if not self._allowed.match(secret):
                            yield Violation(
                                "secret-env-from",
                                container.field("envFrom", i, "secretRef"),
                                f'{container_called(container)} gets all of the secret "{short(secret)}" as '
                                "environment variables; mount it as a volume, as files",
                            )

    def _variables(self, container: Container) -> Iterator[Violation]:
        called_secret = self._called_secret
        for i, variable in indexed(container.raw, "env"):
            if "valueFrom" in variable:
                reference = mapping(variable, "valueFrom").get("secretKeyRef")
                if type(reference) is dict and not self._allowed.match(secret := text(reference, "name")):
                    yield Violation(
                        "secret-env",
                        container.field("env", i, "valueFrom", "secretKeyRef"),
                        f'{container_called(container)} gets the secret "{short(secret)}" as the variable '
                        f"{short(variable.get('name'))}; mount it as a volume, and give the program the file",
                    )
            elif called_secret is not None:
                name = text(variable, "name")
                if called_secret(name) and _is_written_out(variable.get("value")):
                    yield Violation(
                        "literal-secret",
                        container.field("env", i, "value"),
                        f"the value of {short(name)} in {container_called(container)} is written out for all to read; "
                        "put it into a Secret and mount that as a volume",
                    )


# No real name is longer, and what a glob costs should not depend on who writes the name.
_LONGEST_NAME: Final = 253
_MEMO_LIMIT: Final = 4096


def _names_a_secret(globs: Iterable[str]) -> Callable[[str], bool]:
    """A function that says whether a variable of this name holds a secret. Answers are kept: names repeat."""
    pattern = re.compile("|".join(map(translate, globs)), re.IGNORECASE)

    def names_a_secret(name: str) -> bool:
        return len(name) <= _LONGEST_NAME and pattern.match(name) is not None

    return lru_cache(_MEMO_LIMIT)(names_a_secret)


def _is_written_out(value: Any) -> bool:
    return type(value) is str and not _HARMLESS.fullmatch(value) and not _REFERENCES.fullmatch(value)
