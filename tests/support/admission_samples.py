"""What clusters ask: one body a protocol, as each sends it."""

from __future__ import annotations

import json
from typing import Any

VERSIONS = {
    "kubernetes": ("admission.k8s.io/v1", "AdmissionReview"),
    "image-review": ("imagepolicy.k8s.io/v1alpha1", "ImageReview"),
    "gatekeeper": ("externaldata.gatekeeper.sh/v1beta1", "ProviderRequest"),
}
UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


def pod(*images: str, **more: Any) -> dict[str, Any]:
    containers = [{"name": f"c{n}", "image": image} for n, image in enumerate(images)]
    return {"metadata": {"name": "web"}, "spec": {"containers": containers, **more}}


def review(value: Any, kind: str = "Pod", *, group: str = "", **more: Any) -> dict[str, Any]:
    """Return an AdmissionReview of an object."""
    api_version, review_kind = VERSIONS["kubernetes"]
    request = {
        "uid": UID,
        "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": f"{kind.lower()}s"},
        "name": "web",
        "namespace": "prod",
        "operation": "CREATE",
        "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
        "object": value,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return {"apiVersion": api_version, "kind": review_kind, "request": request | more}


def asked(protocol: str, *images: str, namespace: str = "prod") -> dict[str, Any]:
    """Return what a caller sends to ask for images."""
    if protocol == "kubernetes":
        return review(pod(*images), namespace=namespace)
    if protocol == "images":
        return {"images": list(images), "namespace": namespace}
    api_version, kind = VERSIONS[protocol]
    body: dict[str, Any] = {"apiVersion": api_version, "kind": kind}
    if protocol == "gatekeeper":
        return body | {"request": {"keys": list(images)}}
    containers = [{"image": image} for image in images]
    return body | {"spec": {"containers": containers, "namespace": namespace}}


def is_allowed(protocol: str, told: Any) -> bool:
    """Return what a caller makes of an answer."""
    if protocol == "kubernetes":
        return bool(told["response"]["allowed"])
    if protocol == "image-review":
        return bool(told["status"]["allowed"])
    if protocol == "gatekeeper":
        response = told["response"]
        return not response["systemError"] and not any("error" in i for i in response["items"])
    return bool(told["allowed"])


def text(told: Any) -> str:
    return json.dumps(told, ensure_ascii=False)
