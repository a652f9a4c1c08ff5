"""Exemptions: which containers a control leaves out, by their image."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import short
from webhook.kube.image import DEFAULT_REGISTRY, ImageError, parse_image
from webhook.kube.shape import text

if TYPE_CHECKING:
    from webhook.kube.pod import Pod


class ExemptImages:
    """Globs over images. Compiled once; raises ValueError, with what to write, for one that no image can match."""

    def __init__(self, globs: Iterable[str]) -> None:
        given = tuple(globs)
        self._everything = "*" in given
        self._pattern = re.compile("|".join(_translate(glob) for glob in given if glob != "*"))

    def visitor(self, pod: Pod) -> Visitor:
        """The pod without the containers whose image matches; without the pod's own fields, where all do."""
        if self._everything:
            return Visitor(pod, frozenset(range(len(pod.containers))), judges_pod=False)
        exempt = frozenset(
            i for i, container in enumerate(pod.containers) if self._matches(text(container.raw, "image"))
        )
        # A pod without containers has none that matches.
        return Visitor(pod, exempt, judges_pod=not exempt or len(exempt) < len(pod.containers))

    def _matches(self, image: str) -> bool:
        try:
            reference = parse_image(image)
        except ImageError:
            return False
        tag = f":{reference.tag}" if reference.tag else ""
        digest = f"@{reference.digest}" if reference.digest else ""
        return self._pattern.fullmatch(f"{reference.name}{tag}{digest}") is not None


def _translate(glob: str) -> str:
    """A glob as a regular expression over full image names, with tag and digest where they are written."""
    host, slash, path = glob.partition("/")
    if not slash or not (host == "localhost" or any(c in host for c in ".:*")):
        meant = f"{DEFAULT_REGISTRY}/{'' if slash else 'library/'}{glob}"
        raise ValueError(f'"{short(glob)}" has no registry; for Docker Hub write "{short(meant)}"')
    if not path:
        raise ValueError(f'"{short(glob)}" names a registry and no image; write "{short(host)}/*"')
    # Were a star to reach from the host into the path, *.example.com/app would match evil.test/x.example.com/app.
    host = re.escape(host.lower()).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    path = re.escape(path).replace(r"\*", ".*").replace(r"\?", ".")
    # Without a tag in the glob any tag will do. What stands in the glob after a colon must be there.
    return rf"{host}/{path}(?:[:@].*)?"
