import { z } from 'zod';
import { BackendError } from '../key-backend.js';
import type { BackEndFinding } from './back-end-finding.js';
import { databaseNeeds } from './database-pair.js';
import type { DatabaseSettings } from './database-settings.js';
import { databaseEngine } from './engines.js';
import type { Server } from './open-vault.js';

const capabilitiesSchema = z.record(z.string(), z.array(z.string()).catch([]));

/**
 * Looks at the pairs of families as a rotation would: are both roles there, of two users, turned over a connection that is known here, and
 * does neither turn by itself meanwhile; and who may read their passwords. Changes nothing, and reads no password.
 */
export async function checkPairs(
  server: Server,
  settings: DatabaseSettings,
  objects: readonly string[],
): Promise<readonly BackEndFinding[]> {
  if (objects.length === 0) return [];
  const found: BackEndFinding[] = [];
  for (const object of objects) found.push(...(await checkPair(server, settings, object)));
  const id = `back-end.${settings.instance}.pairs`;
  if (found.length === 0)
    found.push({
      id,
      state: 'fine',
      text: `${objects.length === 1 ? 'the pair' : `the ${objects.length} pairs`} of ${settings.instance} can be turned`,
    });
  return [...found, ...(await readersOf(server, settings, objects))];
}

async function checkPair(
  { client, identity }: Server,
  settings: DatabaseSettings,
  object: string,
): Promise<readonly BackEndFinding[]> {
  const engine = databaseEngine(settings, client);
  try {
    engine.requireNamed(object);
    engine.requireDrivable(object, await engine.look(object, identity));
    return [];
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return [
      {
        id: `back-end.${settings.instance}.${object}`,
        state: 'problem',
        text: error.message,
        mend: 'until then a rotation of its family stops at its first step, with this reason',
      },
    ];
  }
}

/** Whoever turns a role needs no password of it. */
async function readersOf(
  { client, identity }: Server,
  { instance }: DatabaseSettings,
  objects: readonly string[],
): Promise<readonly BackEndFinding[]> {
  const paths = objects.flatMap((object) => Object.keys(databaseNeeds(object).probe));
  if (paths.length === 0) return [];
  try {
    const token = await identity.token();
    const answer = await client.effect('sys/capabilities-self', { method: 'POST', token, body: { paths } });
    const has = capabilitiesSchema.parse(answer?.data);
    const readable = paths.filter((path) => has[path]?.some((each) => each === 'read' || each === 'root'));
    if (readable.length === 0) return [];
    return [
      {
        id: `back-end.${instance}.passwords`,
        state: 'warning',
        text: `the driver's own token of ${instance} may read passwords: ${readable.slice(0, 5).join(', ')}`,
        mend: 'give the probe a login of its own (probe: in the file), and take static-creds from the driver, as deploy/vault/setup.sh does',
      },
    ];
  } catch (error) {
    // What its tokens may do is said above, for all of them.
    if (error instanceof BackendError || error instanceof z.ZodError) return [];
    throw error;
  }
}
