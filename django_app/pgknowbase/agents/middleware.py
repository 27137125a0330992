"""``request.orchestrator_deps``: what agents need to act for the request's user."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from pgknowbase.agents.deps import DjangoDeps

Handler = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def orchestrator_deps(get_response: Handler) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Set ``request.orchestrator_deps``: ``DjangoDeps`` for a signed-in user, None otherwise.

    It works for sync and async handlers. In ``MIDDLEWARE`` it stands after ``AuthenticationMiddleware``.
    """
    if iscoroutinefunction(get_response):

        async def answer_async(request: Any) -> HttpResponseBase:
            user = await request.auser() if hasattr(request, "auser") else None
            request.orchestrator_deps = await _deps_of(request, user)
            response: HttpResponseBase = await get_response(request)
            return response

        return answer_async

    def answer(request: Any) -> HttpResponseBase:
        signed_in = getattr(getattr(request, "user", None), "is_authenticated", False)
        request.orchestrator_deps = DjangoDeps.from_request(request) if signed_in else None
        response: HttpResponseBase = get_response(request)
        return response

    return answer


async def _deps_of(request: HttpRequest, user: Any) -> DjangoDeps | None:
    if user is None or not user.is_authenticated:
        return None
    return await DjangoDeps.afrom_request(request)
