"""An agent that sums up drafts, for those who have configured a language model."""

from collections.abc import Callable
from typing import Any

INSTRUCTIONS = "Sum up the draft of an article in one sentence, in its language, and name three to six keywords."


def summariser(save: Callable[..., None]) -> Any:
    """The agent. Made only where there is a model: the demo runs without the extra ``agents`` too."""
    from pydantic import BaseModel

    from pgknowbase.agents import DjangoAgent, DjangoDeps
    from pgknowbase.reactions import Change

    class Review(BaseModel):
        summary: str
        keywords: list[str]

    agent = DjangoAgent[DjangoDeps, Review](name="draft_summariser", output_type=Review, instructions=INSTRUCTIONS)

    @agent.on_output
    def keep(change: Change, review: Review) -> None:
        save(change, by=agent.model_name(), **review.model_dump())

    return agent
