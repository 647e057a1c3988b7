"""What the Django service of the tests answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path

from tracer_bullet.context import current


def who() -> str | None:
    context = current()
    return None if context is None else context.run_id


def show(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"run": who()})


def place(request: HttpRequest) -> JsonResponse:
    from tests.unit.guards.django_site import Order

    try:
        with transaction.atomic():
            order = Order.objects.create(sku=request.GET["sku"])
    except IntegrityError:
        return JsonResponse({"error": "there already"}, status=409)
    return JsonResponse({"run": who(), "count": Order.objects.count(), "id": order.pk}, status=201)


async def place_async(request: HttpRequest) -> JsonResponse:
    from tests.unit.guards.django_site import Order

    first, second = await asyncio.gather(
        Order.objects.acreate(sku=request.GET["sku"]), Order.objects.acreate(sku=request.GET["sku"] + "-2")
    )
    await first.arefresh_from_db()
    return JsonResponse({"run": who(), "count": await Order.objects.acount(), "ids": [first.pk, second.pk]}, status=201)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Writes while its answer is already on the way."""
    from tests.unit.guards.django_site import Order

    def parts() -> Iterator[bytes]:
        Order.objects.create(sku=request.GET["sku"])
        yield (who() or "nobody").encode()

    return StreamingHttpResponse(parts())


urlpatterns: list[Any] = [
    path("", show),
    path("place", place),
    path("place-async", place_async),
    path("stream", stream),
]
