"""Which objects make pods, and where in them the pod stands.

Source: https://kubernetes.io/docs/concepts/workloads/
"""

from __future__ import annotations

from typing import Final

from scanner.pod_security.manifests import KubernetesObject, node_at
from scanner.ports.control import FieldPath
from scanner.yaml_nodes import Mapping, Node, Sequence

_TEMPLATE: Final[FieldPath] = ("spec", "template")
_JOB_TEMPLATE: Final[FieldPath] = ("spec", "jobTemplate", "spec", "template")
POD_PATHS: Final[dict[str, FieldPath]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": _JOB_TEMPLATE,
    **dict.fromkeys(
        ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"),
        _TEMPLATE,
    ),
}
"""Where the pod is, by kind."""
_GROUPS: Final = frozenset({"", "apps", "autoscaling", "batch", "extensions", "policy"})
_WITHOUT_PODS: Final = frozenset(
    [
        "APIService",
        "Binding",
        "CSIDriver",
        "CSINode",
        "CSIStorageCapacity",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "ConfigMap",
        "ControllerRevision",
        "CustomResourceDefinition",
        "DeviceClass",
        "EndpointSlice",
        "Endpoints",
        "Event",
        "FlowSchema",
        "HorizontalPodAutoscaler",
        "IPAddress",
        "Ingress",
        "IngressClass",
        "Lease",
        "LeaseCandidate",
        "LimitRange",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "NetworkPolicy",
        "Node",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "PodSecurityPolicy",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceClaim",
        "ResourceClaimTemplate",
        "ResourceQuota",
        "ResourceSlice",
        "Role",
        "RoleBinding",
        "RuntimeClass",
        "Secret",
        "Service",
        "ServiceAccount",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersion",
        "StorageVersionMigration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    ]
)


def _is_builtin(group: str) -> bool:
    return group in _GROUPS or group.endswith(".k8s.io")


def makes_no_pods(one: KubernetesObject) -> bool:
    """Say whether it is an object of Kubernetes' own that holds no pod."""
    return one.kind in _WITHOUT_PODS and _is_builtin(one.group)


def pod_path(one: KubernetesObject) -> FieldPath | None:
    """Return where its pod is; None if its kind is not known to have one, and nothing in it looks like one."""
    known = POD_PATHS.get(one.kind) if _is_builtin(one.group) else None
    if known is not None:
        return known
    looked = (_TEMPLATE, _JOB_TEMPLATE)
    return next((path for path in looked if _looks_like_pod(node_at(one.node, path))), None)


def _looks_like_pod(node: Node | None) -> bool:
    """Say whether it has a spec with containers that have a name or an image, as only pods do."""
    containers = node_at(node, ("spec", "containers")) if node else None
    if not isinstance(containers, Sequence) or not containers.items:
        return False
    return all(isinstance(c, Mapping) and c.values.keys() & {"name", "image"} for c in containers.items)  # fmt: skip


def has_pod(one: KubernetesObject, path: FieldPath) -> bool:
    """Say whether there is a pod at the path."""
    return isinstance(node_at(one.node, (*path, "spec")), Mapping)
