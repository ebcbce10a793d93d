import { parseInstant } from '#eventlog';
import { SimulatedWorld } from '../../testing/index.js';
import { WEEKDAYS } from '../calendar.js';
import { milliseconds } from '../duration.js';
import { planDates } from './plan-dates.js';

/** What holds the switch moves the switch; the accept window ends when it is over all the same. */
it('a change window moves emission, and not the end of the accept window', () => {
  const world = new SimulatedWorld({
    schedule: { changeWindows: [{ weekdays: [...WEEKDAYS], from: '10:00', to: '10:01', timeZone: 'UTC' }] },
  });
  const { id } = world.request();
  const view = world.view(id);
  const plan = world.plan(id);
  const { dates, holds } = planDates(plan, view, world.now);
  const ends = world.now + milliseconds(plan.windows?.accept.required);
  expect(parseInstant(dates.acceptEndsAt ?? '')).toBe(ends);
  expect(parseInstant(dates.earliestEmit ?? '')).toBeGreaterThan(ends);
  expect(dates.earliestEmit).toContain('T10:00:00');
  expect(holds.flatMap(({ steps }) => steps)).toContain('emit');
});
