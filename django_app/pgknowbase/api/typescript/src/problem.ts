// Refusals of the API as errors.

import type { ProblemDetails } from "./schema.js";

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

/** The problem in a refusal, also where something before the API refused. */
export function problemOf(body: unknown, response: Response): ProblemDetails {
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return (typeof body === "string" ? JSON.parse(body) : body) as ProblemDetails;
  }
  const { status, statusText } = response;
  return { type: "about:blank", title: statusText, status, detail: `The server answered ${status} ${statusText}.` };
}

interface Outcome {
  data?: unknown;
  error?: unknown;
  response: Response;
}

/** What a call returns where it is not refused. */
export type Answer<Called> = Called extends { data: infer Data } ? Data : never;

/**
 * The data of a call.
 *
 * @throws {ProblemError} the server refused.
 */
export async function orThrow<Called extends Outcome>(call: Promise<Called>): Promise<Answer<Called>> {
  const { data, error, response } = await call;
  if (!response.ok) {
    throw new ProblemError(problemOf(error, response), response);
  }
  return data as Answer<Called>;
}
