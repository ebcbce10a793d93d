import { createServer } from 'node:net';
import { run } from './testing/run-in.js';

describe('serve', () => {
  it('says that its port is taken before it shows a sign-in, and no stack', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => {
      other.listen(0, '127.0.0.1', resolve);
    });
    try {
      const address = other.address();
      const port = String(typeof address === 'object' && address !== null ? address.port : 0);
      const { code, out, err } = await run(['serve', '--port', port], { env: { KEYTURN_LOG: 'silent' } });
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toContain(`port ${port} is taken: name another one with --port, or KEYTURN_PORT`);
      expect(err).not.toMatch(/cli\.unforeseen|EADDRINUSE|\n\s+at /);
    } finally {
      other.close();
    }
  });
});
