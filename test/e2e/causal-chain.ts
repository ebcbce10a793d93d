import { z } from 'zod';

/** One line of `GET /log/events`, as far as these specs read it. */
const lineSchema = z.object({
  id: z.string(),
  type: z.string(),
  subject: z.string(),
  actor: z.string(),
  treesize: z.number(),
  correlationid: z.string(),
  causationid: z.string(),
  via: z.string(),
});
export type ExportedEvent = z.output<typeof lineSchema>;

export function exportedEvents(ndjson: string): readonly ExportedEvent[] {
  return ndjson
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => lineSchema.parse(JSON.parse(line)));
}

/**
 * Every event is caused by an earlier event, or by a command whose id it shares with the other events that command
 * decided (same subject); a rotation's stream has one correlation id. Gives back what was counted.
 */
export function expectCausalChain(events: readonly ExportedEvent[]): {
  readonly byEvents: number;
  readonly byCommands: number;
  readonly rotations: number;
} {
  const all = new Set(events.map(({ id }) => id));
  const earlier = new Set<string>();
  const commands = new Map<string, string>();
  const correlations = new Map<string, Set<string>>();
  const broken: string[] = [];
  let byEvents = 0;
  for (const event of events) {
    const { id, type, subject, causationid, correlationid } = event;
    if (earlier.has(causationid)) byEvents += 1;
    // A log that is opened, and a look at what there is: neither a command nor an event led to them.
    else if (causationid === id && (type === 'keyturn.LogOpened' || event.via === 'kit')) byEvents += 1;
    else if (all.has(causationid)) broken.push(`${type} is caused by itself or by a later event`);
    else {
      // What finishes an opening carries its command's id on; it never begins one.
      const known = commands.get(causationid);
      if (known === undefined && event.via === 'saga') broken.push(`${type} of the saga has no cause`);
      if ((known ?? event.actor) !== event.actor) broken.push(`${type} shares a command with other people`);
      commands.set(causationid, event.actor);
    }
    earlier.add(id);
    if (subject.startsWith('rotation-')) {
      correlations.set(subject, (correlations.get(subject) ?? new Set()).add(correlationid));
    }
  }
  for (const [stream, ids] of correlations) {
    if (ids.size !== 1) broken.push(`${stream} has ${ids.size} correlation ids`);
  }
  expect(broken).toEqual([]);
  return { byEvents, byCommands: commands.size, rotations: correlations.size };
}
