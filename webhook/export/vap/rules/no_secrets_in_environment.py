"""The check ``no-secrets-in-environment`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.no_secrets_in_environment import NoSecretsInEnvironment
from webhook.export.vap.cel import among, glob, text
from webhook.export.vap.parts import Demand, Target

_VALUE = "e.?value.orValue('')"
_HARMLESS = text("^(?i:|true|false|yes|no|on|off|none|null|[0-9]{1,5})$")
_REFERENCES = text(r"^(?:\$\([-._a-zA-Z][-._a-zA-Z0-9]*\))+$")
_MOUNT = "mount the secret as a volume, and give the program the file"


def translate(check: NoSecretsInEnvironment, _target: Target) -> Iterator[Demand]:
    """Containers with variables from secrets, with whole secrets as variables, and with secrets written out."""
    parameters = check.parameters
    for name, variables, reference in (
        ("variables", "env", "e.?valueFrom.?secretKeyRef"),
        ("all", "envFrom", "e.?secretRef"),
    ):
        allowed = among(f"{reference}.?name.orValue('')", parameters.allowedSecrets)
        yield Demand(
            name,
            "containers",
            f"variables.judged.filter(c, c.?{variables}.orValue([]).exists(e, {reference}.hasValue()"
            f" && !({allowed}))).map(c, c.name)",
            "containers that get secrets as environment variables",
            _MOUNT,
        )
    if parameters.literals and parameters.secretVariables:
        called_secret = text(f"^(?is:{'|'.join(map(glob, parameters.secretVariables))})$")
        yield Demand(
            "literals",
            "containers",
            "variables.judged.filter(c, c.?env.orValue([]).exists(e, !has(e.valueFrom)"
            f" && size(e.name) <= 253 && e.name.matches({called_secret})"
            f" && !{_VALUE}.matches({_HARMLESS}) && !{_VALUE}.matches({_REFERENCES}))).map(c, c.name)",
            "containers with secrets written out in their environment, for all to read",
            f"put them into a Secret; {_MOUNT}",
        )
