import type { Command } from 'commander';
import { defineCommand, parsedBy } from '../define-command.js';
import { RefusedError, UsageError } from '../failures.js';
import { paintFor } from '../terminal.js';
import type { Surroundings } from '../surroundings.js';

interface ServeOptions {
  readonly json?: boolean;
  readonly port?: number;
}

export function registerServe(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'serve',
    summary: 'Run Keyturn: API and workers in one process',
    about:
      'Settings: KEYTURN_DATA_DIR, KEYTURN_PORT, KEYTURN_HOST, KEYTURN_LOG. The first start prints a one-time sign-in.\nThe API is described under /api/docs of the address it listens on.\nSIGTERM or Ctrl-C lets requests under way end and closes everything; a second one does not wait.',
    examples: ['keyturn serve', 'KEYTURN_DATA_DIR=/var/lib/keyturn keyturn serve --port 8080'],
    json: 'say where it listens as JSON lines (its own log: KEYTURN_LOG)',
  })
    .option('--port <port>', 'instead of KEYTURN_PORT; 0 for any free one', parsedBy(portArgument))
    .action(async (options: ServeOptions) => {
      const config = around.config();
      const { out } = around;
      const paint = paintFor(out);
      const say = (
        event: string,
        value: Readonly<Record<string, unknown>>,
        lines: readonly string[],
      ): void => {
        out.write(
          options.json === true ? `${JSON.stringify({ event, ...value })}\n` : `${lines.join('\n')}\n`,
        );
      };
      // Loaded only here: the other commands start in a tenth of the time without Nest.
      const { ListenError, serve, stopOnSignal } = await import('#service');
      const serving = await serve(options.port === undefined ? config : { ...config, port: options.port }, {
        onOneTimeSignIn: (code, expiresAt) => {
          const until = new Date(expiresAt).toISOString();
          say('sign-in', { code, expiresAt: until }, [
            `First start. One-time sign-in, good until ${until}:`,
            '',
            `  ${paint(`keyturn token bootstrap ${code} --name "Your Name" --save`, 'cyan')}`,
            '',
          ]);
        },
      }).catch((error: unknown) => {
        throw error instanceof ListenError ? new RefusedError(error.code, error.message) : error;
      });
      say('listening', { url: serving.url }, [`Keyturn listens on ${paint(serving.url, 'bold')}`]);
      await stopOnSignal(serving);
      say('stopped', {}, ['Stopped.']);
    });
}

export function portArgument(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    throw new UsageError('a port is a number between 0 and 65535');
  return port;
}
