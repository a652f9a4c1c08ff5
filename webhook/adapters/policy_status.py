"""Telling the owners of policy resources what became of them: the condition ``Ready``.

Every process judges for itself and comes to the same result, so each may write it, and only what would change is
written: by server-side apply, and once for each verdict, so that replicas of two versions that disagree do not fight.
Source: Kubernetes API conventions, "Typical status properties".
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from webhook.adapters.cluster import Cluster, ClusterError
from webhook.adapters.policy_resources import Key, PolicyResources, Resource, Verdict
from webhook.kube.shape import JSONObject, items, text

logger: Final = logging.getLogger("gpuward.policies")

FIELD_MANAGER: Final = "gpuward"
_CONTENT_TYPE: Final = "application/apply-patch+yaml"
_SECONDS: Final = 5.0

# Replicas see a change at once; the first to write saves the others the trouble.
_JITTER_SECONDS: Final = (0.0, 0.5)
_AGAIN_SECONDS: Final = (5.0, 15.0)

# What the CRD lets a message be.
_LONGEST_MESSAGE: Final = 32_000


def status_for(verdict: Verdict, status: JSONObject, now: datetime) -> JSONObject | None:
    """The status that says what came of a resource, or None where ``status`` says so already."""
    resource = verdict.resource
    ready = "False" if verdict.problems else "True"
    reason, message = _words(verdict)
    condition: JSONObject = {
        "type": "Ready",
        "status": ready,
        "reason": reason,
        "message": message,
        "observedGeneration": resource.generation,
    }
    before = next((one for one in items(status, "conditions") if text(one, "type") == "Ready"), {})
    same = all(before.get(key) == value for key, value in condition.items())
    if same and status.get("observedGeneration") == resource.generation:
        return None
    changed = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition["lastTransitionTime"] = (
        text(before, "lastTransitionTime") if text(before, "status") == ready else ""
    ) or changed
    return {"observedGeneration": resource.generation, "conditions": [condition]}


def _words(verdict: Verdict) -> tuple[str, str]:
    """The condition's reason, and its message for people."""
    if not verdict.problems:
        return "Compiled", "it is in force"
    taken = any(problem.path == ("metadata", "name") for problem in verdict.problems)
    message = "\n".join(problem.text for problem in verdict.problems)
    return "NameTaken" if taken else "Invalid", message[:_LONGEST_MESSAGE]


class StatusWriter:
    """Writes what ``report`` is told, in its own time."""

    def __init__(self, cluster: Cluster, resources: PolicyResources) -> None:
        """``cluster`` is for this alone."""
        self.problem = ""
        """Why the last status could not be written; empty while all is well."""
        self._cluster: Final = cluster
        self._resources: Final = resources
        self._written: dict[Key, tuple[Resource, tuple[str, str]]] = {}
        self._waiting: dict[Key, Verdict] = {}
        self._told: Final = asyncio.Event()

    def report(self, verdicts: Sequence[Verdict]) -> None:
        """These are the verdicts on all resources there are."""
        keys = {verdict.resource.key for verdict in verdicts}
        self._written = {key: done for key, done in self._written.items() if key in keys}
        self._waiting = {
            verdict.resource.key: verdict
            for verdict in verdicts
            if self._written.get(verdict.resource.key) != (verdict.resource, _words(verdict))
        }
        self._told.set()

    async def run(self) -> None:
        """Write for ever; what fails is tried again."""
        while True:
            await self._told.wait()
            self._told.clear()
            await asyncio.sleep(random.uniform(*_JITTER_SECONDS))  # noqa: S311  # spreads load, guards nothing
            for key, verdict in tuple(self._waiting.items()):
                if await self._write(verdict):
                    self._written[key] = verdict.resource, _words(verdict)
                    if self._waiting.get(key) is verdict:
                        del self._waiting[key]
            if self._waiting and not self._told.is_set():
                await self._pause()

    async def close(self) -> None:
        """Close the connection."""
        await self._cluster.reset()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(random.uniform(*_AGAIN_SECONDS)):  # noqa: S311  # as above
                await self._told.wait()
        except TimeoutError:
            self._told.set()

    async def _write(self, verdict: Verdict) -> bool:
        """Whether there is nothing more to do about a verdict."""
        resource = verdict.resource
        current = self._resources.status_of(resource.key)
        if current is None or current[0] != resource:
            return True  # it has changed since, and will be judged again
        status = status_for(verdict, current[1], datetime.now(UTC))
        if status is None:
            return True
        body: dict[str, Any] = {
            "apiVersion": resource.document["apiVersion"],
            "kind": resource.kind,
            # The uid keeps it from another object of the same name.
            "metadata": {"name": resource.name, "uid": resource.uid},
            "status": status,
        }
        path = f"{resource.path}/status?fieldManager={FIELD_MANAGER}&force=true"
        try:
            await self._cluster.send_json("PATCH", path, body, content_type=_CONTENT_TYPE, seconds=_SECONDS)
        except ClusterError as error:
            if error.status in (404, 409):
                return True  # it is gone, or is another by now
            self._complain(str(error))
            await self._cluster.reset()
            return False
        self.problem = ""
        return True

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            logger.warning(
                "the status of a policy resource cannot be written; trying again",
                extra={"fields": {"error": problem}},
            )
            self.problem = problem
