// What the methods of the generated client share: one fetch, and problems as errors.

import type { ProblemDetails } from "./problem.js";

/** The server refused: `problem` says why. */
export class ProblemError extends Error {
  readonly problem: ProblemDetails;
  readonly response: Response;

  constructor(problem: ProblemDetails, response: Response) {
    super(problem.detail);
    this.name = "ProblemError";
    this.problem = problem;
    this.response = response;
  }

  /** Seconds to wait before a retry, if the server named them. */
  get retryAfter(): number | undefined {
    const seconds = Number(this.response.headers.get("Retry-After") ?? NaN);
    return Number.isFinite(seconds) ? seconds : undefined;
  }
}

export interface ClientOptions {
  /** Where the API is mounted, such as `https://example.org/api/`. */
  baseUrl: string;
  /** A token of the API. Without it, the browser's session is used. */
  token?: string;
  /** Django's CSRF token, which a session needs to POST. */
  csrfToken?: () => string | undefined;
  fetch?: typeof fetch;
}

export interface CallOptions {
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

export interface PostOptions extends CallOptions {
  /** The same key again returns the same run; for the routes whose description names Idempotency-Key. */
  idempotencyKey?: string;
}

interface Call extends PostOptions {
  path?: Record<string, unknown>;
  query?: object;
  body?: unknown;
}

export class BaseClient {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  protected async call<Answer>(method: string, path: string, call: Call): Promise<Answer> {
    const send = this.#options.fetch ?? fetch;
    const response = await send(this.#address(path, call), {
      method,
      headers: this.#headers(method, call),
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
    if (!response.ok) {
      throw new ProblemError(await problemOf(response), response);
    }
    return (response.status === 204 ? undefined : await response.json()) as Answer;
  }

  #address(path: string, call: Call): string {
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(call.path?.[name])));
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null) {
          search.append(name, String(one));
        }
      }
    }
    const query = search.size > 0 ? `?${search}` : "";
    return `${this.#options.baseUrl.replace(/\/*$/, "/")}${filled}${query}`;
  }

  #headers(method: string, call: Call): Record<string, string> {
    const headers: Record<string, string> = { Accept: "application/json" };
    if (call.body !== undefined) {
      headers["Content-Type"] = "application/json";
    }
    const csrfToken = method === "GET" ? undefined : this.#options.csrfToken?.();
    if (csrfToken !== undefined) {
      headers["X-CSRFToken"] = csrfToken;
    }
    if (this.#options.token !== undefined) {
      headers["Authorization"] = `Bearer ${this.#options.token}`;
    }
    if (call.idempotencyKey !== undefined) {
      headers["Idempotency-Key"] = call.idempotencyKey;
    }
    return { ...headers, ...call.headers };
  }
}

async function problemOf(response: Response): Promise<ProblemDetails> {
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return (await response.json()) as ProblemDetails;
  }
  const { status, statusText } = response;
  return { type: "about:blank", title: statusText, status, detail: `The server answered ${status} ${statusText}.` };
}
