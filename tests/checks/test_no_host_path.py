"""no-host-path: no directories of the node, but those allowed."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.no_host_path import NoHostPath

from .pods import JUNK, Said, container, judge, refused, spec, table, violations

ALLOWED = {
    "allowed": [
        {"pathPrefix": "/mnt/data"},
        {"pathPrefix": "/srv/models/", "readOnly": True},
        {"pathPrefix": "/srv/models/cache"},
    ]
}
REFUSED: Said = [("host-path", "spec.volumes[0].hostPath")]


def host(path: Any, name: str = "host") -> dict[str, Any]:
    return {"name": name, "hostPath": {"path": path}}


VOLUMES: dict[str, tuple[Any, Said]] = {
    "an emptyDir": ({"name": "tmp", "emptyDir": {}}, []),
    "a claim": ({"name": "data", "persistentVolumeClaim": {"claimName": "data"}}, []),
    "a directory of the node": (host("/var/run"), REFUSED),
    "a type": ({"name": "host", "hostPath": {"path": "/dev", "type": "Directory"}}, REFUSED),
    "no path": ({"name": "host", "hostPath": {}}, REFUSED),
    "null is none": ({"name": "host", "hostPath": None}, []),
}


@table(VOLUMES, "volume, said")
def test_a_pod_mounts_no_directory_of_its_node(volume: Any, said: Said) -> None:
    assert judge(NoHostPath, spec(volumes=[volume])) == said


PATHS: dict[str, tuple[str, bool]] = {
    "the directory": ("/mnt/data", True),
    "below it": ("/mnt/data/imagenet", True),
    "with slashes too many": ("//mnt///data/", True),
    "with dots": ("/mnt/./data/.", True),
    "a directory that begins so": ("/mnt/data-secret", False),
    "above it": ("/mnt", False),
    "the root": ("/", False),
    "in another case": ("/mnt/Data", False),
    "a step back": ("/mnt/data/../../etc", False),
    "a step back that stays within, as far as the text tells": ("/mnt/data/a/../b", False),
    "a step back at the end": ("/mnt/data/..", False),
    "three dots are a name": ("/mnt/data/...", True),
    "backslashes": ("/mnt/data/x\\..\\..\\..\\Windows", False),
    "relative": ("mnt/data", False),
    "empty": ("", False),
}


@table(PATHS, "path, admitted")
def test_allowed_directories_are_compared_by_whole_parts(path: str, admitted: bool) -> None:
    assert judge(NoHostPath, spec(volumes=[host(path)]), ALLOWED) == ([] if admitted else REFUSED)


def mount(name: str = "host", **fields: Any) -> dict[str, Any]:
    return {"name": name, "mountPath": "/models", **fields}


MOUNTS: dict[str, tuple[str, Any, Said]] = {
    "read-only": ("/srv/models", mount(readOnly=True), []),
    "writable": (
        "/srv/models/llm",
        mount(),
        [("host-path-writable", "spec.containers[0].volumeMounts[1].readOnly")],
    ),
    "expressly writable": (
        "/srv/models/llm",
        mount(readOnly=False),
        [("host-path-writable", "spec.containers[0].volumeMounts[1].readOnly")],
    ),
    "text is no yes": (
        "/srv/models/llm",
        mount(readOnly="true"),
        [("host-path-writable", "spec.containers[0].volumeMounts[1].readOnly")],
    ),
    "writable, of another volume": ("/srv/models/llm", mount("tmp"), []),
    "writable, where another entry allows it": ("/srv/models/cache/x", mount(), []),
    "writable, in a directory without the demand": ("/mnt/data/x", mount(), []),
}


@table(MOUNTS, "path, mounted, said")
def test_where_it_is_demanded_every_mount_is_read_only(path: str, mounted: Any, said: Said) -> None:
    made = container(volumeMounts=[mount("other"), mounted])
    assert judge(NoHostPath, spec(made, volumes=[host(path)]), ALLOWED) == said


@pytest.mark.parametrize("list_name", ["initContainers", "containers", "ephemeralContainers"])
def test_mounts_of_every_kind_of_container_are_judged(list_name: str) -> None:
    pod = spec(volumes=[host("/srv/models")])
    pod[list_name] = [container(), container(volumeMounts=[mount()], restartPolicy="Always")]
    assert judge(NoHostPath, pod, ALLOWED) == [
        ("host-path-writable", f"spec.{list_name}[1].volumeMounts[0].readOnly")
    ]


@pytest.mark.parametrize("junk", JUNK)
def test_nothing_of_the_wrong_type_is_taken_for_allowed(junk: Any) -> None:
    assert judge(NoHostPath, spec(volumes=junk), ALLOWED) == []
    assert judge(NoHostPath, spec(volumes=[{"hostPath": {"path": junk}}]), ALLOWED) == REFUSED
    assert judge(NoHostPath, spec(volumes=[{"hostPath": junk}]), ALLOWED) == ([] if junk is None else REFUSED)
    made = container(volumeMounts=junk)
    assert judge(NoHostPath, spec(made, volumes=[host("/srv/models")]), ALLOWED) == []


def test_the_root_allows_everything() -> None:
    assert judge(NoHostPath, spec(volumes=[host("/etc")]), {"allowed": [{"pathPrefix": "/"}]}) == []


def test_the_message_says_what_to_use_instead() -> None:
    volumes = [host("/var/run/docker.sock"), host("/srv/models", "models")]
    pod = spec(container(volumeMounts=[mount("models")]), volumes=volumes)
    assert [v.message for v in violations(NoHostPath, pod, ALLOWED)] == [
        (
            'volume "host" mounts /var/run/docker.sock of the node; use a PersistentVolumeClaim for data, '
            "an emptyDir for scratch space, or mount /mnt/data, /srv/models/ (read-only) or /srv/models/cache"
        ),
        (
            'container "train" may write to /srv/models of the node; add readOnly: true to its mount of '
            'volume "models"'
        ),
    ]


@pytest.mark.parametrize("prefix", ["data", "/data/..", "/data/../etc", "C:\\data", "./data"])
def test_prefixes_that_lead_elsewhere_are_refused(prefix: str) -> None:
    error = refused(NoHostPath, {"allowed": [{"pathPrefix": "/mnt"}, {"pathPrefix": prefix}]})
    assert error.field == "allowed[1].pathPrefix"
    assert "no absolute path" in str(error)
