import type { Command } from 'commander';
import { defineCommand, parsedBy } from '../define-command.js';
import { runDemo } from '../demo.js';
import { runVaultDemo } from '../demo/vault-demo.js';
import { EndedOtherwise } from '../failures.js';
import type { Surroundings } from '../surroundings.js';
import { portArgument } from './serve.js';

interface DemoOptions {
  readonly json?: boolean;
  readonly vault?: boolean;
  readonly exit?: boolean;
  readonly directory?: string;
  readonly port?: number;
}

export function registerDemo(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'demo',
    summary: 'See it work on example data: no configuration, nothing to install',
    about:
      'Everything it makes is marked EXAMPLE DATA. Uses a directory of its own, never the configured one.',
    examples: ['keyturn demo', 'keyturn demo --exit', 'keyturn demo --vault --exit'],
  })
    .option('--vault', 'on a real OpenBao with PostgreSQL, which it starts itself: a rotation on each engine')
    .option('--exit', 'end once everything was shown, instead of staying up')
    .option('--directory <path>', 'keep its data here (default: a temporary one)')
    .option('--port <port>', 'where to listen', parsedBy(portArgument))
    .action(async ({ json, vault, exit, directory, port }: DemoOptions) => {
      const options = {
        exit: exit === true,
        ...(directory === undefined ? {} : { directory }),
        ...(port === undefined ? {} : { port }),
      };
      const code = await (vault === true
        ? runVaultDemo({ ...options, json: json === true }, around)
        : runDemo(options));
      if (code !== 0) throw new EndedOtherwise(`The demo ended with ${code}`);
    });
}
