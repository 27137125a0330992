"""Requests and responses in OpenAI's form. Fields that are not known are ignored, as servers of this API do."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from pgknowbase.api.parameters import Text

LONGEST_MODEL = 400
MOST_MESSAGES = 2000
MOST_STOPS = 16
MOST_TEXTS = 2048


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


def _as_parts(given: Any) -> Any:
    if isinstance(given, str):
        return [{"type": "text", "text": given}]
    return [] if given is None else given


def _as_texts(given: Any) -> Any:
    if isinstance(given, list) and given and isinstance(given[0], int | list):
        raise ValueError("tokens are not taken, as each model has others: send texts")
    return _as_list(given)


# One text or several, without a union: errors then name the field alone.
TEXT = {"type": "string"}
Texts = Annotated[
    list[Text],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [TEXT, {"type": "array", "items": TEXT, "maxItems": MOST_STOPS}, {"type": "null"}]}),
]


class CompletionPart(BaseModel):
    """A part of a message. Only those of type text are read."""

    type: str = "text"
    text: Text = ""


class CompletionMessage(BaseModel):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[
        list[CompletionPart],
        BeforeValidator(_as_parts),
        WithJsonSchema(
            {
                "anyOf": [
                    TEXT,
                    {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"type": {"const": "text"}, "text": TEXT},
                            "required": ["type", "text"],
                        },
                    },
                    {"type": "null"},
                ]
            }
        ),
    ] = []


class StreamOptions(BaseModel):
    """Of a stream."""

    include_usage: bool = Field(False, description="Send a last chunk with the usage.")


class CompletionMetadata(BaseModel):
    """``chat_session``: one of the caller's chats, which then holds the history and keeps question and answer."""

    chat_session: str | None = Field(None, max_length=100)


class CompletionRequest(BaseModel):
    """A conversation whose last message is to be answered. ``user`` and other fields are ignored."""

    model_config = ConfigDict(protected_namespaces=())

    model: Text = Field(min_length=1, max_length=LONGEST_MODEL, examples=["pgknowbase"])
    messages: list[CompletionMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    metadata: CompletionMetadata | None = None
    n: int | None = Field(1, ge=1, le=1, description="One answer is given.")
    max_tokens: int | None = Field(None, ge=1, le=10_000_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=10_000_000)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Texts | None = Field(None, max_length=MOST_STOPS)

    @property
    def model_settings(self) -> dict[str, Any]:
        """What the language model is told, in the words of pydantic-ai."""
        settings = {
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "stop_sequences": self.stop or None,
            **{
                name: getattr(self, name)
                for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed")
            },
        }
        return {name: value for name, value in settings.items() if value is not None}


class UrlCitation(BaseModel):
    """What a marker such as ``[1]`` names; the marker is the text from ``start_index`` up to ``end_index``."""

    start_index: int
    end_index: int
    url: str = Field(description="The page of the row, or the URI of its document where it has none.")
    title: str
    id: str = Field(examples=["blog.Article:12"])


class CompletionAnnotation(BaseModel):
    """A citation."""

    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class CompletionAnswer(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[CompletionAnnotation]


class CompletionChoice(BaseModel):
    """The one choice."""

    index: int = 0
    message: CompletionAnswer
    finish_reason: Literal["stop", "length", "content_filter"]
    logprobs: None = None


class CompletionUsage(BaseModel):
    """Tokens of all requests to language models behind an answer, and US dollars, null where a price is unknown."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float | None


class Completion(BaseModel):
    """An answer as a whole. A stream has the same in chunks."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage


class CompletionModel(BaseModel):
    """What can be asked: the chat, or an agent."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(0, description="Not known: 0.")
    owned_by: Literal["pgknowbase"] = "pgknowbase"
    description: str = ""


class CompletionModels(BaseModel):
    """Models, the chat first, then agents by name."""

    object: Literal["list"] = "list"
    data: list[CompletionModel]


class VectorsRequest(BaseModel):
    """Texts to embed with the model of the active embedding space."""

    model: Text = Field(min_length=1, max_length=LONGEST_MODEL)
    input: Annotated[
        list[Text],
        BeforeValidator(_as_texts),
        WithJsonSchema({"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1, "maxItems": MOST_TEXTS}]}),
    ] = Field(min_length=1, max_length=MOST_TEXTS)
    input_type: Literal["document", "passage", "query"] = Field(
        "document", description="Some models embed search texts in another way: say query for these."
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        "float", description="base64: of 32 bit floats, little-endian."
    )
    dimensions: int | None = Field(None, ge=1, description="Those of the model; no others can be had.")


class EmbeddedText(BaseModel):
    """The vector of one text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class VectorsUsage(BaseModel):
    """Tokens, estimated where the model does not report them, and US dollars, null where a price is unknown."""

    prompt_tokens: int
    total_tokens: int
    cost: float | None


class VectorsResponse(BaseModel):
    """Vectors, in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[EmbeddedText]
    model: str
    usage: VectorsUsage
