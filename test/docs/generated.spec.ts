import { readFileSync } from 'node:fs';
import { generatedDocs } from '../../apps/cli/src/docs/generated-docs.js';

describe('generated docs are current', () => {
  it('each page is what its generator makes now; if not: npm run build && npm run docs', async () => {
    const pages = [...(await generatedDocs())];
    expect(pages.length).toBeGreaterThan(0);
    const stale = pages.filter(([path, text]) => committed(path) !== text).map(([path]) => path);
    if (stale.length > 0) {
      throw new Error(`${stale.join(' and ')} not current: run npm run build && npm run docs`);
    }
  }, 30_000);
});

function committed(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
