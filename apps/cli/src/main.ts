#!/usr/bin/env node
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import { isatty } from 'node:tty';
import { setTimeout as wait } from 'node:timers/promises';
import { loadConfig, systemClock, systemIds } from '#platform';
import { EXIT } from './exit-codes.js';
import { runCli } from './program.js';
import { terminalOf } from './terminal.js';

const interrupt = new AbortController();
// Once: whoever presses it twice does not want to wait for anything.
process.once('SIGINT', () => {
  interrupt.abort();
});
// `keyturn … | head` closes the pipe: that is its end, not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.unavailable);
});

process.exitCode = await runCli(process.argv.slice(2), {
  out: terminalOf(process.stdout),
  err: terminalOf(process.stderr),
  input: {
    isTTY: isatty(process.stdin.fd),
    ask: async (question, signal) => {
      const lines = createInterface({ input: process.stdin, output: process.stderr });
      try {
        // Readline keeps Ctrl-C for itself.
        lines.once('SIGINT', () => {
          interrupt.abort();
        });
        // A closed input (Ctrl-D) answers nothing, and nothing is not yes.
        const closed = new Promise<string>((resolve) => {
          lines.once('close', () => {
            resolve('');
          });
        });
        return await Promise.race([lines.question(question, { signal }), closed]);
      } finally {
        lines.close();
      }
    },
    readAll: () => text(process.stdin),
    chunks: () => process.stdin,
  },
  config: () => loadConfig(),
  clock: systemClock,
  ids: systemIds,
  interrupted: interrupt.signal,
  sleep: async (milliseconds, signal) => {
    await wait(milliseconds, undefined, { signal });
  },
});
