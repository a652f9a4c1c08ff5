"""Just enough of an API server to list, watch and read namespaces, and to misbehave on command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web


def namespace(name: str, version: int = 1, **labels: str) -> dict[str, Any]:
    """A Namespace object; ``mode`` stands for the label of that name."""
    if "mode" in labels:
        labels["gpuward.dev/mode"] = labels.pop("mode")
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "resourceVersion": str(version),
            "labels": labels,
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:metadata": {}}}],
        },
        "status": {"phase": "Active"},
    }


class FakeApiServer:
    """Serves ``namespaces``; ``send`` makes events for whoever watches."""

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.page = 500
        self.lists = 0
        self.reads: list[str] = []
        self.watches: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self.url = ""
        self.fail: int | None = None
        """The HTTP status of every answer, where it is set."""
        self.expired = False
        """Whether the next watch is told that its version is too old."""
        self.slow = asyncio.Event()
        """Live reads wait for it."""
        self.slow.set()
        self._streams: list[web.StreamResponse] = []

    @property
    def watching(self) -> int:
        """How many watch now."""
        return len(self._streams)

    def add(self, *objects: dict[str, Any]) -> None:
        for obj in objects:
            self.namespaces[obj["metadata"]["name"]] = obj

    async def send(self, kind: str, obj: dict[str, Any]) -> None:
        """An event of the watch."""
        await self.send_line(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    async def send_line(self, line: bytes) -> None:
        for stream in self._streams:
            await stream.write(line)

    async def end_watches(self) -> None:
        """End every watch as the API server does when its time is over."""
        streams, self._streams = self._streams, []
        for stream in streams:
            with suppress(ConnectionError):
                await stream.write_eof()

    def _refuse(self, status: int, message: str) -> web.Response:
        return web.json_response({"kind": "Status", "message": message, "code": status}, status=status)

    async def handle_all(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.fail is not None:
            return self._refuse(self.fail, "broken on purpose")
        if request.query.get("watch") == "true":
            return await self._watch(request)
        self.lists += 1
        names = sorted(self.namespaces)
        start = int(request.query.get("continue", "0"))
        limit = min(int(request.query["limit"]), self.page)
        metadata: dict[str, str] = {"resourceVersion": str(self.version)}
        if start + limit < len(names):
            metadata["continue"] = str(start + limit)
        listed = [self.namespaces[name] for name in names[start : start + limit]]
        return web.json_response({"kind": "NamespaceList", "metadata": metadata, "items": listed})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches.append(dict(request.query))
        if self.expired:
            self.expired = False
            return self._refuse(410, "too old resource version")
        stream = web.StreamResponse()
        await stream.prepare(request)
        self._streams.append(stream)
        try:
            while stream in self._streams and request.transport is not None:  # noqa: ASYNC110  # has no event
                await asyncio.sleep(0.01)
        finally:
            if stream in self._streams:
                self._streams.remove(stream)
        return stream

    async def handle_one(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.reads.append(name)
        await self.slow.wait()
        if self.fail is not None:
            return self._refuse(self.fail, "broken on purpose")
        if name not in self.namespaces:
            return self._refuse(404, f'namespaces "{name}" not found')
        return web.json_response(self.namespaces[name])


@asynccontextmanager
async def serving(server: FakeApiServer, folder: Path) -> AsyncIterator[str]:
    """The server on a free port; yields the path of a kubeconfig for it."""
    app = web.Application()
    app.router.add_get("/api/v1/namespaces", server.handle_all)
    app.router.add_get("/api/v1/namespaces/{name}", server.handle_one)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        server.url = f"http://127.0.0.1:{site.port}"
        yield str(write_kubeconfig(folder, server.url))
    finally:
        server.slow.set()
        await server.end_watches()
        await runner.cleanup()


def write_kubeconfig(folder: Path, url: str, token: str = "first-token") -> Path:
    file = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {"token": token}}],
    }
    file.write_text(json.dumps(config))
    return file
