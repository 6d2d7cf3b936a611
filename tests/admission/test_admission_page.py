"""docs/admission.md: every protocol is there, and every manifest is one, complete and closed by default."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from support.admission_samples import review

from scanner.admission.kubernetes import parse
from scanner.app_admission import pod_check
from scanner.discovery import admission_protocols

PAGE = (Path(__file__).resolve().parents[2] / "docs/admission.md").read_text()
BLOCKS = [
    yaml.safe_load(m[1])
    for m in re.finditer(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
]


def of_kind(kind):
    return [one for one in BLOCKS if one["kind"] == kind]


@pytest.mark.parametrize("protocol", admission_protocols())
def test_every_protocol(protocol):
    assert f"`/v1/admission/{protocol}`" in PAGE


def test_every_manifest_is_one():
    kinds = [one["kind"] for one in BLOCKS]
    assert sorted(set(kinds)) == [
        "AdmissionConfiguration", "ClusterPolicy", "Config", "ConstraintTemplate", "Provider",
        "ScannedImages", "ValidatingWebhookConfiguration",
    ]  # fmt: skip
    assert all(one["apiVersion"] for one in BLOCKS)
    names = [one["metadata"]["name"] for one in BLOCKS if "metadata" in one]
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def protocol_at(path):
    assert path.startswith("/v1/admission/")
    name = path.split("/")[3]
    assert name in admission_protocols()
    return name


def test_validating_webhook():
    (webhook,) = of_kind("ValidatingWebhookConfiguration")[0]["webhooks"]
    assert protocol_at(webhook["clientConfig"]["service"]["path"]) == "kubernetes"
    assert (webhook["failurePolicy"], webhook["admissionReviewVersions"]) == ("Fail", ["v1"])
    assert webhook["sideEffects"] == "NoneOnDryRun"
    assert 1 <= webhook["timeoutSeconds"] <= 30
    assert webhook["name"].count(".") >= 2
    resources = {resource for rule in webhook["rules"] for resource in rule["resources"]}
    assert resources >= {"pods", "pods/ephemeralcontainers", "deployments", "cronjobs", "jobs"}
    for rule in webhook["rules"]:
        assert rule["operations"] == ["CREATE", "UPDATE"]
        for resource in rule["resources"]:
            pods = {"spec": {"template": {"spec": {"containers": [{"image": "a:1"}]}}}}
            group = rule["apiGroups"][0]
            body = review(pods, kind_of(resource), group=group)
            if resource.startswith("pod"):
                continue
            if resource == "cronjobs":
                body["request"]["object"] = {"spec": {"jobTemplate": pods}}
            assert parse(json.dumps(body).encode()).images == ("a:1",)


def kind_of(resource):
    kinds = ("ReplicationController", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob")  # fmt: skip
    return next((k for k in kinds if f"{k.lower()}s" == resource), "Pod")


def test_image_policy_webhook():
    (plugin,) = (
        p
        for one in of_kind("AdmissionConfiguration")
        for p in one["plugins"]
        if p["name"] == "ImagePolicyWebhook"
    )
    assert plugin["configuration"]["imagePolicy"]["defaultAllow"] is False
    (cluster,) = (c for one in of_kind("Config") for c in one.get("clusters", ()))
    assert protocol_at(urlsplit(cluster["cluster"]["server"]).path) == "image-review"


def test_gatekeeper():
    (provider,) = of_kind("Provider")
    assert provider["apiVersion"] == "externaldata.gatekeeper.sh/v1beta1"
    assert protocol_at(urlsplit(provider["spec"]["url"]).path) == "gatekeeper"
    (template,) = of_kind("ConstraintTemplate")
    names = template["spec"]["crd"]["spec"]["names"]
    assert names["kind"].lower() == template["metadata"]["name"]
    assert of_kind(names["kind"])
    rego = template["spec"]["targets"][0]["rego"]
    wanted = ("errors", "system_error", "responses", "initContainers", "ephemeralContainers")
    assert [word for word in wanted if word not in rego] == []
    assert f'"provider": "{provider["metadata"]["name"]}"' in rego


def test_kyverno():
    (policy,) = of_kind("ClusterPolicy")
    (rule,) = policy["spec"]["rules"]
    (context,) = rule["context"]
    call = context["apiCall"]
    protocol = admission_protocols()[protocol_at(urlsplit(call["service"]["url"]).path)]
    assert (protocol.name, call["method"]) == ("images", "POST")
    values = {"images": ["a:1"], "namespace": "prod", "dry_run": False}
    body = {one["key"]: values[one["key"]] for one in call["data"]}
    assert protocol.parse(json.dumps(body).encode()).images == ("a:1",)
    assert rule["validate"]["failureAction"] == "Enforce"


def test_pod_security_entries():
    (text,) = re.findall(r"^pod_security = (.*)$", PAGE, re.MULTILINE)
    pod_check(json.loads(text))
