"""Reviews that no API server would send: recorded ones with bytes, structure and types changed. Pure and seeded."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

# What must never be logged; where values of Secrets are: in environment variables, Secrets and annotations.
MARKER: Final = "hunter2-4b9f0c7e-never-to-be-logged"
MARKED: Final = (MARKER, base64.b64encode(MARKER.encode()).decode())

_DEEP: Final = 60

# Values of every type, and of each the ones that are forgotten.
_ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, -(2**63), 0.0, -0.5, 1e308, 5e-324, "", " ", "\x00", "x",
    "nvidia.com/gpu", "1", "-1", "1e400", "1Gi", "500m", "99999999999999999999", "NaN", "Infinity", "true", "null",
    "\u202e", "\U0001f600", "a" * 300, "../../etc/passwd", "{{.}}", "%s%n", "*", "/", "//", "a/b/c", ":", "@sha256:",
    [], {}, [None], [[]], [{}], {"": ""}, {"a": None}, [0, "", None, {}, []], {"name": 1}, ["ALL", 1, None],
)  # fmt: skip

_BYTES: Final = b'{}[]",:\\0123456789.eE+-ntfu \n\t\x00\x80\xff\xc3\x28\xed\xa0\x80'
_PIECES: Final = (b"\xef\xbb\xbf", b"null", b"[" * 500, b'{"a":' * 200, b'"\\ud800"', b"1e9999")


def plant(review: dict[str, Any]) -> dict[str, Any]:
    """Put the marker wherever an object of the review can hold a secret."""
    request = review["request"]
    for key in ("object", "oldObject"):
        obj = request.get(key)
        if isinstance(obj, dict):
            obj.setdefault("metadata", {}).setdefault("annotations", {})["example.com/token"] = MARKER
            for spec in _pod_specs(obj):
                for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
                    secret = {"name": "DB_PASSWORD", "value": MARKER}
                    container["env"] = [secret, *(container.get("env") or [])]
    return review


def _pod_specs(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("containers"), list):
            yield node
        for value in node.values():
            yield from _pod_specs(value)


def secret_review(review: dict[str, Any]) -> dict[str, Any]:
    """A review of a Secret, in the envelope of another."""
    kind = {"group": "", "version": "v1", "kind": "Secret"}
    obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db", "namespace": "ml-team", "annotations": {"example.com/old": MARKER}},
        "data": {"password": MARKED[1]},
        "stringData": {"password": MARKER},
    }
    request = {**review["request"], "kind": kind, "requestKind": kind, "name": "db", "object": obj}
    return {**review, "request": request}


class Mutator:
    """An endless stream of bodies, the same for the same seed and the same reviews."""

    def __init__(self, reviews: Sequence[bytes], seed: int) -> None:
        self._random = random.Random(seed)
        decoded = [orjson.loads(review) for review in reviews]
        # What is put elsewhere comes from reviews without the marker: a name may be logged, whatever is in it.
        self._donors = decoded
        planted = [plant(orjson.loads(review)) for review in reviews]
        planted.append(secret_review(orjson.loads(reviews[0])))
        self._bodies = [orjson.dumps(review) for review in planted]
        self._kinds: tuple[Callable[[bytes], bytes], ...] = (
            self._types,
            self._structure,
            self._bytes,
            self._mixed,
        )

    def __iter__(self) -> Iterator[bytes]:
        choose = self._random.choice
        while True:
            yield choose(self._kinds)(choose(self._bodies))

    def _mixed(self, body: bytes) -> bytes:
        return self._structure(self._types(body))

    def _bytes(self, body: bytes) -> bytes:
        rnd = self._random
        changed = bytearray(body)
        for _ in range(rnd.choice((1, 1, 1, 2, 5))):
            at = rnd.randrange(len(changed)) if changed else 0
            what = rnd.randrange(6)
            if what == 0:
                changed[at : at + 1] = bytes([rnd.choice(_BYTES)])
            elif what == 1:
                changed[at:at] = bytes([rnd.choice(_BYTES)])
            elif what == 2:
                del changed[at : at + rnd.choice((1, 1, 2, 10, 200))]
            elif what == 3:
                piece = changed[at : at + rnd.randrange(1, 200)]
                if not any(marked.encode() in piece for marked in MARKED):
                    changed[at:at] = piece
            elif what == 4:
                del changed[at:]
            else:
                changed[at:at] = rnd.choice(
                    (b"\xef\xbb\xbf", b"null", b"[" * 500, b'{"a":' * 200, b'"\\ud800"', b"1e9999")
                )
        return bytes(changed)

    def _types(self, body: bytes) -> bytes:
        review = orjson.loads(body)
        for _ in range(self._random.choice((1, 1, 2, 4))):
            parent, key = self._place(review)
            if parent is not None:
                parent[key] = orjson.loads(orjson.dumps(self._random.choice(_ODD)))
        return orjson.dumps(review)

    def _structure(self, body: bytes) -> bytes:
        rnd = self._random
        review = orjson.loads(body)
        for _ in range(rnd.choice((1, 1, 2, 4))):
            parent, key = self._place(review)
            if parent is None:
                continue
            what = rnd.randrange(7)
            if what == 0:
                del parent[key]
            elif what == 1:
                parent[key] = [parent[key]]
            elif what == 2:
                parent[key] = {rnd.choice(("name", "containers", "spec", "", "key")): parent[key]}
            elif what == 3 and isinstance(parent, dict):
                other, place = self._place(rnd.choice(self._donors))
                if isinstance(place, str) and parent[key] not in MARKED:
                    parent[place] = parent.pop(key)  # known by another's name
            elif what == 4:
                other, place = self._place(rnd.choice(self._donors))
                if other is not None:
                    parent[key] = orjson.loads(orjson.dumps(other[place]))
            elif what == 5 and isinstance(parent, list):
                parent.extend(orjson.loads(orjson.dumps(parent[:50])) * rnd.choice((1, 3)))
            else:
                deep = parent[key]
                for _ in range(rnd.randrange(1, _DEEP)):
                    deep = [deep] if rnd.random() < 0.5 else {"spec": deep}
                parent[key] = deep
        return orjson.dumps(review)

    def _place(self, node: Any) -> tuple[Any, Any]:
        """A map or list somewhere in a tree and a key of it; None where there is none.

        Mostly in the object of a review: of the few fields around it, most make it no review any more.
        """
        rnd = self._random
        request = node.get("request") if isinstance(node, dict) else None
        if isinstance(request, dict) and rnd.random() < 0.9:
            node = request.get("object")
        found: tuple[Any, Any] = (None, None)
        while node and isinstance(node, (dict, list)):
            key = rnd.choice(list(node)) if isinstance(node, dict) else rnd.randrange(len(node))
            found = (node, key)
            node = node[key]
            if rnd.random() < 0.12:
                break
        return found
