"""Lists namespaces as the server does, as a program, and prints what that took.

python -m tests.bench.namespaces_client KUBECONFIG
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from tests.bench import machine
from webhook.adapters.cluster import Cluster, import_client
from webhook.adapters.namespaces import ClusterNamespaces


async def _list(kubeconfig: str) -> dict[str, float]:
    import_client()  # as the server does before it forks
    cluster = Cluster(kubeconfig)
    namespaces = ClusterNamespaces(cluster)
    before = machine.resident_bytes(os.getpid())
    started, cpu = time.perf_counter(), time.process_time()
    following = asyncio.create_task(namespaces.run())
    async with asyncio.timeout(60):
        while not namespaces.synced:  # noqa: ASYNC110  # the server asks for it in the same way
            await asyncio.sleep(0.001)
    result = {
        "seconds": time.perf_counter() - started,
        "cpuSeconds": time.process_time() - cpu,
        "bytes": machine.resident_bytes(os.getpid()) - before,
        "namespaces": len(namespaces),
    }
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await cluster.reset()
    return result


if __name__ == "__main__":
    print("RESULT", json.dumps(asyncio.run(_list(sys.argv[1]))))
