"""Which images and which pod an AdmissionReview is about."""

from __future__ import annotations

import json

import pytest
from support.admission_samples import pod, review

from scanner.admission.kubernetes import parse
from scanner.errors import MalformedEventError

POD = pod(
    "c:1",
    initContainers=[{"name": "i", "image": "i:1"}],
    ephemeralContainers=[{"name": "e", "image": "e:1"}, {"name": "none"}],
    volumes=[{"name": "v", "image": {"reference": "v:1"}}, {"name": "w", "emptyDir": {}}],
)
IMAGES = ("i:1", "c:1", "e:1", "v:1")
TEMPLATE = {"template": POD}


def question(value, kind="Pod", **more):
    return parse(json.dumps(review(value, kind, **more)).encode())


@pytest.mark.parametrize(
    ("value", "kind", "group"),
    [
        (POD, "Pod", ""),
        ({"template": POD}, "PodTemplate", ""),
        ({"spec": TEMPLATE}, "ReplicationController", ""),
        ({"spec": TEMPLATE}, "Deployment", "apps"),
        ({"spec": TEMPLATE}, "ReplicaSet", "apps"),
        ({"spec": TEMPLATE}, "StatefulSet", "apps"),
        ({"spec": TEMPLATE}, "DaemonSet", "apps"),
        ({"spec": TEMPLATE}, "Job", "batch"),
        ({"spec": {"jobTemplate": {"spec": TEMPLATE}}}, "CronJob", "batch"),
        ({"spec": TEMPLATE}, "Rollout", "argoproj.io"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_every_kind_with_pods(value, kind, group):
    found = question(value, kind, group=group)
    assert (found.images, found.pod) == (IMAGES, POD)
    assert (found.subject, found.namespace, found.user) == (f"{kind}/web", "prod", "alice")


def test_templates_anywhere_in_kinds_of_others():
    value = {"spec": {"workers": [{"template": pod("a:1")}, {"template": pod("b:1")}]}}
    found = question(value, "PyTorchJob", group="kubeflow.org")
    assert (found.images, found.pod) == (("a:1", "b:1"), None)


@pytest.mark.parametrize(
    "value",
    [
        {"spec": {"replicas": 3}},
        {"spec": {"containers": "all", "volumes": {}}},
        {"spec": {"containers": ["a", 7, None, {"image": {"repository": "x"}}]}},
        {"status": pod("a:1"), "metadata": {"containers": [{"image": "a:1"}]}},
    ],
)
def test_nothing_to_judge(value):
    found = question(value, "Scale", group="autoscaling")
    assert (found.images, found.pod) == ((), None)


@pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
def test_other_operations(operation):
    found = question(None, operation=operation, oldObject=POD)
    assert (found.images, found.pod, found.operation) == ((), None, operation)


def test_only_what_is_new():
    new = pod("c:1", "d:2")
    found = question(new, operation="UPDATE", oldObject=pod("c:1"))
    assert (found.images, found.pod) == (("d:2",), new)


def test_a_change_that_is_none_to_the_pod():
    old = {"metadata": {"labels": {"a": "1"}}, "spec": POD["spec"]}
    found = question(POD, operation="UPDATE", oldObject=old)
    assert (found.images, found.pod) == ((), None)


def test_containers_added_to_a_running_pod():
    new = pod("c:1", ephemeralContainers=[{"name": "debug", "image": "shell:1"}])
    found = question(
        new, operation="UPDATE", oldObject=pod("c:1"), subResource="ephemeralcontainers"
    )
    assert found.images == ("shell:1",)


def test_a_name_that_is_still_to_be_given():
    value = {"metadata": {"generateName": "web-"}, "spec": POD["spec"]}
    assert question(value, name="").subject == "Pod/web-*"


def test_dry_run():
    assert question(POD, dryRun=True).is_dry_run
    assert not question(POD, dryRun=None).is_dry_run


@pytest.mark.parametrize(
    ("value", "kind", "group"),
    [
        (None, "Pod", ""),
        ({}, "Pod", ""),
        ({"spec": []}, "Pod", ""),
        ({"spec": {}}, "Deployment", "apps"),
        ({"spec": {"template": {"spec": None}}}, "Job", "batch"),
    ],
)
def test_objects_that_cannot_be(value, kind, group):
    with pytest.raises(MalformedEventError):
        question(value, kind, group=group)


def test_without_a_request():
    body = {k: v for k, v in review(POD).items() if k != "request"}
    with pytest.raises(MalformedEventError, match="no request"):
        parse(json.dumps(body).encode())
