"""``admission.pod_security``: which namespace has which standard, and what is no such setting."""

from __future__ import annotations

import pytest
from support.admission_samples import pod

from scanner.app_admission import namespaces, pod_check
from scanner.errors import SettingsError

PLAIN = pod("a:1")
PRIVILEGED = {"spec": {"containers": [{"name": "c", "securityContext": {"privileged": True}}]}}


@pytest.mark.parametrize(
    ("entries", "namespace", "refused"),
    [
        ([], "prod", [False, False]),
        (["*=baseline"], "prod", [False, True]),
        (["*=baseline"], "", [False, True]),
        (["*=restricted:v1.29"], "prod", [True, True]),
        (["prod-*=restricted", "*=baseline"], "prod-a", [True, True]),
        (["prod-*=restricted", "*=baseline"], "test", [False, True]),
        (["test=privileged", "*=restricted"], "test", [False, False]),
        (["prod=restricted"], "test", [False, False]),
    ],
)
def test_levels(entries, namespace, refused):
    check = pod_check(entries)
    assert [bool(check(one, namespace)) for one in (PLAIN, PRIVILEGED)] == refused


def test_a_pod_that_is_none():
    (reason,) = pod_check(["*=baseline"])({"spec": {"containers": [{"ports": "all"}]}}, "prod")
    assert "not a pod as Kubernetes has it" in reason


@pytest.mark.parametrize(
    "entry", ["", "baseline", "=baseline", "*=strict", "*=baseline:1.2.3", "*=baseline:v1.20", "*="]
)
def test_wrong_entries(entry):
    with pytest.raises(SettingsError, match=r"admission\.pod_security"):
        pod_check([entry])


def test_namespaces():
    matches = namespaces(["kube-*", "lab"])
    assert [matches(one) for one in ("kube-system", "lab", "lab2", "")] == [
        True,
        True,
        False,
        False,
    ]
    assert not namespaces([])("prod")
