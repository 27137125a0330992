// Server-sent events of a response.

import { EventSourceParserStream } from "eventsource-parser/stream";

import { ProblemError } from "./problem.js";
import type { ProblemDetails } from "./schema.js";

/** An event of a stream: its name, and what it carries. */
export interface StreamEvent {
  event: string;
  data: unknown;
}

/**
 * The events of a response while they come. Leaving the loop ends the request, and so the work behind it.
 *
 * @throws {ProblemError} the stream has failed.
 */
export async function* eventsOf(response: Response): AsyncGenerator<StreamEvent, void, undefined> {
  if (response.body === null) {
    return;
  }
  const text = response.body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>);
  const reader = text.pipeThrough(new EventSourceParserStream()).getReader();
  try {
    // Not for await: Safari's streams cannot be iterated.
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const { event = "message", data } = next.value;
      if (event === "problem") {
        throw new ProblemError(JSON.parse(data) as ProblemDetails, response);
      }
      yield { event, data: JSON.parse(data) };
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
