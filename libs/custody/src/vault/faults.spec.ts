import { jest } from '@jest/globals';
import { byDepth, haveRealPart } from '#platform/testing';
import { faultContract, FaultGround } from '../testing/fault-contract.js';
import { OpenBao } from '../testing/openbao.js';
import { openTransit, transitFacts, transitOn } from '../testing/vault-transit.js';
import type { ObjectDocument } from './object-document.js';
import { TransitEngine } from './transit-engine.js';

jest.setTimeout(byDepth({ check: 600_000, slice: 1_200_000, full: 7_200_000 }));

const COMMITTED_CASES = { check: 231, slice: 520, full: 2_188 };
const real = haveRealPart('openbao', COMMITTED_CASES.check);

/** Finds no version of its own again, and writes nothing down that it did not make. */
class BlindTransit extends TransitEngine {
  override happened(): boolean {
    return false;
  }

  override seen(document: ObjectDocument): ObjectDocument {
    return document;
  }
}

(real ? describe : describe.skip)('between Keyturn and a server', () => {
  let ground: FaultGround;
  beforeAll(async () => {
    ground = await FaultGround.before(await OpenBao.start());
  });
  afterAll(() => ground.close());

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
