import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import {
  parseApplyFile,
  planApply,
  type ApplyOperation,
  type ApplyPlan,
  type FamilyView,
  type PolicyView,
} from '#rotation';
import { ApiClient } from '../api-client.js';
import { familySchema, policySchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { RefusedError, UsageError } from '../failures.js';
import { readFileOr } from '../read-file.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { oneLine } from '../terminal.js';

interface ApplyOptions extends CommonOptions {
  readonly file: string;
  readonly dryRun?: boolean;
}

export function registerApply(program: Command, around: Surroundings): void {
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
      const { declared, errors } = parseApplyFile(readFileOr(file).toString('utf8'), basename(file));
      if (declared === undefined)
        throw new UsageError(`${file} cannot be applied; nothing was changed`, errors);
      const session = new Session(around, options);
      const plan = planApply(declared, await currentState(session), session.now());
      if (plan.conflicts.length > 0) {
        const detail = `${file} wants what no request can do; nothing was changed`;
        throw new RefusedError('apply.conflict', detail, plan.conflicts);
      }
      for (const operation of plan.operations) {
        if (dryRun !== true) await send(session, operation);
        show(session, operation, dryRun === true);
      }
      session.answer(answerOf(file, dryRun === true, plan), () => {
        const { length } = plan.operations;
        const same = plan.unchanged.length === 0 ? '' : ` ${plan.unchanged.length} are as declared.`;
        if (length === 0) session.line('Nothing to change: all of it is so already.');
        else if (dryRun === true) session.line(`${length} to change; nothing was changed.${same}`);
        else session.line(`${length} changed.${same}`);
      });
      const defined = plan.operations.some(({ kind }) => kind === 'define-policy' || kind === 'amend-policy');
      if (defined && dryRun !== true) {
        session.line('A policy binds once somebody other than you approved it: keyturn policies');
      }
    });
}

const wholeFamily = familySchema.extend({ runbook: z.record(z.string(), z.string()) });
const familyView = z.custom<FamilyView>((value) => wholeFamily.safeParse(value).success);
const policyView = z.custom<PolicyView>((value) => policySchema.safeParse(value).success);

/** As it is stored, and not as a terminal may show it: else a file would differ from itself. */
async function currentState({ client }: Session): Promise<Parameters<typeof planApply>[1]> {
  const exact = new ApiClient({ ...client.options, forPeople: false });
  const [families, policies] = await Promise.all([
    exact.all('/families', familyView),
    exact.all('/policies', policyView),
  ]);
  return { families: families.items, policies: policies.items };
}

async function send({ client }: Session, { method, path, body }: ApplyOperation): Promise<void> {
  const idempotencyKey = keyOf(client.options.idempotencyKey, { method, path, body });
  await client.send(method, path, z.unknown(), { body, idempotencyKey });
}

/** By what it does and not by its place: applied again after half of it, each request still has its own key. */
function keyOf(
  run: string,
  { method, path, body }: Pick<ApplyOperation, 'method' | 'path' | 'body'>,
): string {
  const content = createHash('sha256')
    .update(JSON.stringify([method, path, body]))
    .digest('hex');
  return `${run.slice(0, 160)}.${content.slice(0, 16)}`;
}

function show(session: Session, { line, changes }: ApplyOperation, dryRun: boolean): void {
  const { paint } = session;
  session.line(`${dryRun ? paint('would', 'yellow') : paint('done', 'green')}  ${oneLine(line)}`);
  for (const change of changes) session.line(paint(`       ${oneLine(change)}`, 'dim'));
}

function answerOf(file: string, dryRun: boolean, plan: ApplyPlan): Readonly<Record<string, unknown>> {
  const operations = plan.operations.map(({ kind, target, line, changes }) => ({
    kind,
    target,
    line,
    changes,
  }));
  return { file, dryRun, operations, unchanged: plan.unchanged };
}
