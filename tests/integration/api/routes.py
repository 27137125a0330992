"""A router of a project's own, with async routes, and the URLs of an API that has it."""

from django.urls import include, path
from ninja import Router
from pydantic import BaseModel

from pgknowbase.api.application import build_api
from pgknowbase.api.authentication import get_caller
from pgknowbase.api.events import Event, event_stream
from pgknowbase.api.links import NAMESPACE
from pgknowbase.api.parameters import IdempotencyKey, bound_key
from pgknowbase.api.problems import Problem

router = Router(tags=["runs"])
runs = []


class Run(BaseModel):
    prompt: str


@router.post("runs/", response=Run)
async def run(request, body: Run, key: IdempotencyKey = None):
    get_caller(request).require("search")
    runs.append((body.prompt, bound_key(request, key)))
    if body.prompt == "refuse":
        raise Problem(409, "refused", "Not now: try later.")
    if body.prompt == "crash":
        raise RuntimeError("bang")
    return Run(prompt=f"{body.prompt} of {get_caller(request).user}")


@router.get("stream/")
async def stream(request):
    async def events():
        yield Event("user", str(get_caller(request).user))

    return event_stream(request, events())


def urls():
    api = build_api()
    return [path("own/", include((api.patterns(), NAMESPACE)))]
