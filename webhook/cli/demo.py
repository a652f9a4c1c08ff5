"""``gpuward demo``: the webhook on localhost, and real ML workloads sent to it as the API server would send them."""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import re
import ssl
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from webhook.adapters import policy_files
from webhook.adapters.manifests import Manifest, read_manifests
from webhook.adapters.yaml_documents import DocumentError
from webhook.cli.output import CLEAN, COULD_NOT_RUN, Style, add_color_argument
from webhook.cli.review_output import diff_lines

WORKLOADS: Final = Path(__file__).parent / "demo_workloads"

_READY: Final = re.compile(r"https://([^:/]+):(\d+)")
_CA: Final = re.compile(r"CA.*: (\S+ca\.crt)")
_SECONDS: Final = 30

_NEXT: Final = """What to try next:
  make run                                  keep the webhook running on localhost
  gpuward review -f FILE_OR_FOLDER          the same decisions for your own manifests, without a server
  gpuward explain                           the rules that policies are made of
  gpuward test                              the shipped policies against their cases
  cp -r policies my-policies                edit them, then: gpuward lint my-policies; gpuward test my-policies
(`gpuward` is .venv/bin/gpuward after `make test`, or `.venv/bin/python -m webhook` right now)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_color_argument(parser)


def run(args: argparse.Namespace) -> int:
    style = Style.for_stream(sys.stdout, args.color)
    with tempfile.TemporaryFile("w+") as log, _webhook(log) as server:
        if server is None:
            log.seek(0)
            print(f"gpuward: the webhook did not start:\n{log.read()}", file=sys.stderr)
            return COULD_NOT_RUN
        host, port, context = server
        print(f"The webhook serves on https://{host}:{port}, with a throw-away CA and the shipped policies,")
        print("as if every namespace had the label gpuward.dev/mode=enforce.\n")
        connection = http.client.HTTPSConnection(host, port, context=context, timeout=_SECONDS)
        for manifest in read_manifests([str(WORKLOADS)]):
            if isinstance(manifest, DocumentError):
                print(f"gpuward: {manifest}", file=sys.stderr)
                return COULD_NOT_RUN
            _show(manifest, connection, style)
        connection.close()
    print(_NEXT)
    return CLEAN


@contextmanager
def _webhook(log: Any) -> Iterator[tuple[str, int, ssl.SSLContext] | None]:
    """The server as a process of its own: its address and how to trust it, or None where it did not start."""
    command = [
        sys.executable, "-m", "webhook", "serve", "--dev", "--port", "0", "--admin-port", "0", "--drain-delay", "0",
        "--policies", str(policy_files.shipped_policies_path()),
    ]  # fmt: skip
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:
        try:
            yield _connect(process)
        finally:
            process.terminate()


def _connect(process: subprocess.Popen[str]) -> tuple[str, int, ssl.SSLContext] | None:
    address = None
    assert process.stdout is not None
    for line in process.stdout:
        address = address or _READY.search(line)
        if address and (ca := _CA.search(line)):
            return address[1], int(address[2]), ssl.create_default_context(cafile=ca[1])
    return None


def _show(manifest: Manifest, connection: http.client.HTTPSConnection, style: Style) -> None:
    """Send one pod through both webhooks, as the API server does, and tell what came back."""
    pod = manifest.obj
    metadata = pod["metadata"]
    print(style.bold(f"== {metadata.get('name') or metadata['generateName']}"))
    for line in Path(manifest.source).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        print(f"   {line.removeprefix('#').strip()}")
    admitted = pod
    mutation = _call(connection, "/mutate", pod)
    if "patch" in mutation:
        import jsonpatch

        admitted = jsonpatch.apply_patch(pod, json.loads(base64.b64decode(mutation["patch"])))
    verdict = _call(connection, "/validate", admitted)
    for warning in (*mutation.get("warnings", ()), *verdict.get("warnings", ())):
        print(style.yellow(f"   Warning: {warning}"))
    if verdict["allowed"]:
        print(style.green("   admitted") + (", with this injected:" if admitted != pod else " as it is"))
        lines = list(diff_lines(pod, admitted, "as written", "as admitted", style))
        print("\n".join(f"     {line}" for line in lines[2:]))
    else:
        status = verdict["status"]
        print(style.red(f"   rejected ({status['code']} {status['reason']})"))
        print("\n".join(f"     {line}" for line in status["message"].splitlines()))
    print()


def _call(connection: http.client.HTTPSConnection, path: str, pod: dict[str, Any]) -> dict[str, Any]:
    """The response to an AdmissionReview about creating a pod.

    Raises:
        OSError, http.client.HTTPException: the server did not answer.
    """
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": str(uuid.uuid4()),
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "team-vision",
            "operation": "CREATE",
            "userInfo": {"username": "data-scientist", "groups": ["system:authenticated"]},
            "object": pod,
        },
    }
    connection.request("POST", f"{path}?timeout=5s", json.dumps(review), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    if answer.status != 200:
        raise OSError(f"the webhook answered {answer.status}: {body.get('message', '')}")
    response: dict[str, Any] = body["response"]
    assert response["uid"] == review["request"]["uid"]  # type: ignore[index]  # made above
    return response
