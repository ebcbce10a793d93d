import type { LocalKeyBackend, StoredEffect } from '#custody/local';
import { formatInstant, parseInstant } from '#eventlog';
import type { EventStore } from '#eventlog/kit';
import { HOLDS_STREAM, Ledger } from '#rotation';
import { HoldRestored } from '#rotation/application';

/** More are not counted: one is enough to hold. */
const MOST_COUNTED = 1_000;

/**
 * Looks at start whether the back end knows effects whose intent this log does not have: every effect has its intent on
 * disk before, so the log is older than the back end (a copy put back without `restore`, a disk that went back in time).
 * Then everything is held. What a person confirmed before stays confirmed.
 */
export async function holdIfOlder(store: EventStore, backend: LocalKeyBackend): Promise<void> {
  const unknown = await effectsNotOnRecord(store, backend);
  const [newest] = unknown;
  if (newest === undefined) return;
  const { state } = await new Ledger(store).holds();
  const { events } = await store.read(HOLDS_STREAM);
  const confirmedAt = events.findLast(({ type }) => type === 'RestoreConfirmed')?.recordedAt;
  const at = parseInstant(newest.at);
  if (state.restore === undefined && confirmedAt !== undefined && at !== undefined && at <= confirmedAt)
    return;
  // The log's lock proves every earlier worker dead, and an intent made now must not lose against one that is not on record.
  backend.forgetFences();
  const many = unknown.length === MOST_COUNTED ? `at least ${MOST_COUNTED}` : String(unknown.length);
  const recorded = formatInstant(await store.newestRecordedAt());
  await new HoldRestored(store).execute(
    {
      found: 'start',
      reason: `the local back end did ${many} ${unknown.length === 1 ? 'thing' : 'things'} this log has no record of, the newest at ${newest.at}; its newest record is of ${recorded}`,
    },
    'kit',
  );
}

/** Newest first, up to the first that is on record: a log loses its end, never something from its middle. */
async function effectsNotOnRecord(
  store: EventStore,
  backend: LocalKeyBackend,
): Promise<readonly StoredEffect[]> {
  const unknown: StoredEffect[] = [];
  for (const effect of backend.newestEffects(MOST_COUNTED)) {
    const stream = effect.key.slice(0, effect.key.indexOf('/'));
    const { events } = await store.read(stream);
    if (events.some(({ id }) => id === effect.attemptId)) break;
    unknown.push(effect);
  }
  return unknown;
}
