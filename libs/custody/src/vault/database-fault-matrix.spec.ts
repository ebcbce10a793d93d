import { jest } from '@jest/globals';
import { byDepth, footingOn, haveRealPart } from '#platform/testing';
import { databaseFaults } from '../testing/database-faults.js';
import { faultContract, FaultGround } from '../testing/fault-contract.js';
import { REFUSED_OF_A_PAIR, ROWS_OF_A_PAIR } from '../testing/fault-matrix.js';
import { Postgres } from '../testing/postgres.js';
import { ownServer } from '../testing/servers.js';
import { DatabaseEngine } from './database-engine.js';
import type { ObjectDocument } from './object-document.js';

jest.setTimeout(byDepth({ check: 600_000, slice: 1_800_000, full: 7_200_000 }));

const COMMITTED_CASES = { check: 36, slice: 190, full: 2_496 };
const footing = footingOn('openbao');
const database = haveRealPart('postgres', COMMITTED_CASES.check);

class BlindPair extends DatabaseEngine {
  override happened(): boolean {
    return false;
  }

  override seen(document: ObjectDocument): ObjectDocument {
    return document;
  }
}

(database ? describe : describe.skip)(`between Keyturn, ${footing.name} and its database`, () => {
  let ground: FaultGround;
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await Postgres.start({ log: true });
    ground = await FaultGround.before(await ownServer(footing));
  });
  afterAll(async () => {
    await ground.close();
    await postgres.stop();
  });

  faultContract('database pairs', {
    ground: () => ground,
    turn: { place: 2, of: 4 },
    oneOf: 8,
    committed: COMMITTED_CASES,
    rows: ROWS_OF_A_PAIR,
    refuses: REFUSED_OF_A_PAIR,
    open: (bao) =>
      databaseFaults(bao, postgres, {
        name: 'database pairs',
        blind: (client, options) => new BlindPair(client, options),
      }),
  });
});
