import { formatDuration, milliseconds } from './duration.js';
import type { ConsumerDetails } from './family.events.js';
import type { PolicyTerms } from './policy.events.js';
import type { PlannedWindow } from './rotation.events.js';

/** What the windows are computed from (design, The rotation, Windows). */
export interface WindowInput {
  readonly consumers: readonly ConsumerDetails[];
  readonly artefactLife: string | undefined;
  readonly margins: PolicyTerms['margins'];
  /** The largest max-age served so far or from now on, seconds: no verifier forgets sooner. */
  readonly maxAgeSeconds: number;
}

/** The JWKS document's `max-age` is never more (contracts, The JWKS document). */
export const LARGEST_MAX_AGE_SECONDS = 300;

interface Term {
  readonly name: string;
  readonly consumer?: string;
  readonly duration: string;
}

/** A verifier's cache term is the larger of its own TTL and the largest max-age we served. */
export function cacheTerm(consumer: ConsumerDetails, maxAgeSeconds: number): number {
  return Math.max(milliseconds(consumer.cacheTtl), maxAgeSeconds * 1_000);
}

/** Cache + refresh + deploy: after this long a verifier knows of a change. */
export function refreshTerm(consumer: ConsumerDetails, maxAgeSeconds: number): number {
  return (
    cacheTerm(consumer, maxAgeSeconds) +
    milliseconds(consumer.refreshDelay) +
    milliseconds(consumer.deployPropagation)
  );
}

function slowest(input: WindowInput): ConsumerDetails | undefined {
  return input.consumers
    .filter((consumer) => consumer.roles.includes('verifier') && !consumer.neverRefreshes)
    .sort(
      (left, right) => refreshTerm(right, input.maxAgeSeconds) - refreshTerm(left, input.maxAgeSeconds),
    )[0];
}

function refreshTerms(consumer: ConsumerDetails, maxAgeSeconds: number): readonly Term[] {
  return [
    { name: 'cache', consumer: consumer.name, duration: formatDuration(cacheTerm(consumer, maxAgeSeconds)) },
    {
      name: 'refresh',
      consumer: consumer.name,
      duration: formatDuration(milliseconds(consumer.refreshDelay)),
    },
    {
      name: 'deploy',
      consumer: consumer.name,
      duration: formatDuration(milliseconds(consumer.deployPropagation)),
    },
  ];
}

function marginTerms(margins: PolicyTerms['margins']): readonly Term[] {
  return [
    { name: 'clock-skew', duration: margins.clockSkew },
    { name: 'safety', duration: margins.safety },
  ];
}

function total(terms: readonly Term[]): number {
  return terms.reduce((sum, term) => sum + milliseconds(term.duration), 0);
}

function plain(term: Term): PlannedWindow['terms'][number] {
  return {
    name: term.name,
    duration: term.duration,
    ...(term.consumer === undefined ? {} : { consumer: term.consumer }),
  };
}

function saying(consumer: ConsumerDetails, maxAgeSeconds: number): string {
  const cache = cacheTerm(consumer, maxAgeSeconds);
  const late = milliseconds(consumer.refreshDelay) + milliseconds(consumer.deployPropagation);
  // What nobody recorded is no fact of the consumer: it is counted as nothing, and said so.
  if (consumer.cacheTtl === undefined) {
    const lateness = late > 0 ? `; it may be ${formatDuration(late)} late` : '';
    return cache === 0
      ? `${consumer.name}: how long it caches is not recorded, taken as 0${lateness}`
      : `${consumer.name}: how long it caches is not recorded, taken as ${formatDuration(cache)}, what we serve${lateness}`;
  }
  const whose =
    cache > milliseconds(consumer.cacheTtl) ? `may cache what we serve for` : 'caches its keys for';
  const more = late > 0 ? ` and may be ${formatDuration(late)} late` : '';
  return `${consumer.name} ${whose} ${formatDuration(cache)}${more}`;
}

/** From `DualAcceptDeployed` until the first emitter may use the new version. */
export function acceptWindow(input: WindowInput): PlannedWindow {
  const verifier = slowest(input);
  const terms = [
    ...(verifier === undefined ? [] : refreshTerms(verifier, input.maxAgeSeconds)),
    ...marginTerms(input.margins),
  ];
  const computed = formatDuration(total(terms));
  return {
    computed,
    required: computed,
    terms: terms.map(plain),
    binding: verifier === undefined ? 'no verifier is registered' : saying(verifier, input.maxAgeSeconds),
  };
}

function emittedLife(artefactLife: string | undefined): string {
  return artefactLife === undefined
    ? 'how long what was emitted before the switch lives is not recorded, taken as 0'
    : `what was emitted before the switch lives for ${formatDuration(milliseconds(artefactLife))}`;
}

/** From the last confirmed emitter until the old version may be revoked; never less than 2 × the longest cache. */
export function drainWindow(input: WindowInput): PlannedWindow {
  const verifier = slowest(input);
  const life = milliseconds(input.artefactLife);
  const terms: Term[] = [
    { name: 'emitter-propagation', duration: 'PT0S' },
    { name: 'artefact-life', duration: formatDuration(life) },
    ...(verifier === undefined
      ? []
      : [
          {
            name: 'slowest-verifier',
            consumer: verifier.name,
            duration: formatDuration(refreshTerm(verifier, input.maxAgeSeconds)),
          },
        ]),
    ...marginTerms(input.margins),
  ];
  const sum = total(terms);
  const longestCache = Math.max(
    0,
    ...input.consumers
      .filter((consumer) => consumer.roles.includes('verifier'))
      .map((consumer) => cacheTerm(consumer, input.maxAgeSeconds)),
  );
  const floor = 2 * longestCache;
  const computed = formatDuration(Math.max(sum, floor));
  const cause =
    floor > sum
      ? `twice the longest cache, ${formatDuration(longestCache)}, is more than all terms together`
      : verifier !== undefined && refreshTerm(verifier, input.maxAgeSeconds) > life
        ? saying(verifier, input.maxAgeSeconds)
        : emittedLife(input.artefactLife);
  return { computed, required: computed, terms: terms.map(plain), binding: cause };
}

/** Of a cutover: from the old version refused until the slowest consumer has the new one. */
export function predictedOutage(input: WindowInput): {
  readonly predicted: string;
  readonly binding: string;
} {
  const slow = [...input.consumers].sort(
    (left, right) => refreshTerm(right, input.maxAgeSeconds) - refreshTerm(left, input.maxAgeSeconds),
  )[0];
  if (slow === undefined) return { predicted: 'PT0S', binding: 'no consumer is registered' };
  return {
    predicted: formatDuration(refreshTerm(slow, input.maxAgeSeconds) + milliseconds(input.margins.clockSkew)),
    binding: saying(slow, input.maxAgeSeconds),
  };
}

/**
 * After a withdrawal or a containment: the longest a verifier of these may go on trusting what it holds. No bound is known
 * where no verifier is, or where one never refreshes: then none is claimed.
 */
export function trustTerm(input: WindowInput): string | undefined {
  const verifiers = input.consumers.filter((consumer) => consumer.roles.includes('verifier'));
  const verifier = slowest(input);
  if (verifier === undefined || verifiers.some((consumer) => consumer.neverRefreshes)) return undefined;
  return formatDuration(refreshTerm(verifier, input.maxAgeSeconds) + milliseconds(input.margins.clockSkew));
}
