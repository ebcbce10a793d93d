import { formatInstant } from '#eventlog';
import { evolveRotation, initialRotation } from '#rotation';
import { SimulatedWorld, until } from '#rotation/testing';
import { obligationRows } from './obligations.js';

const MINUTE = 60_000;
const DAY = 86_400_000;

it('what was attested is to be compared within a day of the oldest attestation, whatever else happens meanwhile', () => {
  const world = new SimulatedWorld();
  world.awayUntil = Infinity;
  const { id } = world.emergency(['old'], { contain: false });
  world.run();
  world.elapse(3 * MINUTE);
  for (const step of ['generate', 'accept', 'emit', 'revoke', 'verify'] as const) {
    until(
      world,
      () =>
        world.ask(id, { type: 'SwitchToAttested', step, reason: 'it is sealed', now: world.now }) ===
        undefined,
      `${step} in people’s hands`,
    );
    world.run();
    world.ask(id, {
      type: 'AttestStep',
      step,
      attestation: { evidence: { link: 'https://ci.example.com/run/1' } },
      now: world.now,
    });
    world.run();
  }
  world.elapse(DAY);
  let state = initialRotation;
  let first: number | undefined;
  const dues = new Set<string>();
  const moves = new Set<number>();
  for (const event of world.rotationEvents(id)) {
    state = evolveRotation(state, event);
    if (event.type === 'Attested') first ??= event.recordedAt;
    if (state.unreconciled.length === 0) continue;
    const rows = obligationRows({
      families: [world.family.state],
      rotations: [state],
      policies: [],
      now: world.now,
    });
    for (const row of rows) if (row.kind === 'reconciliation') dues.add(row.due);
    if (state.lastMove !== undefined) moves.add(state.lastMove.at);
  }
  expect([...dues]).toEqual([formatInstant((first ?? 0) + DAY)]);
  // The control: there were later facts that could have moved it.
  expect(moves.size).toBeGreaterThan(1);
});
