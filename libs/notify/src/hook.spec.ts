import { createHmac } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEventStore, openReadModel, type EventStore, type ReadModel } from '#eventlog/kit';
import { openSqliteEventLog } from '#eventlog/sqlite';
import { SecretValue, systemIds } from '#platform';
import { ManualClock } from '#platform/testing';
import {
  deliveryId,
  deliveryStream,
  HOOK,
  HookDispatcher,
  type CausedAlarm,
} from './application/hook-dispatcher.js';
import type { Channel, Message } from './channels/channel.js';
import { CommandChannel } from './channels/command-channel.js';
import { PostChannel } from './channels/post-channel.js';
import { hookSecret, signatureHeaders } from './channels/signature.js';
import { RETRY_AFTER_MS, type Outcome } from './domain/delivery.js';
import { deliveryEvents } from './domain/delivery.events.js';
import { deliveriesProjection } from './infrastructure/deliveries.projection.js';

const alarmOf = (key: string): CausedAlarm => ({
  alarm: { type: 'rotation.suspended', key, at: '2026-01-31T02:10:00.000Z', text: 'it needs a person' },
});

describe('the signature', () => {
  it('is that of the test vector of Standard Webhooks', () => {
    const secret = hookSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
    const headers = signatureHeaders(secret ?? new SecretValue(''), {
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      at: 1_614_265_330_000,
      body: '{"test": 2432232314}',
    });
    expect(headers).toEqual({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  it('refuses a secret that is too short or too long', () => {
    expect(hookSecret('x'.repeat(23))).toBeUndefined();
    expect(hookSecret('x'.repeat(65))).toBeUndefined();
    expect(hookSecret(`${'x'.repeat(24)}\n`)?.reveal()).toHaveLength(24);
  });
});

describe('the dispatcher', () => {
  let directory: string;
  let store: EventStore;
  let readModel: ReadModel;
  let clock: ManualClock;
  let sent: Message[];
  let answers: Outcome[];
  let alarms: CausedAlarm[];

  const channel: Channel = {
    target: 'a test',
    limitMs: 10_000,
    send: (message) => {
      sent.push(message);
      return Promise.resolve(answers.shift() ?? { kind: 'delivered', answer: 'HTTP 204' });
    },
  };

  const dispatcher = (worker = 'hook#1', isDead = (other: string) => other !== worker): HookDispatcher =>
    new HookDispatcher({
      store,
      readModel,
      channel,
      alarms: () => alarms,
      sudden: [],
      worker,
      isDead,
      onError: (error) => {
        throw error;
      },
    });

  const events = async (key: string): Promise<readonly string[]> => {
    const id = deliveryId(store.logId, HOOK, alarmOf(key).alarm);
    return (await store.read(deliveryStream(id))).events.map(({ type }) => type);
  };

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'keyturn-hook-'));
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    [sent, answers, alarms] = [[], [], [alarmOf('one')]];
    const log = await openSqliteEventLog({ directory }, { inline: true });
    store = await openEventStore({ log, definitions: [deliveryEvents], clock, ids: systemIds });
    readModel = await openReadModel({ store, path: ':memory:', projections: [deliveriesProjection] });
  });

  afterEach(async () => {
    await readModel.close();
    await store.log.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('tells of an alarm once, however often it is looked at', async () => {
    const hook = dispatcher();
    for (let look = 0; look < 3; look += 1) {
      await hook.sweep();
      await readModel.caughtUp();
      clock.advance(60_000);
    }
    expect(sent).toHaveLength(1);
    expect(await events('one')).toEqual(['AlarmRaised', 'DeliveryStarted', 'Delivered']);
    alarms = [alarmOf('one'), alarmOf('another')];
    await dispatcher('hook#2').sweep();
    expect(sent).toHaveLength(2);
  });

  it('tries again after its waits, with the same id and body, and then abandons it', async () => {
    answers = Array.from({ length: 20 }, () => ({ kind: 'refused', reason: 'HTTP 500' }));
    const hook = dispatcher();
    await hook.sweep();
    for (const wait of RETRY_AFTER_MS) {
      await readModel.caughtUp();
      clock.advance(wait - 1);
      const before = sent.length;
      await hook.sweep();
      expect(sent).toHaveLength(before);
      clock.advance(1);
      await hook.sweep();
      expect(sent).toHaveLength(before + 1);
    }
    await readModel.caughtUp();
    clock.advance(86_400_000);
    await hook.sweep();
    expect(sent).toHaveLength(RETRY_AFTER_MS.length + 1);
    expect(new Set(sent.map(({ id, body }) => id + body)).size).toBe(1);
    expect((await events('one')).at(-1)).toBe('DeliveryAbandoned');
  });

  it('one that is refused stands in nobody else’s way; where nothing is reached, nothing more is written', async () => {
    alarms = [alarmOf('one'), alarmOf('two')];
    answers = [{ kind: 'refused', reason: 'HTTP 400' }];
    await dispatcher().sweep();
    expect(await events('two')).toContain('Delivered');
    alarms = [alarmOf('three'), alarmOf('four')];
    answers = [{ kind: 'unreachable', reason: 'ECONNREFUSED' }];
    const hook = dispatcher('hook#2');
    await readModel.caughtUp();
    await hook.sweep();
    expect(await events('three')).toContain('DeliveryFailed');
    expect(await events('four')).toEqual([]);
    clock.advance(300_000);
    await hook.sweep();
    expect(await events('four')).toContain('Delivered');
  });

  const overdueOf = (key: string): CausedAlarm => ({
    alarm: { type: 'rotation.overdue', key, at: '2026-01-31T02:10:00.000Z', text: 'it is late' },
  });

  /** A dispatcher of sudden alarms and of late lines; `onSend` before each send. */
  const flooded = (late: readonly CausedAlarm[], onSend: (message: Message) => void): HookDispatcher =>
    new HookDispatcher({
      store,
      readModel,
      channel: {
        ...channel,
        send: (message) => {
          onSend(message);
          return channel.send(message);
        },
      },
      alarms: (which) => (which === 'all' ? [...alarms, ...late] : alarms),
      sudden: [],
      worker: 'hook#1',
      isDead: () => false,
      onError: (error) => {
        throw error;
      },
    });

  it('what comes suddenly while a flood is sent waits for one send and no more', async () => {
    alarms = [];
    const late = Array.from({ length: 40 }, (_, index) => overdueOf(`late ${index}`));
    const hook = flooded(late, () => {
      // A slow receiver.
      clock.advance(1_100);
      if (sent.length === 3) alarms = [alarmOf('sudden')];
    });
    await hook.sweep();
    expect(sent.findIndex(({ body }) => body.includes('rotation.suspended'))).toBe(4);
    expect(sent).toHaveLength(41);
  });

  it('an urgent one is tried again before the late ones are, however much older they are', async () => {
    alarms = [];
    answers = Array.from({ length: 6 }, () => ({ kind: 'refused', reason: 'HTTP 500' }));
    const hook = flooded(
      Array.from({ length: 5 }, (_, index) => overdueOf(`late ${index}`)),
      () => undefined,
    );
    await hook.sweep();
    clock.advance(1_000);
    alarms = [alarmOf('sudden')];
    await hook.sweep();
    await readModel.caughtUp();
    const before = sent.length;
    clock.advance(30_000);
    await hook.sweep();
    expect(before).toBe(6);
    expect(sent.slice(before).map(({ body }) => body.includes('rotation.suspended'))).toEqual([
      true,
      ...Array.from({ length: 5 }, () => false),
    ]);
  });

  it('where no answer comes it rests, as where nothing is reached', async () => {
    alarms = [alarmOf('one'), alarmOf('two')];
    answers = [{ kind: 'unknown', reason: 'no answer' }];
    const hook = dispatcher();
    await hook.sweep();
    await hook.sweep();
    expect(sent).toHaveLength(1);
    clock.advance(1_000);
    await hook.sweep();
    expect(await events('two')).toContain('Delivered');
  });

  it('the 501st late line is told too, though the first 500 stay late', async () => {
    alarms = [];
    const late = Array.from({ length: 520 }, (_, index) => overdueOf(`late ${index}`));
    const hook = flooded(late, () => undefined);
    await hook.sweep();
    await readModel.caughtUp();
    clock.advance(60_000);
    await hook.sweep();
    expect(new Set(sent.map(({ id }) => id)).size).toBe(520);
    expect(sent).toHaveLength(520);
  });

  it('two workers at once send it once', async () => {
    const live = (): boolean => false;
    await Promise.all([dispatcher('hook#1', live).sweep(), dispatcher('hook#2', live).sweep()]);
    expect(sent).toHaveLength(1);
  });
});

describe('a signed POST', () => {
  let server: Server;
  let url: string;
  let seen: { headers: IncomingHttpHeaders; body: string }[];
  let answer: (status: (code: number, headers?: Record<string, string>) => void) => void;
  const secret = new SecretValue('kt-canary-hook-secret-9f31c07e');
  const message: Message = { id: 'one', at: 1_700_000_000_000, body: '{"type":"keyturn.hook.test"}' };

  beforeEach(async () => {
    seen = [];
    server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      request.on('end', () => {
        seen.push({ headers: request.headers, body });
        answer((code, headers = {}) => response.writeHead(code, headers).end('x'.repeat(100_000)));
      });
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/kt-canary-path`;
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });

  const post = (limitMs = 5_000): PostChannel =>
    new PostChannel({ url: new SecretValue(url), secret, limitMs });

  it('can be checked by whoever has the secret', async () => {
    answer = (status) => status(204);
    expect(await post().send(message)).toEqual({ kind: 'delivered', answer: 'HTTP 204' });
    const { headers, body } = seen[0] ?? { headers: {}, body: '' };
    const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
    const expected = createHmac('sha256', secret.reveal()).update(signed).digest('base64');
    expect(headers['webhook-signature']).toBe(`v1,${expected}`);
    expect(JSON.stringify(seen)).not.toContain('kt-canary-hook');
  });

  it('follows no redirect, and calls an answer that never comes unknown', async () => {
    answer = (status) => status(302, { location: `${url}/elsewhere` });
    expect(await post().send(message)).toMatchObject({ kind: 'refused' });
    expect(seen).toHaveLength(1);
    answer = () => undefined;
    expect(await post(200).send(message)).toMatchObject({ kind: 'unknown' });
  });

  it('says of a place that is not there only its code, and shows only its origin', async () => {
    const gone = new PostChannel({ url: new SecretValue('http://127.0.0.1:1/kt-canary-path'), secret });
    expect(await gone.send(message)).toEqual({ kind: 'unreachable', reason: 'ECONNREFUSED' });
    expect(`${gone.target}${JSON.stringify(gone)}`).not.toContain('canary');
  });
});

describe('a command', () => {
  let directory: string;
  const message: Message = { id: 'one', at: 0, body: '{"type":"keyturn.hook.test"}' };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'keyturn-hook-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  const command = (script: string, limitMs = 5_000, rest: readonly string[] = []): CommandChannel => {
    const path = join(directory, 'hook');
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o700);
    return new CommandChannel({ argv: [path, ...rest], environment: { PATH: '/usr/bin:/bin' }, limitMs });
  };

  it('gets the alarm on its input, its arguments as they are, and nothing of our environment', async () => {
    const out = join(directory, 'out');
    const channel = command(`cat > ${out}; echo "$1" >> ${out}; env >> ${out}`, 5_000, ['$(id); `id`']);
    expect(await channel.send(message)).toEqual({ kind: 'delivered', answer: 'exit code 0' });
    const told = readFileSync(out, 'utf8');
    expect(told).toContain(message.body);
    expect(told).toContain('$(id); `id`');
    expect(told).toContain('KEYTURN_ALARM_ID=one');
    expect(told.match(/^KEYTURN_/gmu)).toHaveLength(1);
  });

  it('is refused by its exit code, stopped at its limit with all it started, and not there', async () => {
    expect(await command('exit 3').send(message)).toEqual({ kind: 'refused', reason: 'exit code 3' });
    expect(await command('sleep 60 & sleep 60', 300).send(message)).toMatchObject({ kind: 'unknown' });
    expect(await command('yes | head -c 10000000; exit 0').send(message)).toMatchObject({
      kind: 'delivered',
    });
    const gone = new CommandChannel({ argv: [join(directory, 'nothing')] });
    expect(await gone.send(message)).toEqual({
      kind: 'unreachable',
      reason: 'it could not be started: ENOENT',
    });
  });
});
