import { Command, CommanderError, type Option } from 'commander';
import { BackendError } from '#custody';
import { EventLogError, LogLockedError } from '#eventlog';
import { ConfigError, packageVersion } from '#platform';
import { registerAbandon } from './commands/abandon.js';
import { registerAuthority } from './commands/authority.js';
import { registerConsumer } from './commands/consumer.js';
import { registerContainment } from './commands/containment.js';
import { registerCorrect } from './commands/correct.js';
import { registerDestruction } from './commands/destruction.js';
import { registerDrift } from './commands/drift.js';
import { registerExposure } from './commands/exposure.js';
import { registerRetire } from './commands/retire.js';
import { registerReviewed } from './commands/reviewed.js';
import { registerRotations } from './commands/rotations.js';
import { registerWhoami } from './commands/whoami.js';
import { registerWindows } from './commands/windows.js';
import { registerApply } from './commands/apply.js';
import { registerApprove } from './commands/approve.js';
import { registerBackup } from './commands/backup.js';
import { registerClassify } from './commands/classify.js';
import { registerCompletion } from './commands/completion.js';
import { registerConfirm } from './commands/confirm.js';
import { registerContain } from './commands/contain.js';
import { registerCustodian } from './commands/custodian.js';
import { registerDeviation } from './commands/deviation.js';
import { registerDemo } from './commands/demo.js';
import { registerDestroy } from './commands/destroy.js';
import { registerDoctor } from './commands/doctor.js';
import { registerEmergency } from './commands/emergency.js';
import { registerFamilies } from './commands/families.js';
import { registerHook } from './commands/hook.js';
import { registerFreeze } from './commands/freeze.js';
import { registerHolds } from './commands/holds.js';
import { registerImport } from './commands/import.js';
import { registerLeft } from './commands/left.js';
import { registerLift } from './commands/lift.js';
import { registerLocal } from './commands/local.js';
import { registerNote } from './commands/note.js';
import { registerObligations } from './commands/obligations.js';
import { registerOverdue } from './commands/overdue.js';
import { registerOverride } from './commands/override.js';
import { registerPause } from './commands/pause.js';
import { registerPolicies } from './commands/policies.js';
import { registerRebuild } from './commands/rebuild.js';
import { registerReject } from './commands/reject.js';
import { registerReplay } from './commands/replay.js';
import { registerReport } from './commands/report.js';
import { registerResume } from './commands/resume.js';
import { registerRestore } from './commands/restore.js';
import { registerRetry } from './commands/retry.js';
import { registerReview } from './commands/review.js';
import { registerAttest } from './commands/attest.js';
import { registerRollback } from './commands/rollback.js';
import { registerRotate } from './commands/rotate.js';
import { registerRunbook } from './commands/runbook.js';
import { registerSchedule } from './commands/schedule.js';
import { registerServe } from './commands/serve.js';
import { registerStanding } from './commands/standing.js';
import { registerStatus } from './commands/status.js';
import { registerTelemetry } from './commands/telemetry.js';
import { registerTimeline } from './commands/timeline.js';
import { registerToken } from './commands/token.js';
import { EXIT, EXIT_CODES_TEXT, type ExitCode } from './exit-codes.js';
import {
  CliFailure,
  EndedOtherwise,
  InterruptedError,
  RefusedError,
  UnavailableError,
  UnforeseenError,
  UsageError,
} from './failures.js';
import { adviceOn, failureJson, problemLines } from './problem-text.js';
import type { Surroundings } from './surroundings.js';
import { paintFor } from './terminal.js';

export function buildProgram(around: Surroundings): Command {
  const program = new Command('keyturn')
    .summary('Records, drives and proves key and secret rotations')
    .description(
      'Keyturn records every step of every key and secret rotation, drives the rotation, and proves it afterwards.',
    )
    // Else the --version of `confirm` and `contain` would be taken for the program's own options.
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for what it takes, and an example)')
    .version(packageVersion(), '--version', 'which Keyturn this is')
    .exitOverride()
    .configureHelp({
      optionDescription: (option) =>
        `${option.description}${option.mandatory ? ' (required)' : ''}${choicesOf(option)}`,
    })
    .configureOutput({
      writeOut: (text) => {
        around.out.write(text);
      },
      writeErr: (text) => {
        around.err.write(text);
      },
      getOutHelpWidth: () => around.out.columns ?? 100,
      getErrHelpWidth: () => around.err.columns ?? 100,
      getOutHasColors: () => around.out.colours,
      getErrHasColors: () => around.err.colours,
    })
    .addHelpText(
      'after',
      `
Examples:
  $ keyturn demo
  $ keyturn serve
  $ keyturn status
  $ keyturn rotate production/session-jwt --dry-run
  $ keyturn emergency production/session-jwt --compromised k1 --incident INC-2041

${EXIT_CODES_TEXT}

Settings: KEYTURN_URL (where the service is), KEYTURN_TOKEN (what to sign in with), NO_COLOR.`,
    );
  program.commandsGroup('Run it:');
  registerServe(program, around);
  registerDemo(program, around);
  registerToken(program, around);
  registerWhoami(program, around);
  registerRebuild(program, around);
  registerBackup(program, around);
  registerRestore(program, around);
  registerDoctor(program, around);
  registerLocal(program, around);
  registerCompletion(program, around);
  registerHook(program, around);
  program.commandsGroup('Declare:');
  registerApply(program, around);
  registerImport(program, around);
  registerFamilies(program, around);
  registerPolicies(program, around);
  registerConsumer(program, around);
  registerAuthority(program, around);
  registerReviewed(program, around);
  registerStanding(program, around);
  registerDeviation(program, around);
  registerDrift(program, around);
  registerClassify(program, around);
  registerCustodian(program, around);
  registerLeft(program, around);
  registerRetire(program, around);
  program.commandsGroup('Rotate:');
  registerRotate(program, around);
  registerApprove(program, around);
  registerReject(program, around);
  registerConfirm(program, around);
  registerOverride(program, around);
  registerPause(program, around);
  registerResume(program, around);
  registerRetry(program, around);
  registerRollback(program, around);
  registerAttest(program, around);
  registerAbandon(program, around);
  registerTelemetry(program, around);
  registerNote(program, around);
  registerCorrect(program, around);
  registerDestroy(program, around);
  registerDestruction(program, around);
  registerFreeze(program, around);
  registerHolds(program, around);
  program.commandsGroup('In an emergency:');
  registerEmergency(program, around);
  registerContain(program, around);
  registerLift(program, around);
  registerContainment(program, around);
  registerExposure(program, around);
  registerReview(program, around);
  program.commandsGroup('Look:');
  registerStatus(program, around);
  registerRotations(program, around);
  registerOverdue(program, around);
  registerObligations(program, around);
  registerSchedule(program, around);
  registerWindows(program, around);
  registerReplay(program, around);
  registerTimeline(program, around);
  registerReport(program, around);
  registerRunbook(program, around);
  program.helpCommand('help [command]', 'help for a command');
  return program;
}

/** What commander's own description adds, and that it must be there, which it leaves out. */
function choicesOf({ argChoices, defaultValue }: Option): string {
  const parts = [
    ...(argChoices === undefined ? [] : [argChoices.join(', ')]),
    ...(typeof defaultValue === 'string' ? [`default: ${defaultValue}`] : []),
  ];
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`;
}

/** Runs one command line and answers its exit code; never throws, never ends the process. */
export async function runCli(argv: readonly string[], around: Surroundings): Promise<ExitCode> {
  const json = argv.includes('--json');
  const program = buildProgram(json ? { ...around, err: SILENT } : around);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    const failure = failureOf(error, around);
    say(failure, { json, around, said: error instanceof CommanderError });
    return failure.exitCode;
  }
}

/** With --json nothing but JSON is written. */
const SILENT = { isTTY: false, columns: undefined, colours: false, write: () => undefined };

interface Saying {
  readonly json: boolean;
  readonly around: Surroundings;
  /** Commander has written its own words already. */
  readonly said: boolean;
}

function say(failure: CliFailure, { json, around, said }: Saying): void {
  if (json) {
    // The result stands on the output already; the exit code says the rest.
    if (!(failure instanceof EndedOtherwise)) around.out.write(`${JSON.stringify(failureJson(failure))}\n`);
    return;
  }
  if (said) return;
  const { err } = around;
  if (failure instanceof InterruptedError) {
    err.write('\nInterrupted; what was recorded goes on without this terminal.\n');
    return;
  }
  const lines =
    failure instanceof EndedOtherwise
      ? [failure.message]
      : [...problemLines(failure.problem, paintFor(err)), ...adviceOn(failure)];
  err.write(`${lines.join('\n')}\n`);
}

function failureOf(error: unknown, { interrupted }: Surroundings): CliFailure {
  if (error instanceof CliFailure) return error;
  if (interrupted.aborted) return new InterruptedError();
  if (error instanceof CommanderError) return new UsageError(error.message.replace(/^error: /, ''));
  if (error instanceof ConfigError) {
    return new UsageError(
      'The environment cannot be used',
      error.problems.map(({ variable, message }) => ({ field: variable, message })),
    );
  }
  if (error instanceof LogLockedError) {
    return new RefusedError(
      error.code,
      'Another Keyturn has this data directory open; its KEYTURN_URL leads to it',
    );
  }
  if (error instanceof EventLogError)
    return new UnavailableError('broken', `${error.message} (${error.code})`);
  if (error instanceof BackendError) return new RefusedError(`back-end.${error.errorClass}`, error.message);
  // Nobody foresaw it: the stack is what whoever mends it needs.
  return new UnforeseenError(error instanceof Error ? (error.stack ?? error.message) : String(error));
}
