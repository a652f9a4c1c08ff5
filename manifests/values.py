"""The values of the Helm chart, in one place.

``make docs`` writes from them ``values.schema.json``, ``values.yaml`` and the table in the chart's README, so that
the three cannot contradict each other.

A field's description is what its users read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from webhook.kube.system_namespaces import NODE_NAMESPACES

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[int, Field(ge=0, le=600)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
OptionalName = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$", max_length=253)
]
_FILE_NAME = r"^[-._a-zA-Z0-9]+\.ya?ml$"
FileName = Annotated[str, StringConstraints(pattern=_FILE_NAME, max_length=253)]
Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))*$")]
Quantity = str | int | float
Object = dict[str, Any]
Strings = dict[str, str]


class Values(BaseModel):
    """Values of one part of the chart. Nothing but the named fields may be given."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Namespace(Values):
    """The namespace itself."""

    create: bool = False
    """Render the Namespace, with the labels of the restricted Pod Security Standard. For tools that only render the
    chart; `helm install` wants the namespace to be there, or makes it with `--create-namespace`."""


class Image(Values):
    """What runs."""

    repository: str = Field(default="localhost/gpuward", min_length=1)
    """Where the image is, without its tag."""
    tag: Annotated[str, StringConstraints(pattern=r"^[\w.-]{0,128}$")] = ""
    """The tag; empty for the version of the chart."""
    digest: Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""
    """The digest (`sha256:...`), which wins over the tag."""
    pullPolicy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the kubelet pulls it."""
    pullSecrets: list[Name] = []
    """Names of Secrets with the registry's credentials."""


class Server(Values):
    """The process: see `gpuward serve --help`."""

    port: Port = 8443
    """Port of the webhook in the pod. In private clusters the control plane's firewall must let it through."""
    adminPort: Port = 8080
    """Port of health and metrics in the pod, plain HTTP."""
    workers: int = Field(default=1, ge=1, le=64)
    """Server processes in each pod. Give each a CPU and 200 MiB."""
    maxInFlight: int = Field(default=600, ge=1)
    """Reviews at once in each worker; more are answered 503."""
    defaultMode: Literal["", "audit", "warn", "enforce"] = ""
    """Mode of namespaces that are asked about without the label `gpuward.dev/mode`; empty: they are left alone. The
    webhook configurations of this chart never ask about those."""
    logFormat: Literal["json", "text"] = "json"
    """How log lines are written."""
    logLevel: Literal["debug", "info", "warning", "error"] = "info"
    """`debug` also tells of what was allowed."""
    hostNetwork: bool = False
    """Listen on the node's network. Where the control plane cannot reach pods (EKS with an overlay network)."""
    extraArgs: list[str] = []
    """Further arguments of `gpuward serve`."""
    extraEnv: list[Object] = []
    """Further environment variables, as in a container's `env`."""


class Drain(Values):
    """How a pod stops: out of the endpoints, calls finished, then gone. The grace period is the sum and 5 s."""

    preStopSeconds: Seconds = 5
    """Serve on for so long before the stop signal, while the endpoints travel."""
    delaySeconds: Seconds = 5
    """Then serve on as not ready, closing connections (`--drain-delay`)."""
    timeoutSeconds: Seconds = 10
    """Then finish what is under way (`--shutdown-timeout`)."""


class CertManagerIssuer(Values):
    """Who signs the serving certificate."""

    name: OptionalName = ""
    """An existing issuer; empty: the chart makes a CA of its own in the namespace."""
    kind: Literal["Issuer", "ClusterIssuer"] = "Issuer"
    """Kind of the existing issuer."""


class ClientCertificates(Values):
    """Take calls only from those who show a certificate, such as the API server."""

    caSecretName: OptionalName = ""
    """Secret whose `ca.crt` must have signed it; empty: anybody may call."""
    names: list[str] = []
    """Common names or subject alternative names of which it must have one; empty: any."""


class Certificates(Values):
    """The serving certificate, and what the API server is told to trust."""

    mode: Literal["managed", "certManager", "existingSecret"] = "managed"
    """`managed`: gpuward makes a CA and certificates, keeps them in a Secret, renews them and writes `caBundle`.
    `certManager`: cert-manager does. `existingSecret`: you do."""
    secretName: OptionalName = ""
    """The Secret with `tls.crt` and `tls.key`; empty: the release's name with `-certs`. Must exist for
    `existingSecret`."""
    caBundle: str = ""
    """For `existingSecret`: the PEM text of the CA that signed it."""
    clusterDomain: str = "cluster.local"
    """The cluster's DNS domain, for the certificate's names."""
    extraNames: list[str] = []
    """For `managed` and `certManager`: further DNS names in the certificate."""
    issuer: CertManagerIssuer = CertManagerIssuer()
    client: ClientCertificates = ClientCertificates()


class Policies(Values):
    """Policies: files, together one ConfigMap, and custom resources. Pods follow changes of both without a restart."""

    shipped: bool = True
    """Start from the policies that come with gpuward."""
    omit: list[FileName] = []
    """File names of shipped policies to leave out, such as `ml-namespace.yaml`."""
    files: dict[str, str] = Field(default={}, json_schema_extra={"propertyNames": {"pattern": _FILE_NAME}})
    """Policies by file name (`*.yaml`). A shipped file of that name is replaced."""
    existingConfigMap: OptionalName = ""
    """A ConfigMap of yours, instead of all of the above."""
    resources: bool = True
    """Also follow policies that are custom resources (kinds Policy, PolicyException and so on of gpuward.dev)."""


class CustomResources(Values):
    """gpuward's own custom resource definitions."""

    install: bool = True
    """Install them with the chart."""
    keep: bool = True
    """Leave them, and so the objects of their kinds, when the chart is uninstalled."""


class Webhooks(Values):
    """What the API server asks gpuward about. Only namespaces with the label `gpuward.dev/mode` ever are."""

    install: bool = True
    """Install the webhook configurations. Off: the server alone, as the first step of a careful rollout."""
    timeoutSeconds: int = Field(default=5, ge=1, le=10)
    """How long the API server waits for an answer."""
    enforceFailurePolicy: Literal["Fail", "Ignore"] = "Fail"
    """What becomes of requests to `enforce` namespaces while gpuward cannot be reached. Everything else is `Ignore`."""
    objects: bool = True
    """Ask about objects besides workloads that checks can judge, such as NetworkPolicies and Roles."""
    clusterScopedMode: Literal["", "audit", "warn", "enforce"] = ""
    """Mode for cluster-scoped kinds (ClusterRole, NodePool ...), which have no namespace whose label could say; never
    `Fail`. Empty: they are not asked about."""
    clusterScopedRules: list[Object] = []
    """Further cluster-scoped kinds to validate in that mode; as `extraRules`."""
    guard: bool = False
    """Ask about labels `gpuward.dev/*` of namespaces and about gpuward's own custom resources, so that the policy
    `opening-the-gate` can say who may change them. Edit whom it excludes first: by default `system:masters`,
    `kubeadm:cluster-admins` and `gpuward:admins`. Never `Fail`."""
    excludedNamespaces: list[Name] = list(NODE_NAMESPACES)
    """Namespaces that are left alone whatever their labels, besides kube-system, kube-public, kube-node-lease and
    gpuward's own: those from which nodes and the cluster's network, storage, devices and certificates come."""
    objectSelector: Object = {}
    """Only objects whose labels fit (a LabelSelector). Whoever may set labels on objects can then opt out."""
    matchConditions: list[Object] = []
    """Further CEL conditions (`name`, `expression`) that a request must meet."""
    extraRules: list[Object] = []
    """Further namespaced kinds to validate: a list of `apiGroups`, `apiVersions`, `resources` and, where they are not
    CREATE and UPDATE, `operations`. What ValidatingAdmissionPolicies in the policies folder are about, for one."""
    mutatingRules: list[Object] = []
    """Namespaced kinds other than pods that MutatingAdmissionPolicies in the policies folder change; as `extraRules`.
    Asked about when they are created and updated; pods are when they are created."""
    annotations: Strings = {}
    """Annotations of the webhook configurations."""


class ServiceAccount(Values):
    """Who gpuward is to the API server."""

    create: bool = True
    """Make it."""
    name: OptionalName = ""
    """Its name; empty: that of the release, or `default` where none is made."""
    annotations: Strings = {}
    """Its annotations."""


class Rbac(Values):
    """What it may do: no more than the comments in `templates/rbac.yaml` say."""

    create: bool = True
    """Make the roles and their bindings."""


class Pods(Values):
    """Where pods run, and with what."""

    annotations: Strings = {}
    """Annotations of the pods."""
    labels: Strings = {}
    """Labels of the pods, besides those of the chart."""
    resources: Object = {
        "requests": {"cpu": "200m", "memory": "256Mi"},
        "limits": {"cpu": "2", "memory": "1Gi"},
    }
    """Requests and limits of the container."""
    priorityClassName: str = "system-cluster-critical"
    """Their priority class. What must be up for other pods to start should not be evicted for them."""
    criticalPodsQuota: bool = True
    """With a `system-` priority class: make the ResourceQuota without which some platforms (GKE) refuse such pods."""
    nodeSelector: Strings = {"kubernetes.io/os": "linux"}
    """Labels that their nodes must have."""
    tolerations: list[Object] = []
    """Their tolerations."""
    affinity: Object = {}
    """Their affinity; empty: away from each other where possible."""
    spread: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"
    """What becomes of a pod that cannot be spread over nodes and zones evenly."""
    runAsUser: int = Field(default=65532, ge=1)
    """The user, and group, that they run as. OpenShift chooses its own: set `setRunAsUser` to false there."""
    setRunAsUser: bool = True
    """Whether to name the user at all."""


class PodDisruptionBudget(Values):
    """What a node drain may take away."""

    enabled: bool = True
    """Make it, where there is more than one replica."""
    maxUnavailable: int | Annotated[str, StringConstraints(pattern=r"^\d+%$")] = 1
    """How many pods may be gone at once."""


class Autoscaling(Values):
    """More replicas under load."""

    enabled: bool = False
    """Make a HorizontalPodAutoscaler; `replicas` is then left to it."""
    minReplicas: int = Field(default=2, ge=1)
    """The fewest."""
    maxReplicas: int = Field(default=5, ge=1)
    """The most."""
    targetCPUUtilizationPercentage: int = Field(default=70, ge=1, le=100)
    """CPU in use, of what is requested."""


class NetworkPolicy(Values):
    """Who may talk to the pods, and they to whom."""

    enabled: bool = True
    """Make it. The webhook's port stays open to all: where API servers call from differs from platform to platform."""
    metricsFrom: list[Object] = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
    """Who may read health and metrics (NetworkPolicy peers), besides the kubelet; empty: nobody."""
    apiServerPorts: list[Port] = [443, 6443]
    """Ports of the API server, to which alone the pods may connect."""


class ServiceMonitor(Values):
    """For the Prometheus operator."""

    enabled: bool = False
    """Make it."""
    interval: Duration = "30s"
    """How often to scrape."""
    labels: Strings = {}
    """Labels by which your Prometheus finds it."""


class PrometheusRule(Values):
    """Alerts, for the Prometheus operator."""

    enabled: bool = False
    """Make it."""
    labels: Strings = {}
    """Labels by which your Prometheus finds it."""
    certificateDays: int = Field(default=7, ge=1)
    """Warn when the serving certificate has fewer days left. The managed one is renewed long before."""


class Dashboard(Values):
    """A Grafana dashboard, in a ConfigMap."""

    enabled: bool = False
    """Make it."""
    labels: Strings = {"grafana_dashboard": "1"}
    """Labels by which your Grafana finds it."""


class Monitoring(Values):
    """Metrics, alerts and a dashboard."""

    serviceMonitor: ServiceMonitor = ServiceMonitor()
    prometheusRule: PrometheusRule = PrometheusRule()
    dashboard: Dashboard = Dashboard()


class Chart(Values):
    """All values."""

    nameOverride: OptionalName = ""
    """Replaces the chart's name in the names of objects."""
    fullnameOverride: OptionalName = ""
    """Replaces the names of objects altogether."""
    replicas: int = Field(default=2, ge=1)
    """Pods that serve. With one, an update of its node holds up `enforce` namespaces."""
    image: Image = Image()
    server: Server = Server()
    drain: Drain = Drain()
    certificates: Certificates = Certificates()
    policies: Policies = Policies()
    crds: CustomResources = CustomResources()
    webhooks: Webhooks = Webhooks()
    serviceAccount: ServiceAccount = ServiceAccount()
    rbac: Rbac = Rbac()
    pods: Pods = Pods()
    podDisruptionBudget: PodDisruptionBudget = PodDisruptionBudget()
    autoscaling: Autoscaling = Autoscaling()
    networkPolicy: NetworkPolicy = NetworkPolicy()
    monitoring: Monitoring = Monitoring()
    namespace: Namespace = Namespace()
