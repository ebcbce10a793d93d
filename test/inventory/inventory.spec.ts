import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { BackendError, type BackendErrorClass, type KeyBackend } from '#custody';
import { ManualClock } from '#platform/testing';
import { InventoryReconciler, inventoryStream, InventoryWatch } from '#rotation';
import { World } from '../support/world.js';
import { DAY, MINUTE, rotating } from '../clocks/support.js';

/** What a back end holds, compared with the record, on the real local back end: a stranger is whoever acts on it past Keyturn. */

const START = '2026-03-02T09:00:00.000Z';

let clock: ManualClock;
let world: World;
let unreadable: string | undefined;
let unreadableClass: BackendErrorClass = 'auth';

/** The real back end; where the test says so, it answers no question. */
function moody(real: KeyBackend): KeyBackend {
  return new Proxy(real, {
    get(target, name) {
      if (name === 'observe' && unreadable !== undefined) {
        const why = unreadable;
        return async () => Promise.reject(new BackendError(unreadableClass, why));
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

beforeEach(async () => {
  unreadable = undefined;
  unreadableClass = 'auth';
  clock = new ManualClock(START);
  world = await World.open({ clock, before: moody });
});
afterEach(() => world.close());

const reconcile = (...families: readonly string[]) =>
  new InventoryReconciler(world.ledger, world.backEnds).reconcile('local', families);

async function kinds(familyId: string): Promise<readonly string[]> {
  return (await world.facts(`family-${familyId}`))
    .map(({ type }) => type)
    .filter((type) => type.startsWith('Drift'));
}

async function recordedInventories(): Promise<number> {
  return (await world.facts(inventoryStream(world.ledger.logId, 'local'))).length;
}

/** Somebody makes a version in the family's object, as a person with the root token does. */
async function strangerMakes(familyId: string): Promise<string> {
  const { details, slot } = await world.family(familyId);
  const versionId = `stranger-${randomUUID().slice(0, 8)}`;
  const facts = slot === undefined ? [] : await world.facts(slot.rotation);
  await world.backEnd.generate(
    {
      object: details?.backEnd?.object ?? '',
      familyId,
      key: `${randomUUID()}/stranger`,
      attemptId: randomUUID(),
      fence: { slot: slot?.openedRevision ?? 0, step: facts.length },
      signal: new AbortController().signal,
    },
    { versionId, algorithm: 'ES256' },
  );
  return versionId;
}

describe('the inventory of a back end', () => {
  it('agrees with the record after a rotation, and is recorded once a day', async () => {
    const { familyId, rotationId } = await rotating(world);
    await world.leapToEnd(rotationId);
    const found = await reconcile(familyId);
    expect(found).toMatchObject({ families: 1, expected: 2, missing: 0, extra: 0, unreadable: 0 });
    expect(await kinds(familyId)).toEqual([]);
    for (let hours = 0; hours < 23; hours += 1) {
      clock.advance(60 * MINUTE);
      await reconcile(familyId);
    }
    expect(await recordedInventories()).toBe(1);
    clock.advance(60 * MINUTE);
    await reconcile(familyId);
    expect(await recordedInventories()).toBe(2);
  });

  it('agrees at every step of a rotation: what it does itself is no drift', async () => {
    const { familyId, rotationId } = await rotating(world);
    for (let turn = 0; turn < 60; turn += 1) {
      const wake = await world.advance(rotationId);
      await reconcile(familyId);
      if (wake.finished) break;
      if ((await world.confirmAsked(rotationId)) > 0) continue;
      clock.advance(Math.max(1_000, (wake.until ?? 0) - clock.now()));
    }
    expect((await world.rotation(rotationId)).phase).toBe('completed');
    expect(await kinds(familyId)).toEqual([]);
  });

  it('says what could not be read, and passes nothing of it', async () => {
    const { familyId, rotationId } = await rotating(world);
    await world.leapToEnd(rotationId);
    await strangerMakes(familyId);
    unreadable = 'local: it is not allowed (403)';
    const found = await reconcile(familyId);
    expect(found).toMatchObject({
      families: 1,
      expected: 0,
      extra: 0,
      unreadable: 1,
      unreadableFamilies: [{ family: familyId, why: 'local: it is not allowed (403)' }],
    });
    expect(await kinds(familyId)).toEqual([]);
    // A week of it is seven days, not a thousand looks.
    for (let looks = 0; looks < 7 * 24; looks += 1) {
      clock.advance(60 * MINUTE);
      await reconcile(familyId);
    }
    expect(await recordedInventories()).toBe(8);
    unreadable = undefined;
    expect(await reconcile(familyId)).toMatchObject({ unreadable: 0, extra: 1 });
    expect(await kinds(familyId)).toEqual(['DriftObserved']);
  });
});

describe('a version that nobody on record made', () => {
  async function draining(): Promise<{ readonly familyId: string; readonly rotationId: string }> {
    const { familyId, rotationId } = await rotating(world);
    for (let turn = 0; turn < 20; turn += 1) {
      const wake = await world.advance(rotationId);
      if (wake.finished) break;
      if (wake.waitsFor.includes('the drain window')) return { familyId, rotationId };
      if ((await world.confirmAsked(rotationId)) === 0)
        clock.advance(Math.max(1_000, (wake.until ?? 0) - clock.now()));
    }
    throw new Error('it never drained');
  }

  it('holds the revocation, until a person says that it is known', async () => {
    const { familyId, rotationId } = await draining();
    const stranger = await strangerMakes(familyId);
    await reconcile(familyId);
    await reconcile(familyId);
    expect(await kinds(familyId)).toEqual(['DriftObserved']);
    clock.advance(DAY);
    expect(await world.advance(rotationId)).toMatchObject({
      waitsFor: `held: drift: ${stranger} was made by nobody on record`,
    });
    expect((await world.rotation(rotationId)).phase).toBe('draining');
    const { drift } = await world.family(familyId);
    await world.reviseFamily(familyId, {
      type: 'AcceptDrift',
      drift: drift?.eventId ?? '',
      reason: 'made by hand in a drill',
    });
    expect(await kinds(familyId)).toEqual(['DriftObserved', 'DriftSettled']);
    await world.leapToEnd(rotationId);
    expect((await world.rotation(rotationId)).phase).toBe('completed');
    expect(await reconcile(familyId)).toMatchObject({ extra: 0 });
  });

  it('holds no emergency, which says what it passed', async () => {
    const { familyId } = await draining();
    await strangerMakes(familyId);
    await reconcile(familyId);
    const { id } = await world.emergency(familyId);
    await world.leapToEnd(id);
    const passed = (await world.facts(id)).flatMap(({ type, data }) =>
      type === 'StepStarted' ? ((data as { readonly passed?: readonly string[] }).passed ?? []) : [],
    );
    expect(passed.join()).toContain('drift');
  });

  it('is a rotation that was observed where the family’s authority is somebody else', async () => {
    const { id: familyId } = await world.registerFamily({
      name: 'turned-by-a-pipeline',
      algorithm: 'ES256',
      mode: 'tracked',
      authority: { kind: 'pipeline', name: 'nightly' },
    });
    const made = await strangerMakes(familyId);
    await reconcile(familyId);
    await reconcile(familyId);
    const observed = (await world.facts(`family-${familyId}`)).filter(
      ({ type }) => type === 'VersionObserved',
    );
    expect(observed).toMatchObject([{ data: { versionId: made, accepted: false } }]);
    expect(await kinds(familyId)).toEqual([]);
  });
});

describe('the watch of all back ends', () => {
  const looks: string[] = [];
  let families: ReadonlyMap<string, readonly string[]>;
  let underWay: readonly string[];
  let unknown: readonly string[] = [];
  let unserved: readonly string[] = [];
  const watch = (): InventoryWatch => {
    const reconciler = new InventoryReconciler(world.ledger, world.backEnds);
    return new InventoryWatch({
      reconciler: {
        last: (instance) => reconciler.last(instance),
        reconcile: async (instance, which, signal) => {
          looks.push(`all of ${instance}`);
          return reconciler.reconcile(instance, which, signal);
        },
        look: async (family) => {
          looks.push('one');
          return reconciler.look(family);
        },
      },
      directory: {
        byBackEnd: () => families,
        underWay: () => underWay,
        unknown: () => unknown,
        unserved: () => unserved,
      },
      clock,
      onError: (error) => {
        throw error;
      },
    });
  };

  it('looks at everything once a day, also over a restart, and at what is under way each time', async () => {
    const { familyId } = await rotating(world);
    families = new Map([['local', [familyId]]]);
    underWay = [familyId];
    looks.length = 0;
    const first = watch();
    await first.round();
    await first.round();
    clock.advance(DAY - 1);
    await watch().round();
    clock.advance(1);
    await watch().round();
    expect(looks).toEqual(['all of local', 'one', 'one', 'all of local']);
  });

  it('looks at what was never on record once, and again where it could not be read', async () => {
    const { familyId } = await rotating(world);
    unknown = [familyId];
    looks.length = 0;
    const newcomers = watch();
    unreadable = 'permission denied';
    await newcomers.newcomers();
    await newcomers.newcomers();
    expect(looks).toEqual(['one']);
    unreadable = undefined;
    clock.advance(5 * MINUTE);
    await newcomers.newcomers();
    clock.advance(DAY);
    await newcomers.newcomers();
    expect(looks).toEqual(['one', 'one']);
    unknown = [];
  });

  it('looks again within the hour at a back end that could not be read, with no event for it, and then once a day', async () => {
    const { familyId } = await rotating(world);
    families = new Map([['local', [familyId]]]);
    underWay = [];
    clock.advance(DAY);
    looks.length = 0;
    unreadable = 'connection refused';
    const outage = watch();
    await outage.round();
    const recorded = await recordedInventories();
    for (let round = 0; round < 24; round += 1) {
      clock.advance(5 * MINUTE);
      await outage.round();
    }
    expect(looks).toHaveLength(3);
    expect(await recordedInventories()).toBe(recorded);
    unreadable = undefined;
    for (let round = 0; round < 24; round += 1) {
      clock.advance(5 * MINUTE);
      await outage.round();
    }
    expect(looks).toEqual(['all of local', 'one', 'one', 'one', 'all of local']);
  });

  it('looks at once at what verifiers are served nothing of, until they are', async () => {
    const { familyId } = await rotating(world);
    unserved = [familyId];
    looks.length = 0;
    const after = watch();
    await after.newcomers();
    await after.newcomers();
    expect(looks).toEqual(['one']);
    unserved = [];
  });

  it('goes back on a drift that is gone, without a person', async () => {
    const { familyId, rotationId } = await rotating(world);
    await world.leapToEnd(rotationId);
    const stranger = await strangerMakes(familyId);
    families = new Map([['local', [familyId]]]);
    underWay = [familyId];
    await watch().round();
    expect(await kinds(familyId)).toEqual(['DriftObserved']);
    const { details, slot } = await world.family(familyId);
    await world.backEnd.destroy(
      {
        object: details?.backEnd?.object ?? '',
        familyId,
        key: `${randomUUID()}/stranger`,
        attemptId: randomUUID(),
        fence: { slot: slot?.openedRevision ?? 0, step: 1_000 },
        signal: new AbortController().signal,
      },
      { versions: [stranger] },
    );
    await watch().round();
    expect(await kinds(familyId)).toEqual(['DriftObserved', 'DriftSettled']);
    expect((await world.family(familyId)).drift).toBeUndefined();
  });

  it('does not ask three thousand times what does not answer', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 6; count += 1) {
      const { id } = await world.registerFamily({ name: `quiet-${count}`, algorithm: 'ES256' });
      ids.push(id);
    }
    unreadable = 'local: no connection (ECONNREFUSED)';
    unreadableClass = 'transient';
    const found = await reconcile(...ids);
    expect(found).toMatchObject({ families: 6, unreadable: 6 });
    expect(found.unreadableFamilies.filter(({ why }) => why.includes('was not asked again'))).toHaveLength(3);
    unreadableClass = 'auth';
    const refused = await reconcile(...ids);
    expect(refused.unreadableFamilies.every(({ why }) => why === unreadable)).toBe(true);
  });
});
