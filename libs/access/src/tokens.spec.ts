import { formatInstant } from '#eventlog';
import { openEventStore, openReadModel, type Cause, type EventStore, type ReadModel } from '#eventlog/kit';
import { openSqliteEventLog } from '#eventlog/sqlite';
import { systemIds } from '#platform';
import { ManualClock } from '#platform/testing';
import { accessEvents } from './domain/access.events.js';
import { UNLIMITED, type Principal } from './domain/permissions.js';
import { accessProjection, tokenDirectory } from './infrastructure/access.projection.js';
import { authenticate } from './application/authenticate.js';
import { BOOTSTRAP_LIFETIME_MS, ExchangeBootstrap, OpenBootstrap } from './application/bootstrap.js';
import { IssueToken, type IssueTokenCommand } from './application/issue-token.js';
import { RecordLogRead } from './application/record-log-read.js';
import { RevokeToken } from './application/revoke-token.js';
import type { TokenDirectory } from './application/token-directory.js';

let clock: ManualClock;
let store: EventStore;
let readModel: ReadModel;
let directory: TokenDirectory;

beforeEach(async () => {
  clock = new ManualClock('2026-03-01T09:00:00.000Z');
  const log = await openSqliteEventLog({ memory: true });
  store = await openEventStore({ log, definitions: [accessEvents], clock, ids: systemIds });
  readModel = await openReadModel({ store, path: ':memory:', projections: [accessProjection] });
  directory = tokenDirectory(readModel.db);
});

afterEach(async () => {
  await readModel.close();
  await store.log.close();
});

const ISSUER = '6a1d6a56-3c6e-4c6a-8f5e-0a6c7c1f2d33';
const MINE: Cause['origin'] = { via: 'http' };

function cause(commandId = systemIds.random()): Cause {
  return { actor: ISSUER, correlationId: commandId, causationId: commandId, origin: MINE };
}

const command: IssueTokenCommand = {
  subject: { name: 'Ada', kind: 'person' },
  roles: ['operator'],
  scope: UNLIMITED,
  label: 'laptop',
};

async function issue(
  change: Partial<IssueTokenCommand> = {},
): Promise<{ tokenId: string; subject: string; text: string }> {
  const { tokenId, subject, secret } = await new IssueToken(store).execute(
    { ...command, ...change },
    cause(),
  );
  await readModel.caughtUp();
  return { tokenId, subject, text: secret?.reveal().toString() ?? '' };
}

const asks = (text: string) => authenticate(directory, clock, `Bearer ${text}`);

async function textOf(pattern: string): Promise<boolean> {
  for await (const event of store.log.readAll()) {
    if (event.record.includes(pattern) || Buffer.from(event.body).toString().includes(pattern)) return true;
  }
  return false;
}

describe('a token', () => {
  it('opens the door for its subject and is kept as a hash only', async () => {
    const { text, subject, tokenId } = await issue();
    expect(text).toMatch(/^kt_[\w-]{43}$/);
    expect(asks(text)).toEqual({
      kind: 'principal',
      principal: { subject, tokenId, name: 'Ada', roles: ['operator'], scope: UNLIMITED },
    });
    expect(await textOf(text)).toBe(false);
    expect(await textOf(text.slice(3))).toBe(false);
  });

  it('is refused where it is missing, malformed, unknown, expired or revoked', async () => {
    const reason = (header: string | undefined) => authenticate(directory, clock, header);
    expect(reason(undefined)).toEqual({ kind: 'refused', reason: 'missing' });
    expect(reason('Basic kt_x')).toEqual({ kind: 'refused', reason: 'malformed' });
    expect(reason('Bearer nonsense')).toEqual({ kind: 'refused', reason: 'malformed' });
    expect(asks(`kt_${'A'.repeat(43)}`)).toEqual({ kind: 'refused', reason: 'unknown' });

    const short = await issue({ expiresAt: clock.now() + 1000 });
    expect(asks(short.text).kind).toBe('principal');
    clock.advance(1000);
    expect(asks(short.text)).toEqual({ kind: 'refused', reason: 'expired' });

    const { text, tokenId } = await issue();
    await new RevokeToken(store).execute({ tokenId, reason: 'lost' }, cause());
    await readModel.caughtUp();
    expect(asks(text)).toEqual({ kind: 'refused', reason: 'revoked' });
  });

  it('is issued once however often the command is repeated', async () => {
    const once = cause();
    const first = await new IssueToken(store).execute(command, once);
    const size = await store.log.treeSize();
    const second = await new IssueToken(store).execute(command, once);
    expect(second).toMatchObject({ tokenId: first.tokenId, subject: first.subject });
    expect(second.secret).toBeUndefined();
    expect(await store.log.treeSize()).toBe(size);
  });

  it('is revoked once; a second time is no error and no event', async () => {
    const { tokenId } = await issue();
    await new RevokeToken(store).execute({ tokenId, reason: 'lost' }, cause());
    const size = await store.log.treeSize();
    await new RevokeToken(store).execute({ tokenId, reason: 'lost' }, cause());
    expect(await store.log.treeSize()).toBe(size);
    const nobody = new RevokeToken(store).execute({ tokenId: ISSUER, reason: 'x' }, cause());
    await expect(nobody).rejects.toMatchObject({ code: 'token.not-found' });
  });

  it('reaches no further than its issuer, and a narrow issuer takes no wide one away', async () => {
    const issuer: Principal = {
      subject: ISSUER,
      name: 'Bo',
      tokenId: ISSUER,
      roles: ['admin'],
      scope: { environments: ['staging'], teams: 'all' },
    };
    await expect(issue({ issuer })).rejects.toMatchObject({ code: 'access.out-of-scope' });
    const { tokenId } = await issue();
    const revoking = new RevokeToken(store).execute({ issuer, tokenId, reason: 'x' }, cause());
    await expect(revoking).rejects.toMatchObject({ code: 'access.out-of-scope' });
  });

  it('needs a subject that is known and a future', async () => {
    await expect(issue({ subject: { id: ISSUER } })).rejects.toMatchObject({ code: 'subject.not-found' });
    await expect(issue({ expiresAt: clock.now() })).rejects.toMatchObject({ code: 'token.expired-at-birth' });
    const { subject } = await issue();
    expect((await issue({ subject: { id: subject } })).subject).toBe(subject);
  });
});

describe('the one-time sign-in', () => {
  const open = async (): Promise<string | undefined> => {
    const made = await new OpenBootstrap(store, directory).execute();
    await readModel.caughtUp();
    return made?.code.reveal().toString();
  };
  const exchange = (code: string) =>
    new ExchangeBootstrap(store, directory).execute({ code, name: 'Ada', origin: MINE });

  it('is exchanged exactly once, also when two try at the same time', async () => {
    const code = (await open()) ?? '';
    expect(asks(code).kind).toBe('refused');
    const outcomes = await Promise.allSettled([exchange(code), exchange(code), exchange(code)]);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await readModel.caughtUp();
    await expect(exchange(code)).rejects.toMatchObject({ code: 'access.code-refused' });
    expect(directory.tokens().filter((token) => !token.bootstrap)).toHaveLength(1);
    expect(await textOf(code)).toBe(false);
  });

  it('is not made any more once somebody has signed in', async () => {
    await exchange((await open()) ?? '');
    await readModel.caughtUp();
    expect(await open()).toBeUndefined();
  });

  it('is replaced by each start until then', async () => {
    const lost = (await open()) ?? '';
    const found = (await open()) ?? '';
    await expect(exchange(lost)).rejects.toMatchObject({ code: 'access.code-refused' });
    const { secret } = await exchange(found);
    await readModel.caughtUp();
    expect(asks(secret?.reveal().toString() ?? '').kind).toBe('principal');
  });

  it('runs out, and nothing else is taken for one', async () => {
    const code = (await open()) ?? '';
    clock.advance(BOOTSTRAP_LIFETIME_MS);
    await expect(exchange(code)).rejects.toMatchObject({ code: 'access.code-refused' });
    await expect(exchange('kt1_x')).rejects.toMatchObject({ code: 'access.code-refused' });
    const { text } = await issue();
    await expect(exchange(text)).rejects.toMatchObject({ code: 'access.code-refused' });
  });
});

it('records a reading of the log once per actor, query and hour', async () => {
  const read = () => new RecordLogRead(store).execute({ actor: ISSUER, query: 'log.events' });
  const size = await store.log.treeSize();
  await Promise.all([read(), read(), read()]);
  await read();
  expect(await store.log.treeSize()).toBe(size + 1);
  clock.advance(60 * 60 * 1000);
  await read();
  expect(await store.log.treeSize()).toBe(size + 2);
  expect(formatInstant(clock.now())).toBe('2026-03-01T10:00:00.000Z');
});
