import { join } from 'node:path';
import type { Clock } from '#platform';
import type { ServedDocument } from '../jwks-document.js';
import { openEngine, type VaultBackEnd } from './engines.js';
import { KeptDocuments } from './kept-documents.js';
import { ObjectStore } from './object-store.js';
import { ServerHealth, type ServerStanding } from './server-health.js';
import { VaultClient } from './vault-client.js';
import type { BackEndsSettings, ServerSettings } from './vault-config.js';
import { VaultIdentity } from './vault-identity.js';

export interface VaultOptions {
  readonly settings: BackEndsSettings;
  /** What verifiers are served is kept here, a folder for each back end. */
  readonly directory: string;
  readonly clock: Clock;
}

/** Of one back end: its name, what it is, and what is known of its server. */
export interface BackEndHealth extends ServerStanding {
  readonly instance: string;
  readonly kind: VaultBackEnd['declaration']['kind'];
  /** Why its login is refused, in words; absent: it is not. */
  readonly login?: string;
}

export interface Server {
  readonly settings: ServerSettings;
  readonly client: VaultClient;
  readonly identity: VaultIdentity;
  readonly health: ServerHealth;
}

/**
 * The back ends of a file, opened. Nothing is asked of a server by that: one that is away keeps nobody from starting, and is served from
 * what is kept.
 */
export class VaultBackEnds {
  readonly all: readonly VaultBackEnd[];
  readonly #servers: ReadonlyMap<string, Server>;
  readonly #of: ReadonlyMap<VaultBackEnd, Server>;

  constructor({ settings, directory, clock }: VaultOptions) {
    this.#servers = new Map(settings.servers.map((server) => [server.name, openServer(server, clock)]));
    const all = settings.backEnds.flatMap((backEnd) => {
      const server = this.#servers.get(backEnd.server);
      if (server === undefined) return [];
      const { client, identity, health } = server;
      const made = openEngine(backEnd, client, {
        instance: backEnd.instance,
        place: placeOf(server.settings),
        identity,
        store: new ObjectStore({ client, ...server.settings.documents, token: () => identity.token() }),
        kept: new KeptDocuments(join(directory, backEnd.instance)),
        clock: () => health.now(),
        answering: () => health.answering(),
        away: () => {
          const reason = health.shut();
          return reason === undefined ? undefined : `${backEnd.instance}: ${reason}`;
        },
      });
      return [[made, server] as const];
    });
    this.#of = new Map(all);
    this.all = all.map(([backEnd]) => backEnd);
  }

  /** Looks at every server from now on. */
  start(): void {
    for (const { health } of this.#servers.values()) health.start();
  }

  /** Looks at every server now. */
  async look(): Promise<void> {
    await Promise.all([...this.#servers.values()].map(({ health }) => health.look()));
  }

  health(): readonly BackEndHealth[] {
    return [...this.#of].map(([{ declaration }, { health, identity }]) => {
      const login = identity.trouble();
      return {
        instance: declaration.instance,
        kind: declaration.kind,
        ...health.standing(),
        ...(login === undefined ? {} : { login }),
      };
    });
  }

  /** What verifiers of the family are served; from memory. */
  servedDocument(familyId: string): ServedDocument | undefined {
    for (const backEnd of this.all) {
      const served = backEnd.servedDocument(familyId);
      if (served !== undefined) return served;
    }
    return undefined;
  }

  async close(): Promise<void> {
    for (const { client, health } of this.#servers.values()) {
      await health.stop();
      await client.close();
    }
  }
}

/** A path with the namespace before it is the same thing as one asked for inside of the namespace. */
function placeOf({ address, namespace }: ServerSettings): string {
  return [address.origin, ...(namespace === undefined ? [] : [namespace])].join('/');
}

export function openServer(settings: ServerSettings, clock: Clock): Server {
  const { name, address, namespace, ca, login, probe, fence } = settings;
  const inside = namespace === undefined ? {} : { namespace };
  const client = new VaultClient({ instance: name, address, ...inside, ...(ca === undefined ? {} : { ca }) });
  const identity = new VaultIdentity({
    client,
    login,
    fence,
    clock,
    ...(probe === undefined ? {} : { probe }),
  });
  const signIn = async (): Promise<void> => {
    await identity.token();
    await identity.probe();
  };
  return { settings, client, identity, health: new ServerHealth({ client, clock, signIn, ...inside }) };
}
