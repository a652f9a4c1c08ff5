"""A webhook that admits everything and keeps the AdmissionReviews it was shown."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import trustme

Object = dict[str, Any]

NAME = "differential-recorder"


class Recorder:
    """A webhook on 127.0.0.1. Reviews are kept by stage (`mutate`, `validate`) and user name. A context manager."""

    def __init__(self) -> None:
        self.reviews: dict[tuple[str, str], bytes] = {}
        authority = trustme.CA()
        self._bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        reviews = self.reviews

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = json.loads(body)["request"]
                reviews[self.path.partition("?")[0].strip("/"), request["userInfo"]["username"]] = body
                response = {"uid": request["uid"], "allowed": True}
                answer = json.dumps(
                    {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
                """Nothing: the log would be of what succeeds."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def configurations(self, users: str) -> tuple[Object, Object]:
        """The configurations under which it sees every request of users whose names begin with `users`."""
        return (
            self._configuration("MutatingWebhookConfiguration", "mutate", users),
            self._configuration("ValidatingWebhookConfiguration", "validate", users),
        )

    def _configuration(self, kind: str, stage: str, users: str) -> Object:
        everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
        webhook = {
            "name": f"{stage}.differential.gpuward.dev",
            "clientConfig": {
                "url": f"https://127.0.0.1:{self._server.server_port}/{stage}",
                "caBundle": self._bundle,
            },
            "rules": [everything],
            "matchPolicy": "Exact",
            "matchConditions": [
                {"name": "users", "expression": f"request.userInfo.username.startsWith('{users}')"}
            ],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 10,
            "admissionReviewVersions": ["v1"],
        }
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": NAME},
            "webhooks": [webhook],
        }
