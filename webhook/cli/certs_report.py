"""What ``gpuward certs show`` prints. Of keys it says whether they are there, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from msgspec import Struct

from certs.inspect import fingerprint, is_signed_by, label, names_of, why_not_trusted
from certs.renew import Seen, Step, Stored, Trust, Wanted, decide, refusals, renews_at

_DAY: Final = 86_400


class Report(Struct, frozen=True):
    """Certificates, who trusts them, and what is wrong."""

    source: str
    stored: Stored
    trusts: tuple[Trust, ...]
    reasons: tuple[str, ...]
    """For each of ``trusts`` why it refuses the leaf; empty where it does not."""
    problems: tuple[str, ...]
    waits: str
    kept: bool
    now: datetime

    @classmethod
    def make(cls, source: str, stored: Stored | None, trusts: Sequence[Trust], *, kept: bool) -> Report:
        """``stored`` is None where there is no Secret. What is not ``kept`` by gpuward is
        judged only."""
        now = datetime.now(UTC)
        chain = stored.chain if stored is not None else ()
        reasons = tuple(why_not_trusted(chain, trust.bundle, trust.name, now) for trust in trusts)
        if chain:
            problems = refusals(chain, trusts, now)
        else:
            problems = [] if stored is None else ["there is no serving certificate in it that can be used"]
        waits = ""
        if kept:
            # Of the time that passes between the stages nothing is known here. Jitter: the last one to act would.
            decision = decide(Seen(stored=stored, trusts=trusts, now=now), Wanted(names=(), jitter=1.0))
            if decision.step is Step.KEEP:
                waits = decision.reason
            else:
                problems.append(f"{decision.reason} (due: {decision.step})")
        return cls(source, stored or Stored(), tuple(trusts), reasons, tuple(problems), waits, kept, now)

    def as_json(self) -> str:
        """One object."""
        chain = self.stored.chain
        return json.dumps(
            {
                "source": self.source,
                "leaf": self._certificate(chain[0]) | self._signer(chain[0]) if chain else None,
                "authorities": [
                    self._certificate(one) | {"signs": index == 0 and self.stored.ca is not None}
                    for index, one in enumerate(self.stored.bundle)
                ],
                "trusts": [
                    {"where": trust.where, "calls": trust.name, "trusted": not reason, "reason": reason}
                    for trust, reason in zip(self.trusts, self.reasons, strict=True)
                ],
                "waits": self.waits,
                "problems": list(self.problems),
            },
            indent=2,
        )

    def _certificate(self, certificate: x509.Certificate) -> dict[str, Any]:
        return {
            "subject": certificate.subject.rfc4514_string(),
            "fingerprint": fingerprint(certificate),
            "names": list(names_of(certificate)),
            "notBefore": _time(certificate.not_valid_before_utc),
            "notAfter": _time(certificate.not_valid_after_utc),
            "daysLeft": self._days(certificate),
            "renewedFrom": _time(renews_at(certificate)) if self.kept else None,
        }

    def _signer(self, leaf: x509.Certificate) -> dict[str, Any]:
        signer = next((one for one in self.stored.bundle if is_signed_by(leaf, one)), None)
        return {
            "issuer": leaf.issuer.rfc4514_string(),
            "signedBy": fingerprint(signer) if signer is not None else None,
        }

    def _days(self, certificate: x509.Certificate) -> float:
        return round((certificate.not_valid_after_utc - self.now).total_seconds() / _DAY, 1)

    def as_text(self) -> str:
        """For people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.source
        chain = self.stored.chain
        if chain:
            leaf = chain[0]
            signer = next((label(one) for one in self.stored.bundle if is_signed_by(leaf, one)), "")
            yield f"  leaf  {label(leaf)}, signed by {signer or leaf.issuer.rfc4514_string()}"
            yield f"        for {', '.join(names_of(leaf)) or 'no name'}"
            yield f"        {self._lifetime(leaf)}"
        else:
            yield "  leaf  none"
        for index, one in enumerate(self.stored.bundle):
            role = "signs" if index == 0 and self.stored.ca is not None else "is trusted"
            yield f"  CA    {label(one)}, {role}"
            yield f"        {self._lifetime(one)}"
        for trust, reason in zip(self.trusts, self.reasons, strict=True):
            yield f"{trust.where}"
            if chain:
                verdict = f"REFUSES: {reason}" if reason else "trusts the leaf"
            else:
                # Servers that run go on with the leaf they have: whom it trusts is all that can be said.
                known = ", ".join(f"[{fingerprint(one)[:8]}]" for one in trust.bundle)
                verdict = f"trusts the CAs {known}" if known else "trusts nobody"
            yield f"  calls {trust.name or 'no name'}: {verdict}"
        if self.waits:
            yield f"under way: {self.waits}"
        for problem in self.problems:
            yield f"problem: {problem}"
        if not chain and self.kept:
            yield "servers that run go on with the certificate they have, while it is trusted"
        if not self.problems:
            yield "all is as it should be"

    def _lifetime(self, certificate: x509.Certificate) -> str:
        until = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        days = self._days(certificate)
        if days < 0:
            return f"expired at {until}, {-days:g} days ago"
        renewed = f"; renewed from {renews_at(certificate):%Y-%m-%d} on" if self.kept else ""
        return f"until {until}, {days:g} days left{renewed}"


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
