import type { Family, Policy } from './api.js';
import { RefusedError, type FieldProblem } from './failures.js';

/** One request that brings the service nearer to the file. */
export interface ApplyOperation {
  /** For people: `register family production/session-jwt`. */
  readonly line: string;
  readonly method: 'POST' | 'PUT';
  /** Below /api/v1; a family that is not there yet stands in it as its URL-encoded `environment/name`. */
  readonly path: string;
  readonly body: unknown;
  readonly ifMatch?: number;
}

type ParsedApplyFile<Declared> =
  { readonly declared: Declared } | { readonly errors: readonly FieldProblem[] };

/** What `apply` needs of #rotation: reading the file and the difference, both pure. */
export interface ApplyTools<Declared = unknown> {
  parse(text: string, fileName: string): ParsedApplyFile<Declared>;
  plan(
    declared: Declared,
    existing: { readonly families: readonly Family[]; readonly policies: readonly Policy[] },
  ): readonly ApplyOperation[];
}

/** Until #rotation exports parseApplyFile and planApply: says so, instead of pretending. */
export const APPLY_TOOLS: ApplyTools = {
  parse: () => {
    throw new RefusedError('apply.not-available', 'this build cannot read apply files yet');
  },
  plan: () => [],
};
