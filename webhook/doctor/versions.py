"""Whether the parts are of versions that go together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from webhook.doctor.diagnosis import Diagnosis, Level, Ref
from webhook.doctor.installation import Installation
from webhook.kube.image import ImageError, parse_image
from webhook.kube.shape import items, text
from webhook.version import __version__

# Match conditions are there by default from 1.28 on. Source: Kubernetes feature gate AdmissionWebhookMatchConditions.
_CONDITIONS: Final = (1, 28)
# The oldest release that the end-to-end tests run on.
_TESTED: Final = (1, 32)

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")
_RELEASE: Final = re.compile(r"v?(\d+\.\d+\.\d+\S*)")


def kubernetes(installation: Installation) -> Iterator[Diagnosis]:
    """API servers that do not know a field that is used, or that nobody has tried."""
    found = _VERSION.match(installation.server_version)
    if found is None:
        return
    version = (int(found[1]), int(found[2]))
    using = next((entry for entry in installation.ours if items(entry.raw, "matchConditions")), None)
    if version < _CONDITIONS and using is not None:
        yield Diagnosis(
            "match-conditions-unknown",
            Level.ERROR,
            Ref.of(using.configuration),
            using.field("matchConditions"),
            f"Kubernetes {installation.server_version} drops matchConditions, which keep nodes and gpuward itself "
            "from being held up",
            "upgrade Kubernetes to 1.28 or later",
        )
    elif version < _TESTED and installation.ours:
        yield Diagnosis(
            "kubernetes-untested",
            Level.WARNING,
            Ref.of(installation.ours[0].configuration),
            (),
            f"gpuward is tested on Kubernetes {_TESTED[0]}.{_TESTED[1]} and later, and this is "
            f"{installation.server_version}",
            "try your policies in audit first",
        )


def images(installation: Installation) -> Iterator[Diagnosis]:
    """Servers of another version than this program, whose rules may be others."""
    for server in installation.servers():
        try:
            tag = parse_image(text(server.container, "image")).tag
        except ImageError:
            continue  # the API server says so
        found = _RELEASE.fullmatch(tag or "")
        if found is not None and found[1] != __version__:
            yield Diagnosis(
                "version-skew",
                Level.WARNING,
                Ref.of(server.deployment),
                ("spec", "template", "spec", "containers", server.index, "image"),
                f"the server is version {found[1]} and this program is {__version__}: what passes review and test here "
                "may be judged otherwise there",
                "use the same version in both places",
            )
