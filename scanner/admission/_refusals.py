"""What an API server is told where there is no ruling: it shows the message of a ``Status``, and then fails the call.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

from typing import Final

import msgspec

from scanner.admission._texts import cut
from scanner.ports.admission import ProtocolReply, Refused

_REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    408: "Timeout",
    413: "RequestEntityTooLarge",
    503: "ServiceUnavailable",
}
_MESSAGE_LENGTH: Final = 500


def status_of(refused: Refused) -> ProtocolReply:
    """Return the failure as Kubernetes writes it."""
    status = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": _REASONS.get(refused.status, "InternalError"),
        "code": refused.status,
        "message": cut(f"scanner: {refused.detail or refused.code}", _MESSAGE_LENGTH),
    }
    return ProtocolReply(body=msgspec.json.encode(status), status=refused.status)
