import { EXIT, type ExitCode } from './exit-codes.js';

export interface FieldProblem {
  /** Where several files are read. */
  readonly file?: string | undefined;
  readonly field: string;
  readonly message: string;
  readonly line?: number | undefined;
}

/** An RFC 9457 answer, as far as it is read here. */
export interface Problem {
  readonly type?: string | undefined;
  readonly title: string;
  readonly status?: number | undefined;
  readonly detail?: string | undefined;
  readonly code: string;
  readonly correlationId?: string | undefined;
  readonly errors?: readonly FieldProblem[] | undefined;
  /** What else the refusal names: a rotation, a family. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** Whatever ends a command before it did what was asked, said as a problem and as an exit code. */
export abstract class CliFailure extends Error {
  abstract readonly exitCode: ExitCode;
  abstract readonly problem: Problem;
  /** Repeats exactly this request, so that it is done at most once. */
  readonly idempotencyKey: string | undefined;

  constructor(message: string, idempotencyKey?: string) {
    super(message);
    this.idempotencyKey = idempotencyKey;
  }
}

/** The command line itself is wrong; nothing was sent. */
export class UsageError extends CliFailure {
  readonly exitCode = EXIT.usage;
  readonly problem: Problem;
  constructor(detail: string, errors?: readonly FieldProblem[]) {
    super(detail);
    this.name = 'UsageError';
    this.problem = {
      title: 'Wrong usage',
      code: 'cli.usage',
      detail,
      ...(errors === undefined ? {} : { errors }),
    };
  }
}

/** A file cannot be used as it is; nothing was sent. */
export class WrongFileError extends CliFailure {
  readonly exitCode = EXIT.usage;
  readonly problem: Problem;
  constructor(detail: string, errors: readonly FieldProblem[]) {
    super(detail);
    this.name = 'WrongFileError';
    this.problem = { title: 'Wrong file', code: 'cli.file-invalid', detail, errors };
  }
}

/** Refused here, before or without the service. */
export class RefusedError extends CliFailure {
  readonly exitCode = EXIT.refused;
  readonly problem: Problem;
  constructor(code: string, detail: string, errors?: readonly FieldProblem[]) {
    super(detail);
    this.name = 'RefusedError';
    this.problem = { title: 'Refused', code, detail, ...(errors === undefined ? {} : { errors }) };
  }
}

/** The service answered with a problem. */
export class ProblemError extends CliFailure {
  readonly exitCode: ExitCode;
  constructor(
    readonly problem: Problem,
    readonly status: number,
    idempotencyKey?: string,
  ) {
    super(problem.detail ?? problem.title, idempotencyKey);
    this.name = 'ProblemError';
    this.exitCode = status >= 500 ? EXIT.unavailable : EXIT.refused;
  }
}

/** No answer, or none that could be read. What was asked may have been done all the same. */
export class UnavailableError extends CliFailure {
  readonly exitCode = EXIT.unavailable;
  readonly problem: Problem;
  constructor(
    readonly kind: 'refused' | 'timeout' | 'broken',
    detail: string,
    idempotencyKey?: string,
  ) {
    super(detail, idempotencyKey);
    this.name = 'UnavailableError';
    this.problem = { title: 'No answer', code: `cli.${kind === 'refused' ? 'unreachable' : kind}`, detail };
  }
}

/** It was recorded and went on, but not where it was asked to go. Its result has been printed already. */
export class EndedOtherwise extends CliFailure {
  readonly problem: Problem;
  constructor(
    detail: string,
    readonly exitCode: ExitCode = EXIT.endedOtherwise,
  ) {
    super(detail);
    this.name = 'EndedOtherwise';
    this.problem = { title: 'Ended otherwise', code: 'cli.ended-otherwise', detail };
  }
}

export class InterruptedError extends CliFailure {
  readonly exitCode = EXIT.interrupted;
  readonly problem: Problem = { title: 'Interrupted', code: 'cli.interrupted' };
  constructor() {
    super('interrupted');
    this.name = 'InterruptedError';
  }
}

/** A mistake of ours, not of whoever typed. */
export class UnforeseenError extends CliFailure {
  readonly exitCode = EXIT.unavailable;
  readonly problem: Problem;
  constructor(detail: string) {
    super(detail);
    this.name = 'UnforeseenError';
    this.problem = { title: 'This should not have happened', code: 'cli.unforeseen', detail };
  }
}
