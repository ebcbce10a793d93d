import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '#platform';
import { createApp, openKeyturn } from '#service';

/** `docs/openapi.json`: what a running service says of itself, asked over HTTP, with its keys in order. */
export async function openApiDocument(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'keyturn-docs-'));
  try {
    const config = loadConfig({ KEYTURN_DATA_DIR: join(directory, 'data'), KEYTURN_LOG: 'silent' });
    const keyturn = await openKeyturn(config, { inlineLog: true });
    try {
      const app = await createApp(keyturn);
      try {
        await app.listen(0, '127.0.0.1');
        const answer = await fetch(`${await app.getUrl()}/api/docs/openapi.json`);
        if (!answer.ok) throw new Error(`the OpenAPI document was answered with ${answer.status}`);
        return `${JSON.stringify(inOrder(await answer.json()), null, 2)}\n`;
      } finally {
        await app.close();
      }
    } finally {
      await keyturn.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, inner]) => [name, inOrder(inner)]),
  );
}
