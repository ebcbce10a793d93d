import { drive, request } from './load.js';
import { paired, type Row } from './rounds.js';
import type { Scale } from './scale.js';
import { newKey, once, serveHello, serveKeyturn, signIn } from './served.js';

const CLIENTS = 64;

/**
 * A command as a client sends it, all the way: token, validation, idempotency, decision, an event on disk, the read model
 * that shows it, the answer. One event a command, over families enough that no stream grows long.
 */
export async function measureHttp(scale: Scale, directory: (name: string) => string): Promise<Row[]> {
  const keyturn = await serveKeyturn(directory('http'));
  const hello = await serveHello();
  try {
    const token = await signIn(keyturn);
    const authorization = `Bearer ${token}`;
    const families: string[] = [];
    for (let number = 0; number < Math.max(CLIENTS, scale.requests / 20); number += 1) {
      const body = JSON.stringify({
        name: `family ${number}`,
        environment: 'production',
        kind: 'asymmetric-key',
        protects: 'other',
        usage: 'sign',
        overlap: 'dual',
        authority: { kind: 'nobody' },
        owner: { role: 'on-call' },
        team: 'platform',
      });
      const headers = { authorization, 'idempotency-key': newKey() };
      const answer = await once(keyturn.port, request('POST', '/api/v1/families', headers, body));
      const { id }: { id: string } = JSON.parse(answer.body.toString());
      families.push(id);
    }
    let said = 0;
    const command = (): Buffer => {
      said += 1;
      const family = families[said % families.length] ?? '';
      const body = JSON.stringify({ verification: `signs what is sent, said ${said} times` });
      const headers = { authorization, 'idempotency-key': newKey() };
      return request('PUT', `/api/v1/families/${family}/runbook`, headers, body);
    };
    const greeting = request('POST', '/hello', {}, JSON.stringify({ name: 'signs what is sent' }));
    // Both are warm before anything counts.
    await drive(keyturn.port, CLIENTS, Math.ceil(scale.requests / 4), command);
    await drive(hello.port, CLIENTS, Math.ceil(scale.requests / 4), () => greeting);
    const result = await paired(
      scale.rounds,
      async () => (await drive(keyturn.port, CLIENTS, scale.requests, command)).perSecond,
      async () => (await drive(hello.port, CLIENTS, scale.requests * 2, () => greeting)).perSecond,
    );
    return [
      {
        name: 'a durable command over HTTP, 64 clients; a bare Nest-on-Fastify POST "hello"',
        ...result,
        unit: 'requests/s',
        better: 'more',
        goal: 0.5,
      },
    ];
  } finally {
    await keyturn.stop();
    await hello.stop();
  }
}
