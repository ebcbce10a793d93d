import type { RecordedEvent } from '#eventlog';
import { ENDED, rotationStream, STEPS, stepTable, type RotationState } from '#rotation';
import { disagreements, type Ground } from '../support/script-stage.js';
import { documentOf, serverFacts, type VaultGround, type VaultProcess } from '../support/vault-custody.js';
import type { World } from '../support/world.js';

/** What must be so of a rotation on a real server, read past Keyturn; each finding is a sentence. */

/** Whatever is under way: somebody signs with a version that verifiers are served, and nothing is refused before its record says so. */
export async function brokenNow(
  ground: VaultGround,
  process: VaultProcess,
  { familyId, object }: Pick<Ground, 'familyId' | 'object'>,
): Promise<readonly string[]> {
  const document = await documentOf(ground, object);
  const denied = (versionId: string): boolean => (document.denied[versionId] ?? []).length > 0;
  const accepted = document.versions.filter((version) => version.accepted && !denied(version.versionId));
  const emitting = accepted.filter(({ emittingShare }) => emittingShare > 0);
  const wrong: string[] = [];
  if (emitting.length !== 1) wrong.push(`${emitting.length} accepted versions emit, of ${accepted.length}`);
  const { minDecryption } = await serverFacts(ground, object);
  if (minDecryption === undefined) return wrong;
  const served = process.served(familyId) ?? [];
  if (served.length === 0) wrong.push('verifiers are served nothing');
  for (const { versionId } of emitting)
    if (!served.includes(versionId))
      wrong.push(`${versionId} emits, and verifiers are served ${served.join()}`);
  const oldest = Math.min(...accepted.map(({ engine }) => Number(engine)));
  const refuses = document.pending?.effect === 'withdraw' || document.pending?.effect === 'contain';
  if (minDecryption > oldest && !refuses)
    wrong.push(`the server refuses version ${oldest} already, which is accepted on record`);
  return wrong;
}

/** Nothing is in flight any more: every intent has its outcome, and record, document and server tell the same. */
export async function brokenAfter(
  world: World,
  ground: VaultGround,
  base: Ground,
  rotations: readonly string[],
): Promise<readonly string[]> {
  const { object, custody } = base;
  const wrong: string[] = [];
  const recorded = new Set<string>();
  for (const id of rotations) {
    const state = await world.rotation(id);
    if (!ENDED.includes(state.phase)) wrong.push(...brokenWait(state));
    const events = await world.facts(rotationStream(id));
    wrong.push(...withoutOutcome(events), ...tooEarly(events));
    for (const { type } of events.filter(({ data }) => data === undefined)) wrong.push(`${type} has no data`);
  }
  for (const { versionId } of (await world.family(base.familyId)).versions) recorded.add(versionId);
  const document = await documentOf(ground, object);
  // With what the engine has and its document does not know yet: whoever writes next takes it in.
  const { versions: seen } = await custody.backEnd.observe(object);
  const { made, minDecryption } = await serverFacts(ground, object);
  // What somebody wrote over a secret of KV is on record by its number; it is no key of it.
  const known = seen.filter(({ versionId }) => !/^kv-\d+$/.test(versionId)).length;
  if (made !== known) wrong.push(`${made} versions were made, and ${known} are on record in the server`);
  for (const { versionId, accepted, emittingShare } of seen)
    if (!recorded.has(versionId) && (accepted || emittingShare > 0))
      wrong.push(`surplus version ${versionId} is in use`);
  for (const versionId of recorded)
    if (!seen.some((each) => each.versionId === versionId))
      wrong.push(`${versionId} is on record and not in the server`);
  const keys = document.ledger.map(({ key }) => key);
  if (new Set(keys).size !== keys.length) wrong.push('an effect is twice in the server’s ledger');
  if (document.pending !== undefined) wrong.push(`${document.pending.effect} is left begun`);
  const accepted = document.versions.filter((version) => version.accepted);
  const oldest = Math.min(...accepted.map(({ engine }) => Number(engine)));
  const denies = Object.values(document.denied).some((by) => by.length > 0);
  if (minDecryption !== undefined && accepted.length > 0 && !denies && minDecryption !== oldest)
    wrong.push(`the server refuses what is older than ${minDecryption}, and ${oldest} is accepted`);
  return [...wrong, ...(await disagreements(world, custody.backEnd, base))];
}

/** A rotation that waits says for what, to a person who reads it. */
function brokenWait({ phase, suspended }: RotationState): readonly string[] {
  if (suspended === undefined) return [`it came to rest in ${phase}, and says nothing`];
  const { reason } = suspended;
  return reason.length > 20 && reason.length <= 500 ? [] : [`it waits for “${reason}”`];
}

function withoutOutcome(events: readonly RecordedEvent[]): readonly string[] {
  const outcomes = new Set<string>(STEPS.map((step) => stepTable[step].outcome));
  let open: string | undefined;
  const wrong: string[] = [];
  for (const { type, data } of events) {
    if (type === 'StepStarted') {
      if (open !== undefined) continue; // Taken over: the next attempt settles both.
      open = JSON.stringify(data);
    } else if (type === 'StepFailed' || outcomes.has(type)) open = undefined;
  }
  if (open !== undefined) wrong.push(`no outcome of ${open}`);
  return wrong;
}

/** One hour, of the scripts' families: what was signed just before the switch is good for so long. */
const ARTEFACT_LIFE_MS = 3_600_000;

/** Nothing is withdrawn of what may still be in somebody's hands, unless an emergency said so. */
function tooEarly(events: readonly RecordedEvent[]): readonly string[] {
  const [first] = events;
  if (first === undefined || JSON.stringify(first.data).includes('"emergency":{')) return [];
  // A rehearsal on a test family has windows of its own.
  if (JSON.stringify(first.data).includes('"windows":{')) return [];
  const switched = events.find(({ type }) => type === 'EmitterSwitched');
  const revoked = events.find(
    ({ type, data }) => type === 'StepStarted' && JSON.stringify(data).includes('"step":"revoke"'),
  );
  if (switched === undefined || revoked === undefined) return [];
  return revoked.recordedAt - switched.recordedAt < ARTEFACT_LIFE_MS
    ? ['the old version was revoked before its drain was over']
    : [];
}
