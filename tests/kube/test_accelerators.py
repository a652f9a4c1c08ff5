"""The accelerator catalog."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import webhook.kube
from webhook.kube.accelerators import Accelerator, Catalog, Taint, catalog_from_documents


def built_in() -> Catalog:
    text = (Path(webhook.kube.__file__).parent / "accelerators.yaml").read_text()
    return catalog_from_documents([yaml.safe_load(text)])


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("nvidia.com/gpu", "nvidia"),
        ("nvidia.com/gpu.shared", "nvidia"),
        ("nvidia.com/mig-1g.5gb", "nvidia"),
        ("nvidia.com/mig-1g.10gb.me", "nvidia"),
        ("nvidia.com/mig-2g.20gb+me", "nvidia"),
        ("amd.com/gpu", "amd"),
        ("gpu.intel.com/i915", "intel-gpu"),
        ("gpu.intel.com/xe", "intel-gpu"),
        ("habana.ai/gaudi", "intel-gaudi"),
        ("aws.amazon.com/neuron", "aws-neuron"),
        ("aws.amazon.com/neuroncore", "aws-neuron"),
        ("google.com/tpu", "google-tpu"),
        ("nvidia.com/other", None),
        ("cpu", None),
        ("rdma/hca", None),
    ],
)
def test_the_built_in_catalog_knows_the_accelerators(resource: str, name: str | None) -> None:
    found = built_in().find(resource)
    assert (found.name if found else None) == name
    assert built_in().find(resource) is None or found is not None  # asked twice, answered from memory


def test_device_classes_and_rdma_are_known() -> None:
    catalog = built_in()
    family = catalog.find_device_class("mig.nvidia.com")
    assert family is not None
    assert family.name == "nvidia"
    assert catalog.find_device_class("nic.example.com") is None
    assert catalog.is_rdma("rdma/hca_shared_devices_a")
    assert catalog.is_rdma("vpc.amazonaws.com/efa")
    assert not catalog.is_rdma("cpu")


def test_users_add_accelerators_and_replace_ours() -> None:
    catalog = built_in().extended(
        [
            Accelerator("acme", ("acme.example/npu",), taints=(Taint("acme.example/npu", "NoExecute"),)),
            Accelerator("nvidia", ("nvidia.com/*",)),
        ],
        ["acme.example/nic"],
    )
    added = catalog.find("acme.example/npu")
    assert added is not None
    assert added.taints == (Taint("acme.example/npu", "NoExecute"),)
    replaced = catalog.find("nvidia.com/anything")
    assert replaced is not None
    assert replaced.taints == ()
    assert catalog.is_rdma("acme.example/nic")
    assert Taint("nvidia.com/gpu", "NoSchedule") not in catalog.taints
