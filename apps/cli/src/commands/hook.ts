import type { Command } from 'commander';
import { z } from 'zod';
import { defineCommand } from '../define-command.js';
import { EndedOtherwise } from '../failures.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

const testSchema = z.looseObject({
  delivery: z.string(),
  target: z.string(),
  delivered: z.boolean(),
  failure: z.looseObject({ outcome: z.string(), reason: z.string() }).nullable(),
});

export function registerHook(program: Command, around: Surroundings): void {
  const hook = program
    .command('hook')
    .summary('The outgoing hook that alarms are sent to')
    .description(
      'The outgoing hook that alarms are sent to: suspended, overdue, integrity.\n\nIt is configured where the service runs: KEYTURN_HOOK_URL (a POST signed after Standard Webhooks 1.0) with\nKEYTURN_HOOK_SECRET_FILE, or KEYTURN_HOOK_COMMAND, a JSON array: ["/path/to/program", "argument"], which gets the alarm as\nJSON on its standard input. The body is { type, timestamp, data }; docs/hook.md describes it, and when it is tried again.',
    );
  defineCommand(hook, {
    usage: 'test',
    summary: 'Send a test alarm and say what came of it',
    about:
      'It is sent and recorded as a real one is. Exit code 4 where it was not taken; it is then tried again by itself.',
    examples: ['keyturn hook test'],
    changes: true,
  }).action(async (options: CommonOptions) => {
    const session = new Session(around, options);
    const { target, delivered, delivery, failure, ...rest } = await session.client.post(
      '/hook/test',
      testSchema,
      { body: {}, patienceMs: 30_000 },
    );
    session.answer({ target, delivered, delivery, failure, ...rest }, () => {
      session.line(
        delivered
          ? `Delivered: ${target} (${delivery})`
          : `Not delivered: ${target}: ${failure?.outcome ?? 'unknown'}, ${failure?.reason ?? 'no outcome yet'} (${delivery})`,
      );
    });
    if (!delivered) throw new EndedOtherwise('The hook did not take the test alarm.');
  });
}
