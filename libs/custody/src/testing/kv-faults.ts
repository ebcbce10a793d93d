import { randomUUID } from 'node:crypto';
import type { VaultClient } from '../vault/vault-client.js';
import type { EngineState, VaultEngine } from '../vault/vault-engine.js';
import type { EngineFacts, FaultedEngine, Ground } from './fault-matrix.js';
import { asRoot, VaultHarness } from './vault-harness.js';
import type { Operated } from './openbao.js';

/** Layouts of KV v2 in the fault matrix. */
export interface FaultedLayout<State extends EngineState, Wanted> {
  readonly name: string;
  readonly engine: (client: VaultClient) => VaultEngine<State, Wanted>;
  /** Finds no version of its own again, and writes nothing down that it did not make. */
  readonly blind: (client: VaultClient) => VaultEngine<State, Wanted>;
  /** What lies beside an object's own secret, by what its path ends in. */
  readonly beside?: readonly string[];
}

/** Its objects and its documents lie in one mount, which every lane has in common. */
export async function kvFaults<State extends EngineState, Wanted>(
  bao: Operated,
  { name, engine, blind, beside = [] }: FaultedLayout<State, Wanted>,
): Promise<(lane: Ground) => FaultedEngine<State, Wanted>> {
  const mount = await bao.mount('kv', { options: { version: '2' } });
  return ({ driver, proxy }) => {
    const common = {
      bao,
      algorithm: 'HS256',
      documents: mount,
      object: () => `${mount}/data/app/${randomUUID()}`,
    } as const;
    const open = (made: typeof engine) =>
      new VaultHarness({
        ...common,
        engine: made,
        address: proxy.address,
        identity: (client) => driver.identity(client),
      });
    return {
      name,
      documents: `${mount}/data/keyturn/`,
      setUp: new VaultHarness({ ...common, engine, identity: asRoot }),
      open: () => open(engine),
      openBlind: () => open(blind),
      facts: (object) => kvFacts(bao, [object, ...beside.map((each) => `${object}${each}`)]),
      changes: ({ path }, object) =>
        ['data', 'destroy'].some((face) => path.startsWith(`/v1/${object.replace('/data/', `/${face}/`)}`)),
    };
  };
}

interface Metadata {
  readonly current_version: number;
  readonly versions: Readonly<
    Record<string, { readonly destroyed: boolean; readonly deletion_time: string }>
  >;
}

/**
 * Writes are counted in the metadata of the secrets; what applications read is shown with a number in the place of each value: how many
 * others were there before it.
 */
async function kvFacts(bao: Operated, secrets: readonly string[]): Promise<EngineFacts> {
  let made = 0;
  const limits: Record<string, unknown> = {};
  const values: string[] = [];
  for (const [place, secret] of secrets.entries()) {
    const metadata = await dataOf<Metadata>(bao, secret.replace('/data/', '/metadata/'));
    if (metadata === undefined) continue;
    made += metadata.current_version;
    let shown: unknown;
    for (const number of Object.keys(metadata.versions)) {
      const read = await dataOf<{ data: unknown }>(bao, `${secret}?version=${number}`);
      shown = read === undefined ? undefined : withoutNote(numbered(read.data, values));
    }
    const gone = Object.entries(metadata.versions).filter(([, { destroyed }]) => destroyed);
    limits[`secret ${place}`] = { shown, destroyed: gone.map(([number]) => number) };
  }
  return { made, limits: { ...limits, values: values.length } };
}

/** What the server answers with under `data`; `undefined`: a 404. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- see OpenBao.api
async function dataOf<T>(bao: Operated, path: string): Promise<T | undefined> {
  try {
    return (await bao.api<{ data: T }>('GET', path)).data;
  } catch (error) {
    if (error instanceof Error && error.message.includes(': 404 ')) return undefined;
    throw error;
  }
}

/** With its place among all of them instead of each value; those made by Keyturn are 43 characters of base64url. */
function numbered(data: unknown, values: string[]): unknown {
  if (typeof data === 'string' && /^[\w-]{43}$/.test(data)) {
    if (!values.includes(data)) values.push(data);
    return values.indexOf(data);
  }
  if (Array.isArray(data)) return data.map((each) => numbered(each, values));
  if (typeof data !== 'object' || data === null) return data;
  return Object.fromEntries(Object.entries(data).map(([name, each]) => [name, numbered(each, values)]));
}

function withoutNote(data: unknown): unknown {
  return typeof data === 'object' && data !== null ? { ...data, keyturn: undefined } : data;
}
