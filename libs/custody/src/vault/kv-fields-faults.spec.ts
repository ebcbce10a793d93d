import { jest } from '@jest/globals';
import { byDepth, footingOn } from '#platform/testing';
import { faultContract, FaultGround } from '../testing/fault-contract.js';
import { REFUSED_OF_ONE_VALUE, ROWS_OF_ONE_VALUE } from '../testing/fault-matrix.js';
import { kvFaults } from '../testing/kv-faults.js';
import { ownServer } from '../testing/servers.js';
import { KvFieldsEngine } from './kv-fields-engine.js';
import { currentAndPrevious, singleValue } from './kv-fields-layout.js';
import type { ObjectDocument } from './object-document.js';

jest.setTimeout(byDepth({ check: 600_000, slice: 1_200_000, full: 7_200_000 }));

const COMMITTED_CASES = {
  fields: { check: 36, slice: 230, full: 2_954 },
  single: { check: 25, slice: 180, full: 2_346 },
};
const footing = footingOn('openbao');

class BlindFields extends KvFieldsEngine {
  override happened(): boolean {
    return false;
  }

  override seen(document: ObjectDocument): ObjectDocument {
    return document;
  }
}

describe(`between Keyturn and KV v2, whose fields are read, on ${footing.name}`, () => {
  let ground: FaultGround;
  beforeAll(async () => {
    ground = await FaultGround.before(await ownServer(footing));
  });
  afterAll(() => ground.close());

  faultContract('KV v2, current and previous', {
    ground: () => ground,
    turn: { place: 3, of: 4 },
    oneOf: 8,
    committed: COMMITTED_CASES.fields,
    open: (bao) =>
      kvFaults(bao, {
        name: 'KV v2, current and previous',
        engine: (client) => new KvFieldsEngine(client, currentAndPrevious()),
        blind: (client) => new BlindFields(client, currentAndPrevious()),
      }),
  });

  faultContract('KV v2, one value', {
    ground: () => ground,
    turn: { place: 0, of: 4 },
    oneOf: 8,
    committed: COMMITTED_CASES.single,
    rows: ROWS_OF_ONE_VALUE,
    refuses: REFUSED_OF_ONE_VALUE,
    open: (bao) =>
      kvFaults(bao, {
        name: 'KV v2, one value',
        engine: (client) => new KvFieldsEngine(client, singleValue()),
        blind: (client) => new BlindFields(client, singleValue()),
      }),
  });
});
