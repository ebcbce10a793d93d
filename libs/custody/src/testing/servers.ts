import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SecretValue } from '#platform';
import { sharedFolder, type Footing } from '#platform/testing';
import { asOperator, mountOn, OpenBao, type LeftRunning, type Operated, type Served } from './openbao.js';
import { Postgres, PostgresFace } from './postgres.js';
import { StandIn } from './stand-in/stand-in.js';

/** A server that a spec uses with others, or for itself where there are none. */
export type Shared<Server> = Server & {
  /** Ends it, where nobody else may still come. */
  leave(): Promise<void>;
};

/** A server of a spec's own: it may be sealed, killed, and given names that count for all of it. */
export async function ownServer({ real }: Footing): Promise<Operated> {
  return real ? OpenBao.start() : StandIn.start();
}

/**
 * One server for all the specs of a jest worker: the first of them starts it, the others find it by a file of the run
 * (test/support/jest-setup.js), and the end of the run ends it. Without a run of jest it is a spec's own.
 */
export async function sharedServer({ real }: Footing): Promise<Shared<Served>> {
  const place = sharedFolder();
  if (!real || place === undefined) {
    const own = await ownServer({ real, name: '' });
    return face(own, () => own.stop());
  }
  const kept = keptIn<{ address: string; rootToken: string }>(place, 'openbao');
  const there = kept === undefined ? undefined : attached(new URL(kept.address), kept.rootToken);
  if (there !== undefined && (await answers(there))) return face(there, stays);
  const bao = await OpenBao.start(place.folder);
  const rootToken = bao.rootToken.reveal().toString('utf8');
  keep(place, 'openbao', { ...bao.left(), address: bao.address.href, rootToken });
  return face(bao, stays);
}

/** As {@link sharedServer}. */
export async function sharedPostgres(): Promise<Shared<PostgresFace>> {
  const place = sharedFolder();
  const leaving = (postgres: PostgresFace, leave: () => Promise<void>) => Object.assign(postgres, { leave });
  if (place === undefined) {
    const own = await Postgres.start();
    return leaving(new PostgresFace(own.port, own.rootPassword), () => own.stop());
  }
  const kept = keptIn<{ port: number; rootPassword: string }>(place, 'postgres');
  if (kept !== undefined) {
    const there = new PostgresFace(kept.port, kept.rootPassword);
    const up = await there.query('SELECT 1').catch(() => undefined);
    if (up !== undefined) return leaving(there, stays);
  }
  const postgres = await Postgres.start({ under: place.folder });
  const { port, rootPassword } = postgres;
  keep(place, 'postgres', { ...postgres.left(), port, rootPassword });
  return leaving(new PostgresFace(port, rootPassword), stays);
}

const stays = async (): Promise<void> => undefined;

/** Nothing of it but what a sharing spec may do. */
function face(server: Served, leave: () => Promise<void>): Shared<Served> {
  return {
    address: server.address,
    rootToken: server.rootToken,
    api: (method, path, body) => server.api(method, path, body),
    mount: (type, options) => server.mount(type, options),
    leave,
  };
}

function attached(address: URL, token: string): Served {
  const rootToken = new SecretValue(token);
  const served: Served = {
    address,
    rootToken,
    api: (method, path, body) => asOperator({ address, rootToken }, method, path, body),
    mount: (type, options) => mountOn(served, type, options),
  };
  return served;
}

async function answers({ address }: Served): Promise<boolean> {
  const answer = await fetch(new URL('/v1/sys/health', address)).catch(() => undefined);
  return answer?.status === 200;
}

type Place = NonNullable<ReturnType<typeof sharedFolder>>;

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what a spec of the same run wrote
function keptIn<T>({ folder, worker }: Place, part: string): (T & LeftRunning) | undefined {
  try {
    const kept: T & LeftRunning = JSON.parse(readFileSync(join(folder, `${part}-${worker}.json`), 'utf8'));
    return kept;
  } catch {
    return undefined;
  }
}

/** For the owner's eyes only: the root token is in it. */
function keep(
  { folder, worker }: Place,
  part: string,
  state: LeftRunning & Readonly<Record<string, unknown>>,
): void {
  writeFileSync(join(folder, `${part}-${worker}.json`), JSON.stringify(state), { mode: 0o600 });
}
