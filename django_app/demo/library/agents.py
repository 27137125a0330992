"""An agent that summarises drafts, if a language model is configured."""

from collections.abc import Callable
from typing import Any

INSTRUCTIONS = "Summarise the draft of an article in one sentence, in its language, and name three to six keywords."


def make_summariser(save: Callable[..., None]) -> Any:
    """The agent; ``save`` gets the change and the fields of the review.

    A function, with imports inside, because the demo also runs without the extra ``agents``.
    """
    from pydantic import BaseModel

    from pgknowbase.agents import DjangoAgent, DjangoDeps
    from pgknowbase.reactions import Change

    class Review(BaseModel):
        summary: str
        keywords: list[str]

    agent = DjangoAgent[DjangoDeps, Review](name="draft_summariser", output_type=Review, instructions=INSTRUCTIONS)

    @agent.on_output
    def keep(change: Change, review: Review) -> None:
        save(change, analysed_by=agent.model_name(), **review.model_dump())

    return agent
