"""Every control of the Pod Security Standards: pods allowed and refused, by level and version."""

from __future__ import annotations

import pytest
from support.pods import GOOD, changed, parsed, with_containers

from scanner.discovery import pod_controls
from scanner.pod_security.evaluate import forbidden_text, violations
from scanner.pod_security.versions import NEWEST, OLDEST
from scanner.ports.control import Level

B, R = Level.BASELINE, Level.RESTRICTED
DEFAULT_CAPABILITIES = [
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
]  # fmt: skip
SYSCTLS = {
    "kernel.shm_rmid_forced": 25,
    "net.ipv4.ip_local_port_range": 25,
    "net.ipv4.ip_unprivileged_port_start": 25,
    "net.ipv4.tcp_syncookies": 25,
    "net.ipv4.ping_group_range": 25,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
    "net.ipv4.tcp_slow_start_after_idle": 37,
    "net.ipv4.tcp_notsent_lowat": 37,
}
WINDOWS = [("spec.os", {"name": "windows"})]
USER_NAMESPACE = [("spec.hostUsers", False)]
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io"


def answers(pod, level, minor):
    return [str(v) for v in violations(parsed(pod), level, minor)]


@pytest.mark.parametrize("minor", range(OLDEST, NEWEST + 1))
@pytest.mark.parametrize("level", [B, R])
def test_a_good_pod_is_allowed(level, minor):
    assert answers(GOOD, level, minor) == []


def test_the_privileged_level_refuses_nothing():
    worst = changed(("sc.privileged", True), ("spec.hostPID", True))
    assert answers(worst, Level.PRIVILEGED, NEWEST) == []


def row(name, pod, *refusals, level=B, minor=NEWEST):
    return pytest.param(level, minor, pod, list(refusals), id=f"{name}-{level}-1.{minor}")


BASELINE_ROWS = [
    row("host_process_off", changed(("pod.windowsOptions", {"hostProcess": False}))),
    row(
        "host_process_of_pod",
        changed(("pod.windowsOptions", {"hostProcess": True})),
        "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
    ),
    row(
        "host_process_of_container",
        changed(("sc.windowsOptions", {"hostProcess": True})),
        'hostProcess (container "a" must not set securityContext.windowsOptions.hostProcess=true)',
    ),
    row(
        "host_process_of_both",
        changed(
            ("sc.windowsOptions", {"hostProcess": True}),
            ("pod.windowsOptions", {"hostProcess": True}),
        ),
        'hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)',
    ),
    row("host_namespaces_off", changed(("spec.hostPID", False), ("spec.hostNetwork", False))),
    row("host_pid", changed(("spec.hostPID", True)), "host namespaces (hostPID)"),
    row(
        "host_namespaces",
        changed(("spec.hostPID", True), ("spec.hostIPC", True), ("spec.hostNetwork", True)),
        "host namespaces (hostIPC, hostNetwork, hostPID)",
    ),
    row("privileged_off", changed(("sc.privileged", False))),
    row("privileged_null", changed(("sc.privileged", False), ("sc.privileged", None))),
    row(
        "privileged",
        changed(("sc.privileged", True)),
        'privileged (container "a" must not set securityContext.privileged=true)',
    ),
    row(
        "privileged_init",
        with_containers("initContainers", "i", privileged=True),
        'privileged (container "i" must not set securityContext.privileged=true)',
    ),
    row(
        "privileged_ephemeral",
        with_containers("ephemeralContainers", "e", "f", privileged=True),
        'privileged (containers "e", "f" must not set securityContext.privileged=true)',
    ),
    row("default_capabilities", changed(("sc.capabilities", {"add": DEFAULT_CAPABILITIES}))),
    row(
        "net_raw",
        changed(("sc.capabilities", {"add": ["NET_RAW"]})),
        'non-default capabilities (container "a" must not include "NET_RAW" in securityContext.capabilities.add)',
    ),
    row(
        "capabilities_by_another_spelling",
        changed(("sc.capabilities", {"add": ["CAP_CHOWN", "chown"]})),
        'non-default capabilities (container "a" must not include "CAP_CHOWN", "chown" in '
        "securityContext.capabilities.add)",
    ),
    row("empty_dir", changed(("spec.volumes", [{"name": "v", "emptyDir": {}}]))),
    row("host_path_null", changed(("spec.volumes", [{"name": "v", "hostPath": None}]))),
    row(
        "host_path",
        changed(("spec.volumes", [{"name": "v", "hostPath": {"path": "/x"}}])),
        'hostPath volumes (volume "v")',
    ),
    row(
        "host_paths",
        changed(("spec.volumes", [{"name": n, "hostPath": {}} for n in ("v", "w")])),
        'hostPath volumes (volumes "v", "w")',
    ),
    row("host_port_zero", changed(("a.ports", [{"containerPort": 80, "hostPort": 0}]))),
    row(
        "host_port",
        changed(("a.ports", [{"containerPort": 80, "hostPort": 8080}, {"hostPort": 90}])),
        'hostPort (container "a" uses hostPorts 8080, 90)',
    ),
    row("apparmor_default", changed(("pod.appArmorProfile", {"type": "RuntimeDefault"}))),
    row("apparmor_local", changed(("sc.appArmorProfile", {"type": "Localhost"}))),
    row(
        "apparmor_unconfined",
        changed(("pod.appArmorProfile", {"type": "Unconfined"})),
        'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
    ),
    row(
        "apparmor_of_container",
        changed(("sc.appArmorProfile", {"type": "Unconfined"})),
        'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
    ),
    *(
        row(
            f"apparmor_annotation_{n}", changed(("metadata.annotations", {f"{APP_ARMOR}/a": value}))
        )
        for n, value in enumerate(("", "runtime/default", "localhost/mine"))
    ),
    row(
        "apparmor_annotation",
        changed(("metadata.annotations", {f"{APP_ARMOR}/a": "unconfined"})),
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
        f'"{APP_ARMOR}/a="unconfined"")',
    ),
    row(
        "apparmor_annotations_and_fields",
        changed(
            ("metadata.annotations", {f"{APP_ARMOR}/b": "x", f"{APP_ARMOR}/a": "unconfined"}),
            ("sc.appArmorProfile", {"type": "Unconfined"}),
        ),
        'forbidden AppArmor profiles (container "a" and annotations must not set AppArmor profile type to "Unconfined", '
        f'"{APP_ARMOR}/a="unconfined"", "{APP_ARMOR}/b="x"")',
    ),
    *(
        row(f"selinux_{kind}", changed(("sc.seLinuxOptions", {"type": kind, "level": "s0:c1"})))
        for kind in ("", "container_t", "container_init_t", "container_kvm_t")
    ),
    row("selinux_engine", changed(("sc.seLinuxOptions", {"type": "container_engine_t"})), minor=31),
    row(
        "selinux_engine_too_early",
        changed(("sc.seLinuxOptions", {"type": "container_engine_t"})),
        'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "container_engine_t")',
        minor=30,
    ),
    row(
        "selinux_user_and_role",
        changed(("pod.seLinuxOptions", {"type": "spc_t", "user": "u", "role": "r"})),
        'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; '
        "role may not be set)",
    ),
    row(
        "selinux_role_alone",
        changed(("pod.seLinuxOptions", {"role": "r"})),
        "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: role may not be set)",
    ),
    row("proc_mount_default", changed(("sc.procMount", "Default"))),
    row(
        "proc_mount",
        changed(("sc.procMount", "Unmasked")),
        'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
    ),
    row(
        "proc_mount_in_user_namespace_too_early",
        changed(("sc.procMount", "Unmasked"), *USER_NAMESPACE),
        'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        minor=34,
    ),
    row(
        "proc_mount_in_user_namespace",
        changed(("sc.procMount", "Unmasked"), *USER_NAMESPACE),
        minor=35,
    ),
    row(
        "proc_mount_with_host_users",
        changed(("sc.procMount", "Unmasked"), ("spec.hostUsers", True)),
        'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        minor=35,
    ),
    row("seccomp_unset", changed(("pod.seccompProfile", None))),
    row("seccomp_local", changed(("sc.seccompProfile", {"type": "Localhost"}))),
    row(
        "seccomp_unconfined",
        changed(("pod.seccompProfile", {"type": "Unconfined"})),
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    row(
        "seccomp_unconfined_container",
        changed(("sc.seccompProfile", {"type": "Unconfined"})),
        'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    row(
        "seccomp_annotation_counts_no_more",
        changed(
            ("metadata.annotations", {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"})
        ),
    ),
    row(
        "sysctls",
        changed(("pod.sysctls", [{"name": "kernel.msgmax"}, {"name": "net.core.somaxconn"}])),
        "forbidden sysctls (kernel.msgmax, net.core.somaxconn)",
    ),
    row("container_has_no_sysctls", changed(("sc.sysctls", [{"name": "kernel.msgmax"}]))),
]

PROBE = 'probe or lifecycle host (container "a" uses probe or lifecycle host "10.0.0.1")'
PROBE_ROWS = [
    row(f"{field}_{kind}", changed((f"a.{field}", {kind: {"host": "10.0.0.1", "port": 80}})), PROBE, minor=34)
    for field in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop")
    for kind in ("httpGet", "tcpSocket")
]  # fmt: skip
PROBE_ROWS += [
    row("probe_without_host", changed(("a.livenessProbe", {"httpGet": {"port": 80, "host": ""}}))),
    row("probe_exec", changed(("a.livenessProbe", {"exec": {"command": ["true"]}}))),
    row(
        "probe_host_before_it_was_asked_for",
        changed(("a.livenessProbe", {"httpGet": {"host": "10.0.0.1"}})),
        minor=33,
    ),
]

NO_ESCALATION = 'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)'  # fmt: skip
DROP_ALL = 'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])'  # fmt: skip
NON_ROOT = 'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)'
SECCOMP = 'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'  # fmt: skip


def volume(kind):
    return changed(("spec.volumes", [{"name": "v", kind: {}}]))


RESTRICTED_ROWS = [
    *(
        row(f"volume_{kind}", volume(kind), level=R)
        for kind in ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
                     "persistentVolumeClaim", "projected", "secret")
    ),
    *(
        row(
            f"volume_{kind}",
            volume(kind),
            f'restricted volume types (volume "v" uses restricted volume type "{kind}")',
            level=R,
        )
        for kind in ("hostPath", "nfs", "gitRepo", "iscsi", "rbd", "flexVolume", "cephfs", "azureDisk")
    ),
    row(
        "volumes_of_unknown_type",
        changed(("spec.volumes", [{"name": "v", "newest": {}}, {"name": "w", "nfs": {}}])),
        'restricted volume types (volumes "v", "w" use restricted volume types "nfs", "unknown")',
        level=R,
    ),
    row("escalation_unset", changed(("sc.allowPrivilegeEscalation", None)), NO_ESCALATION, level=R),
    row("escalation", changed(("sc.allowPrivilegeEscalation", True)), NO_ESCALATION, level=R),
    row("escalation_on_windows", changed(("sc.allowPrivilegeEscalation", None), *WINDOWS), level=R),
    row(
        "escalation_of_ephemeral_containers",
        with_containers("ephemeralContainers", "e", allowPrivilegeEscalation=None),
        'allowPrivilegeEscalation != false (container "e" must set securityContext.allowPrivilegeEscalation=false)',
        level=R,
    ),
    row("escalation_at_baseline", changed(("sc.allowPrivilegeEscalation", True))),
    row("non_root_unset", changed(("pod.runAsNonRoot", None)), NON_ROOT, level=R),
    row(
        "non_root_of_container",
        changed(("pod.runAsNonRoot", None), ("sc.runAsNonRoot", True)),
        level=R,
    ),
    row(
        "non_root_false_of_pod",
        changed(("pod.runAsNonRoot", False), ("sc.runAsNonRoot", True)),
        "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        level=R,
    ),
    row(
        "non_root_false_of_container",
        changed(("sc.runAsNonRoot", False)),
        'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
        level=R,
    ),
    row(
        "non_root_in_user_namespace_too_early",
        changed(("pod.runAsNonRoot", None), *USER_NAMESPACE),
        NON_ROOT,
        level=R,
        minor=34,
    ),
    row(
        "non_root_in_user_namespace",
        changed(("pod.runAsNonRoot", None), *USER_NAMESPACE),
        level=R,
        minor=35,
    ),
    row("user", changed(("sc.runAsUser", 1000)), level=R),
    row(
        "user_zero",
        changed(("sc.runAsUser", 0)),
        'runAsUser=0 (container "a" must not set runAsUser=0)',
        level=R,
    ),
    row(
        "user_zero_of_both",
        changed(("sc.runAsUser", 0), ("pod.runAsUser", 0)),
        'runAsUser=0 (pod and container "a" must not set runAsUser=0)',
        level=R,
        minor=34,
    ),
    row("user_zero_in_user_namespace", changed(("pod.runAsUser", 0), *USER_NAMESPACE), level=R),
    row(
        "user_zero_in_user_namespace_too_early",
        changed(("pod.runAsUser", 0), *USER_NAMESPACE),
        "runAsUser=0 (pod must not set runAsUser=0)",
        level=R,
        minor=34,
    ),
    row("seccomp_unset", changed(("pod.seccompProfile", None)), SECCOMP, level=R),
    row(
        "seccomp_of_container",
        changed(("pod.seccompProfile", None), ("sc.seccompProfile", {"type": "Localhost"})),
        level=R,
    ),
    row("seccomp_on_windows", changed(("pod.seccompProfile", None), *WINDOWS), level=R),
    row(
        "seccomp_unconfined_once",
        changed(("sc.seccompProfile", {"type": "Unconfined"})),
        'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        level=R,
    ),
    row("capabilities_kept", changed(("sc.capabilities", None)), DROP_ALL, level=R),
    row("capabilities_all_in_small", changed(("sc.capabilities", {"drop": ["all"]})), DROP_ALL, level=R),
    row("capabilities_on_windows", changed(("sc.capabilities", None), *WINDOWS), level=R),
    row(
        "net_bind_service",
        changed(("sc.capabilities", {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})),
        level=R,
    ),
    row(
        "capability_of_the_default_set",
        changed(("sc.capabilities", {"drop": ["NET_RAW"], "add": ["CHOWN"]})),
        'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; '
        'container "a" must not include "CHOWN" in securityContext.capabilities.add)',
        level=R,
    ),
    row(
        "proc_mount_in_user_namespace",
        changed(("sc.procMount", "Unmasked"), *USER_NAMESPACE),
        'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        level=R,
        minor=35,
    ),
    row(
        "proc_mount_before_it_had_a_control_of_its_own",
        changed(("sc.procMount", "Unmasked"), *USER_NAMESPACE),
        'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        level=R,
        minor=34,
    ),
    row(
        "proc_mount_told_once",
        changed(("sc.procMount", "Unmasked")),
        'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        level=R,
    ),
    row("baseline_counts_too", changed(("spec.hostPID", True)), "host namespaces (hostPID)", level=R),
]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "minor", "pod", "refusals"), [*BASELINE_ROWS, *PROBE_ROWS, *RESTRICTED_ROWS]
)
def test_control(level, minor, pod, refusals):
    assert answers(pod, level, minor) == refusals


@pytest.mark.parametrize("minor", range(OLDEST, NEWEST + 1))
@pytest.mark.parametrize(("name", "since"), SYSCTLS.items())
def test_sysctl(name, since, minor):
    pod = changed(("pod.sysctls", [{"name": name, "value": "1"}]))
    refused = [] if minor >= since else [f"forbidden sysctls ({name})"]
    assert answers(pod, B, minor) == refused


def test_the_answer_is_that_of_kubernetes():
    pod = {"spec": {"containers": [{"name": "nginx", "image": "nginx"}]}}
    found = violations(parsed(pod), R)
    assert forbidden_text(found, R) == (
        'violates PodSecurity "restricted:v1.37": '
        'allowPrivilegeEscalation != false (container "nginx" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "nginx" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "nginx" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "nginx" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )


STANDARDS = [c for c in pod_controls() if c.level is not Level.PRIVILEGED]


@pytest.mark.parametrize("control", STANDARDS, ids=lambda c: c.name)
def test_every_control_is_in_the_table(control):
    """A control that no row breaks is a control that nobody tested."""
    rows = [*BASELINE_ROWS, *PROBE_ROWS, *RESTRICTED_ROWS]
    broken = {
        violation.control.name
        for level, minor, pod, _ in (row.values for row in rows)
        for violation in violations(parsed(pod), level, minor)
    }
    assert control.name in broken


@pytest.mark.parametrize("minor", range(OLDEST, NEWEST + 1))
@pytest.mark.parametrize(
    "pod",
    [pytest.param(r.values[2], id=r.id) for r in [*BASELINE_ROWS, *PROBE_ROWS] if r.values[3]],
)
def test_what_baseline_refuses_restricted_refuses(pod, minor):
    """A stricter control may only stand for another in versions that have it."""
    if answers(pod, B, minor):
        assert answers(pod, R, minor)


def test_names_and_rules_are_their_own():
    controls = pod_controls()
    for names in ([c.name for c in controls], [c.rule_id for c in controls]):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("control", pod_controls(), ids=lambda c: c.name)
def test_control_says_why_and_what_to_do(control):
    texts = (control.title, control.why, control.remedy, control.fields)
    assert all(texts)
    assert control.rule_id.startswith("pod/")
    assert OLDEST <= (control.since or OLDEST) <= NEWEST
    assert all(OLDEST < minor <= NEWEST for minor, _ in control.changed)
