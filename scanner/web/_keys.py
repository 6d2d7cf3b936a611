"""What the application holds beside the context, under typed keys."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from scanner.web._auth import TokenCheck
from scanner.web._batch import Batch
from scanner.web._context import AcceptedPush
from scanner.web._route import Route

TOKEN_CHECK: Final = web.AppKey("token_check", TokenCheck)
ROUTES: Final = web.AppKey("routes", tuple[Route[Any, Any], ...])
PUSHES: Final = web.AppKey("pushes", Batch[AcceptedPush, str])
