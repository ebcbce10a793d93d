import { SecretValue } from '#platform';
import type { BaoServer } from './bao-server.js';
import { Beat, NONE, type Consumers, type Negative, type Shown } from './consumers.js';
import { readUsed } from './pointer.js';
import type { PostgresServer } from './postgres-server.js';

const BEAT_MS = 250;

interface Credential {
  /** Keyturn's name of the version; absent: there is no pointer yet. */
  readonly version: string | undefined;
  readonly username: string;
  readonly password: SecretValue;
}

export interface DatabaseConsumersOptions {
  readonly bao: BaoServer;
  readonly postgres: PostgresServer;
  /** May read the pointer and the pair's passwords; nothing else. */
  readonly readerToken: SecretValue;
  /** `database/static-roles/BLUE/GREEN`. */
  readonly object: string;
  readonly application: { readonly name: string; readonly cacheMs: number };
}

/** An application that logs in to the database with the role the pointer names, and holds the password for exactly its cache. */
export class DatabaseConsumers implements Consumers {
  readonly #options: DatabaseConsumersOptions;
  readonly #beats: readonly Beat[];
  #held: Credential | undefined;
  /** By user: the first password that was read of it. */
  readonly #first = new Map<string, Credential>();
  #shown: Shown[] = [];

  constructor(options: DatabaseConsumersOptions) {
    this.#options = options;
    const failed = (): void => {
      this.#shown.push({ version: NONE, accepted: false });
    };
    this.#beats = [
      new Beat(options.application.cacheMs, () => this.#read(), failed),
      new Beat(BEAT_MS, () => this.#logIn(), failed),
    ];
  }

  async start(): Promise<void> {
    await this.#read();
    for (const beat of this.#beats) beat.start();
  }

  stop(): void {
    for (const beat of this.#beats) beat.stop();
  }

  /** The database itself takes a new password at once; Keyturn's probe logged in with it. */
  knows(consumer: string, version: string): boolean {
    return consumer !== this.#options.application.name || this.#held?.version === version;
  }

  taken(): readonly Shown[] {
    const shown = this.#shown;
    this.#shown = [];
    return shown;
  }

  async negative(): Promise<Negative> {
    const { postgres } = this.#options;
    const now = this.#held;
    const old = [...this.#first.values()].find(({ username }) => username !== now?.username);
    if (old === undefined || now === undefined) return { refused: false, how: 'there was no old password' };
    const [withOld, withNew] = [
      await postgres.logsIn(old.username, old.password),
      await postgres.logsIn(now.username, now.password),
    ];
    return {
      refused: !withOld && withNew,
      how: `a login as ${old.username} with the old password: PostgreSQL ${withOld ? 'let it in' : 'refused it'}; as ${now.username}: ${withNew ? 'let in' : 'refused'}`,
    };
  }

  async #read(): Promise<void> {
    const { bao, readerToken, object } = this.#options;
    const used = await readUsed(bao, readerToken, object);
    const [mount = '', pair = ''] = object.split('/static-roles/');
    // As before Keyturn came: the first of the pair.
    const [first = ''] = pair.split('/');
    const role = used?.engine.slice(0, used.engine.lastIndexOf('@')) ?? first;
    const { data } = await bao.askAs<{ data: { username: string; password: string } }>(
      readerToken,
      'GET',
      `${mount}/static-creds/${role}`,
    );
    const { username, password } = data;
    this.#held = { version: used?.versionId, username, password: new SecretValue(password) };
    if (!this.#first.has(username)) this.#first.set(username, this.#held);
  }

  async #logIn(): Promise<void> {
    const held = this.#held;
    if (held === undefined) return;
    const accepted = await this.#options.postgres.logsIn(held.username, held.password);
    this.#shown.push({ version: held.username, accepted });
  }
}
