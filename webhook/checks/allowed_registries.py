"""The check ``allowed-registries``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final

from webhook.checks.images import images, place
from webhook.checks.wording import listed, short
from webhook.kube.image import DEFAULT_REGISTRY, ImageError, parse_image
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.pod import Pod

_HOST: Final = re.compile(r"(?:[a-z0-9*?.-]+|\[[0-9a-f:]+\])(?::[0-9*?]+)?")
_PART: Final = re.compile(r"[a-z0-9*?._-]+")


class AllowedRegistries(Check):
    """Images come from the named registries and repositories.

    Why:
        What runs beside your data should come from where it was scanned and will still be there tomorrow.
        Pulls from public registries are rate-limited, can vanish, and carry whatever their owner pushes.

    Restricted fields:
        spec.initContainers[*].image
        spec.containers[*].image
        spec.ephemeralContainers[*].image
        spec.volumes[*].image.reference

    Allowed values:
        An image whose full name begins with an entry of ``registries``, compared by whole parts between
        slashes: ghcr.io/my-org admits ghcr.io/my-org/app and not ghcr.io/my-organisation/app. Names are
        completed as container runtimes do it: nginx is docker.io/library/nginx. What is no image reference is
        refused, as no node could pull it. An absent or empty image is not judged, as some controllers fill it
        in, nor is one that still holds a placeholder ({{image}}, $IMAGE): the pods that are made of it are
        judged.

    Remediation:
        Push the image to an allowed registry and write its name there in full.

    Source:
        https://kubernetes.io/docs/concepts/containers/images/#image-names
        github.com/distribution/reference normalize.go (ParseNormalizedNamed)
    """

    name = "allowed-registries"
    title = "Images come from allowed registries"
    severity = Severity.HIGH

    class Parameters(Strict, frozen=True):
        """Settings of ``allowed-registries``."""

        registries: Annotated[tuple[str, ...], MinLen(1)]
        """Registries (``reg.example.com``, with the port if there is one), or paths in them
        (``ghcr.io/my-org``). ``*`` and ``?`` stand for any text and any character within a part
        (``*.gcr.io/ml``). Docker Hub is ``docker.io``, its official images ``docker.io/library``."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        entries = [_translate(entry, f"registries[{i}]") for i, entry in enumerate(parameters.registries)]
        pattern = re.compile(rf"(?:{'|'.join(entries)})(?:/.*)?")

        # The images of a cluster are few and come again and again. Malformed ones raise and so are not kept.
        @lru_cache(maxsize=4096)
        def allows(image: str) -> bool:
            return pattern.fullmatch(parse_image(image).name) is not None

        self._allows = allows
        self._wanted = listed(parameters.registries, "or")

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        allows = self._allows
        for image, holder in images(pod):
            try:
                if allows(image):
                    continue
            except ImageError as error:
                # No image can be called that, so this is a template for something else to fill in.
                if "{" in image or "$" in image:
                    continue
                path, who = place(pod, holder)
                message = f'{who} has "{short(image)}" as its image, which is no image reference: {error}'
                yield Violation("image-malformed", path, message)
                continue
            path, who = place(pod, holder)
            full = parse_image(image).name
            meant = "" if image.startswith(full) else f" ({short(full)})"
            yield Violation(
                "registry-not-allowed",
                path,
                f"{who} uses the image {short(image)}{meant}; use one from {self._wanted}",
            )


def _translate(entry: str, field: str) -> str:
    """One entry as a regular expression over full image names."""
    host, slash, path = entry.rstrip("/").lower().partition("/") if "://" not in entry else ("", "", "")
    if not _HOST.fullmatch(host):
        raise ParameterError(
            f'"{short(entry)}" is no registry; write a host, or a host and a path: reg.example.com/team',
            field,
        )
    if host == "index.docker.io":
        host = DEFAULT_REGISTRY
    if not (host == "localhost" or any(c in host for c in ".:*")):
        meant = f"{DEFAULT_REGISTRY}/{short(entry)}"
        raise ParameterError(f'"{short(entry)}" has no host; for Docker Hub write "{meant}"', field)
    parts = path.split("/") if slash else []
    for part in parts:
        if not _PART.fullmatch(part):
            raise ParameterError(
                f'"{short(entry)}" is no registry or path in one; leave out tags and digests', field
            )
    return "/".join(_glob(part) for part in (host, *parts))


def _glob(part: str) -> str:
    # Unlike a plain glob, a star stays within its part: *.gcr.io must not match evil.example/gcr.io.
    return re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
