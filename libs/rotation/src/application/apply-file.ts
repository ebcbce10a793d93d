import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, visit, type Document } from 'yaml';
import { z } from 'zod';
import { DomainError, formatInstant, instantSchema, parseInstant } from '#eventlog';
import { canonicalText } from '#eventlog/kit';
import { milliseconds } from '../domain/duration.js';
import { familyDecider, registerFamily } from '../domain/family.decider.js';
import { runbookSchema, type ConsumerDetails, type FamilyDetails } from '../domain/family.events.js';
import { policyDetailsSchema, type PolicyDetails } from '../domain/policy.events.js';
import {
  checkShape,
  declaredConsumerSchema,
  declaredFamilySchema,
  fieldName,
  secretProblem,
  splitQualifiedName,
  type FileError,
} from './import-file.js';
import type { ConsumerView, FamilyView, PolicyView } from './views.js';

/**
 * The apply file: families, consumers and policies as code. YAML 1.2, one or several documents, each with any of
 *
 *     families:
 *       - name: Session JWT
 *         environment: production
 *         …                          # as POST /families; `illustrative: false` unless said
 *         runbook: { scope: … }
 *     consumers:
 *       - family: production/Session JWT
 *         name: api-server
 *         roles: [emitter, verifier]
 *         …                          # `neverRefreshes: false`, `thirdParty: false`, `instances: 1` unless said
 *     policies:
 *       - name: …
 *         selector: { environment: production }
 *         …                          # as POST /policies; without `effectiveFrom` it is effective when it is applied
 *
 * Applied, it creates what is missing and changes what differs; what the file does not name is left alone.
 */
export interface DeclaredFile {
  readonly families: readonly DeclaredFamily[];
  readonly consumers: readonly DeclaredConsumer[];
  readonly policies: readonly DeclaredPolicy[];
}

export interface DeclaredFamily {
  readonly line: number;
  readonly details: FamilyDetails;
  readonly runbook: Readonly<Record<string, string>>;
}

export interface DeclaredConsumer {
  readonly line: number;
  /** `environment/name`. */
  readonly family: string;
  readonly consumer: ConsumerDetails;
}

export interface DeclaredPolicy {
  readonly line: number;
  readonly details: Omit<PolicyDetails, 'effectiveFrom'> & { readonly effectiveFrom?: string | undefined };
}

export type ApplyReading =
  | { readonly declared: DeclaredFile; readonly errors: readonly [] }
  | { readonly declared?: never; readonly errors: readonly FileError[] };

export const MAX_APPLY_CHARACTERS = 1024 * 1024;

const familySchema = declaredFamilySchema.extend({ runbook: runbookSchema.optional() });
const consumerSchema = declaredConsumerSchema.extend({
  family: z.string().refine((text) => splitQualifiedName(text) !== undefined, {
    message: 'must be environment/name',
  }),
});
const policySchema = policyDetailsSchema.extend({ effectiveFrom: instantSchema.optional() });
const documentSchema = z.object({
  families: z.array(z.unknown()).optional(),
  consumers: z.array(z.unknown()).optional(),
  policies: z.array(z.unknown()).optional(),
});

/** Reads and checks the whole file; what is wrong is told all at once, by line and field. */
export function parseApplyFile(text: string, fileName: string): ApplyReading {
  if (text.length > MAX_APPLY_CHARACTERS) {
    return { errors: [{ line: 0, field: '', message: 'must not be larger than 1 MiB' }] };
  }
  const reader = new ApplyReader(text);
  reader.read();
  if (reader.errors.length > 0) {
    return { errors: [...reader.errors].sort((left, right) => left.line - right.line) };
  }
  const { families, consumers, policies } = reader;
  if (families.length + consumers.length + policies.length === 0) {
    const message = `must declare something: ${fileName} has no families, consumers or policies`;
    return { errors: [{ line: 1, field: '', message }] };
  }
  return { declared: { families, consumers, policies }, errors: [] };
}

type Path = readonly (string | number)[];

class ApplyReader {
  readonly errors: FileError[] = [];
  readonly families: DeclaredFamily[] = [];
  readonly consumers: DeclaredConsumer[] = [];
  readonly policies: DeclaredPolicy[] = [];
  readonly #lines = new LineCounter();
  readonly #seen = new Set<string>();

  constructor(private readonly text: string) {}

  read(): void {
    const documents = parseAllDocuments(this.text, {
      lineCounter: this.#lines,
      // Errors that quote the text would quote a secret that stands in it.
      prettyErrors: false,
      version: '1.2',
    });
    for (const document of documents) this.#readDocument(document);
  }

  #readDocument(document: Document): void {
    for (const { code, pos } of [...document.errors, ...document.warnings]) {
      const message =
        code === 'DUPLICATE_KEY'
          ? 'must not hold a name twice'
          : `is not YAML that is read here (${code.toLowerCase().replaceAll('_', ' ')})`;
      this.errors.push({ line: this.#lines.linePos(pos[0]).line, field: '', message });
    }
    visit(document, {
      Alias: (_key, node) => {
        const line = this.#lineAt(node.range?.[0]);
        this.errors.push({ line, field: '', message: 'must not use aliases: write it out' });
      },
    });
    // What is broken, or holds aliases, has no value worth checking.
    if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY') || holdsAliases(document)) return;
    const value: unknown = document.toJS();
    if (value === null) return;
    this.#findSecrets(document, value, []);
    const { issues } = checkShape(documentSchema, value);
    for (const { path, message } of issues) this.#problem(document, path, message);
    // What is wrong with one list does not hide what is wrong with another.
    for (const [index, item] of listIn(value, 'families').entries()) {
      this.#readFamily(document, ['families', index], item);
    }
    for (const [index, item] of listIn(value, 'consumers').entries()) {
      this.#readConsumer(document, ['consumers', index], item);
    }
    for (const [index, item] of listIn(value, 'policies').entries()) {
      this.#readPolicy(document, ['policies', index], item);
    }
  }

  #readFamily(document: Document, path: Path, item: unknown): void {
    const found = this.#checked(document, path, familySchema, item);
    if (found === undefined) return;
    const { runbook = {}, ...details } = found;
    this.#once(document, [...path, 'name'], `family ${details.environment}/${details.name}`);
    if (details.backEnd !== undefined) {
      const object = `${details.backEnd.instance}:${details.backEnd.object}`;
      this.#once(document, [...path, 'backEnd', 'object'], `object ${object}`);
    }
    try {
      registerFamily(details, familyDecider.initialState);
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      const { field } = error.details;
      const parts = typeof field === 'string' ? field.split('.') : [];
      this.#problem(document, [...path, ...parts], error.message);
    }
    const texts = Object.entries(runbook).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    this.families.push({ line: this.#line(document, path), details, runbook: Object.fromEntries(texts) });
  }

  #readConsumer(document: Document, path: Path, item: unknown): void {
    const found = this.#checked(document, path, consumerSchema, item);
    if (found === undefined) return;
    const { family, ...consumer } = found;
    this.#once(document, [...path, 'name'], `consumer ${consumer.name} of ${family}`);
    this.consumers.push({ line: this.#line(document, path), family, consumer });
  }

  #readPolicy(document: Document, path: Path, item: unknown): void {
    const details = this.#checked(document, path, policySchema, item);
    if (details === undefined) return;
    this.#once(document, [...path, 'name'], `policy ${details.name}`);
    this.#once(document, [...path, 'selector'], `selector ${canonicalText(details.selector)}`);
    if (milliseconds(details.terms.stopAccepting) < milliseconds(details.terms.stopEmitting)) {
      const message = 'must not be shorter than stopEmitting: what still emits must be accepted';
      this.#problem(document, [...path, 'terms', 'stopAccepting'], message);
    }
    this.policies.push({ line: this.#line(document, path), details });
  }

  #checked<Schema extends z.ZodType>(
    document: Document,
    path: Path,
    schema: Schema,
    item: unknown,
  ): z.output<Schema> | undefined {
    const { issues, data } = checkShape(schema, item);
    for (const issue of issues) this.#problem(document, [...path, ...issue.path], issue.message);
    return issues.length === 0 ? data : undefined;
  }

  /** Two declarations of one thing would fight for ever. */
  #once(document: Document, path: Path, what: string): void {
    if (this.#seen.has(what)) {
      const message = what.startsWith('selector')
        ? 'must not be the selector of two policies: name more or less in one of them'
        : 'must not be declared twice';
      this.#problem(document, path, message);
    }
    this.#seen.add(what);
  }

  #findSecrets(document: Document, value: unknown, path: Path): void {
    if (typeof value === 'string') {
      const problem = secretProblem(value, path.at(-1));
      if (problem !== undefined) this.#problem(document, path, problem);
    } else if (Array.isArray(value)) {
      value.forEach((item: unknown, index) => this.#findSecrets(document, item, [...path, index]));
    } else if (typeof value === 'object' && value !== null) {
      for (const [name, inner] of Object.entries(value)) {
        const problem = secretProblem(name, undefined);
        if (problem !== undefined) this.#problem(document, [...path, name], problem);
        this.#findSecrets(document, inner, [...path, name]);
      }
    }
  }

  #problem(document: Document, path: Path, message: string): void {
    const error = { line: this.#line(document, path), field: fieldName(path), message };
    const known = this.errors.some(({ line, field }) => line === error.line && field === error.field);
    if (!known) this.errors.push(error);
  }

  /** Where a value stands: the line of its name, or of the nearest thing around it that is there. */
  #line(document: Document, path: Path): number {
    let node: unknown = document.contents;
    let offset = document.contents?.range?.[0];
    for (const part of path) {
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => isScalar(key) && key.value === part);
        if (pair === undefined) break;
        offset = isScalar(pair.key) ? pair.key.range?.[0] : offset;
        node = pair.value;
      } else if (isSeq(node) && typeof part === 'number') {
        node = node.items[part];
        if (isMap(node) || isSeq(node) || isScalar(node)) offset = node.range?.[0];
      } else break;
    }
    return this.#lineAt(offset ?? undefined);
  }

  #lineAt(offset: number | undefined): number {
    return offset === undefined ? 1 : this.#lines.linePos(offset).line;
  }
}

function listIn(value: unknown, name: string): readonly unknown[] {
  if (!isObject(value)) return [];
  const list: unknown = Object.entries(value).find(([field]) => field === name)?.[1];
  return Array.isArray(list) ? list : [];
}

function holdsAliases(document: Document): boolean {
  let found = false;
  visit(document, (_key, node) => {
    found ||= isAlias(node);
  });
  return found;
}

/** What is there, as the API shows it. */
export interface CurrentState {
  readonly families: readonly FamilyView[];
  readonly policies: readonly PolicyView[];
}

/** One request that brings what is there nearer to the file. */
export interface ApplyOperation {
  readonly kind:
    | 'define-policy'
    | 'amend-policy'
    | 'create-family'
    | 'revise-runbook'
    | 'assign-owner'
    | 'register-consumer'
    | 'revise-consumer';
  /** What it is about: `environment/name`, a consumer's `name of environment/name`, a policy's name. */
  readonly target: string;
  /** For people: `create family demo/Session JWT`. */
  readonly line: string;
  /** For people, where something changes: `stopEmitting: P90D → P60D`. */
  readonly changes: readonly string[];
  readonly method: 'POST' | 'PUT';
  /** Below /api/v1. A family that is not there yet stands in it as its URL-encoded `environment/name`. */
  readonly path: string;
  readonly body: unknown;
}

export interface ApplyPlan {
  /** In the order they are sent: what others need comes first. Empty: all of it is so already. */
  readonly operations: readonly ApplyOperation[];
  readonly unchanged: readonly string[];
  /** What the file wants and no request can do. Where there is one, nothing is sent. */
  readonly conflicts: readonly FileError[];
}

/** The difference between the file and what is there. Never prunes: what the file does not say is left as it is. */
export function planApply(declared: DeclaredFile, current: CurrentState, now: number): ApplyPlan {
  const operations: ApplyOperation[] = [];
  const unchanged: string[] = [];
  const conflicts: FileError[] = [];
  const plan = (target: string, found: readonly ApplyOperation[]): void => {
    if (found.length === 0) unchanged.push(target);
    operations.push(...found);
  };
  for (const policy of declared.policies) {
    plan(`policy ${policy.details.name}`, planPolicy(policy, current.policies, now));
  }
  const families = new Map(current.families.map((family) => [family.qualifiedName, family]));
  for (const family of declared.families) {
    const name = `${family.details.environment}/${family.details.name}`;
    const existing = families.get(name);
    if (existing !== undefined) {
      const fixed = fixedDifferences(family, existing);
      conflicts.push(...fixed);
      if (fixed.length > 0) continue;
    }
    plan(`family ${name}`, planFamily(family, name, existing));
  }
  const declaredFamilies = new Set(
    declared.families.map(({ details }) => `${details.environment}/${details.name}`),
  );
  for (const consumer of declared.consumers) {
    const existing = families.get(consumer.family);
    if (existing === undefined && !declaredFamilies.has(consumer.family)) {
      const message = `must be declared in the file or registered already: there is no family ${consumer.family}`;
      conflicts.push({ line: consumer.line, field: 'family', message });
      continue;
    }
    plan(`consumer ${consumer.consumer.name} of ${consumer.family}`, planConsumer(consumer, existing));
  }
  return { operations, unchanged, conflicts };
}

function planPolicy(
  { details }: DeclaredPolicy,
  policies: readonly PolicyView[],
  now: number,
): readonly ApplyOperation[] {
  const { effectiveFrom: wanted, ...rest } = details;
  const later = wanted !== undefined && (parseInstant(wanted) ?? 0) > now ? wanted : undefined;
  // A policy is never effective before it was recorded, whatever a file of last year says.
  const effectiveFrom = later ?? formatInstant(now);
  const { selector, ...terms } = rest;
  const existing = policies.find(
    (policy) => policy.status !== 'retired' && canonicalText(policy.selector) === canonicalText(selector),
  );
  if (existing === undefined) {
    return [
      {
        kind: 'define-policy',
        target: details.name,
        line: `define policy ${details.name}`,
        changes: [],
        method: 'POST',
        path: '/policies',
        body: { ...rest, effectiveFrom },
      },
    ];
  }
  const { name, basis, terms: known } = existing.details;
  const before = { name, basis, terms: known };
  const changes = [
    ...differences(terms, before),
    ...(later === undefined ? [] : differences({ effectiveFrom: later }, existing.details)),
  ];
  if (changes.length === 0) return [];
  return [
    {
      kind: 'amend-policy',
      target: details.name,
      line: `amend policy ${details.name}`,
      changes,
      method: 'PUT',
      path: `/policies/${existing.id}`,
      body: { ...terms, effectiveFrom },
    },
  ];
}

/** What a family is does not change: no request can do it, and doing nothing would look like success. */
function fixedDifferences({ line, details }: DeclaredFamily, existing: FamilyView): readonly FileError[] {
  const { owner: _owner, ...fixed } = details;
  return Object.entries(fixed).flatMap(([field, value]: [string, unknown]) => {
    const known: unknown = Object.entries(existing).find(([name]) => name === field)?.[1];
    if (value === undefined || same(value, known)) return [];
    const message = `cannot be changed once the family is registered (${changeText(known, value)}): register it under another name`;
    return [{ line, field, message }];
  });
}

function planFamily(
  { details, runbook }: DeclaredFamily,
  name: string,
  existing: FamilyView | undefined,
): readonly ApplyOperation[] {
  const reference = `/families/${existing?.id ?? encodeURIComponent(name)}`;
  const runbookChanges = differences(runbook, existing?.runbook ?? {});
  const revise: ApplyOperation = {
    kind: 'revise-runbook',
    target: name,
    line: `revise runbook of ${name}`,
    changes: runbookChanges,
    method: 'PUT',
    path: `${reference}/runbook`,
    // As a whole, so that a body means the same whatever stood there.
    body: { ...existing?.runbook, ...runbook },
  };
  const revised = runbookChanges.length === 0 ? [] : [revise];
  if (existing === undefined) {
    const create: ApplyOperation = {
      kind: 'create-family',
      target: name,
      line: `create family ${name}`,
      changes: [],
      method: 'POST',
      path: '/families',
      body: details,
    };
    return [create, ...revised];
  }
  const ownerChanges = differences(details.owner, existing.owner);
  if (ownerChanges.length === 0) return revised;
  const assign: ApplyOperation = {
    kind: 'assign-owner',
    target: name,
    line: `assign owner of ${name}`,
    changes: ownerChanges,
    method: 'PUT',
    path: `${reference}/owner`,
    body: { ...existing.owner, ...details.owner },
  };
  return [...revised, assign];
}

function planConsumer(
  { family, consumer }: DeclaredConsumer,
  existing: FamilyView | undefined,
): readonly ApplyOperation[] {
  const reference = `/families/${existing?.id ?? encodeURIComponent(family)}/consumers`;
  const known = existing?.consumers.find(({ name }) => name === consumer.name);
  const target = `${consumer.name} of ${family}`;
  if (known === undefined) {
    return [
      {
        kind: 'register-consumer',
        target,
        line: `register consumer ${target}`,
        changes: [],
        method: 'POST',
        path: reference,
        body: consumer,
      },
    ];
  }
  const before = declaredAs(known);
  const changes = differences(
    { ...consumer, roles: [...consumer.roles].sort() },
    { ...before, roles: [...before.roles].sort() },
  );
  if (changes.length === 0) return [];
  return [
    {
      kind: 'revise-consumer',
      target,
      line: `revise consumer ${target}`,
      changes,
      method: 'PUT',
      path: `${reference}/${known.id}`,
      body: { ...before, ...consumer },
    },
  ];
}

/** A consumer as it is shown, as it would be declared. */
function declaredAs({ id: _id, ...view }: ConsumerView): Readonly<Record<string, unknown>> & {
  readonly roles: readonly string[];
} {
  const { roles, ...rest } = view;
  return { ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null)), roles };
}

function same(left: unknown, right: unknown): boolean {
  return canonicalText(left ?? null) === canonicalText(right ?? null);
}

/** `field: before → after`, for every field the file names. */
function differences(wanted: object, known: object, prefix = ''): readonly string[] {
  const before = new Map<string, unknown>(Object.entries(known));
  return Object.entries(wanted).flatMap(([name, value]: [string, unknown]): readonly string[] => {
    const old = before.get(name);
    if (value === undefined || same(value, old)) return [];
    if (isObject(value) && isObject(old)) return differences(value, old, `${prefix}${name}.`);
    return [`${prefix}${name}: ${changeText(old, value)}`];
  });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function changeText(before: unknown, after: unknown): string {
  return `${shown(before)} → ${shown(after)}`;
}

const LONGEST_SHOWN = 60;

function shown(value: unknown): string {
  if (value === undefined || value === null) return '(nothing)';
  const text = typeof value === 'string' ? value : canonicalText(value);
  return text.length <= LONGEST_SHOWN ? text : `${text.slice(0, LONGEST_SHOWN - 1)}…`;
}
