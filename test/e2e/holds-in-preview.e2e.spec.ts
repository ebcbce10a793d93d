import { jest } from '@jest/globals';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { bodyOf, Stage } from './support.js';

jest.setTimeout(60_000);

let service: StartedService;
let stage: Stage;

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
});

afterAll(async () => {
  await service.stop();
});

interface Shown {
  readonly holds: readonly unknown[];
  readonly dates: { readonly earliestEmit: string; readonly steps: readonly unknown[] };
}

describe('freezes', () => {
  it('stand in the preview of what they hold, and no date lies before their end', async () => {
    const { id } = await stage.family();
    await stage.fillRunbook(id);
    const preview = async (): Promise<Shown> =>
      bodyOf(await stage.post(`/families/${id}/rotations?plan`, { reason: 'r' }), 200);
    const free = await preview();
    expect(free.holds).toEqual([]);
    const until = new Date(stage.now + 30 * 86_400_000).toISOString();
    const scope = { families: [id] };
    const body = { name: 'year-end', reason: 'no changes', until, scope };
    const freeze = await stage.post('/freezes', body);
    const frozen = await preview();
    expect(frozen.holds).toEqual([
      { what: 'the freeze year-end', reason: 'no changes', until, steps: ['generate'] },
    ]);
    expect(frozen.dates.steps[0]).toEqual({ step: 'generate', earliest: until });
    expect(Date.parse(frozen.dates.earliestEmit) - Date.parse(until)).toBeGreaterThan(0);
    const endless = { name: 'until further notice', reason: 'r', scope };
    const second = await stage.post('/freezes', endless);
    const open = await preview();
    expect(open.holds).toContainEqual(
      expect.objectContaining({ what: 'the freeze until further notice', until: null }),
    );
    expect(open.dates).toMatchObject({ earliestEmit: null, earliestCompleted: null });
    for (const { body: each } of [freeze, second]) {
      await stage.post(`/freezes/${String(each['id'])}/lift`, { reason: 'over' });
    }
    expect((await preview()).holds).toEqual([]);
  });
});
