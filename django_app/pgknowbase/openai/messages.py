"""The conversation in a request: its last question, the turns before it, and what the program says to the model."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pgknowbase.chat.store import Turn
from pgknowbase.openai.errors import refuse
from pgknowbase.openai.schemas import CompletionMessage

# About eight pages: instructions, not documents.
LONGEST_SYSTEM = 16_000
# How open-webui and others begin what they ask about a conversation for themselves: a title, tags, further questions.
TASK = "### Task:"


@dataclass
class Conversation:
    """Texts of one request. ``turns`` are oldest first."""

    question: str = ""
    turns: list[Turn] = field(default_factory=list)
    system: str = ""

    @property
    def is_task(self) -> bool:
        """Whether the program wants something made of the conversation itself. Nothing is to be searched for then."""
        return not self.turns and self.question.startswith(TASK)


def read_conversation(messages: Sequence[CompletionMessage]) -> Conversation:
    """The conversation of a request. Messages of tools are left out: the caller's tools are not ours.

    Raises:
        Problem: 400, the last message is not the user's, or a part is not text.
    """
    read, waiting, system = Conversation(), [], []
    for number, message in enumerate(messages):
        text = _text(message, number)
        if message.role in ("system", "developer"):
            system.append(text)
        elif message.role == "user":
            waiting.append(text)
        elif message.role == "assistant" and waiting:
            read.turns.append(Turn(question="\n\n".join(waiting), answer=text, search_query=""))
            waiting = []
        elif message.role == "assistant" and read.turns:
            last = read.turns.pop()
            read.turns.append(Turn(question=last.question, answer=f"{last.answer}\n\n{text}", search_query=""))
    read.question, read.system = "\n\n".join(waiting).strip(), "\n\n".join(system).strip()
    if not read.question:
        raise refuse("The last message is not a question of the user: send one.", "/messages")
    if len(read.system) > LONGEST_SYSTEM:
        raise refuse(f"The system messages have more than {LONGEST_SYSTEM} characters: shorten them.", "/messages")
    return read


def _text(message: CompletionMessage, number: int) -> str:
    for place, part in enumerate(message.content):
        if part.type not in ("text", "input_text"):
            detail = f"Only parts of type 'text' can be read, not {part.type[:50]!r}: leave the others out."
            raise refuse(detail, f"/messages/{number}/content/{place}/type")
    return "\n".join(part.text for part in message.content)
