"""The connection to the API server: where it is, who we are, and plain requests.

The generated API classes of the client package (``CoreV1Api``) take two seconds and 130 MB to import, and
turn every object into a model that would be turned back at once. So only the package's configuration and its
HTTP client are used, and what comes back is JSON.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from webhook.kube.shape import JSONObject, mapping, text

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_IN_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"


_PAGE: Final = "500"


def api_root(api_version: str) -> str:
    """Where the API has the resources of a group and version, such as ``/apis/apps/v1``; ``/api/v1`` for the core."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


class ClusterConfigError(Exception):
    """Nothing says where the API server is, or what says it cannot be used. The message is for people."""


class ClusterError(Exception):
    """The API server could not be reached (``status`` 0) or answered with an error (``status`` of HTTP)."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Cluster:
    """One API server. Connects at the first request, and anew after ``reset``."""

    def __init__(self, kubeconfig: str | None = None) -> None:
        """``kubeconfig`` is the path of a kubeconfig file. Without one: the pod's own service account where
        this runs in a cluster, else the files of ``$KUBECONFIG``.

        Raises:
            ClusterConfigError: there is none of these.
        """
        self._kubeconfig = kubeconfig
        if kubeconfig is None and not os.environ.get(_IN_CLUSTER):
            self._kubeconfig = os.environ.get("KUBECONFIG")
            if not self._kubeconfig:
                raise ClusterConfigError(
                    "no cluster is known: this is no pod and $KUBECONFIG is not set; name a file with "
                    "--kubeconfig, or use --no-cluster with --default-mode"
                )
        if self._kubeconfig is not None and not any(
            Path(file).expanduser().is_file() for file in self._kubeconfig.split(os.pathsep) if file
        ):
            raise ClusterConfigError(f"{self._kubeconfig}: no such kubeconfig file")
        self._client: Any = None

    @property
    def where(self) -> str:
        """Where the settings of the connection come from, for people."""
        return self._kubeconfig or "the pod's service account"

    async def get_json(self, path: str, query: Sequence[tuple[str, str]] = (), *, seconds: float) -> Any:
        """The JSON at a path of the API.

        Raises:
            ClusterError: there is no answer within ``seconds``, or it is an error.
        """
        async with self.get(path, query, seconds=seconds) as response:
            try:
                return orjson.loads(await response.read())
            except orjson.JSONDecodeError:
                raise ClusterError(f"{path}: the answer is not JSON") from None

    async def pages(self, path: str, *, seconds: float) -> AsyncIterator[JSONObject]:
        """The pages of a collection: its objects are their ``items``, and the last page's version is that of the whole.

        Raises:
            ClusterError: there is no answer within ``seconds`` for a page, or it is an error or no list.
        """
        query = [("limit", _PAGE)]
        while True:
            page = await self.get_json(path, query, seconds=seconds)
            if type(page) is not dict:
                raise ClusterError(f"{path}: the answer is no list")
            yield page
            more = text(mapping(page, "metadata"), "continue")
            if not more:
                return
            query = [("limit", _PAGE), ("continue", more)]

    async def send_json(
        self, method: str, path: str, body: Any, *, content_type: str = "application/json", seconds: float
    ) -> Any:
        """The JSON that comes back for ``body``, JSON too, sent with POST, PUT or PATCH.

        Raises:
            ClusterError: there is no answer within ``seconds``, or it is an error.
        """
        async with self._call(method, path, (), body, content_type, seconds=seconds) as response:
            try:
                return orjson.loads(await response.read())
            except orjson.JSONDecodeError:
                raise ClusterError(f"{path}: the answer is not JSON") from None

    @asynccontextmanager
    async def get(
        self, path: str, query: Sequence[tuple[str, str]] = (), *, seconds: float
    ) -> AsyncIterator[ClientResponse]:
        """The open answer to a GET request, whose reading may fail with ClusterError too.

        Raises:
            ClusterError: there is no complete answer within ``seconds``, or it is an error.
        """
        async with self._call("GET", path, query, seconds=seconds) as response:
            yield response

    @asynccontextmanager
    async def _call(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        body: Any = None,
        content_type: str | None = None,
        *,
        seconds: float,
    ) -> AsyncIterator[ClientResponse]:
        from aiohttp import ClientError

        headers = {"Accept": "application/json"}
        if content_type is not None:
            headers["Content-Type"] = content_type

        try:
            client = await self._connected()
            request = await client.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await client.call_api(*request, _request_timeout=seconds)
            response: ClientResponse = answer.response
            async with response:
                if response.status not in (200, 201):
                    raise ClusterError(f"{path}: {_reason(await response.read(), response)}", response.status)
                try:
                    yield response
                finally:
                    # An answer that is left half-read ends its connection. Its TLS goodbye would be waited for,
                    # and a watch is given up because the other side is silent.
                    if (
                        not response.content.at_eof()
                        and response.connection
                        and response.connection.transport
                    ):
                        response.connection.transport.abort()
        except TimeoutError:
            raise ClusterError(f"{path}: no answer within {seconds:g} s") from None
        except (ClientError, OSError) as error:
            raise ClusterError(f"{path}: {str(error) or type(error).__name__}") from error

    async def reset(self) -> None:
        """Forget the connection. The next request reads the settings again: they change, and so do tokens."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> Any:
        if self._client is None:
            from kubernetes.aio.client import ApiClient, Configuration
            from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

            configuration = Configuration()
            # Clusters' own CAs often lack the extensions that Python asks for from 3.13 on; client-go does
            # not.
            configuration.disable_strict_ssl_verification = True
            # How often to try, and when, is decided here.
            configuration.retries = None
            try:
                if self._kubeconfig is not None:
                    await load_kube_config(  # type: ignore[no-untyped-call]  # has no types
                        self._kubeconfig, client_configuration=configuration, persist_config=False
                    )
                else:
                    load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # has no types
            except ConfigException as error:
                raise ClusterError(f"{self.where}: {error}") from error
            self._client = ApiClient(configuration)
            self._client.user_agent = "gpuward"
        return self._client


def import_client() -> None:
    """Import the client package now: it takes most of a second, and a process that forks does it once for all."""
    import kubernetes.aio.client
    import kubernetes.aio.config  # noqa: F401  # as above


def _reason(body: bytes, response: ClientResponse) -> str:
    """What an error says: the message of the ``Status`` object, as far as it is one."""
    try:
        message = orjson.loads(body)["message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = response.reason
    return f"{response.status} {message}"
