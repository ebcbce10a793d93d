import { jest } from '@jest/globals';
import { byDepth, haveRealPart, inSlice, ManualClock, sliceText } from '#platform/testing';
import { familyStream, type RotationState } from '#rotation';
import { InventoryReconciler } from '#rotation';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import { workerOf } from '../support/barrier.js';
import { ground as scriptGround, type Ground } from '../support/script-stage.js';
import type { Script } from '../support/scripts.js';
import {
  documentOf,
  VAULT_SCRIPTS,
  vaultCustody,
  vaultGround,
  VaultProcess,
  vaultSettings,
  type VaultEngineName,
  type VaultGround,
} from '../support/vault-custody.js';
import { World } from '../support/world.js';
import { brokenAfter } from './laws.js';
import { playHelped } from './people.js';

/**
 * A person beside Keyturn, in the server: what they do is seen by the look that the service makes every few minutes, is on record as
 * drift, holds what cannot be taken back until it is settled, and never an emergency. Each deed at each phase of a rotation.
 */

jest.setTimeout(byDepth({ check: 600_000, slice: 1_800_000, full: 3_600_000 }));

const PHASES = ['approved', 'generated', 'accepting', 'emitting', 'draining', 'revoked'] as const;
type Phase = (typeof PHASES)[number];

interface Deed {
  readonly name: string;
  readonly engine: VaultEngineName;
  /** Seen by a look, and so drift; else it only shows to whoever asks the server for something. */
  readonly drift: boolean;
  /** Phases in which there is something to do it to. */
  readonly phases: readonly Phase[];
  readonly act: (bao: OpenBao, place: Place) => Promise<void>;
  /** What they do once they are asked; nothing: they only say that it is known. */
  readonly undo?: (bao: OpenBao, place: Place) => Promise<void>;
}

interface Place {
  readonly object: string;
  readonly document: string;
  readonly policy: string;
  /** What the deed has kept to undo it with. */
  readonly kept: Map<string, unknown>;
}

const face = (object: string, name: string): string => object.replace('/data/', `/${name}/`);

interface KvAnswer {
  readonly data: { readonly data: Record<string, unknown>; readonly metadata: { readonly version: number } };
}

async function newestOf(bao: OpenBao, object: string): Promise<number> {
  const { data } = await bao.api<{ data: { current_version: number } }>('GET', face(object, 'metadata'));
  return data.current_version;
}

/** As whoever reads the reason does: what stands there is good, and its number is said. */
async function confirm(bao: OpenBao, object: string): Promise<void> {
  const confirmed = String(await newestOf(bao, object));
  await bao.api('POST', face(object, 'metadata'), { custom_metadata: { 'keyturn-confirmed': confirmed } });
}

/** `kv rollback` to a KV version, and said so. */
async function writeBack(bao: OpenBao, object: string, version: number): Promise<void> {
  const { data } = await bao.api<KvAnswer>('GET', `${object}?version=${version}`);
  await bao.api('POST', object, { data: data.data });
  await confirm(bao, object);
}

const DEEDS: readonly Deed[] = [
  {
    name: 'rotates the key',
    engine: 'transit',
    drift: true,
    phases: PHASES,
    act: async (bao, { object }) => bao.api('POST', `${object}/rotate`),
  },
  {
    name: 'raises min_decryption_version',
    engine: 'transit',
    drift: true,
    phases: ['generated', 'accepting', 'emitting', 'draining'],
    act: async (bao, { object }) =>
      bao.api('POST', `${object}/config`, { min_decryption_version: 2, min_encryption_version: 2 }),
    undo: async (bao, { object }) =>
      bao.api('POST', `${object}/config`, { min_decryption_version: 1, min_encryption_version: 1 }),
  },
  {
    name: 'soft-deletes the key',
    engine: 'transit',
    drift: true,
    phases: PHASES,
    act: async (bao, { object }) => bao.api('DELETE', `${object}/soft-delete`),
    undo: async (bao, { object }) => bao.api('POST', `${object}/soft-delete-restore`),
  },
  {
    name: 'lets the key turn itself',
    engine: 'transit',
    drift: true,
    phases: PHASES,
    act: async (bao, { object }) => bao.api('POST', `${object}/config`, { auto_rotate_period: '24h' }),
    undo: async (bao, { object }) => bao.api('POST', `${object}/config`, { auto_rotate_period: '0' }),
  },
  {
    name: 'takes the policy away',
    engine: 'transit',
    drift: false,
    phases: PHASES,
    act: async (bao, { policy, kept }) => {
      const { data } = await bao.api<{ data: { policy: string } }>('GET', `sys/policies/acl/${policy}`);
      kept.set('policy', data.policy);
      await bao.api('DELETE', `sys/policies/acl/${policy}`);
    },
    undo: async (bao, { policy, kept }) =>
      bao.api('PUT', `sys/policies/acl/${policy}`, { policy: kept.get('policy') }),
  },
  {
    name: 'deletes the record of Keyturn',
    engine: 'transit',
    drift: false,
    phases: PHASES,
    act: async (bao, { document, kept }) => {
      kept.set('version', await newestOf(bao, document));
      await bao.api('DELETE', document);
    },
    undo: async (bao, { document, kept }) =>
      bao.api('POST', face(document, 'undelete'), { versions: [kept.get('version')] }),
  },
  {
    name: 'moves the pointer back',
    engine: 'transit',
    drift: false,
    phases: ['draining'],
    act: async (bao, { document, kept }) => {
      const { data } = await bao.api<KvAnswer>('GET', document);
      kept.set('data', data.data);
      const versions: unknown = data.data['versions'];
      if (!Array.isArray(versions)) throw new Error('the record has no versions');
      const moved = versions.map((version: object, index) => ({
        ...version,
        emittingShare: index === 0 ? 100 : 0,
      }));
      await bao.api('POST', document, { data: { ...data.data, versions: moved } });
    },
    undo: async (bao, { document }) => {
      const { data } = await bao.api<KvAnswer>('GET', document);
      const versions: unknown = data.data['versions'];
      if (!Array.isArray(versions)) throw new Error('the record has no versions');
      const back = versions.map((version: object, index) => ({
        ...version,
        emittingShare: index === versions.length - 1 ? 100 : 0,
      }));
      await bao.api('POST', document, { data: { ...data.data, versions: back } });
    },
  },
  {
    name: 'edits another field',
    engine: 'kv',
    drift: true,
    phases: PHASES,
    act: async (bao, { object }) => {
      const { data } = await bao.api<KvAnswer>('GET', object);
      await bao.api('POST', object, { data: { ...data.data, comment: 'see the wiki' } });
    },
    undo: async (bao, { object }) => confirm(bao, object),
  },
  {
    name: 'writes something else over it',
    engine: 'kv',
    drift: true,
    phases: PHASES,
    act: async (bao, { object, kept }) => {
      kept.set('version', await newestOf(bao, object));
      await bao.api('POST', object, { data: { password: 'by hand' } });
    },
    undo: async (bao, { object, kept }) => writeBack(bao, object, Number(kept.get('version'))),
  },
  {
    name: 'deletes the newest KV version',
    engine: 'kv',
    drift: true,
    phases: PHASES,
    act: async (bao, { object, kept }) => {
      kept.set('version', await newestOf(bao, object));
      await bao.api('DELETE', object);
    },
    undo: async (bao, { object, kept }) =>
      bao.api('POST', face(object, 'undelete'), { versions: [kept.get('version')] }),
  },
  {
    name: 'deletes and undeletes it',
    engine: 'kv',
    drift: false,
    phases: PHASES,
    act: async (bao, { object }) => {
      const version = await newestOf(bao, object);
      await bao.api('DELETE', object);
      await bao.api('POST', face(object, 'undelete'), { versions: [version] });
    },
  },
  {
    name: 'destroys the newest KV version',
    engine: 'kv',
    drift: true,
    // One before it has the same keys.
    phases: ['accepting', 'emitting', 'draining', 'revoked'],
    act: async (bao, { object, kept }) => {
      const version = await newestOf(bao, object);
      kept.set('version', version - 1);
      await bao.api('POST', face(object, 'destroy'), { versions: [version] });
    },
    undo: async (bao, { object, kept }) => writeBack(bao, object, Number(kept.get('version'))),
  },
];

const ALL = DEEDS.flatMap((deed) => deed.phases.map((phase) => ({ deed, phase })));
/** The check takes each deed at one phase. */
const CASES = byDepth({ check: DEEDS.length, slice: 30, full: ALL.length });
const taken = byDepth({
  check: DEEDS.map((deed, index) => ({ deed, phase: deed.phases[index % deed.phases.length] ?? 'draining' })),
  slice: ALL.filter((_, index) => inSlice(index, 2)),
  full: ALL,
});
const real = haveRealPart('openbao', CASES);

(real ? describe : describe.skip)('a person beside Keyturn, in the server', () => {
  let bao: OpenBao;
  let ground: VaultGround;
  let clock: ManualClock;
  let process: VaultProcess;
  let world: World;
  let proved = 0;
  let all = 0;

  beforeAll(async () => {
    bao = await OpenBao.start();
    ground = await vaultGround(bao);
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    process = new VaultProcess(vaultSettings(ground), clock);
    world = await World.open({ clock, besides: Object.values(process.backEnds) });
  });
  afterAll(async () => {
    await world.close();
    await process.close();
    ground.driver.close();
    await bao.stop();
  });

  interface Told {
    readonly base: Ground;
    readonly rotations: readonly string[];
    readonly phase: RotationState['phase'];
    readonly asked: readonly string[];
    readonly acted: boolean;
  }

  /** Plays a script while the deed is done at a phase; with `looks` as the service makes them. */
  async function play(
    deed: Deed,
    phase: Phase,
    { name = 'graceful', looks = true, settles = true } = {},
  ): Promise<Told> {
    const script = VAULT_SCRIPTS.find((each) => each.name === name);
    if (script === undefined) throw new Error(`there is no script ${name}`);
    const backEnd = process.backEnds[deed.engine];
    const base = await scriptGround(world, clock, script.overlap, vaultCustody(ground, deed.engine, backEnd));
    const place: Place = {
      object: base.object,
      document: `${ground.documents}/data/keyturn/${base.object}`,
      policy: ground.driver.settings.fence.role,
      kept: new Map(),
    };
    const reconciler = new InventoryReconciler(world.ledger, world.backEnds);
    const runner = workerOf(world, 'beside#1', undefined, true, backEnd);
    let acted = false;
    let undone = false;
    const turned: Script = {
      ...script,
      turns: [
        {
          due: ({ rotation }) => !acted && rotation.phase === phase && rotation.steps.open === undefined,
          act: async () => {
            acted = true;
            await deed.act(bao, place);
            if (looks) await reconciler.look(base.familyId);
          },
        },
        ...script.turns,
      ],
    };
    /** What is left to settle is said to be known, once the look has seen it so. */
    const settle = async (): Promise<boolean> => {
      await reconciler.look(base.familyId);
      const { drift } = await world.family(base.familyId);
      if (drift === undefined) return false;
      await world.reviseFamily(base.familyId, {
        type: 'AcceptDrift',
        drift: drift.eventId,
        reason: 'it was us, with a change of our own',
      });
      return true;
    };
    const mend = async (): Promise<boolean> => {
      if (!settles || !acted) return false;
      const undo = undone ? undefined : deed.undo;
      undone = true;
      await undo?.(bao, place);
      return (await settle()) || undo !== undefined;
    };
    const stage = {
      ...base,
      advance: (id: string) => runner.advance(id, base.familyId, 1),
      advanceContainment: (id: string) => runner.advanceContainment(id, base.familyId),
    };
    const played = await playHelped(stage, turned, mend);
    // Nobody was asked: what was done is seen, and put right, afterwards.
    if (settles && !undone) await mend();
    return { ...played, base, acted };
  }

  async function prove(deed: Deed, phase: Phase): Promise<string | undefined> {
    const told = await play(deed, phase);
    const wrong: string[] = [];
    if (!told.acted) wrong.push('nobody did it');
    if (told.phase !== 'completed') wrong.push(`it ended ${told.phase}`);
    for (const why of told.asked) if (why.length < 20) wrong.push(`a person is asked for “${why}”`);
    const family = await world.facts(familyStream(told.base.familyId));
    const drifts = family.filter(({ type }) => type === 'DriftObserved');
    if (deed.drift !== drifts.length > 0) wrong.push(`drift was ${deed.drift ? 'not ' : ''}recorded`);
    wrong.push(...(await revokedInDrift(told)));
    wrong.push(...(await brokenAfter(world, ground, told.base, told.rotations)));
    return wrong.length === 0 ? undefined : `${wrong.join('; ')} (asked: ${told.asked.join(' | ')})`;
  }

  /** Nothing is revoked between a drift and its settling. */
  async function revokedInDrift({ base, rotations }: Told): Promise<readonly string[]> {
    let open = false;
    const wrong: string[] = [];
    for await (const logged of world.store.log.readAll()) {
      const { stream, type, data } = world.store.decode(logged);
      if (stream === familyStream(base.familyId)) {
        if (type === 'DriftObserved') open = true;
        if (type === 'DriftSettled') open = false;
      }
      const ours = rotations.some((id) => stream.endsWith(id));
      if (ours && open && type === 'StepStarted' && JSON.stringify(data).includes('"step":"revoke"'))
        wrong.push('it was revoked while drift was open');
    }
    return wrong;
  }

  it.each(taken.map(({ deed, phase }) => ({ name: deed.name, engine: deed.engine, phase, deed })))(
    '$engine: $name at $phase',
    async ({ deed, phase }) => {
      all += 1;
      const problem = await prove(deed, phase);
      if (problem === undefined) proved += 1;
      expect(problem).toBeUndefined();
    },
  );

  it('takes as many as were committed', () => {
    globalThis.process.stdout.write(
      `a person in the server: ${proved} of ${all}${sliceText('each deed at some of its phases')}\n`,
    );
    expect(proved).toBe(all);
    expect(all).toBeGreaterThanOrEqual(CASES);
  });

  it('does not hold an emergency', async () => {
    const [rotates] = DEEDS;
    if (rotates === undefined) throw new Error('there is no deed');
    const told = await play(rotates, 'generated', { name: 'emergency', settles: false });
    expect(told).toMatchObject({ acted: true, phase: 'completed', asked: [] });
    const { drift } = await world.family(told.base.familyId);
    expect(drift?.differences).toHaveLength(1);
    const [, , surplus] = (await documentOf(ground, told.base.object)).versions;
    expect(surplus).toMatchObject({ versionId: '3', accepted: false, emittingShare: 0 });
  });

  it('has nothing on record where nobody looks: each case above would be red', async () => {
    const [rotates] = DEEDS;
    if (rotates === undefined) throw new Error('there is no deed');
    const told = await play(rotates, 'draining', { looks: false, settles: false });
    const wrong = await brokenAfter(world, ground, told.base, told.rotations);
    const family = await world.facts(familyStream(told.base.familyId));
    expect(family.filter(({ type }) => type === 'DriftObserved')).toEqual([]);
    expect(told).toMatchObject({ acted: true, phase: 'completed', asked: [] });
    expect(wrong).toEqual([]);
  });
});
