import { UsageError } from './failures.js';
import { rhythmOf, speedArgument, type Beat } from './replay-rhythm.js';

const beat = (at: string, instantNotRecorded = false): Beat => ({ at, instantNotRecorded });

describe('rhythmOf', () => {
  const beats = [
    beat('2026-03-01T12:00:00.000Z'),
    beat('2026-03-01T12:00:30.000Z'),
    beat('2026-03-08T12:00:30.000Z'),
  ];

  it('keeps the rhythm, so many times faster, and cuts long silences', () => {
    expect(rhythmOf(beats, 60)).toEqual([0, 500, 2_000]);
    expect(rhythmOf(beats, 1, 10_000)).toEqual([0, 10_000, 10_000]);
  });

  it('waits for nothing at full speed', () => {
    expect(rhythmOf(beats, undefined)).toEqual([0, 0, 0]);
  });

  it('does not wait for what was so earlier, nor counts it twice afterwards', () => {
    const late = [
      beat('2026-03-01T12:01:00.000Z'),
      beat('2026-03-01T12:00:00.000Z'),
      beat('2026-03-01T12:01:10.000Z'),
    ];
    expect(rhythmOf(late, 10)).toEqual([0, 0, 1_000]);
  });

  it('takes no rhythm from an instant nobody recorded', () => {
    const imported = [
      beat('2026-03-01T12:00:00.000Z'),
      beat('2026-03-05T12:00:00.000Z', true),
      beat('2026-03-01T12:00:06.000Z'),
    ];
    expect(rhythmOf(imported, 6)).toEqual([0, 0, 1_000]);
  });

  it('has nothing to say of nothing', () => {
    expect(rhythmOf([], 60)).toEqual([]);
  });
});

describe('speedArgument', () => {
  it('reads factors', () => {
    expect(speedArgument('60x')).toBe(60);
    expect(speedArgument('2.5')).toBe(2.5);
  });

  it.each(['0', '0x', 'max'])('takes %s for all at once', (text) => {
    expect(speedArgument(text)).toBeUndefined();
  });

  it.each(['fast', '-1', 'x60', ''])('refuses %j', (text) => {
    expect(() => speedArgument(text)).toThrow(UsageError);
  });
});
