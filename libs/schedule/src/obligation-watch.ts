import { SYSTEM_ACTOR, WrongExpectedRevisionError } from '#eventlog';
import type { ReadModel } from '#eventlog/kit';
import { derivedId } from '#platform';
import {
  evolveRotation,
  familyDecider,
  familyStream,
  idOf,
  initialRotation,
  policyDecider,
  policyStream,
  rotationStream,
  type FamilyEvent,
  type FamilyState,
  type Ledger,
  type PolicyEvent,
  type PolicyState,
  type RotationEvent,
} from '#rotation';
import { owedHistories, unrecorded, type OwedHistory } from './missed.js';
import { obligationRows, type ObligationRow } from './obligations.js';

export interface ObligationWatchOptions {
  readonly ledger: Ledger;
  readonly readModel: Pick<ReadModel, 'db' | 'onApplied'>;
  /** What may be past its date now; says whom to look at and nothing else. */
  readonly overdue: () => readonly ObligationRow[];
}

/** Facts after which something may be owed no more. */
const SETTLING: readonly string[] = [
  'AttestationReconciled',
  'ConsumerRegistered',
  'FamilyClassified',
  'FamilyDeviationClosed',
  'FamilyRetired',
  'OwnerAssigned',
  'PolicyAmended',
  'PolicyRetired',
  'PostIncidentReviewed',
  'ReviewCompleted',
  'RotationAbandoned',
  'RotationApproved',
  'RotationClosed',
  'RotationCompleted',
  'RotationRejected',
  'RotationRolledBack',
  'RotationSuperseded',
  'RunbookRevised',
];

/** What may have been settled, or missed and settled, while nobody watched. */
const LEFT_OPEN = `SELECT owing FROM obligations WHERE settled_at IS NULL
  UNION SELECT 'rotation-' || id FROM rotations WHERE answered_late = 1`;

/** Most streams looked at in one sweep after facts; the rest wait for the next ones. */
const MOST_TOUCHED = 500;

export function obligationStream(logId: string, row: Pick<ObligationRow, 'kind' | 'key'>): string {
  return `obligation-${derivedId(logId, 'obligation', row.kind, row.key)}`;
}

/**
 * Records what was owed and missed, and how it ended: `ObligationMissed` once its date has passed and never before,
 * `ObligationSettled` when a fact settled it late. Decided from the streams alone, in a stream derived from the obligation, at
 * its exact revision: whoever looks, however often and after whatever restart, it is recorded once.
 */
export class ObligationWatch {
  readonly #options: ObligationWatchOptions;
  readonly #touched = new Set<string>();
  readonly #unlisten: () => void;
  /** What settled something while nobody watched is found by looking at all that stands open. */
  #first = true;

  constructor(options: ObligationWatchOptions) {
    this.#options = options;
    this.#unlisten = options.readModel.onApplied((events) => {
      for (const { type, stream } of events) if (SETTLING.includes(type)) this.#touched.add(stream);
    });
  }

  stop(): void {
    this.#unlisten();
  }

  /** Looks once. Gives back how many events it recorded. */
  async sweep(): Promise<number> {
    const { ledger, readModel, overdue } = this.#options;
    const { state: holds } = await ledger.holds();
    // While the clock is doubted no date is known to have passed, and an older log does not know what was done.
    if (holds.clock !== undefined || holds.restore !== undefined) return 0;
    const known = readModel.db.prepare('SELECT 1 FROM obligations WHERE id = ? AND settled_at IS NULL');
    const late = overdue().filter(
      (row) => known.get(idOf(obligationStream(ledger.logId, row))) === undefined,
    );
    const open = this.#first ? readModel.db.prepare(LEFT_OPEN).all() : [];
    const touched = [...this.#touched].slice(0, MOST_TOUCHED);
    const streams = new Set([...late.map(streamOf), ...open.map(({ owing }) => String(owing)), ...touched]);
    let recorded = 0;
    for (const stream of streams) {
      recorded += await this.#record(stream);
      this.#touched.delete(stream);
    }
    this.#first = false;
    return recorded;
  }

  async #record(owing: string): Promise<number> {
    const { ledger } = this.#options;
    const { store } = ledger;
    let recorded = 0;
    for (const [name, owed] of await this.#owedBy(owing)) {
      const [kind = '', ...key] = name.split(' ');
      const stream = `obligation-${derivedId(ledger.logId, 'obligation', kind, key.join(' '))}`;
      let history = await store.read(stream);
      for (const { event, cause } of unrecorded(owed, history.events)) {
        try {
          history = await store.append(history, [event], {
            actor: SYSTEM_ACTOR,
            correlationId: cause.correlationId,
            causationId: cause.id,
            origin: { via: 'saga' },
          });
          recorded += 1;
        } catch (error) {
          // Somebody else recorded it: it is on record once.
          if (!(error instanceof WrongExpectedRevisionError)) throw error;
          break;
        }
      }
    }
    return recorded;
  }

  /** What the owner of this stream owed and when, from the streams alone. */
  async #owedBy(stream: string): Promise<ReadonlyMap<string, OwedHistory>> {
    const { ledger } = this.#options;
    const id = idOf(stream);
    const now = ledger.store.clock.now();
    const { events } = await ledger.store.read(stream);
    if (stream.startsWith('rotation-')) {
      const { state } = await ledger.rotation(id);
      const { state: family } = await ledger.family(state.familyId);
      let rotation = initialRotation;
      // The category of a stream decides its event types, here and below.
      return owedHistories(
        events as readonly RotationEvent[],
        (event) => {
          rotation = evolveRotation(rotation, event);
          const rows = obligationRows({ families: [family], rotations: [rotation], policies: [], now });
          return rows.filter((row) => row.rotation === id);
        },
        now,
      );
    }
    if (stream.startsWith('family-')) {
      const { state } = await ledger.family(id);
      const policies = state.custodians.length === 0 ? [] : await this.#policies();
      let family: FamilyState = familyDecider.initialState;
      return owedHistories(
        events as readonly FamilyEvent[],
        (event) => {
          family = familyDecider.evolve(family, event);
          return obligationRows({ families: [family], rotations: [], policies, now }).filter(
            (row) => row.family?.id === id,
          );
        },
        now,
      );
    }
    if (!stream.startsWith('policy-')) return new Map();
    let policy: PolicyState = policyDecider.initialState;
    return owedHistories(
      events as readonly PolicyEvent[],
      (event) => {
        policy = policyDecider.evolve(policy, event);
        return obligationRows({ families: [], rotations: [], policies: [policy], now });
      },
      now,
    );
  }

  /** By what policy a departure is to be answered for. */
  #policies(): Promise<readonly PolicyState[]> {
    const { ledger, readModel } = this.#options;
    const ids = readModel.db.prepare('SELECT id FROM policies').all();
    return Promise.all(ids.map(async (row) => (await ledger.policy(String(row['id']))).state));
  }
}

function streamOf({ rotation, family, policy }: ObligationRow): string {
  if (rotation !== null) return rotationStream(rotation);
  return family === null ? policyStream(policy?.id ?? '') : familyStream(family.id);
}
