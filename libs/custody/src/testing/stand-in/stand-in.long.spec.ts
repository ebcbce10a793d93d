import { afterAll, beforeAll, describe, it, jest } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import { DatabasePairs } from '../database-pairs.js';
import { OpenBaoCluster, type Operated } from '../openbao.js';
import { Postgres } from '../postgres.js';
import { ownServer } from '../servers.js';
import { CLUSTER_LINES, type ClusterGround } from './measured-cluster.js';
import { DATABASE_LINES, type DatabaseGround } from './measured-database.js';
import { KV_LINES } from './measured-kv.js';
import { SERVER_LINES } from './measured-server.js';
import { TRANSIT_LINES } from './measured-transit.js';
import { Measured } from './measured.js';
import { StandIn } from './stand-in.js';

jest.setTimeout(180_000);

/** What was measured is asked of both: a stand-in that drifts from the real server goes red. */
const ALONE = [...KV_LINES, ...TRANSIT_LINES, ...SERVER_LINES];
const LINES = ALONE.length + DATABASE_LINES.length + CLUSTER_LINES.length;
const postgresIsHere = haveRealPart('postgres', DATABASE_LINES.length);

describe.each([
  { name: 'our stand-in', real: false, here: true },
  { name: 'OpenBao', real: true, here: haveRealPart('openbao', LINES) },
])('what was measured holds on $name', ({ name, real, here }) => {
  (here ? describe : describe.skip)('one node', () => {
    let server: Operated;
    let on: Measured;
    beforeAll(async () => {
      server = await ownServer({ real, name });
      on = await Measured.on(server);
    });
    afterAll(() => server.stop());

    it.each(ALONE)('%s', async (_says, prove) => {
      await prove(on);
    });
  });

  (here && postgresIsHere ? describe : describe.skip)('with a PostgreSQL', () => {
    let ground: DatabaseGround;
    beforeAll(async () => {
      const [server, postgres] = await Promise.all([ownServer({ real, name }), Postgres.start()]);
      ground = { on: await Measured.on(server), postgres, pairs: await DatabasePairs.open(server, postgres) };
    });
    afterAll(async () => {
      await ground.on.server.stop();
      await ground.postgres.stop();
    });

    it.each(DATABASE_LINES)('%s', async (_says, prove) => {
      await prove(ground);
    });
  });

  (here ? describe : describe.skip)('several nodes', () => {
    let ground: ClusterGround;
    let stop: () => Promise<unknown>;
    beforeAll(async () => {
      if (real) {
        const cluster = await OpenBaoCluster.start();
        const leader = await cluster.leader();
        const [standby] = await cluster.standbys();
        if (standby === undefined) throw new Error('the cluster has no standby');
        const kill = () => leader.kill();
        ground = { on: await Measured.on(cluster), leader: leader.address, standby: standby.address, kill };
        stop = () => cluster.stop();
      } else {
        const leader = await StandIn.start();
        const on = await Measured.on(leader);
        const standby = await StandIn.standbyOf(leader);
        ground = { on, leader: leader.address, standby: standby.address, kill: () => leader.kill() };
        stop = () => Promise.all([leader.stop(), standby.stop()]);
      }
    });
    afterAll(() => stop());

    it.each(CLUSTER_LINES)('%s', async (_says, prove) => {
      await prove(ground);
    });
  });
});
