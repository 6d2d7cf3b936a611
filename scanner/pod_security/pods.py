"""A pod out of plain values, as an API server or a manifest has them.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

from typing import Any

import msgspec

from scanner.decoding import convert
from scanner.errors import MalformedFileError
from scanner.model.pod import Pod


def parse_pod(value: Any, where: str) -> Pod:
    """Return a pod, or the template of one: anything with ``metadata`` and ``spec``. A null is as good as nothing.

    Raises:
        MalformedFileError: a field has a type that Kubernetes refuses; ``where`` is its path.
    """
    try:
        return convert(_without_nulls(value), Pod)
    except msgspec.ValidationError as error:
        raise MalformedFileError(where, f"not a pod as Kubernetes has it: {error}") from None
    except RecursionError:
        raise MalformedFileError(where, "nested too deep") from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [{} if inner is None else _without_nulls(inner) for inner in value]
    return value
