"""What a pgai vectorizer becomes: the settings of an embedding space, and how the model's hooks make its texts."""

from dataclasses import dataclass, field
from string import Template
from typing import Any

from pydantic import ValidationError

from pgknowbase.adoption.vectorizers import PgaiVectorizer
from pgknowbase.conf import SpaceSettings
from pgknowbase.spaces.specification import SpaceSpec

# pgai's own model of a provider, and how to name it here.
OPENAI = "pgknowbase.embeddings.OpenAIEmbedder"
PYDANTIC_AI = "pgknowbase.embeddings.PydanticAIEmbedder"
OLLAMA = "http://localhost:11434"
# Settings by which chunks become the same; the others are a matter of taste.
CHUNKING = ("chunk_size", "chunk_overlap", "template", "splitter")

Part = str | tuple[str]


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a vectorizer can be described in the settings.

    Attributes:
        embedding: an entry of ``EMBEDDINGS``.
        space: ``SPACE``, with the keys that make pgai's chunks.
        title: the parts of ``$title``, texts and (column,) tuples; empty where the template has no column.
        columns: the columns that the texts are made of, the loaded one first.
        faults: why the texts cannot be made as pgai made them; empty where they can.
    """

    embedding: dict[str, Any]
    space: dict[str, Any]
    title: tuple[Part, ...] = ()
    columns: tuple[str, ...] = ()
    faults: list[str] = field(default_factory=list)

    @property
    def settings(self) -> SpaceSettings:
        return SpaceSettings.model_validate(self.space)


def map_vectorizer(vectorizer: PgaiVectorizer) -> Mapping:
    """The settings with which a space makes the texts of a vectorizer, as far as they can be told."""
    faults: list[str] = []
    template, title = _template(vectorizer.config["formatting"], faults)
    space = {**_chunking(vectorizer.config["chunking"]), "TEMPLATE": template}
    try:
        SpaceSettings.model_validate(space)
    except ValidationError as error:
        for fault in error.errors():
            faults.append(fault["msg"].removeprefix("Value error, "))
            if fault["loc"]:
                space.pop(str(fault["loc"][0]), None)
            else:
                space = {"TEMPLATE": template}
    used = [part[0] for part in title if isinstance(part, tuple)]
    columns = tuple(dict.fromkeys([vectorizer.loading_column, *used]))
    return Mapping(_embedding(vectorizer.config["embedding"]), space, title, columns, faults)


def differences(mapping: Mapping, spec: SpaceSpec) -> list[str]:
    """One line for each setting by which a space makes other chunks than the vectorizer."""
    wanted = mapping.settings
    names = CHUNKING if wanted.splitter != "none" else ("template", "splitter")
    return [
        f"{name.upper()} is {getattr(spec, name)!r}, and the vectorizer's is {getattr(wanted, name)!r}"
        for name in names
        if getattr(wanted, name) != getattr(spec, name)
    ]


def is_same_model(theirs: str, ours: str) -> bool:
    """Whether a model has the same name for pgai and for a backend, which may put its provider before it."""
    one, other = theirs.replace("/", ":"), ours.replace("/", ":")
    return one == other or one.endswith(f":{other}") or other.endswith(f":{one}")


def _embedding(config: dict[str, Any]) -> dict[str, Any]:
    kind, model, options = config["implementation"], config["model"], {}
    backend = OPENAI
    if kind == "openai":
        if config.get("base_url"):
            options["BASE_URL"] = config["base_url"]
        if config.get("api_key_name", "OPENAI_API_KEY") != "OPENAI_API_KEY":
            options["API_KEY_ENV"] = config["api_key_name"]
        if not model.startswith(("text-embedding-3", "text-embedding-ada")):  # pgai always asks for them
            options["SEND_DIMENSIONS"] = True
    elif kind == "ollama":
        options = {"BASE_URL": f"{(config.get('base_url') or OLLAMA).rstrip('/')}/v1", "API_KEY_ENV": None}
    else:
        backend = PYDANTIC_AI
        provider, _, name = model.rpartition("/")
        model = f"voyageai:{model}" if kind == "voyageai" else f"{provider or 'openai'}:{name}"
    found = {"BACKEND": backend, "MODEL": model, "DIMENSIONS": int(config["dimensions"])}
    return {**found, "OPTIONS": options} if options else found


def _chunking(config: dict[str, Any]) -> dict[str, Any]:
    if config["implementation"] == "none":
        return {"SPLITTER": "none"}
    is_recursive = config["implementation"] == "recursive_character_text_splitter"
    splitter: dict[str, Any] = {"SEPARATORS": list(config["separators"]) if is_recursive else [config["separator"]]}
    if config["is_separator_regex"]:
        splitter["REGEX"] = True
    if not is_recursive:
        splitter["RECURSIVE"] = False
    return {"CHUNK_SIZE": config["chunk_size"], "CHUNK_OVERLAP": config["chunk_overlap"], "SPLITTER": splitter}


def _template(config: dict[str, Any], faults: list[str]) -> tuple[str, tuple[Part, ...]]:
    """The template of the space, and what stands for its ``$title``: all from the first column to the last one."""
    parts = _parts(config.get("template", "$chunk"))
    columns = [place for place, part in enumerate(parts) if isinstance(part, tuple) and part != ("chunk",)]
    if not columns:
        return "".join(_spelled(part) for part in parts), ()
    first, last = columns[0], columns[-1] + 1
    title = tuple(parts[first:last])
    if ("chunk",) in title:
        faults.append(f"columns stand both before and behind '$chunk' in the template {config['template']!r}")
        return "$title\n$chunk", ()
    before, after = ("".join(_spelled(part) for part in found) for found in (parts[:first], parts[last:]))
    return f"{before}$title{after}", title


def _parts(template: str) -> list[Part]:
    """A template as texts and (name,) tuples."""
    parts: list[Part] = []
    end = 0
    for match in Template.pattern.finditer(template):
        name = match["named"] or match["braced"]
        parts += [template[end : match.start()], (name,) if name else "$"]
        end = match.end()
    return [part for part in [*parts, template[end:]] if part]


def _spelled(part: Part) -> str:
    return part.replace("$", "$$") if isinstance(part, str) else f"${{{part[0]}}}"
