import { Option, type Command } from 'commander';
import { z } from 'zod';
import {
  changeText,
  DECLARATION_FORMATS,
  planApply,
  readDeclarations,
  type ApplyObject,
  type ApplyPlan,
  type DeclarationFormat,
  type DeclarationReading,
  type FamilyView,
  type PolicyView,
} from '#rotation';
import { ApiClient } from '../api-client.js';
import { familySchema, policySchema } from '../api.js';
import { sendPlan, type Outcome, type Sent } from '../apply-run.js';
import { sourcesOf } from '../apply-sources.js';
import { defineCommand, listedBy } from '../define-command.js';
import { EXIT } from '../exit-codes.js';
import { CliFailure, EndedOtherwise, InterruptedError, RefusedError, WrongFileError } from '../failures.js';
import { placeText } from '../problem-text.js';
import { progressBar } from '../progress-bar.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { oneLine } from '../terminal.js';

interface ApplyOptions extends CommonOptions {
  readonly file: readonly string[];
  readonly format?: DeclarationFormat;
  readonly dryRun?: boolean;
  readonly exitCode?: boolean;
}

export function registerApply(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'apply',
    summary: 'Declare families, consumers and policies as code',
    about: `Registers what is missing and changes what differs. What the files do not name is left alone: nothing is ever removed. Applying the same files again changes nothing; what was cut off goes on when it is applied again. A review of a runbook that was done since (keyturn reviewed) is not asked for again by its old date.

All that is wrong with the files is told at once, by line and field, and then nothing is sent. What the service refuses does not hold up the rest: it is named with its line, and the exit code is 4.

A policy that is new or changed binds once somebody else approved it.

Formats, by the name of the file (the folder examples/ of Keyturn has one of each):
  .yaml .yml .json  families, consumers, policies: lists of objects
  .csv              a header, then one family a row; one consumer a row where there is
                    a column "family"; lists inside a value are written a|b
  .ndjson .jsonl    {"family": …}, {"consumer": …} or {"policy": …} on each line;
                    read as it comes, for thousands`,
    examples: [
      'keyturn apply -f families.yaml --dry-run',
      'keyturn apply -f families.csv consumers.csv',
      'keyturn apply -f declarations/',
      'inventory | keyturn apply -f - --format ndjson',
    ],
  })
    .requiredOption('-f, --file <file...>', 'what is declared: files, folders, or - for the input', listedBy)
    .addOption(
      new Option('--format <format>', 'of the files, whatever their names').choices(DECLARATION_FORMATS),
    )
    .option('--dry-run', 'show what would change, change nothing')
    .option('--exit-code', 'with --dry-run: end with 4 where something would change')
    .action(async ({ file, format, dryRun = false, exitCode = false, ...options }: ApplyOptions) => {
      const sources = sourcesOf(file, format, around.input);
      const reading = await readDeclarations(sources);
      const session = new Session(around, options);
      const plan = await planFor(session, reading);
      const sent = dryRun ? undefined : await sendShown(session, plan);
      if (dryRun) for (const object of objectsOf(plan)) showPlanned(session, object);
      session.answer(
        answerOf(
          sources.map(({ name }) => name),
          plan,
          sent,
        ),
        () => {
          showSummary(session, plan, sent);
        },
      );
      if (sent === undefined) {
        const differs = objectsOf(plan).some(({ action }) => action !== 'unchanged');
        if (exitCode && differs) throw new EndedOtherwise('The files and the service differ.');
      } else failedOf(sent);
    });
}

/** What is wrong with the files, and what no request can do, is told in one answer, before anything is sent. */
async function planFor(session: Session, reading: DeclarationReading): Promise<ApplyPlan> {
  const { declared, errors, moreErrors } = reading;
  let plan: ApplyPlan | undefined;
  try {
    plan = planApply(declared, await currentState(session), session.now());
  } catch (error) {
    // Files can be checked where no service is; then they are all there is to say.
    if (errors.length === 0 || !(error instanceof CliFailure) || error instanceof InterruptedError)
      throw error;
  }
  const conflicts = plan?.conflicts ?? [];
  const count = errors.length + moreErrors + conflicts.length;
  const things = `${numbered(count)} ${count === 1 ? 'thing is' : 'things are'}`;
  if (errors.length > 0) {
    throw new WrongFileError(`${things} wrong; nothing was changed.`, [...errors, ...conflicts]);
  }
  if (plan === undefined || conflicts.length > 0) {
    const detail = `${things} wanted that no request can do; nothing was changed.`;
    throw new RefusedError('apply.conflict', detail, conflicts);
  }
  return plan;
}

const wholeFamily = familySchema.extend({ runbook: z.record(z.string(), z.string()) });
const familyView = z.custom<FamilyView>((value) => wholeFamily.safeParse(value).success);
const policyView = z.custom<PolicyView>((value) => policySchema.safeParse(value).success);
const PAGE = 500;

async function currentState(session: Session): Promise<Parameters<typeof planApply>[1]> {
  // As it is stored, and not as a terminal may show it: else a file would differ from itself.
  const client = new ApiClient({ ...session.client.options, forPeople: false });
  const all = async <View>(path: string, view: z.ZodType<View>, limit?: number): Promise<readonly View[]> => {
    const page = z.looseObject({ items: z.array(view), next: z.string().nullish() });
    const items: View[] = [];
    for (let cursor: string | undefined; ;) {
      const got = await client.get(path, page, { limit, cursor });
      items.push(...got.items);
      if (got.next === null || got.next === undefined) return items;
      cursor = got.next;
    }
  };
  return { families: await all('/families', familyView, PAGE), policies: await all('/policies', policyView) };
}

function objectsOf({ policies, families }: ApplyPlan): readonly ApplyObject[] {
  return [...policies, ...families].flatMap(({ objects }) => objects);
}

/** More than these are a bar on a terminal, and only what was refused is listed. */
const MOST_LISTED = 50;

async function sendShown(session: Session, plan: ApplyPlan): Promise<Sent> {
  const total = objectsOf(plan).filter(({ requests }) => requests.length > 0).length;
  const bar = progressBar(session, 'objects');
  const listed = !bar.shown || total <= MOST_LISTED;
  let done = 0;
  if (!listed) bar.at(0, total);
  try {
    const sent = await sendPlan(session, plan, (outcome) => {
      done += 1;
      if (listed) showOutcome(session, outcome);
      else bar.at(done, total);
    });
    bar.stop();
    if (!listed) {
      for (const outcome of sent.outcomes.filter(({ result }) => result === 'refused')) {
        showOutcome(session, outcome);
      }
    }
    return sent;
  } finally {
    bar.stop();
  }
}

function titled({ what, name }: ApplyObject): string {
  return `${what.padEnd(8)}  ${oneLine(name)}`;
}

function showPlanned(session: Session, object: ApplyObject): void {
  const { paint } = session;
  if (object.action === 'unchanged') return;
  const mark = object.action === 'create' ? paint('+ create', 'green') : paint('~ change', 'yellow');
  session.line(`${mark}  ${titled(object)}`);
  showChanges(session, object);
}

function showChanges(session: Session, { changes }: ApplyObject): void {
  for (const change of changes) {
    session.line(session.paint(`            ${oneLine(`${change.field}: ${changeText(change)}`)}`, 'dim'));
  }
}

function showOutcome(session: Session, { object, result, problem }: Outcome): void {
  const { paint } = session;
  if (result === 'not tried') return;
  if (result === 'done') {
    session.line(`${paint(object.action === 'create' ? 'created' : 'changed', 'green')}   ${titled(object)}`);
    showChanges(session, object);
    return;
  }
  session.line(
    `${paint('refused', 'red')}   ${titled(object)}  ${paint(`(${placeText(object.place)})`, 'dim')}`,
  );
  if (problem === undefined) return;
  session.line(
    `          ${oneLine(problem.detail ?? problem.title)} ${paint(`(${oneLine(problem.code)})`, 'dim')}`,
  );
  for (const { field, message } of problem.errors ?? []) {
    session.line(`          ${oneLine(`${field}: ${message}`)}`);
  }
}

function showSummary(session: Session, plan: ApplyPlan, sent: Sent | undefined): void {
  const { summary } = plan;
  const results = sent?.outcomes ?? [];
  const made = (action: ApplyObject['action']): readonly ApplyObject[] =>
    sent === undefined
      ? objectsOf(plan).filter((object) => object.action === action)
      : results.flatMap(({ object, result }) =>
          result === 'done' && object.action === action ? [object] : [],
        );
  const [create, change] = [made('create'), made('change')];
  const counts = Object.values(summary);
  const left = counts.reduce((sum, { notInFile }) => sum + notInFile, 0);
  const same = counts.reduce((sum, { unchanged }) => sum + unchanged, 0);
  const failed = (result: Outcome['result']): number =>
    results.filter((each) => each.result === result).length;
  const parts = [
    counted(create, sent === undefined ? 'to create' : 'created'),
    counted(change, sent === undefined ? 'to change' : 'changed'),
    ...(failed('refused') === 0 ? [] : [`${numbered(failed('refused'))} refused`]),
    ...(failed('not tried') === 0 ? [] : [`${numbered(failed('not tried'))} not tried`]),
    `${numbered(same)} unchanged`,
    `${numbered(left)} not in the file (left alone: nothing is ever removed)`,
  ];
  session.line(`${parts.join(', ')}.`);
  if (sent === undefined && create.length + change.length > 0)
    session.line('Nothing was changed: a dry run.');
  const policies = [...create, ...change].filter(({ what }) => what === 'policy').length;
  if (policies > 0) {
    const verb = sent === undefined ? 'would wait' : policies === 1 ? 'waits' : 'wait';
    session.line(
      `${numbered(policies)} ${policies === 1 ? 'policy' : 'policies'} ${verb} for approval by somebody other than you, and ${policies === 1 ? 'binds' : 'bind'} once it is given: keyturn policies`,
    );
  }
}

/** `3 to create (1 policy, 2 families)`. */
function counted(objects: readonly ApplyObject[], verb: string): string {
  const words = [
    ['policy', 'policies'],
    ['family', 'families'],
    ['consumer', 'consumers'],
  ] as const;
  const parts = words.flatMap(([what, several]) => {
    const count = objects.filter((object) => object.what === what).length;
    return count === 0 ? [] : [`${numbered(count)} ${count === 1 ? what : several}`];
  });
  return `${numbered(objects.length)} ${verb}${parts.length === 0 ? '' : ` (${parts.join(', ')})`}`;
}

function numbered(count: number): string {
  return count.toLocaleString('en');
}

function answerOf(
  files: readonly string[],
  plan: ApplyPlan,
  sent: Sent | undefined,
): Readonly<Record<string, unknown>> {
  const results = new Map(sent?.outcomes.map((outcome) => [outcome.object, outcome]));
  return {
    files,
    dryRun: sent === undefined,
    summary: plan.summary,
    // Those that are as declared are counted, not listed.
    objects: objectsOf(plan)
      .filter(({ action }) => action !== 'unchanged')
      .map((object) => {
        const { what, name, place, action, changes, requests } = object;
        const outcome = results.get(object);
        return {
          what,
          name,
          ...place,
          action,
          changes,
          requests: requests.map(({ kind }) => kind),
          ...(outcome === undefined ? {} : { result: outcome.result }),
          ...(outcome?.problem === undefined ? {} : { error: outcome.problem }),
        };
      }),
    ...(sent?.ended === undefined ? {} : { error: sent.ended.problem }),
  };
}

/** What was done stays done; the answer has been given already. */
function failedOf({ outcomes, ended }: Sent): void {
  if (ended instanceof InterruptedError) {
    throw new EndedOtherwise('Interrupted. Apply it again: it goes on from there.', EXIT.interrupted);
  }
  if (ended !== undefined) {
    const detail = `${ended.problem.detail ?? ended.problem.title} (${ended.problem.code})`;
    throw new EndedOtherwise(`${detail}\nApply it again: it goes on from there.`, ended.exitCode);
  }
  const refused = outcomes.filter(({ result }) => result === 'refused').length;
  if (refused > 0) {
    throw new EndedOtherwise(
      `${numbered(refused)} refused; what was done stays. Mend it, and apply it again.`,
    );
  }
}
