// The client: openapi-fetch with the types of the API, its tokens, and its streams.

import createFetchClient from "openapi-fetch";
import type { Client, MaybeOptionalInit, Middleware } from "openapi-fetch";

import { eventsOf } from "./events.js";
import type { StreamEvent } from "./events.js";
import { orThrow } from "./problem.js";
import type { paths } from "./schema.js";

export { eventsOf } from "./events.js";
export type { StreamEvent } from "./events.js";
export { ProblemError, orThrow } from "./problem.js";
export type { Answer } from "./problem.js";
export type * from "./schema.js";

export interface KnowbaseClientOptions {
  /** Where the API is mounted, such as `https://example.org/api`. */
  baseUrl: string;
  /** A token of the API, or what returns it. Without it, the browser's session is used. */
  token?: string | (() => string | undefined);
  /** Django's CSRF token, which a session needs for every method but GET. */
  csrfToken?: () => string | undefined;
  fetch?: (request: Request) => Promise<Response>;
}

type Streaming = { post: { responses: { 200: { content: { "text/event-stream": StreamEvent } } } } };
type StreamPaths<Paths> = { [Path in keyof Paths]: Paths[Path] extends Streaming ? Path : never }[keyof Paths];
type EventOf<Item> = Item extends Streaming
  ? Exclude<Item["post"]["responses"][200]["content"]["text/event-stream"], { event: "problem" }>
  : never;
type Init<Item> = Item extends Record<"post", Record<string | number, unknown>> ? MaybeOptionalInit<Item, "post"> : never;

export type KnowbaseClient<Paths extends object = paths> = Client<Paths> & {
  /**
   * POST to a route that streams, and its events while they come. Leaving the loop cancels the work.
   *
   * @throws {ProblemError} the server refused, or the stream has failed.
   */
  stream<Path extends StreamPaths<Paths>>(
    path: Path,
    init: Init<Paths[Path]>,
  ): AsyncGenerator<EventOf<Paths[Path]>, void, undefined>;
};

/** A client of the API; `Paths` are those of a document of your own. */
export function createKnowbaseClient<Paths extends object = paths>(options: KnowbaseClientOptions): KnowbaseClient<Paths> {
  const { baseUrl, fetch } = options;
  const client = createFetchClient<Paths>({ baseUrl, ...(fetch === undefined ? {} : { fetch }) });
  client.use(credentials(options));
  const post = client.POST as unknown as (path: unknown, init: object) => Promise<{ response: Response; error?: unknown }>;

  async function* stream(path: unknown, init: { headers?: object }): AsyncGenerator<StreamEvent, void, undefined> {
    const headers = { Accept: "text/event-stream", ...init.headers };
    const call = post(path, { ...init, headers, parseAs: "stream" });
    await orThrow(call);
    yield* eventsOf((await call).response);
  }

  return Object.assign(client, { stream }) as unknown as KnowbaseClient<Paths>;
}

function credentials({ token, csrfToken }: KnowbaseClientOptions): Middleware {
  return {
    onRequest({ request }) {
      const secret = typeof token === "function" ? token() : token;
      if (secret !== undefined) {
        request.headers.set("Authorization", `Bearer ${secret}`);
      }
      const checked = request.method === "GET" ? undefined : csrfToken?.();
      if (checked !== undefined) {
        request.headers.set("X-CSRFToken", checked);
      }
      return request;
    },
  };
}
