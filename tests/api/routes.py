"""A router of a project's own, with async routes, and the URLs of an API that has it."""

from django.urls import include, path
from ninja import Router
from pydantic import BaseModel

from pgknowbase.api.application import build_api
from pgknowbase.api.callers import caller_of
from pgknowbase.api.events import Event, event_stream
from pgknowbase.api.idempotency import idempotent
from pgknowbase.api.links import NAMESPACE
from pgknowbase.api.problems import Problem

router = Router(tags=["runs"])
runs = []


class Run(BaseModel):
    prompt: str


@router.post("runs/", response=Run)
@idempotent
async def run(request, asked: Run):
    caller_of(request).require("search")
    runs.append(asked.prompt)
    if asked.prompt == "refuse":
        raise Problem(409, "refused", "Not now: try later.")
    if asked.prompt == "crash":
        raise RuntimeError("bang")
    return Run(prompt=f"{asked.prompt} of {caller_of(request).user}")


@router.get("stream/")
async def stream(request):
    async def events():
        yield Event("user", str(caller_of(request).user))

    return event_stream(request, events())


def urls():
    api = build_api()
    return [path("own/", include((api.patterns(), NAMESPACE)))]
