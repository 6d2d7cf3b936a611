"""Reading manifests: every kind that makes pods, lists, JSON, charts, and what is hostile or none."""

from __future__ import annotations

import copy
import json

import pytest
from support.pods import GOOD, changed

from scanner.model import FileIssue
from scanner.pod_security.check import check_file
from scanner.pod_security.manifests import MANIFESTS_BYTES, KubernetesObject, read_objects, value_of
from scanner.pod_security.workloads import POD_PATHS
from scanner.ports.control import Level, PodContext

API = {"CronJob": "batch/v1", "Job": "batch/v1", "Pod": "v1", "PodTemplate": "v1"}


def check(data, level=Level.RESTRICTED):
    text = data if isinstance(data, bytes | str) else json.dumps(data)
    return check_file(
        "m.yaml", text.encode() if isinstance(text, str) else text, level, PodContext(37)
    )


def told(checked):
    return [(f.rule_id, f.line, f.evidence["field"]) for f in checked.findings]


def issues(checked):
    return [(issue.path, issue.reason) for issue in checked.issues]


def workload(kind, spec, api=None):
    value = {"spec": spec}
    for step in reversed(POD_PATHS.get(kind, ("spec", "template"))):
        value = {step: value}
    return {
        "apiVersion": api or API.get(kind, "apps/v1"),
        "kind": kind,
        "metadata": {"name": "x"},
        **value,
    }


BAD = changed(("spec.hostPID", True))["spec"]


@pytest.mark.parametrize("kind", POD_PATHS)
def test_kind(kind):
    checked = check(workload(kind, BAD))
    field = ".".join((*POD_PATHS[kind], "spec", "hostPID"))
    assert told(checked) == [("pod/host-namespace", 1, field)]
    assert (checked.objects_count, checked.pods_count, checked.issues, checked.skipped) == (
        1,
        1,
        (),
        (),
    )


@pytest.mark.parametrize("kind", POD_PATHS)
def test_kind_without_a_pod_is_an_issue(kind):
    checked = check(
        {"apiVersion": API.get(kind, "apps/v1"), "kind": kind, "metadata": {"name": "x"}}
    )
    where = ".".join((*POD_PATHS[kind], "spec"))
    assert issues(checked) == [(f"m.yaml:1: {kind}/x", f"there is no {where}")]


@pytest.mark.parametrize(
    ("api", "kind"),
    [
        ("argoproj.io/v1alpha1", "Rollout"),
        ("serving.knative.dev/v1", "Service"),
        ("x.example/v1", "Pod"),
    ],
)
def test_custom_resources_that_make_pods_are_checked(api, kind):
    custom = {"apiVersion": api, "kind": kind, "spec": {"template": {"spec": BAD}}}
    assert told(check(custom)) == [("pod/host-namespace", 1, "spec.template.spec.hostPID")]


@pytest.mark.parametrize(
    "spec",
    [{}, {"template": {"spec": {"containers": []}}}, {"template": {"spec": {"containers": ["a"]}}}],
)
def test_other_custom_resources_are_told(spec):
    checked = check(
        {"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}
    )
    reason = "kind Thing (x.example/v1) is not known to make pods"
    assert checked.skipped == (FileIssue(path="m.yaml:1: Thing/t", reason=reason, code="skipped"),)


def test_kinds_without_pods_need_no_word():
    checked = check(
        "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n"
    )
    assert (checked.objects_count, checked.issues, checked.skipped) == (2, (), ())


@pytest.mark.parametrize(
    ("kind", "of_item"), [("List", {"kind": "Pod", "apiVersion": "v1"}), ("PodList", {})]
)
def test_lists(kind, of_item):
    items = [{**of_item, "metadata": {"name": n}, "spec": BAD} for n in ("a", "b")]
    checked = check({"apiVersion": "v1", "kind": kind, "items": items})
    assert [(f.evidence["object"], f.evidence["field"]) for f in checked.findings] == [
        ("Pod/a", "spec.hostPID"),
        ("Pod/b", "spec.hostPID"),
    ]


def test_lists_in_lists():
    inner = {"kind": "List", "items": [{**GOOD, "spec": BAD}]}
    assert check({"kind": "List", "items": [inner, "text", {}]}).pods_count == 1


CHART = """\
---
# Source: shop/templates/account.yaml
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
---
# Source: shop/templates/web.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: &labels
    app: web
spec:
  selector: {matchLabels: *labels}
  template:
    metadata: {labels: *labels}
    spec:
      serviceAccountName: web
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - &base
          name: web
          image: "shop:1@sha256:%s"
          resources: {limits: {memory: 1Gi}}
          securityContext: &strict
            allowPrivilegeEscalation: false
            capabilities: {drop: [ALL]}
        - <<: *base
          name: side
          securityContext:
            <<: *strict
            privileged: yes
---
# Source: shop/templates/empty.yaml
---

""" % ("a" * 64)  # fmt: skip


def test_what_helm_prints():
    checked = check(CHART)
    assert checked.objects_count == 2
    assert [(f.rule_id, f.line, f.evidence) for f in checked.findings] == [
        (
            "pod/privileged",
            34,
            {
                "object": "Deployment/web",
                "field": "spec.template.spec.containers[1].securityContext.privileged",
                "container": "side",
                "value": "true",
                "template": "shop/templates/web.yaml",
            },
        )
    ]
    assert checked.issues == checked.skipped == ()


def test_the_fingerprint_outlives_moves():
    before = check(workload("Deployment", BAD)).findings[0]
    after = check("# moved\n\n" + json.dumps(workload("Deployment", {**BAD, "x": 1}))).findings[0]
    assert (before.line, after.line) == (1, 3)
    assert before.fingerprint == after.fingerprint
    assert len(before.fingerprint) == 32


def test_fingerprints_of_a_file_are_distinct():
    spec = {"containers": [{"name": n, "ports": [{"hostPort": 1}, {"hostPort": 2}],
            "securityContext": {"capabilities": {"add": ["NET_RAW", "SYS_ADMIN"]}}} for n in "ab"],
            "volumes": [{"name": n, "hostPath": {"path": f"/{n}"}} for n in "ab"]}  # fmt: skip
    found = [f.fingerprint for f in check(workload("Deployment", spec)).findings]
    assert len(set(found)) == len(found) > 15


@pytest.mark.parametrize("word", ["true", "yes", "on", "True", "YES", "On", "y"])
def test_words_that_kubernetes_takes_for_true(word):
    text = json.dumps(GOOD).replace('"containers"', f'"hostPID": {word}, "containers"')
    assert [rule for rule, _, _ in told(check(text))] == ["pod/host-namespace"]


@pytest.mark.parametrize("zero", ["0", "0x0", "0o0", "00", "0b0", "-0", "+0", "0_0", "0.0", "0e0"])
def test_zeros_that_kubernetes_takes_for_root(zero):
    text = json.dumps(changed(("sc.runAsUser", 7))).replace(
        '"runAsUser": 7', f'"runAsUser": {zero}'
    )
    assert [rule for rule, _, _ in told(check(text))] == ["pod/run-as-user"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("010", 8), ("0x1F", 31), ("1_000", 1000), ("9", 9), ("09", 9), ("1.5", 1.5), ("1e3", 1000), (".0", 0), ("1e", "1e"),
     ("~", None), ("off", False), ("'yes'", "yes"), ("v1", "v1"), ("0xzz", "0xzz"), ("-", [None]), ("1-2", "1-2")],
)  # fmt: skip
def test_scalars(text, value):
    (one,) = read_objects(f"kind: X\nvalue: {text}\n" if text != "-" else "kind: X\nvalue:\n-\n")
    assert isinstance(one, KubernetesObject)
    assert value_of(one.node)["value"] == value


@pytest.mark.parametrize(
    ("field", "value"),
    [("spec.hostPID", "true"), ("sc.privileged", "true"), ("sc.privileged", 1), ("sc.runAsUser", "0"),
     ("sc.runAsUser", 0.5), ("spec.containers", {}), ("spec.containers", ["x"]), ("spec.volumes", [1]),
     ("sc.capabilities", {"add": "SYS_ADMIN"}), ("a.image", 7), ("metadata.annotations", {"a": 1}),
     ("a.ports", [{"hostPort": "80"}])],
)  # fmt: skip
def test_fields_that_kubernetes_refuses_are_issues(field, value):
    checked = check(changed((field, value)))
    assert checked.findings == ()
    ((path, reason),) = issues(checked)
    assert path == "m.yaml:1: Pod/good"
    assert reason.startswith("not a pod as Kubernetes has it: Expected `")


POD_TEXT = json.dumps({**GOOD, "spec": BAD})


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("a: [", "not YAML: "),
        ("a: b: c", "not YAML: "),
        ("\tkind: Pod", "not YAML: "),
        ("kind: {{ .Values.kind }}", "a template of Helm"),
        ("- just\n- a list", "no object: "),
        ("only words", "no object: "),
        ("kind: Pod\nkind: Pod", "'kind' a second time"),
        ("a: *nothing", "the alias *nothing"),
        ("a: &a [*a]", "the alias *a"),
        ("a: !!python/object:os.system x", "a tag (!)"),
        ("<<: [1]", "a merge key (<<) takes a mapping"),
        ("? [a]\n: b", "a key must be a word"),
        ("a: " + "[" * 150 + "]" * 150, "nested deeper than 100 levels"),
    ],
)
def test_one_broken_document_hides_no_other(broken, reason):
    checked = check(f"{POD_TEXT}\n---\n{broken}\n---\n{POD_TEXT}\n")
    assert checked.pods_count == 2
    assert len(checked.findings) == 2
    ((path, told_reason),) = issues(checked)
    assert path.startswith("m.yaml:")
    assert 3 <= int(path.partition(":")[2]) <= 5
    assert told_reason.startswith(reason)


def laughs(levels, width=9):
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"\xff\xfek\x00", "not UTF-8 at byte 0", id="utf_16"),
        pytest.param(b"kind: \x00", "not YAML: ", id="nul"),
        pytest.param(b"kind: \x1b[31m", "not YAML: ", id="escape"),
        pytest.param(b"[" * 100_000, "not YAML: exceeded maximum nesting depth", id="brackets"),
        pytest.param(b"{a: " * 100_000, "nested deeper than 100 levels", id="braces"),
        pytest.param(b"- " * 100_000, "", id="dashes"),
        pytest.param(laughs(12).encode(), "more than 1,000,000 values", id="billion_laughs"),
        pytest.param(b"a: 1\n---\n" * 10_001, "more than 10,000 documents", id="documents"),
        pytest.param(b" " * (MANIFESTS_BYTES + 1), "longer than 16,777,216 bytes", id="too_large"),
        pytest.param(b"kind: 'x", "not YAML: ", id="unclosed"),
        pytest.param(b'{"kind": "\\ud83d"}', "not YAML: ", id="half_a_character"),
    ],
)
def test_hostile(data, reason):
    checked = check(data)
    assert checked.findings == ()
    assert checked.issues
    assert checked.issues[-1].reason.startswith(reason)


def test_deep_aliases_are_as_deep_as_what_they_stand_for():
    text = "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60
    assert check(text).issues[0].reason == "nested deeper than 100 levels"


def test_whole_characters_of_json():
    pod = {**GOOD, "metadata": {"name": "\U0001f600"}, "spec": BAD}
    (finding,) = check(json.dumps(pod)).findings
    assert finding.evidence["object"] == "Pod/\U0001f600"


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n---\n", "null\n", "\ufeff", "%YAML 1.1\n---\n# x\n"]
)
def test_nothing(text):
    checked = check(text)
    assert (checked.objects_count, checked.issues, checked.skipped) == (0, (), ())


def test_values_are_no_manifest():
    assert check("replicas: 3\n").skipped == (
        FileIssue(path="m.yaml:1", reason="no manifest: it has no kind", code="skipped"),
    )


def test_windows_lines_and_marks():
    text = "\ufeff" + "---\r\n" + CHART.replace("\n", "\r\n")
    assert [f.line for f in check(text).findings] == [35]


def test_null_is_nothing():
    pod = changed(("sc.seccompProfile", {}), ("spec.initContainers", []))
    text = (
        json.dumps(pod)
        .replace('"seccompProfile": {}', '"seccompProfile": null')
        .replace("[]", "null")
    )
    assert "null" in text
    assert check(text).findings == check(text).issues == ()


FULL = changed(
    ("spec.volumes", [{"name": "v", "hostPath": {"path": "/etc"}}, {"name": "i", "image": {"reference": "x"}}]),
    ("spec.os", {"name": "linux"}),
    ("a.ports", [{"hostPort": 1}]),
    ("a.livenessProbe", {"httpGet": {"host": "h"}}),
    ("a.lifecycle.preStop", {"tcpSocket": {"host": "h"}}),
    ("sc.seLinuxOptions", {"type": "x"}),
    ("sc.procMount", "Unmasked"),
    ("sc.capabilities", {"add": ["SYS_ADMIN"]}),
    ("pod.sysctls", [{"name": "n"}]),
    ("metadata.annotations", {"container.apparmor.security.beta.kubernetes.io/a": "x"}),
)  # fmt: skip


def places(value, path=()):
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()  # fmt: skip
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


@pytest.mark.parametrize("path", list(places(FULL)), ids=lambda p: ".".join(map(str, p)))
def test_no_value_of_any_field_raises(path):
    """What is not as Kubernetes has it is an issue or means nothing, whatever it is."""
    for value in (None, 1, -1.5, "x", True, [], {}, [None], [1], {"a": 1}, [{"name": 1}], 10**30):
        pod = copy.deepcopy(FULL)
        node = pod
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value
        checked = check(pod)
        assert checked.objects_count + len(checked.issues) + len(checked.skipped) >= 1
