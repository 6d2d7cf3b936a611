"""What the standards leave out, and which of several things is said of a field."""

from __future__ import annotations

import pytest
from support.pods import DIGEST, GOOD, IMAGE, changed, parsed, with_containers

from scanner.pod_security.controls.node_paths import is_runtime_socket, is_system_path
from scanner.pod_security.evaluate import beyond, told
from scanner.ports.control import Level, PodContext


def rules(pod, user=None, level=Level.PRIVILEGED, minor=37):
    """Return (rule, path, value) of everything that is told."""
    context = PodContext(minor, lambda _: user)
    return [
        (control.rule_id, ".".join(map(str, place.path)), place.value)
        for control, place in told(parsed(pod), level, context)
    ]


def host_path(path):
    return changed(("spec.volumes", [{"name": "v", "hostPath": {"path": path}}]))


SC = "spec.containers.0.securityContext"
ROOT = "pod/root-user"
MAYBE_ROOT = changed(("pod.runAsNonRoot", None))


@pytest.mark.parametrize("level", Level)
def test_a_good_pod(level):
    assert rules(GOOD, level=level) == []


@pytest.mark.parametrize(
    ("pod", "user", "want"),
    [
        pytest.param(MAYBE_ROOT, None, [(ROOT, f"{SC}.runAsNonRoot", "unknown")], id="unknown"),
        pytest.param(MAYBE_ROOT, "", [(ROOT, f"{SC}.runAsNonRoot", "image's user is root")], id="unset"),
        pytest.param(MAYBE_ROOT, "0:0", [(ROOT, f"{SC}.runAsNonRoot", "image's user is 0")], id="zero"),
        pytest.param(MAYBE_ROOT, "root", [(ROOT, f"{SC}.runAsNonRoot", "image's user is root")], id="root"),
        pytest.param(MAYBE_ROOT, "1000:0", [], id="image_says_no"),
        pytest.param(MAYBE_ROOT, "app", [], id="image_names_somebody"),
        pytest.param(
            changed(("pod.runAsNonRoot", False)), "app", [], id="false_forces_nothing"
        ),
        pytest.param(changed(("pod.runAsNonRoot", None), ("sc.runAsUser", 5)), "", [], id="container_says_no"),
        pytest.param(changed(("pod.runAsNonRoot", None), ("pod.runAsUser", 5)), "", [], id="pod_says_no"),
        pytest.param(
            changed(("pod.runAsUser", 5), ("sc.runAsUser", 0)),
            "5",
            [(ROOT, f"{SC}.runAsUser", "runAsUser: 0")],
            id="container_overrides_pod",
        ),
        pytest.param(
            changed(("pod.runAsUser", 0)),
            "5",
            [(ROOT, "spec.securityContext.runAsUser", "runAsUser: 0")],
            id="pod_is_root",
        ),
        pytest.param(changed(("pod.runAsNonRoot", None), ("spec.hostUsers", False)), "", [], id="user_namespace"),
        pytest.param(changed(("pod.runAsNonRoot", None), ("spec.os", {"name": "windows"})), "", [], id="windows"),
        pytest.param(GOOD, "1000", [], id="number"),
        pytest.param(GOOD, "app", [("pod/user-not-numeric", "spec.containers.0.image", "app")], id="name"),
    ],
)  # fmt: skip
def test_root(pod, user, want):
    assert rules(pod, user) == want


@pytest.mark.parametrize(
    ("capability", "want"),
    [
        ("SYS_PTRACE", ["pod/dangerous-capability"]),
        ("cap_sys_admin", ["pod/dangerous-capability"]),
        ("ALL", ["pod/dangerous-capability"]),
        ("NET_RAW", ["pod/capability"]),
        ("CHOWN", []),
    ],
)
def test_capability(capability, want):
    pod = changed(("sc.capabilities", {"drop": ["ALL"], "add": [capability]}))
    assert [rule for rule, _, _ in rules(pod, level=Level.BASELINE)] == want


@pytest.mark.parametrize(
    "path",
    [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "//var/run/../run/./docker.sock/",
        "/var/run",
        "/run",
        "/run/containerd",
        "/run/containerd/containerd.sock",
        "/run/k3s/containerd/containerd.sock",
        "/var/run/crio/crio.sock",
        "/run/podman/podman.sock",
        "/run/user/1000/podman/podman.sock",
        "\\\\.\\pipe\\docker_engine",
    ],
)
def test_runtime_socket(path):
    found = rules(host_path(path), level=Level.RESTRICTED)
    assert found == [("pod/runtime-socket", "spec.volumes.0.hostPath", path)]
    assert is_runtime_socket(path)


@pytest.mark.parametrize("path", ["/", "/etc", "/etc/kubernetes/pki", "/proc", "/var/lib/kubelet/pods", "/var", "/var/../root", "/run/dbus/system_bus_socket"])  # fmt: skip
def test_system_path(path):
    found = rules(host_path(path), level=Level.BASELINE)
    assert found == [("pod/system-path", "spec.volumes.0.hostPath", path)]


@pytest.mark.parametrize("path", ["/data", "/etc/localtime", "/etc/ssl/certs/ca.pem", "/etcd", "/var/log", "/var/runner", ""])  # fmt: skip
def test_other_paths_are_only_paths_of_the_node(path):
    assert not is_system_path(path) or path == ""
    assert [rule for rule, _, _ in rules(host_path(path or "/x"), level=Level.BASELINE)] == [
        "pod/host-path"
    ]


@pytest.mark.parametrize(
    ("image", "want"),
    [
        (IMAGE, []),
        (f"app@{DIGEST}", []),
        ("app", ["pod/image-latest"]),
        ("registry.example:5000/app", ["pod/image-latest"]),
        ("app:latest", ["pod/image-latest"]),
        (f"app:latest@{DIGEST}", []),
        ("app:1", ["pod/image-not-pinned"]),
        ("UPPER CASE", ["pod/image-not-pinned"]),
        ("app@sha256:short", ["pod/image-not-pinned"]),
    ],
)
def test_image(image, want):
    assert [rule for rule, _, _ in rules(changed(("a.image", image)))] == want
    volume = changed(("spec.volumes", [{"name": "v", "image": {"reference": image}}]))
    assert [rule for rule, _, _ in rules(volume)] == want


@pytest.mark.parametrize(
    ("pod", "want"),
    [
        pytest.param(changed(("spec.shareProcessNamespace", True)), "pod/shared-processes", id="processes"),
        pytest.param(changed(("spec.automountServiceAccountToken", None)), "pod/default-token", id="token"),
        pytest.param(changed(("spec.automountServiceAccountToken", True)), "pod/default-token", id="token_asked"),
        pytest.param(changed(("a.resources", None)), "pod/no-memory-limit", id="memory"),
        pytest.param(changed(("sc.allowPrivilegeEscalation", None)), "pod/privilege-escalation", id="escalation"),
        pytest.param(changed(("pod.seccompProfile", None)), "pod/seccomp-unset", id="seccomp_unset"),
    ],
)  # fmt: skip
def test_told_at_every_level(pod, want):
    for level in Level:
        assert [rule for rule, _, _ in rules(pod, level=level)] == [want]


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(changed(("spec.automountServiceAccountToken", None), ("spec.serviceAccountName", "web")), id="account"),
        pytest.param(with_containers("initContainers", "i"), id="init_container"),
    ],
)  # fmt: skip
def test_nothing_to_tell(pod):
    assert rules(pod) == []


def test_a_field_is_told_once_with_the_worst():
    pod = changed(("pod.seccompProfile", {"type": "Unconfined"}), ("pod.runAsNonRoot", None))
    assert rules(pod, level=Level.RESTRICTED) == [
        (ROOT, f"{SC}.runAsNonRoot", "unknown"),
        ("pod/seccomp-unconfined", "spec.securityContext.seccompProfile.type", "Unconfined"),
    ]


def test_beyond_gives_breaches_with_words():
    pod = changed(("spec.volumes", [{"name": "v", "hostPath": {"path": "/var/run/docker.sock"}}]))
    found = beyond(parsed(pod), lambda _: "")
    assert [str(v) for v in found] == ['container runtime socket ("/var/run/docker.sock")']
