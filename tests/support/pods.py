"""Pods to check: one that every level allows, and changes to it."""

from __future__ import annotations

import copy

from scanner.pod_security.pods import parse_pod

DIGEST = "sha256:" + "a" * 64
IMAGE = f"registry.example/app:1.2@{DIGEST}"

MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    spec:
      hostPID: true
      containers:
        - name: web
          image: registry.example/shop/web:1.4
          securityContext:
            runAsNonRoot: true
            allowPrivilegeEscalation: false
            capabilities: {drop: [ALL]}
            seccompProfile: {type: RuntimeDefault}
"""
"""What the documentation checks."""

GOOD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "good"},
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "a",
                "image": IMAGE,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
                "resources": {"limits": {"memory": "64Mi"}},
            }
        ],
    },
}


def changed(*changes):
    """Return ``GOOD`` with fields set: ``("spec.hostPID", True)``; None takes a field away.

    ``a`` stands for ``spec.containers.0``, ``sc`` for its security context, ``pod`` for the pod's.
    """
    pod = copy.deepcopy(GOOD)
    short = {
        "a": ["spec", "containers", "0"],
        "sc": ["spec", "containers", "0", "securityContext"],
        "pod": ["spec", "securityContext"],
    }
    for path, value in changes:
        first, *rest = path.split(".")
        steps = [*short.get(first, [first]), *rest]
        node = pod
        for step in steps[:-1]:
            node = node[int(step)] if step.isdigit() else node.setdefault(step, {})
        if value is None:
            node.pop(steps[-1], None)
        else:
            node[steps[-1]] = value
    return pod


def with_containers(field, *names, **security):
    """Return ``GOOD`` with more containers, whose security context is that of ``a`` with these fields set."""
    pod = copy.deepcopy(GOOD)
    like = pod["spec"]["containers"][0]
    more = [
        {**like, "name": name, "securityContext": {**like["securityContext"], **security}}
        for name in names
    ]
    pod["spec"].setdefault(field, []).extend(more)
    return pod


def parsed(value):
    return parse_pod(value, "pod")
