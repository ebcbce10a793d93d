import { DomainError } from '#eventlog';
import { ManualClock } from '#platform/testing';
import { ENDED, type RotationRunner, type Wake } from '#rotation';
import { Barrier, workerOf, type PLACES } from '../support/barrier.js';
import {
  ask,
  declareEmergency,
  freeze,
  lateVerifier,
  playScript,
  rollBack,
  type Script,
  type Seen,
  type Stage,
} from '../support/scripts.js';
import { disagreements, effectsOf, ground } from '../support/script-stage.js';
import { World } from '../support/world.js';

/** Interference on the real core and the real local back end: a worker stands still, somebody asks, it goes on. */

type Asking = (stage: Stage, seen: Seen, world: World) => Promise<void>;

export const REQUESTS = {
  rollback: (stage, { rotation, family }) => rollBack(stage, rotation, family),
  pause: (stage, { rotation }) => ask(stage, rotation.rotationId, { type: 'PauseRotation', reason: 'wait' }),
  abandon: (stage, { rotation }) =>
    ask(stage, rotation.rotationId, { type: 'AbandonRotation', reason: 'not needed' }),
  emergency: (stage, seen) => declareEmergency(stage, seen),
  'emergency, both leaked, not contained': (stage, seen) => declareEmergency(stage, seen, 'both', false),
  'a verifier joins': (stage, { family }) => lateVerifier(stage, family),
  'a policy changes': async (stage, { family }, world) => {
    await world.policy({ watch: 'PT2H' }, { name: `of ${family.familyId}`, selector: selectorOf(world) });
  },
  'a freeze': (stage) => freeze(stage),
} as const satisfies Record<string, Asking>;
export type RequestKind = keyof typeof REQUESTS;
export const REQUEST_KINDS = Object.keys(REQUESTS) as readonly RequestKind[];

const policies = new WeakMap<World, number>();

/** Another one each time: only two policies with the same selector collide. */
function selectorOf(world: World): { readonly environment: string } {
  const number = (policies.get(world) ?? 0) + 1;
  policies.set(world, number);
  return { environment: `env-${number}` };
}

export interface Case {
  readonly script: Script;
  /** Which attempt, counted from 1. */
  readonly attempt: number;
  readonly place: (typeof PLACES)[number];
  readonly request: RequestKind;
}

/** What people do when a rotation stands still because somebody asked for it. */
const HELPERS: Script['turns'] = [
  {
    due: ({ rotation }) => rotation.paused && !ENDED.includes(rotation.phase),
    act: (stage, { rotation }) => ask(stage, rotation.rotationId, { type: 'ResumeRotation' }),
  },
];

export async function openArena(): Promise<Arena> {
  const clock = new ManualClock('2026-03-02T09:00:00.000Z');
  return new Arena(await World.open({ clock }), clock);
}

/** One world for many cases, each with a family of its own. */
export class Arena {
  constructor(
    readonly world: World,
    readonly clock: ManualClock,
  ) {}

  close(): Promise<void> {
    return this.world.close();
  }

  /** How many attempts a script has when nobody comes in between. */
  async attempts(script: Script): Promise<number> {
    const base = await ground(this.world, this.clock, script.overlap);
    const watch = new Barrier('after-intent', () => false);
    const runner = workerOf(this.world, 'alone#1', watch);
    await playScript({ ...base, ...driving(runner, base.familyId) }, script);
    return watch.intents.length;
  }

  /** Plays one case; what was wrong with it, and whether what was asked was taken. */
  async prove({ script, attempt, place, request }: Case): Promise<{
    readonly taken: boolean;
    readonly problem?: string;
  }> {
    const { world } = this;
    const base = await ground(world, this.clock, script.overlap);
    const barrier = new Barrier(place, (_intent, number) => number === attempt);
    const runner = workerOf(world, 'a#1', barrier);
    let taken: boolean | undefined;
    const stage: Stage = {
      ...base,
      ...driving(runner, base.familyId, async (wake) => {
        const first = await Promise.race([wake, barrier.frozen]);
        if (first !== undefined || taken !== undefined) return wake;
        taken = await this.#ask(stage, request);
        barrier.thaw();
        return wake;
      }),
    };
    const { rotations } = await playScript(stage, { ...script, turns: [...HELPERS, ...script.turns] });
    if (taken === undefined) return { taken: false, problem: 'the worker never stood still there' };
    const wrong = [...(await disagreements(world, world.backEnd, base))];
    const keys = effectsOf(world, base.object).map((row) => row.key);
    if (new Set(keys).size !== keys.length) wrong.push('an effect was performed twice');
    for (const id of rotations) {
      const { phase } = await world.rotation(id);
      if (!ENDED.includes(phase)) wrong.push(`it came to rest in ${phase}`);
    }
    const { versions, compromised } = await world.family(base.familyId);
    for (const version of versions) {
      const used = version.accepted || (version.emittingShare ?? 0) > 0;
      if (used && compromised.includes(version.versionId)) wrong.push('a compromised version is in use');
    }
    const [problem] = wrong;
    return { taken, ...(problem === undefined ? {} : { problem }) };
  }

  async #ask(stage: Stage, request: RequestKind): Promise<boolean> {
    const { ledger, familyId } = stage;
    const { state: family } = await ledger.family(familyId);
    const [rotation, holds] = await Promise.all([
      ledger.rotation(family.slot?.rotation ?? ''),
      ledger.holds(),
    ]);
    const asking: Asking = REQUESTS[request];
    try {
      await asking(stage, { rotation: rotation.state, family, holds: holds.state }, this.world);
      return true;
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      return false;
    }
  }
}

function driving(
  runner: RotationRunner,
  familyId: string,
  through: (wake: Promise<Wake>) => Promise<Wake> = (wake) => wake,
): Pick<Stage, 'advance' | 'advanceContainment'> {
  return {
    advance: (id) => through(runner.advance(id, familyId, 1)),
    advanceContainment: (id) => through(runner.advanceContainment(id, familyId)),
  };
}
