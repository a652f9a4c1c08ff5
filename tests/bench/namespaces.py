"""The namespaces that a server keeps: how long they take to list, and their memory. The API server is a small fake."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.adapters.fake_api_server import FakeApiServer, namespace, serving
from tests.bench.servers import ServerError
from tests.bench.settings import Settings
from tests.bench.tables import table
from tests.support import REPOSITORY

COUNTS: Final = (10, 1000, 10_000)


def measure(settings: Settings, counts: Sequence[int] = COUNTS) -> dict[str, Any]:
    """Seconds, CPU time and memory for so many namespaces.

    Raises:
        ServerError: they were not all listed.
    """
    settings.say("namespaces")
    return {"counts": [asyncio.run(_measure(count)) for count in counts]}


async def _measure(count: int) -> dict[str, Any]:
    api = FakeApiServer()
    api.add(*map(_namespace, range(count)))
    with tempfile.TemporaryDirectory(prefix="gpuward-bench-") as folder:
        async with serving(api, Path(folder)) as kubeconfig:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.bench.namespaces_client", kubeconfig),
                cwd=REPOSITORY,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                async with asyncio.timeout(90):
                    printed, _ = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    text = printed.decode()
    line = next((line for line in text.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise ServerError(f"the namespaces were not listed:\n{text}")
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    if result["namespaces"] != count:
        raise ServerError(f"{result['namespaces']} of {count} namespaces were listed")
    return {**result, "lists": api.lists}


def _namespace(number: int) -> dict[str, Any]:
    """One as a platform makes it: labels of the platform and of Pod Security, annotations of who owns it."""
    name = f"team-{number:05}"
    made = namespace(
        name,
        number,
        mode="enforce",
        **{
            "kubernetes.io/metadata.name": name,
            "workload": "ml",
            "team": f"team-{number % 200}",
            "cost-center": f"cc-{number % 50}",
            "pod-security.kubernetes.io/enforce": "baseline",
            "pod-security.kubernetes.io/enforce-version": "latest",
        },
    )
    made["metadata"]["uid"] = f"6f4cd648-30b6-4979-8508-{number:012}"
    made["metadata"]["creationTimestamp"] = "2026-11-21T00:47:20Z"
    made["metadata"]["annotations"] = {
        "example.com/owner": f"owner-{number}@example.com",
        "example.com/requested-by": f"https://portal.example.com/requests/{number}",
        "openshift.io/sa.scc.uid-range": f"{1000000000 + number * 10000}/10000",
    }
    fields = {f"f:{key}": {} for key in made["metadata"]["labels"]}
    made["metadata"]["managedFields"] = [
        {
            "manager": "platform",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": "2026-11-21T00:47:20Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": fields, "f:annotations": {}}},
        }
    ]
    made["spec"] = {"finalizers": ["kubernetes"]}
    return made


def render(measured: dict[str, Any]) -> Iterator[str]:
    """One table."""
    rows = [
        [
            f"{each['namespaces']:,}",
            f"{each['seconds'] * 1000:,.0f}",
            f"{each['cpuSeconds'] * 1000:,.0f}",
            f"{each['bytes'] / 1e6:.1f}",
            str(each["lists"]),
        ]
        for each in measured["counts"]
    ]
    yield "Namespaces, listed from a fake API server and kept:\n\n" + table(
        ("namespaces", "ms until all are known", "CPU ms", "memory MB", "list calls"), rows
    )
