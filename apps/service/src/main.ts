import { ConfigError, loadConfig } from '#platform';
import { serve, stopOnSignal } from './serve.js';

/** `node dist/apps/service/src/main.js`; the CLI's `keyturn serve` does the same. */
try {
  const serving = await serve(loadConfig(), {
    onOneTimeSignIn: (code, expiresAt) => {
      process.stdout.write(
        `First start. One-time sign-in, good until ${new Date(expiresAt).toISOString()}:\n\n  ${code}\n\n`,
      );
    },
  });
  process.stdout.write(`Keyturn listens on ${serving.url}\n`);
  await stopOnSignal(serving);
} catch (error) {
  // Said and not thrown: a stack helps nobody who has mistyped a variable.
  const expected = error instanceof ConfigError || (error instanceof Error && 'code' in error);
  const said =
    error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error);
  process.stderr.write(`Keyturn does not start: ${said}\n`);
  process.exitCode = 1;
}
