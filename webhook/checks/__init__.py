"""The checks: what policies can demand of pods and other objects. Adding one is a module here and a line in
``CHECKS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.checks.accelerator_request_equals_limit import AcceleratorRequestEqualsLimit
from webhook.checks.allowed_priority_classes import AllowedPriorityClasses
from webhook.checks.allowed_registries import AllowedRegistries
from webhook.checks.drop_capabilities import DropCapabilities
from webhook.checks.horizontal_autoscaler_bounds import HorizontalAutoscalerBounds
from webhook.checks.ingress_hosts_and_tls import IngressHostsAndTls
from webhook.checks.karpenter_node_pools import KarpenterNodePools
from webhook.checks.max_accelerators import MaxAccelerators
from webhook.checks.monitor_release_label import MonitorReleaseLabel
from webhook.checks.network_policy_isolation import NetworkPolicyIsolation
from webhook.checks.no_accelerator_squatting import NoAcceleratorSquatting
from webhook.checks.no_host_namespaces import NoHostNamespaces
from webhook.checks.no_host_path import NoHostPath
from webhook.checks.no_latest_tag import NoLatestTag
from webhook.checks.no_privileged import NoPrivileged
from webhook.checks.no_secrets_in_environment import NoSecretsInEnvironment
from webhook.checks.pod_security import PodSecurity
from webhook.checks.protected_labels import ProtectedLabels
from webhook.checks.protected_objects import ProtectedObjects
from webhook.checks.require_limits import RequireLimits
from webhook.checks.required_labels import RequiredLabels
from webhook.checks.role_binding_subjects import RoleBindingSubjects
from webhook.checks.role_privileges import RolePrivileges
from webhook.checks.vertical_autoscaler_bounds import VerticalAutoscalerBounds

if TYPE_CHECKING:
    from webhook.policy.rule import Validation

# In alphabetical order.
CHECKS: Final[tuple[type[Validation], ...]] = (
    AcceleratorRequestEqualsLimit,
    AllowedPriorityClasses,
    AllowedRegistries,
    DropCapabilities,
    HorizontalAutoscalerBounds,
    IngressHostsAndTls,
    KarpenterNodePools,
    MaxAccelerators,
    MonitorReleaseLabel,
    NetworkPolicyIsolation,
    NoAcceleratorSquatting,
    NoHostNamespaces,
    NoHostPath,
    NoLatestTag,
    NoPrivileged,
    NoSecretsInEnvironment,
    PodSecurity,
    ProtectedLabels,
    ProtectedObjects,
    RequireLimits,
    RequiredLabels,
    RoleBindingSubjects,
    RolePrivileges,
    VerticalAutoscalerBounds,
)
