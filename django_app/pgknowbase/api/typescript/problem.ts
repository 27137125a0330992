// Problem details (RFC 9457), written by hand: they are part of the standard, and both the client and its runtime need them.

/** What is wrong with one part of the request. */
export interface FieldProblem {
  /** body, query, path or header. */
  where: string;
  /** JSON pointer to the value inside it, such as `/limit`. */
  pointer: string;
  detail: string;
}

/** Why a request was refused. `type` tells the kinds apart, `detail` is meant for a reader. */
export interface ProblemDetails {
  type: string;
  title: string;
  status: number;
  detail: string;
  /** Path of the run or workflow that did not complete. */
  instance?: string | null;
  /** Each part of the request that is wrong. */
  errors?: FieldProblem[];
}
