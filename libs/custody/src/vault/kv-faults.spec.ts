import { jest } from '@jest/globals';
import { byDepth, footingOn } from '#platform/testing';
import { faultContract, FaultGround } from '../testing/fault-contract.js';
import { kvFaults } from '../testing/kv-faults.js';
import { ownServer } from '../testing/servers.js';
import { KvDocumentEngine } from './kv-document-engine.js';
import { KvPathsEngine } from './kv-paths-engine.js';
import type { ObjectDocument } from './object-document.js';

jest.setTimeout(byDepth({ check: 600_000, slice: 1_200_000, full: 7_200_000 }));

const COMMITTED_CASES = {
  document: { check: 36, slice: 230, full: 2_955 },
  paths: { check: 36, slice: 350, full: 4_514 },
};
const footing = footingOn('openbao');

class BlindDocument extends KvDocumentEngine {
  override happened(): boolean {
    return false;
  }

  override seen(document: ObjectDocument): ObjectDocument {
    return document;
  }
}

class BlindPaths extends KvPathsEngine {
  override happened(): boolean {
    return false;
  }

  override seen(document: ObjectDocument): ObjectDocument {
    return document;
  }
}

describe(`between Keyturn and KV v2, on ${footing.name}`, () => {
  let ground: FaultGround;
  beforeAll(async () => {
    ground = await FaultGround.before(await ownServer(footing));
  });
  afterAll(() => ground.close());

  faultContract('KV v2, a keyed document', {
    ground: () => ground,
    turn: { place: 1, of: 4 },
    oneOf: 8,
    committed: COMMITTED_CASES.document,
    open: (bao) =>
      kvFaults(bao, {
        name: 'KV v2, a keyed document',
        engine: (client) => new KvDocumentEngine(client),
        blind: (client) => new BlindDocument(client),
      }),
  });

  faultContract('KV v2, two paths', {
    ground: () => ground,
    turn: { place: 2, of: 4 },
    oneOf: 8,
    committed: COMMITTED_CASES.paths,
    open: (bao) =>
      kvFaults(bao, {
        name: 'KV v2, two paths',
        engine: (client) => new KvPathsEngine(client),
        blind: (client) => new BlindPaths(client),
        beside: ['/blue', '/green'],
      }),
  });
});
