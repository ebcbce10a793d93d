import { someOf } from '#platform/testing';
import { expectZeroRefused, figure, refreshedAt, refused } from './figures.js';
import { simulate } from './simulation.js';

/** The same proof for the way back: a rollback withdraws the new version, and no valid token of it is refused. */

const LONG = 180_000;
const figures: string[] = [];

afterAll(() => {
  console.log(figures.join('\n'));
});

const BEFORE_ROLLBACK = ['requested', 'approved', 'generated', 'accepting', 'emitting', 'draining'];

describe('a rollback refuses no valid token, wherever it is pressed', () => {
  const everywhere = [
    { pressed: 'requested', rollback: { in: 'requested', afterMs: 11_000 }, algorithm: 'EdDSA', faults: {} },
    {
      pressed: 'approved',
      rollback: { in: 'approved', afterMs: 500 },
      algorithm: 'EdDSA',
      faults: { generate: ['refused'] },
    },
    {
      pressed: 'generated',
      rollback: { in: 'generated', afterMs: 500 },
      algorithm: 'ES256',
      faults: { generate: ['refused'], publish: ['refused'] },
    },
    {
      pressed: 'accepting',
      rollback: { in: 'accepting', afterMs: 4_000 },
      algorithm: 'EdDSA',
      faults: { generate: ['refused'], publish: ['refused'] },
    },
    {
      pressed: 'emitting',
      rollback: { in: 'emitting', afterMs: 1_500 },
      algorithm: 'ES256',
      faults: { generate: ['refused'], publish: ['refused'], switchEmission: ['passes', 'refused'] },
    },
    {
      pressed: 'draining',
      rollback: { in: 'draining', afterMs: 5_000 },
      algorithm: 'EdDSA',
      faults: { generate: ['refused'], publish: ['refused'], switchEmission: ['passes', 'refused'] },
    },
  ] as const;
  it.each(someOf(everywhere, 2))(
    'in $pressed ($algorithm)',
    async ({ pressed, rollback, algorithm, faults }) => {
      const run = await simulate({
        algorithm,
        tokens: 1_000,
        rollback,
        faults,
        // Nobody confirms before 3 s: a window can only become longer by it, and the phase lasts.
        ...(pressed === 'emitting' ? { emitterConfirmsAfterMs: 3_000 } : {}),
      });
      figures.push(figure(`rollback in ${pressed}, ${algorithm}`, run));
      const back =
        pressed === 'emitting' || pressed === 'draining' ? ['rolling-back', 'rolling-back:returned'] : [];
      const until = BEFORE_ROLLBACK.slice(0, BEFORE_ROLLBACK.indexOf(pressed) + 1);
      expect(run.stages).toEqual([...until, ...back, 'rolled-back']);
      if (run.state.accepted !== undefined) {
        expect(refreshedAt(run, 'DualAcceptDeployed', -1)).toBe(true);
        expect(refreshedAt(run, 'NewKeyWithdrawn', 1)).toBe(true);
      }
      expectZeroRefused(run);
    },
    LONG,
  );

  it(
    'in the last millisecond before the revocation',
    async () => {
      const run = await simulate({
        algorithm: 'ES256',
        tokens: 1_000,
        rollback: { in: 'draining', afterMs: 49_999 },
      });
      figures.push(figure('rollback 1 ms before the revocation, ES256', run));
      expect(run.state.phase).toBe('rolled-back');
      expectZeroRefused(run);
    },
    LONG,
  );

  it(
    'while nobody knows whether emission has moved',
    async () => {
      const run = await simulate({
        algorithm: 'EdDSA',
        tokens: 1_000,
        rollback: { in: 'accepting', afterMs: 10_500 },
        faults: { switchEmission: ['answer-lost'] },
      });
      figures.push(figure('rollback while the switch is unanswered, EdDSA', run));
      expect(run.facts.map((fact) => fact.type)).toEqual(
        expect.arrayContaining(['RollbackRequested', 'EmitterSwitched', 'EmissionReturned']),
      );
      expect(run.state.phase).toBe('rolled-back');
      expectZeroRefused(run);
    },
    LONG,
  );

  it(
    'but does where its own drain is cut (control)',
    async () => {
      const run = await simulate({
        algorithm: 'ES256',
        tokens: 400,
        windows: { drain: 'PT20S' },
        rollback: { in: 'draining', afterMs: 5_000 },
      });
      figures.push(figure('control, rollback with the drain at half the token life, ES256', run));
      expect(run.state.phase).toBe('rolled-back');
      expect(refused(run).some((shown) => shown.token.version === run.incoming)).toBe(true);
      expect(refused(run).some((shown) => shown.token.version === run.before)).toBe(false);
    },
    LONG,
  );
});
