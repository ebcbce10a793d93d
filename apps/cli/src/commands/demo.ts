import type { Command } from 'commander';
import { defineCommand, parsedBy } from '../define-command.js';
import { runDemo } from '../demo.js';
import { EndedOtherwise } from '../failures.js';
import { portArgument } from './serve.js';

interface DemoOptions {
  readonly json?: boolean;
  readonly exit?: boolean;
  readonly directory?: string;
  readonly port?: number;
}

export function registerDemo(program: Command): void {
  defineCommand(program, {
    usage: 'demo',
    summary: 'See it work on example data: no configuration, nothing to install',
    about:
      'Everything it makes is marked EXAMPLE DATA. Uses a directory of its own, never the configured one.',
    examples: ['keyturn demo', 'keyturn demo --exit'],
  })
    .option('--exit', 'end once everything was shown, instead of staying up')
    .option('--directory <path>', 'keep its data here (default: a temporary one)')
    .option('--port <port>', 'where to listen', parsedBy(portArgument))
    .action(async ({ exit, directory, port }: DemoOptions) => {
      const code = await runDemo({
        exit: exit === true,
        ...(directory === undefined ? {} : { directory }),
        ...(port === undefined ? {} : { port }),
      });
      if (code !== 0) throw new EndedOtherwise(`The demo ended with ${code}`);
    });
}
