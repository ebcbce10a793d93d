import { Option, type Command } from 'commander';
import { z } from 'zod';
import { previewSchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT, listedBy, parsedBy } from '../define-command.js';
import { UsageError } from '../failures.js';
import { findFamily, rotationAfter } from '../find.js';
import { showAndFollow } from '../follow.js';
import { previewPage } from '../rotation-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { durationArgument, instantArgument } from '../words.js';

interface RotateOptions extends CommonOptions {
  readonly reason?: string;
  readonly trigger: string;
  readonly dryRun?: boolean;
  readonly acceptWindow?: string;
  readonly drainWindow?: string;
  readonly deviationReason?: string;
  readonly deviationUntil?: string;
  readonly wait?: boolean;
  readonly strategy: string;
  readonly rehearses?: string;
  readonly cohort?: readonly string[];
}

export const TRIGGERS = ['scheduled', 'compromise', 'personnel-departure', 'algorithm-weakened', 'manual'];

export function registerRotate(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'rotate',
    summary: 'Rotate a secret family: accept the new version, emit with it, revoke the old one',
    about:
      'Both windows are computed from what its consumers cache. A longer one may be asked for; a shorter one is a written\ndeviation with an end. rolling moves emission cohort by cohort; rehearsal runs where the\nenvironment’s name says that it is for trying things out (staging, eu-test); cutover is\nfor families without overlap, in their change window. A key that leaked: use emergency.',
    examples: [
      'keyturn rotate production/session-jwt --dry-run',
      'keyturn rotate production/session-jwt --reason "quarterly" --trigger scheduled --wait',
      'keyturn rotate production/session-jwt --strategy rolling --cohort 10:P1D --cohort 50:P3D --cohort 100:0s',
      'keyturn rotate staging/session-jwt --strategy rehearsal --accept-window 1m --drain-window 1m',
      'keyturn rotate staging/session-jwt --accept-window 10m --deviation-reason "no clients yet" --deviation-until 2026-02-01T00:00:00Z',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .option('--reason <text>', 'why, for the record')
    .addOption(new Option('--trigger <trigger>', 'what made it due').choices(TRIGGERS).default('manual'))
    .addOption(
      new Option('--strategy <strategy>', 'how emission moves')
        .choices(['graceful', 'rolling', 'rehearsal', 'cutover'])
        .default('graceful'),
    )
    .addOption(
      new Option('--rehearses <strategy>', 'what a rehearsal rehearses').choices(['graceful', 'rolling']),
    )
    .option<readonly string[]>(
      '--cohort <share:time>',
      'a part of a rolling rotation: per cent, and how long to look at it; repeat it up to 100',
      listedBy,
    )
    .option('--dry-run', 'show the plan with its dates, start nothing')
    .option('--accept-window <time>', 'instead of the computed one: 24h, P1D', parsedBy(durationArgument))
    .option('--drain-window <time>', 'instead of the computed one: 24h, P1D', parsedBy(durationArgument))
    .option('--deviation-reason <text>', 'why a window may be shorter than computed')
    .option('--deviation-until <instant>', 'how long the deviation holds')
    .option('--wait', 'until it ends or needs a person; exit code 4 where it did not complete')
    .action(async (text: string, options: RotateOptions) => {
      const wish = wishOf(options, around.clock.now());
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const path = `/families/${family.id}/rotations`;
      if (options.dryRun === true) {
        const preview = await session.client.post(path, previewSchema, {
          body: wish,
          query: { plan: 'true' },
          // Never the run's own key: a preview must not answer for the rotation.
          idempotencyKey: around.ids.random(),
        });
        session.answer(preview, () => {
          session.line(`${session.paint(family.qualifiedName, 'bold')}  plan only, nothing is started`);
          session.lines(previewPage(session, preview));
        });
        return;
      }
      const answer = await session.client.post(path, z.unknown(), { body: wish });
      await showAndFollow(session, await rotationAfter(session, answer, ''), options.wait === true);
    });
}

/** `25:P7D`: the share it reaches, and how long it is looked at. */
function cohortArgument(text: string): { readonly share: number; readonly hold: string } {
  const [share = '', hold = '0s'] = text.split(':');
  if (!/^\d{1,3}$/.test(share)) throw new UsageError(`--cohort ${text}: write it as 25:P7D, share and time`);
  return { share: Number(share), hold: durationArgument(hold) };
}

function wishOf(options: RotateOptions, now: number): Readonly<Record<string, unknown>> {
  const { trigger, reason = `${trigger} rotation`, acceptWindow, drainWindow } = options;
  const { deviationReason, deviationUntil, strategy, rehearses, cohort } = options;
  if ((deviationReason === undefined) !== (deviationUntil === undefined)) {
    throw new UsageError('a deviation has both: --deviation-reason and --deviation-until');
  }
  const windows = {
    ...(acceptWindow === undefined ? {} : { accept: acceptWindow }),
    ...(drainWindow === undefined ? {} : { drain: drainWindow }),
  };
  return {
    strategy,
    ...(rehearses === undefined ? {} : { rehearses }),
    ...(cohort === undefined ? {} : { cohorts: cohort.map(cohortArgument) }),
    trigger,
    reason,
    ...(Object.keys(windows).length === 0 ? {} : { windows }),
    ...(deviationReason === undefined || deviationUntil === undefined
      ? {}
      : { deviation: { reason: deviationReason, until: instantArgument(deviationUntil, now) } }),
  };
}
