// A chat with the React hooks of the Vercel AI SDK. docs/front-ends.md describes the routes.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { useState } from "react";
import { createRoot } from "react-dom/client";

const root = document.getElementById("chat");
const { api, csrfToken } = root.dataset;
const headers = { "X-CSRFToken": csrfToken };

/** The id of the session in the address, or of a new one. */
async function sessionId() {
  const known = new URLSearchParams(location.search).get("session");
  if (known !== null) return known;
  const options = { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: "{}" };
  const { id } = await (await fetch(`${api}chat/sessions/`, options)).json();
  history.replaceState(null, "", `?session=${id}`);
  return id;
}

function Part({ part }) {
  if (part.type === "text") return <p>{part.text}</p>;
  if (part.type === "source-url" || part.type === "source-document") {
    const text = `[${part.providerMetadata.pgknowbase.number}] ${part.title}`;
    return <p className="source">{part.url ? <a href={part.url}>{text}</a> : text}</p>;
  }
  return null;
}

function Chat({ path, earlier }) {
  const [question, setQuestion] = useState("");
  const transport = new DefaultChatTransport({ api: path, headers });
  const { messages, sendMessage, stop, status, error } = useChat({ transport, messages: earlier });
  const busy = status === "submitted" || status === "streaming";
  const ask = (event) => {
    event.preventDefault();
    sendMessage({ text: question });
    setQuestion("");
  };
  return (
    <>
      {messages.map((message) => (
        <section key={message.id} className={message.role} aria-label={message.role}>
          {message.parts.map((part, index) => (
            <Part key={index} part={part} />
          ))}
        </section>
      ))}
      <form onSubmit={ask}>
        <label>
          Question <input value={question} onChange={(event) => setQuestion(event.target.value)} autoFocus />
        </label>
        <button disabled={busy || question.trim() === ""}>Ask</button>
        {busy && (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
      </form>
      <p role="status">{error ? error.message : status}</p>
    </>
  );
}

async function start() {
  const path = `${api}ui/chats/${await sessionId()}/vercel-ai/`;
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}: install the extras agents, api and ui.`);
  createRoot(root).render(<Chat path={path} earlier={(await response.json()).messages} />);
}

start().catch((error) => (root.textContent = error.message));
