"""What is known of an image, by digest: the answer that a deployment waits for."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import msgspec
from aiohttp import web

from scanner.model import LayerSummary
from scanner.ports import ImageSummary, PackageRecord, Page
from scanner.web._image_answer import (
    ImageAnswer,
    ImageState,
    answer_of,
    answer_without_image,
    now_at,
    with_verdict,
)
from scanner.web._keys import IMAGES
from scanner.web._negotiate import etag_of, is_known
from scanner.web._parameters import (
    DigestText,
    MaxAge,
    Namespace,
    OfImage,
    PageOfImage,
    Repository,
    require_image,
)
from scanner.web._problems import unknown
from scanner.web._route import Call, Content, Route, Scope, json_answer

_QUERIED_COUNT: Final = 1_000
_REASONS: Final = 100
_REASONS_OF_MANY: Final = 10
"""Reasons told of each image."""
REVALIDATE: Final = "private, no-cache"
"""Keep it, but ask each time: the next scan may say something else."""
IF_NONE_MATCH: Final = {"If-None-Match": "``ETag`` of the answer that the client has"}


class WantedImage(OfImage, frozen=True, kw_only=True):
    """Which image, how old an answer counts, and whose verdict is asked for."""

    max_age_seconds: MaxAge | None = None
    namespace: Namespace = ""
    repository: Repository = ""


class ImagesWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images to be told of."""

    digests: Annotated[tuple[DigestText, ...], msgspec.Meta(max_length=_QUERIED_COUNT)]
    max_age_seconds: MaxAge | None = None
    namespace: Namespace = ""


class ImageAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """One answer per digest."""

    images: tuple[ImageAnswer, ...]
    """In the order in which they were asked for."""


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """An image's layers."""

    items: tuple[LayerSummary, ...]
    """Oldest first; none for an index."""


async def get_image(call: Call[WantedImage, None]) -> web.StreamResponse:
    """Return what is known of a digest: its state, and with a result its counts, what was looked at, and the verdict.

    An image that waits or is being scanned answers 200, too, with the id of its scan.
    """
    digest = call.parameters.digest
    image = await call.request.app[IMAGES].add(digest)
    if image is None:
        return await _without_image(call)
    answer = answer_of(
        image,
        call.context.fingerprint,
        max_age_seconds=call.parameters.max_age_seconds,
        now=now_at(),
    )
    verdict = await call.context.judge.of_image(
        image, name=call.parameters.repository, namespace=call.parameters.namespace
    )
    answer = with_verdict(answer, verdict, most_reasons=_REASONS)
    call.context.metrics.answers.labels(answer.state).inc()
    body = msgspec.json.encode(answer)
    headers = {"ETag": etag_of(body), "Cache-Control": REVALIDATE}
    if is_known(call.request.headers.get("If-None-Match", ""), headers["ETag"]):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = "application/json"
    return web.Response(body=body, headers=headers)


async def _without_image(call: Call[WantedImage, None]) -> web.StreamResponse:
    digest = call.parameters.digest
    answer = answer_without_image(digest, await call.context.store.scan_of(digest))
    call.context.metrics.answers.labels(answer.state).inc()
    if answer.state is ImageState.UNKNOWN:
        raise unknown("the image")
    verdict = call.context.judge.of_nothing(
        digest, name=call.parameters.repository, namespace=call.parameters.namespace
    )
    answer = with_verdict(answer, verdict, most_reasons=_REASONS)
    return json_answer(answer, headers={"Cache-Control": "no-store"})


async def query_images(call: Call[msgspec.Struct, ImagesWanted]) -> web.StreamResponse:
    """Return what is known of up to 1,000 digests; those never heard of are ``unknown``."""
    store, wanted = call.context.store, call.body
    known = await store.images(set(wanted.digests))
    missing = {digest for digest in wanted.digests if digest not in known}
    found = await asyncio.gather(*(_judged(call, image) for image in known.values()))
    answers = {answer.digest: answer for answer in found}
    scans = await store.scans_of(missing) if missing else {}
    for digest in missing:
        answer = answer_without_image(digest, scans.get(digest))
        verdict = call.context.judge.of_nothing(digest, namespace=wanted.namespace)
        answers[digest] = with_verdict(answer, verdict, most_reasons=_REASONS_OF_MANY)
    for answer in answers.values():
        call.context.metrics.answers.labels(answer.state).inc()
    told = ImageAnswers(images=tuple(answers[digest] for digest in wanted.digests))
    return json_answer(told, headers={"Cache-Control": "no-store"})


async def _judged(call: Call[msgspec.Struct, ImagesWanted], image: ImageSummary) -> ImageAnswer:
    wanted = call.body
    answer = answer_of(
        image, call.context.fingerprint, max_age_seconds=wanted.max_age_seconds, now=now_at()
    )
    verdict = await call.context.judge.of_image(image, namespace=wanted.namespace)
    return with_verdict(answer, verdict, most_reasons=_REASONS_OF_MANY)


async def list_packages(call: Call[PageOfImage, None]) -> web.StreamResponse:
    """Return an image's packages in the order of its report; of an index, image by image."""
    asked = call.parameters
    store = call.context.store
    page = await store.packages(asked.digest, after=asked.after, limit=asked.limit)
    if not page.items:
        await require_image(store, asked.digest)
    return json_answer(page)


async def list_layers(call: Call[OfImage, None]) -> web.StreamResponse:
    """Return an image's layers, oldest first, with what each holds and which build step made it."""
    store, digest = call.context.store, call.parameters.digest
    layers = await store.layers(digest)
    if not layers:
        await require_image(store, digest)
    return json_answer(Layers(items=layers))


_KNOWN: Final = Content(
    type=ImageAnswer, description="What is known", headers=("ETag", "Cache-Control")
)
_UNCHANGED: Final = Content(media_types=(), description="As the client has it", headers=("ETag",))

ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/images/{digest}",
        summary="What is known of a digest",
        handler=get_image,
        parameters=WantedImage,
        answers={200: _KNOWN, 304: _UNCHANGED},
        problems=(404,),
        scope=Scope.READ,
        headers=IF_NONE_MATCH,
        tag="images",
    ),
    Route(
        method="POST",
        path="/v1/images/query",
        summary="What is known of many digests",
        handler=query_images,
        body=ImagesWanted,
        answers={200: Content(type=ImageAnswers)},
        scope=Scope.READ,
        tag="images",
    ),
    Route(
        method="GET",
        path="/v1/images/{digest}/packages",
        summary="An image's packages",
        handler=list_packages,
        parameters=PageOfImage,
        answers={200: Content(type=Page[PackageRecord])},
        problems=(404,),
        scope=Scope.READ,
        tag="images",
    ),
    Route(
        method="GET",
        path="/v1/images/{digest}/layers",
        summary="An image's layers",
        handler=list_layers,
        parameters=OfImage,
        answers={200: Content(type=Layers)},
        problems=(404,),
        scope=Scope.READ,
        tag="images",
    ),
)
