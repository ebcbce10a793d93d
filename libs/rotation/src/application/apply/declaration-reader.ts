import type { z } from 'zod';
import { DomainError } from '#eventlog';
import { canonicalText } from '#eventlog/kit';
import { familyDecider, registerFamily } from '../../domain/family.decider.js';
import type { Path } from '../files/path.js';
import { checkShape } from '../files/schema-check.js';
import { termsProblems } from '../../domain/cadence.js';
import {
  consumerSchema,
  familySchema,
  NOT_DECLARED,
  partsOf,
  policySchema,
  type Declarations,
  type DeclaredConsumer,
  type DeclaredFamily,
  type DeclaredPolicy,
  type Place,
} from './declared-things.js';

/** One declaration, wherever it stands: what it says, and where to say what is wrong with it. */
export interface Item {
  readonly place: Place;
  readonly value: unknown;
  /** `path` is inside the item. */
  readonly problem: (path: Path, message: string) => void;
}

/** Files with more than this are read in parts: what they declare is held in memory. */
export const MAX_DECLARATIONS = 200_000;

/** Takes declarations of every format and file, and keeps the rules that hold over all of them together. */
export class DeclarationReader implements Declarations {
  readonly families: DeclaredFamily[] = [];
  readonly consumers: DeclaredConsumer[] = [];
  readonly policies: DeclaredPolicy[] = [];
  readonly named = new Set<string>();
  readonly #seen = new Map<string, Place>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  family(item: Item): void {
    this.#count += 1;
    const name = nameIn(item.value);
    if (name !== undefined) {
      this.named.add(name);
      this.#once(item, ['name'], `family ${name}`);
    }
    const found = checked(familySchema, item);
    if (found === undefined) return;
    const family = { place: item.place, ...partsOf(found) };
    const { backEnd } = family.details;
    if (backEnd !== undefined) {
      this.#once(item, ['backEnd', 'object'], `object ${backEnd.instance}:${backEnd.object}`);
    }
    try {
      registerFamily(family.details, familyDecider.initialState);
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      const { field } = error.details;
      item.problem(typeof field === 'string' ? field.split('.') : [], error.message);
    }
    this.families.push(family);
  }

  consumer(item: Item): void {
    this.#count += 1;
    const found = checked(consumerSchema, item);
    if (found === undefined) return;
    const { family, ...consumer } = found;
    this.#once(item, ['name'], `consumer ${consumer.name} of ${family}`);
    this.consumers.push({ place: item.place, family, consumer });
  }

  policy(item: Item): void {
    this.#count += 1;
    const details = checked(policySchema, item);
    if (details === undefined) return;
    this.#once(item, ['name'], `policy ${details.name}`);
    this.#once(item, ['selector'], `selector ${canonicalText(details.selector)}`);
    for (const { path, message } of termsProblems(details.terms)) item.problem(['terms', ...path], message);
    this.policies.push({ place: item.place, details });
  }

  /** Two declarations of one thing would fight for ever. */
  #once({ place, problem }: Item, path: Path, what: string): void {
    const first = this.#seen.get(what);
    if (first === undefined) {
      this.#seen.set(what, place);
      return;
    }
    const where = first.file === place.file ? `line ${first.line}` : `line ${first.line} of ${first.file}`;
    problem(
      path,
      what.startsWith('selector')
        ? `must not be the selector of two policies: ${where} has the same; name more or less in one of them`
        : `must not be declared twice: ${where} declares the same`,
    );
  }
}

function checked<Schema extends z.ZodType>(schema: Schema, item: Item): z.output<Schema> | undefined {
  const { issues, data } = checkShape(schema, item.value, NOT_DECLARED);
  for (const { path, message } of issues) item.problem(path, message);
  return issues.length === 0 ? data : undefined;
}

function nameIn(value: unknown): string | undefined {
  const fields = new Map<string, unknown>(Object.entries(Object(value)));
  const [environment, name] = [fields.get('environment'), fields.get('name')];
  return typeof environment === 'string' && typeof name === 'string'
    ? `${environment}/${name.trim()}`
    : undefined;
}
