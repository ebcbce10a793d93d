import { jest } from '@jest/globals';
import { byDepth, footingOn } from '#platform/testing';
import { faultContract, FaultGround } from '../testing/fault-contract.js';
import { outcomeOf } from '../testing/fault-matrix.js';
import { Attempts } from '../testing/key-backend.contract.js';
import { ownServer } from '../testing/servers.js';
import { openTransit, transitFacts, transitOn } from '../testing/vault-transit.js';
import type { ObjectDocument } from './object-document.js';
import { TransitEngine } from './transit-engine.js';

jest.setTimeout(byDepth({ check: 600_000, slice: 1_200_000, full: 7_200_000 }));

const COMMITTED_CASES = { check: 231, slice: 170, full: 2_188 };
const footing = footingOn('openbao');

/** Finds no version of its own again, and writes nothing down that it did not make. */
class BlindTransit extends TransitEngine {
  override happened(): boolean {
    return false;
  }

  override seen(document: ObjectDocument): ObjectDocument {
    return document;
  }
}

describe(`between Keyturn and ${footing.name}`, () => {
  let ground: FaultGround;
  beforeAll(async () => {
    ground = await FaultGround.before(await ownServer(footing));
  });
  afterAll(() => ground.close());

  it('sends nothing with a token that came after its lease had ended', async () => {
    const { bao, lanes } = ground;
    const [lane] = lanes;
    if (lane === undefined) throw new Error('there is no lane');
    const { driver, proxy } = lane;
    const harness = openTransit(await transitOn(bao), { bao, driver, address: proxy.address });
    const attempts = new Attempts(harness.fresh());
    const generate = (versionId: string, signal: AbortSignal) =>
      harness.backend.generate(attempts.next({ signal }), { versionId, algorithm: harness.algorithm });
    const lease = new AbortController();
    await generate('old', lease.signal);
    proxy.plan({ after: async () => lease.abort() }, ({ path }) => path.includes('/auth/token/create/'));
    expect(await outcomeOf(generate('next', lease.signal))).toBe('transient');
    expect(proxy.outstanding).toBe(0);
    expect((await transitFacts(bao, attempts.object)).made).toBe(1);
    await harness.close();
  });

  faultContract('transit', {
    ground: () => ground,
    turn: { place: 0, of: 4 },
    committed: COMMITTED_CASES,
    open: async (bao) => {
      const mount = await transitOn(bao);
      return ({ driver, proxy }) => {
        const on = { bao, driver, address: proxy.address };
        return {
          name: 'transit',
          documents: `${mount.documents}/data/keyturn/`,
          setUp: openTransit(mount, { bao, address: bao.address }),
          open: () => openTransit(mount, on),
          openBlind: () => openTransit(mount, { ...on, engine: (client) => new BlindTransit(client) }),
          facts: (object) => transitFacts(bao, object),
          changes: ({ path }, object) => path.startsWith(`/v1/${object}`),
        };
      };
    },
  });
});
