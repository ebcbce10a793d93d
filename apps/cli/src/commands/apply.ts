import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { familySchema, policySchema } from '../api.js';
import { APPLY_TOOLS, type ApplyOperation, type ApplyTools } from '../apply-tools.js';
import { defineCommand } from '../define-command.js';
import { UsageError } from '../failures.js';
import { readFileOr } from '../read-file.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { printable } from '../terminal.js';

interface ApplyOptions extends CommonOptions {
  readonly file: string;
  readonly dryRun?: boolean;
}

export function registerApply(program: Command, around: Surroundings, tools: ApplyTools = APPLY_TOOLS): void {
  defineCommand(program, {
    usage: 'apply',
    summary: 'Declare families, consumers and policies as code',
    about:
      'Registers what is missing and revises what differs; never removes anything. Applying the same file again changes\nnothing. What failed half-way is completed by applying it again.',
    examples: ['keyturn apply -f families.yaml --dry-run', 'keyturn apply -f families.yaml'],
    changes: true,
  })
    .requiredOption('-f, --file <file>', 'the declaration as YAML')
    .option('--dry-run', 'show what would change, change nothing')
    .action(async ({ file, dryRun, ...options }: ApplyOptions) => {
      const parsed = tools.parse(readFileOr(file).toString('utf8'), basename(file));
      if ('errors' in parsed)
        throw new UsageError(`${file} cannot be applied; nothing was changed`, parsed.errors);
      const session = new Session(around, options);
      const { client, paint } = session;
      const [families, policies] = await Promise.all([
        client.all('/families', familySchema),
        client.all('/policies', policySchema),
      ]);
      const operations = tools.plan(parsed.declared, { families: families.items, policies: policies.items });
      const answer = { file, dryRun: dryRun === true, operations: operations.map(({ line }) => ({ line })) };
      if (dryRun !== true) {
        for (const operation of operations) {
          await client.send(operation.method, operation.path, z.unknown(), {
            body: operation.body,
            ifMatch: operation.ifMatch,
            idempotencyKey: keyOf(client.options.idempotencyKey, operation),
          });
          session.line(`${paint('done', 'green')}  ${printable(operation.line)}`);
        }
      } else {
        for (const { line } of operations) session.line(`${paint('would', 'yellow')}  ${printable(line)}`);
      }
      session.answer(answer, () => {
        if (operations.length === 0) session.line('Nothing to change: all of it is so already.');
        else if (dryRun === true) session.line(`${operations.length} to change; nothing was changed.`);
        else session.line(`${operations.length} changed.`);
      });
    });
}

/** By what it does and not by its place: applied again after half of it, each request still has its own key. */
function keyOf(run: string, { method, path, body }: ApplyOperation): string {
  const content = createHash('sha256')
    .update(JSON.stringify([method, path, body]))
    .digest('hex');
  return `${run.slice(0, 160)}.${content.slice(0, 16)}`;
}
