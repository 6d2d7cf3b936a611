"""What a Kubernetes pod says of its own security: the fields that checks read, and no others.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

from typing import Any

import msgspec


class Capabilities(msgspec.Struct, frozen=True, rename="camel"):
    """Linux capabilities by name, without ``CAP_``."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class Profile(msgspec.Struct, frozen=True, rename="camel"):
    """A seccomp or AppArmor profile: ``RuntimeDefault``, ``Localhost`` or ``Unconfined``."""

    type: str = ""


class SeLinuxOptions(msgspec.Struct, frozen=True, rename="camel"):
    """An SELinux label."""

    type: str = ""
    user: str = ""
    role: str = ""


class WindowsOptions(msgspec.Struct, frozen=True, rename="camel"):
    """What only counts on Windows."""

    host_process: bool = False


class SecurityContext(msgspec.Struct, frozen=True, rename="camel"):
    """What pods and containers can both say; None where nothing is said."""

    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None
    se_linux_options: SeLinuxOptions = SeLinuxOptions()
    windows_options: WindowsOptions = WindowsOptions()


class ContainerSecurityContext(SecurityContext, frozen=True, rename="camel"):
    """What only a container can say."""

    privileged: bool = False
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities = Capabilities()
    proc_mount: str | None = None


class Sysctl(msgspec.Struct, frozen=True, rename="camel"):
    """A kernel parameter to set."""

    name: str = ""


class PodSecurityContext(SecurityContext, frozen=True, rename="camel"):
    """What only a pod can say."""

    sysctls: tuple[Sysctl, ...] = ()


class HostHandler(msgspec.Struct, frozen=True, rename="camel"):
    """Where a probe goes; an empty host is the pod itself."""

    host: str = ""


class Handler(msgspec.Struct, frozen=True, rename="camel"):
    """A probe or a lifecycle hook."""

    http_get: HostHandler = HostHandler()
    tcp_socket: HostHandler = HostHandler()


class Lifecycle(msgspec.Struct, frozen=True, rename="camel"):
    """Hooks around a container's life."""

    post_start: Handler = Handler()
    pre_stop: Handler = Handler()


class ContainerPort(msgspec.Struct, frozen=True, rename="camel"):
    """A port of a container; ``host_port`` 0 is none."""

    host_port: int = 0


class Resources(msgspec.Struct, frozen=True, rename="camel"):
    """What a container may use."""

    limits: dict[str, Any] = {}


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """One container of any of the three kinds."""

    name: str = ""
    image: str = ""
    security_context: ContainerSecurityContext = ContainerSecurityContext()
    ports: tuple[ContainerPort, ...] = ()
    liveness_probe: Handler = Handler()
    readiness_probe: Handler = Handler()
    startup_probe: Handler = Handler()
    lifecycle: Lifecycle = Lifecycle()
    resources: Resources = Resources()


class PodOs(msgspec.Struct, frozen=True, rename="camel"):
    """Which system the containers are for: ``linux`` or ``windows``."""

    name: str = ""


class PodMetadata(msgspec.Struct, frozen=True, rename="camel"):
    """Of an object's metadata what checks read."""

    name: str = ""
    annotations: dict[str, str] = {}


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The pod itself."""

    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    host_users: bool | None = None
    """False: in a user namespace of its own."""
    share_process_namespace: bool = False
    automount_service_account_token: bool | None = None
    service_account_name: str = ""
    os: PodOs = PodOs()
    security_context: PodSecurityContext = PodSecurityContext()
    volumes: tuple[dict[str, Any], ...] = ()
    """As written: the key beside ``name`` is the type."""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()


class Pod(msgspec.Struct, frozen=True, rename="camel"):
    """A pod, or the template that pods are made of."""

    metadata: PodMetadata = PodMetadata()
    spec: PodSpec = PodSpec()

    @property
    def is_windows(self) -> bool:
        """Whether it says that it is for Windows."""
        return self.spec.os.name == "windows"
