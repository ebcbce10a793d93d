import { DomainError, MAX_EVENT_BYTES } from '#eventlog';
import { formatDuration, milliseconds } from './duration.js';
import type { ConsumerDetails } from './family.events.js';
import { planSchema, type RotationPlan } from './rotation.events.js';
import { LARGEST_MAX_AGE_SECONDS, refreshTerm } from './windows.js';
import { MOST_CARRIED } from './versions.js';

/**
 * A plan is one event, and an event has a limit: what would never fit is refused while nothing has begun, so that neither a slot is
 * taken nor an emergency declared for a plan that can never be recorded.
 */

/** The limit of an event without room for its envelope. */
const MOST_PLAN_BYTES = MAX_EVENT_BYTES - 2_048;

/** Of it, all consumers together: the rest is for versions, terms and windows. */
const MOST_CONSUMER_BYTES = 48 * 1_024;

type Named = ConsumerDetails & { readonly consumerId: string };

const utf8 = new TextEncoder();

/** Bytes of a value as the log keeps it: canonical JSON is as long as any other without spaces. */
export function bytesOf(data: unknown): number {
  return utf8.encode(JSON.stringify(data)).byteLength;
}

/** As `planRotation` would write it; the largest max-age makes its terms longest. */
function plannedBytes(consumer: Named): number {
  const { consumerId, name, roles, instances, thirdParty, neverRefreshes } = consumer;
  const term = formatDuration(refreshTerm(consumer, LARGEST_MAX_AGE_SECONDS));
  const propagation = formatDuration(
    milliseconds(consumer.deployPropagation) +
      milliseconds(consumer.refreshDelay) +
      milliseconds(consumer.cacheTtl),
  );
  return bytesOf({
    consumerId,
    name,
    roles,
    instances,
    thirdParty,
    neverRefreshes,
    refreshTerm: term,
    emitterPropagation: propagation,
  });
}

/** Refused: the consumer with which no plan of its family could be recorded any more. */
export function requireRoomFor(consumer: Named, consumers: readonly Named[]): void {
  const known = consumers.find((each) => each.consumerId === consumer.consumerId);
  const others = consumers.filter((each) => each !== known);
  const more = plannedBytes(consumer);
  if (known !== undefined && more <= plannedBytes(known)) return;
  const all = others.reduce((sum, each) => sum + plannedBytes(each) + 1, more);
  if (all <= MOST_CONSUMER_BYTES) return;
  throw new DomainError(
    'family.too-many-consumers',
    `with ${consumer.name} the ${others.length + 1} consumers of this family fit no plan any more: they take ${all} bytes, at most ${MOST_CONSUMER_BYTES}. Register those of one kind as one consumer with its instances, or split the family`,
    { field: 'name' },
  );
}

/** Whether the plan can be recorded. */
export function fits(plan: RotationPlan): boolean {
  return problemOf(plan) === undefined;
}

/** Refuses a plan that could never be recorded, and says what would make it smaller. */
export function requireFits(plan: RotationPlan): void {
  const problem = problemOf(plan);
  if (problem !== undefined) throw problem;
}

function problemOf(plan: RotationPlan): DomainError | undefined {
  if (plan.versionsBefore.length > MOST_CARRIED) {
    return new DomainError(
      'family.too-many-versions',
      `${plan.versionsBefore.length} versions of this family are accepted or emit, and a plan holds at most ${MOST_CARRIED}: revoke what is no longer used where it is kept`,
      { most: MOST_CARRIED },
    );
  }
  const bytes = bytesOf(plan);
  if (bytes > MOST_PLAN_BYTES) {
    return new DomainError(
      'plan.too-large',
      `the plan would take ${bytes} bytes, at most ${MOST_PLAN_BYTES} can be recorded: ${plan.consumers.length} consumers take ${bytesOf(plan.consumers)} of them, ${plan.versionsBefore.length} versions ${bytesOf(plan.versionsBefore)}; remove or merge what is no longer used`,
      { most: MOST_PLAN_BYTES },
    );
  }
  const parsed = planSchema.safeParse(plan);
  if (parsed.success) return undefined;
  const wrong = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  return new DomainError('plan.invalid', `the plan cannot be recorded: ${wrong.slice(0, 5).join('; ')}`);
}
