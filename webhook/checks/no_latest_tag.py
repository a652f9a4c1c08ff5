"""The check ``no-latest-tag``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from webhook.checks.images import images, place
from webhook.checks.wording import short
from webhook.kube.image import ImageError, parse_image
from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import Check

if TYPE_CHECKING:
    from webhook.kube.pod import Pod


class NoLatestTag(Check):
    """Images are named by a version or a digest, not by ``latest``.

    Why:
        What ``latest`` means changes from one pull to the next, so the pods of one training job can run
        different code, a restart can bring another version, and nobody can say later what produced a model.

    Restricted fields:
        spec.initContainers[*].image
        spec.containers[*].image
        spec.ephemeralContainers[*].image
        spec.volumes[*].image.reference

    Allowed values:
        An image with a digest, or with a tag other than ``latest``. No tag means ``latest``. An absent or
        empty image is not judged, nor is text that is no image reference: no node could pull it.

    Remediation:
        Name a version, such as pytorch/pytorch:2.9.1, or a digest, such as pytorch/pytorch@sha256:...

    Source:
        https://kubernetes.io/docs/concepts/containers/images/#image-names
        k8s.io/kubernetes pkg/util/parsers/parsers.go (the default tag)
    """

    name = "no-latest-tag"
    title = "Images name a version"
    severity = Severity.MEDIUM

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        for image, holder in images(pod):
            try:
                reference = parse_image(image)
            except ImageError:
                continue
            if reference.digest is not None or reference.tag not in (None, "latest"):
                continue
            path, who = place(pod, holder)
            if reference.tag is None:
                yield Violation(
                    "tag-missing",
                    path,
                    f"{who} uses the image {short(image)} without a tag, which means latest; add a version, "
                    "such as :1.2.3, or a digest",
                )
            else:
                yield Violation(
                    "tag-latest",
                    path,
                    f"{who} uses the image {short(image)}, which changes under you; name a version, "
                    "such as :1.2.3, or a digest",
                )
