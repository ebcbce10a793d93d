import { SYSTEM_ACTOR } from '#eventlog';
import type { ReadModel } from '#eventlog/kit';
import { release } from './claims.js';
import type { Ledger } from './ledger.js';
import { departFrom } from './record-departure.js';
import { idOf } from './streams.js';

/** A claim younger than this may still get its fact from the command that made it. */
export const CLAIM_GRACE_MS = 60_000;

/** Releases claims whose fact never came: the command died between the two. Gives back how many. */
export async function sweepClaims(ledger: Ledger, readModel: ReadModel): Promise<number> {
  const before = ledger.store.clock.now() - CLAIM_GRACE_MS;
  const rows = readModel.db
    .prepare('SELECT stream, kind, holder FROM claims_pending WHERE claimed_at <= ? LIMIT 1000')
    .all(before);
  let released = 0;
  for (const row of rows) {
    const stream = String(row.stream);
    const holder = String(row.holder);
    if (await factCame(ledger, String(row.kind), stream, holder)) continue;
    const last = (await ledger.store.read(stream)).events.at(-1);
    if (last === undefined) continue;
    const done = await release(ledger, stream, holder, 'the fact it was made for never came', {
      actor: SYSTEM_ACTOR,
      correlationId: last.correlationId,
      causationId: last.id,
      origin: { via: 'saga' },
    });
    if (done) released += 1;
  }
  return released;
}

/** Custodians who left, on families where that is not marked yet: the command died in between. Gives back how many. */
export async function sweepDepartures(ledger: Ledger, readModel: ReadModel): Promise<number> {
  const rows = readModel.db
    .prepare(
      `SELECT c.family_id AS family_id, c.subject AS subject, d.left_at AS left_at, d.event_id AS event_id
       FROM people_custodians c JOIN people_departures d ON d.subject = c.subject
       WHERE c.departed = 0 AND c.tree_size < d.tree_size LIMIT 1000`,
    )
    .all();
  let marked = 0;
  for (const row of rows) {
    const subject = String(row.subject);
    const causationId = String(row.event_id);
    const departure = { subject, leftAt: String(row.left_at) };
    const done = await departFrom(ledger, String(row.family_id), departure, {
      actor: SYSTEM_ACTOR,
      correlationId: causationId,
      causationId,
      origin: { via: 'saga' },
    });
    if (done) marked += 1;
  }
  return marked;
}

/** The truth stands in the streams; the read model only says where to look. */
async function factCame(ledger: Ledger, kind: string, stream: string, holder: string): Promise<boolean> {
  if (kind === 'policy-selector') return (await ledger.policy(idOf(holder))).state.exists;
  const { state } = await ledger.family(idOf(holder));
  if (kind === 'consumer-name') {
    return state.consumers.some((consumer) => consumer.consumerId === idOf(stream));
  }
  return state.exists;
}
