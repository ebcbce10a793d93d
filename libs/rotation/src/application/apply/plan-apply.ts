import { createHash } from 'node:crypto';
import { parseInstant } from '#eventlog';
import { canonicalText } from '#eventlog/kit';
import type { FileError } from '../files/file-problems.js';
import type { ConsumerView, FamilyView, PolicyView } from '../views.js';
import {
  FAMILY_ASPECTS,
  type Declarations,
  type DeclaredConsumer,
  type DeclaredFamily,
  type DeclaredPolicy,
  type FamilyAspect,
  type Place,
} from './declared-things.js';
import { changeText, differences, same, type FieldChange } from './differences.js';

/** What is there, as the API shows it. */
export interface CurrentState {
  readonly families: readonly FamilyView[];
  readonly policies: readonly PolicyView[];
}

/** One request that brings what is there nearer to the files. */
export interface ApplyRequest {
  readonly kind: RequestKind;
  readonly method: 'POST' | 'PUT';
  /** Below /api/v1. A family that is not there yet stands in it as its URL-encoded `environment/name`. */
  readonly path: string;
  readonly body: unknown;
  /**
   * Made from what is asked and from what it was asked of: a run that was cut off and is repeated asks the same again,
   * and the service does it once. Once something else changed in between, it is another request.
   */
  readonly idempotencyKey: string;
}

type RequestKind =
  | 'define-policy'
  | 'amend-policy'
  | 'create-family'
  | FamilyAspect['kind']
  | 'register-consumer'
  | 'revise-consumer';

/** A declared object and what becomes of it. */
export interface ApplyObject {
  readonly what: 'policy' | 'family' | 'consumer';
  /** `environment/name`, a consumer's `name of environment/name`, a policy's name. */
  readonly name: string;
  readonly place: Place;
  readonly action: 'create' | 'change' | 'unchanged';
  /** Of a change: field by field. */
  readonly changes: readonly FieldChange[];
  /** In the order they are sent. */
  readonly requests: readonly ApplyRequest[];
}

/** Objects that are sent one after the other: a family, then its consumers. */
export interface ApplyChain {
  /** The family's revision the plan was made of; absent for one that is not there yet, and for policies. */
  readonly revision?: number;
  readonly objects: readonly ApplyObject[];
}

interface Counts {
  readonly create: number;
  readonly change: number;
  readonly unchanged: number;
  /** Left alone: nothing is ever pruned. */
  readonly notInFile: number;
}

export interface ApplyPlan {
  /** All of them before any family: a family created afterwards is bound by them. */
  readonly policies: readonly ApplyChain[];
  /** Independent of each other. */
  readonly families: readonly ApplyChain[];
  readonly summary: Readonly<Record<'policies' | 'families' | 'consumers', Counts>>;
  /** What the files want and no request can do. Where there is one, nothing is sent. */
  readonly conflicts: readonly FileError[];
}

/** The difference between the files and what is there. Never prunes, never renames: what no file says is left as it is. */
export function planApply(declared: Declarations, current: CurrentState, now: number): ApplyPlan {
  const conflicts: FileError[] = [];
  const policies = declared.policies.flatMap((policy) => {
    const found = planPolicy(policy, current.policies, now);
    if ('conflict' in found) conflicts.push(found.conflict);
    return 'conflict' in found ? [] : [found.chain];
  });
  const known = new Map(current.families.map((family) => [family.qualifiedName, family]));
  const chains = new Map<string, { readonly revision?: number; readonly objects: ApplyObject[] }>();
  const chainOf = (name: string): ApplyObject[] => {
    const revision = known.get(name)?.revision;
    const chain = chains.get(name) ?? { ...(revision === undefined ? {} : { revision }), objects: [] };
    chains.set(name, chain);
    return chain.objects;
  };
  for (const family of declared.families) {
    const name = `${family.details.environment}/${family.details.name}`;
    const existing = known.get(name);
    const fixed = existing === undefined ? [] : fixedDifferences(family, existing);
    conflicts.push(...fixed);
    if (fixed.length === 0) chainOf(name).push(planFamily(family, name, existing));
  }
  for (const consumer of declared.consumers) {
    const existing = known.get(consumer.family);
    if (existing !== undefined || declared.named.has(consumer.family)) {
      chainOf(consumer.family).push(planConsumer(consumer, existing));
    } else {
      const message = `must be declared in the file or registered already: there is no family ${consumer.family}`;
      conflicts.push({ ...consumer.place, field: 'family', message });
    }
  }
  const families = [...chains.values()];
  return {
    policies,
    families,
    summary: {
      policies: counted(policies, 'policy', activePolicies(current).length),
      families: counted(families, 'family', current.families.length),
      consumers: counted(
        families,
        'consumer',
        current.families.reduce((sum, { consumers }) => sum + consumers.length, 0),
      ),
    },
    conflicts,
  };
}

function activePolicies({ policies }: CurrentState): readonly PolicyView[] {
  return policies.filter(({ status }) => status !== 'retired');
}

function counted(chains: readonly ApplyChain[], what: ApplyObject['what'], there: number): Counts {
  const actions = chains.flatMap(({ objects }) =>
    objects.filter((object) => object.what === what).map(({ action }) => action),
  );
  const count = (action: ApplyObject['action']): number => actions.filter((each) => each === action).length;
  const [change, unchanged] = [count('change'), count('unchanged')];
  return { create: count('create'), change, unchanged, notInFile: there - change - unchanged };
}

function planPolicy(
  { place, details }: DeclaredPolicy,
  policies: readonly PolicyView[],
  now: number,
): { readonly chain: ApplyChain } | { readonly conflict: FileError } {
  const { effectiveFrom: wanted, selector, ...terms } = details;
  // A policy is never effective before it was recorded, whatever a file of last year says: then it is when it is.
  const later = wanted !== undefined && (parseInstant(wanted) ?? 0) > now ? { effectiveFrom: wanted } : {};
  const active = policies.filter(({ status }) => status !== 'retired');
  const existing = active.find((policy) => canonicalText(policy.selector) === canonicalText(selector));
  const about = { what: 'policy', name: details.name, place } as const;
  if (existing === undefined) {
    const namesake = active.find(({ name }) => name === details.name);
    if (namesake !== undefined) {
      const message = `cannot be changed once the policy is defined (${changeText({ from: namesake.selector, to: selector })}): retire that one first, or give this one another name`;
      return { conflict: { ...place, field: 'selector', message } };
    }
    const request = requestOf('define-policy', 'POST', '/policies', { ...terms, selector, ...later }, 'new');
    return { chain: { objects: [{ ...about, action: 'create', changes: [], requests: [request] }] } };
  }
  // A policy is known by its name: a file of somebody else's must not take over, and rename, what it only resembles.
  if (existing.name !== details.name) {
    const message = `is that of the policy "${existing.name}" already: name more or less in this one, declare that policy under its own name, or retire it first; apply renames no policy`;
    return { conflict: { ...place, field: 'selector', message } };
  }
  const { name, basis, terms: known, effectiveFrom } = existing.details;
  const changes = differences({ ...terms, ...later }, { name, basis, terms: known, effectiveFrom });
  if (changes.length === 0) return { chain: { objects: [unchanged(about)] } };
  const path = `/policies/${existing.id}`;
  const request = requestOf('amend-policy', 'PUT', path, { ...terms, ...later }, existing.revision);
  const object = { ...about, action: 'change', changes, requests: [request] } as const;
  return { chain: { revision: existing.revision, objects: [object] } };
}

function unchanged(about: Pick<ApplyObject, 'what' | 'name' | 'place'>): ApplyObject {
  return { ...about, action: 'unchanged', changes: [], requests: [] };
}

/** What a family is does not change: no request can do it, and doing nothing would look like success. */
function fixedDifferences({ place, details }: DeclaredFamily, existing: FamilyView): readonly FileError[] {
  const aspects = FAMILY_ASPECTS.map(({ field }) => field);
  const known = new Map<string, unknown>(Object.entries(existing));
  return Object.entries(details).flatMap(([field, value]: [string, unknown]) =>
    aspects.includes(field)
      ? []
      : differences(value, known.get(field), field).map((change) => ({
          ...place,
          field: change.field,
          message: `cannot be changed once the family is registered (${changeText(change)}): register it under another name`,
        })),
  );
}

function planFamily(
  { place, details, aspects }: DeclaredFamily,
  name: string,
  existing: FamilyView | undefined,
): ApplyObject {
  const about = { what: 'family', name, place } as const;
  const reference = `/families/${existing?.id ?? encodeURIComponent(name)}`;
  const known = new Map<string, unknown>(Object.entries(existing ?? {}));
  const wanted = new Map<string, unknown>([
    ...Object.entries(details),
    ...Object.entries(aspects),
    ['runbook', stillWanted(aspects.runbook, existing)],
  ]);
  const changes: FieldChange[] = [];
  const requests: ApplyRequest[] = [];
  if (existing === undefined) {
    requests.push(requestOf('create-family', 'POST', '/families', details, 'new'));
  }
  for (const aspect of FAMILY_ASPECTS) {
    const value = wanted.get(aspect.field);
    if (value === undefined || (existing === undefined && aspect.inDetails === true)) continue;
    const before = known.get(aspect.field);
    const found =
      aspect.whole === true
        ? replaced(value, before, aspect.field)
        : differences(value, before ?? {}, aspect.field);
    if (found.length === 0) continue;
    changes.push(...found);
    // As a whole, so that a body means the same whatever stood there.
    const body = aspect.whole === true ? value : { ...Object(before), ...Object(value) };
    const path = `${reference}/${aspect.path}`;
    requests.push(requestOf(aspect.kind, 'PUT', path, body, existing?.revision ?? 'new'));
  }
  if (existing === undefined) return { ...about, action: 'create', changes: [], requests };
  return requests.length === 0 ? unchanged(about) : { ...about, action: 'change', changes, requests };
}

/**
 * A runbook without a review that was done since: who completes one says when the next is due, and a file that still bears
 * the old date asks for nothing new. Another date in the file is a change like any other.
 */
function stillWanted(runbook: unknown, existing: FamilyView | undefined): unknown {
  const done = existing?.lastReview?.declaredDue ?? undefined;
  const { nextReview, ...rest }: { readonly nextReview?: unknown } = { ...Object(runbook) };
  return runbook !== undefined && done !== undefined && nextReview === done ? rest : runbook;
}

function replaced(wanted: unknown, known: unknown, field: string): readonly FieldChange[] {
  return same(wanted, known) ? [] : [{ field, from: known ?? null, to: wanted }];
}

function planConsumer(
  { place, family, consumer }: DeclaredConsumer,
  existing: FamilyView | undefined,
): ApplyObject {
  const about = { what: 'consumer', name: `${consumer.name} of ${family}`, place } as const;
  const reference = `/families/${existing?.id ?? encodeURIComponent(family)}/consumers`;
  const known = existing?.consumers.find(({ name }) => name === consumer.name);
  if (known === undefined) {
    const revision = existing?.revision ?? 'new';
    const request = requestOf('register-consumer', 'POST', reference, consumer, revision);
    return { ...about, action: 'create', changes: [], requests: [request] };
  }
  const before = declaredAs(known);
  const changes = differences(
    { ...consumer, roles: [...consumer.roles].sort() },
    { ...before, roles: [...before.roles].sort() },
  );
  if (changes.length === 0) return unchanged(about);
  const body = { ...before, ...consumer };
  const request = requestOf(
    'revise-consumer',
    'PUT',
    `${reference}/${known.id}`,
    body,
    existing?.revision ?? 0,
  );
  return { ...about, action: 'change', changes, requests: [request] };
}

/** A consumer as it is shown, as it would be declared. */
function declaredAs({ id: _id, ...view }: ConsumerView): Readonly<Record<string, unknown>> & {
  readonly roles: readonly string[];
} {
  const { roles, ...rest } = view;
  return { ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null)), roles };
}

function requestOf(
  kind: RequestKind,
  method: ApplyRequest['method'],
  path: string,
  body: unknown,
  asked: number | 'new',
): ApplyRequest {
  const of = createHash('sha256').update(canonicalText({ method, path, body: body ?? null, asked }));
  return { kind, method, path, body, idempotencyKey: `apply.${of.digest('hex')}` };
}
