import { evolveRotation, initialRotation, type RotationEvent } from '#rotation';
import { effectiveAt, stageOf, TTL_MS, type Presentation, type Run } from './simulation.js';

/** What the specs count in a run. */

export function refused(run: Run): readonly Presentation[] {
  return run.presentations.filter((shown) => shown.refusal !== undefined);
}

function shownTokens(run: Run): number {
  return new Set(run.presentations.map((shown) => shown.token)).size;
}

/** Refusals in words, for a failing run: which version, how old, by whom, when. */
function inWords(run: Run, shown: readonly Presentation[]): readonly string[] {
  return shown.slice(0, 5).map(({ token, verifier, at, stage, refusal }) => {
    const which = token.version === run.before ? 'the old' : 'the new';
    const age = (at - token.signedAt) / 1_000;
    return `verifier ${verifier} refused ${which} version's token, ${age} s old, at ${(at - run.start) / 1_000} s (${stage}): ${refusal ?? ''}`;
  });
}

/** Tokens whose version was not emitting when they were signed, by the record's own account: there are none. */
export function notValid(run: Run): readonly string[] {
  return run.tokens
    .filter(({ version, signedAt }) => {
      const earlier = run.emissions.filter((emission) => emission.at < signedAt).at(-1)?.by ?? [];
      const inThatMoment = run.emissions
        .filter((emission) => emission.at === signedAt)
        .flatMap(({ by }) => by);
      return !earlier.includes(version) && !inThatMoment.includes(version);
    })
    .map(({ version, signedAt }) => `${version} at ${(signedAt - run.start) / 1_000} s`);
}

function isRotationEvent(event: Run['facts'][number]): event is RotationEvent {
  return event.stream.startsWith('rotation-');
}

/**
 * Phase by phase, the versions that had been emitted and were not yet revoked when it began, of which nobody was shown a
 * token in it (in the drain: one signed before the switch). By the facts, not by what the simulation believed.
 */
function notShown(run: Run): readonly string[] {
  const emitted = new Set([run.before]);
  const required = new Map<string, readonly string[]>();
  let state = initialRotation;
  for (const event of run.facts.filter(isRotationEvent)) {
    const before = stageOf(state);
    state = evolveRotation(state, event);
    if (event.type === 'EmitterSwitched' || event.type === 'EmissionReturned') emitted.add(event.data.to);
    if (event.type === 'OldKeyRevoked' || event.type === 'NewKeyWithdrawn') {
      for (const version of event.data.versions) emitted.delete(version);
    }
    if (stageOf(state) !== before || required.size === 0) required.set(stageOf(state), [...emitted]);
  }
  const switchedAt = run.state.switched?.at ?? Infinity;
  return run.stages.flatMap((stage) =>
    (required.get(stage) ?? ['nothing is on record of this phase'])
      .filter(
        (version) =>
          !run.presentations.some(
            ({ stage: shownIn, token }) =>
              shownIn === stage &&
              token.version === version &&
              (stage !== 'draining' || version !== run.before || token.signedAt <= switchedAt),
          ),
      )
      .map((version) => `${stage}: ${version}`),
  );
}

/** Every verifier refreshed exactly every TTL, from its first refresh on. */
function refreshIntervals(run: Run): readonly number[] {
  const intervals = run.refreshes.flatMap((at) =>
    at.slice(1).map((instant, index) => instant - (at[index] ?? 0)),
  );
  return [...new Set(intervals)];
}

/** Whether some verifier refreshed exactly so many milliseconds after the effect of this fact. */
export function refreshedAt(run: Run, type: string, after: number): boolean {
  const fact = [...run.facts, ...run.containmentFacts].find((event) => event.type === type);
  if (fact === undefined) throw new Error(`${type} is not on record`);
  const at = effectiveAt(fact) + after;
  return run.refreshes.some((refreshes) => refreshes.includes(at));
}

function thousands(count: number): string {
  return count.toLocaleString('en-US');
}

/** One line of the proof's figures. */
export function figure(what: string, run: Run): string {
  const no = new Set(refused(run).map((each) => each.token)).size;
  return (
    `windows: ${what}: ${thousands(no)} of ${thousands(shownTokens(run))} valid tokens refused ` +
    `(${thousands(run.presentations.length)} presentations, ${run.stages.length} phases)`
  );
}

/** The claim itself, and that the run was the one it is made for. */
export function expectZeroRefused(run: Run): void {
  expect(notValid(run)).toEqual([]);
  expect(refreshIntervals(run)).toEqual([TTL_MS]);
  expect(shownTokens(run)).toBeGreaterThanOrEqual(1_000);
  expect(notShown(run)).toEqual([]);
  expect(inWords(run, refused(run))).toEqual([]);
}
