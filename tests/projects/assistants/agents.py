"""Agents that the registry finds, as an app of a user has them."""

import asyncio
from pathlib import Path

from pydantic import BaseModel
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo

from pgknowbase.agents import DjangoAgent, DjangoDeps, FunctionModel, RunContext


class AnalysisResult(BaseModel):
    summary: str
    score: float


content_analyzer = DjangoAgent[DjangoDeps, AnalysisResult](
    name="content_analyzer",
    deps_type=DjangoDeps,
    output_type=AnalysisResult,
    instructions="Analyse what the user wrote.",
    model="openai:gpt-4o-mini",
    timeout=60,
    max_retries=2,
)


@content_analyzer.tool
async def get_user_content(ctx: RunContext[DjangoDeps]) -> str:
    user = await ctx.deps.get_user()
    return f"{ctx.agent_name} reads what {user} wrote"


echo = DjangoAgent[DjangoDeps, str](name="echo", instructions="Say it again.")


async def _sleep(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """The first time it marks that it began and never ends; after that it answers."""
    mark = Path(messages[0].parts[0].content)
    if not mark.exists():
        mark.touch()
        await asyncio.sleep(600)
    return ModelResponse(parts=[TextPart("awake")])


sleeper = DjangoAgent[DjangoDeps, str](name="sleeper", model=FunctionModel(_sleep), timeout=900)
