import type { Command } from 'commander';
import { followedSchema, streamEndSchema, timelineSchema, type FollowedLine } from '../api.js';
import type { Query } from '../api-client.js';
import { defineCommand, parsedBy, ROTATION_ARGUMENT } from '../define-command.js';
import { ProblemError, RefusedError, UnavailableError, UsageError } from '../failures.js';
import { findFamily, findRotation } from '../find.js';
import { LOOK_EVERY_MS } from '../follow.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { entryLines } from '../timeline-text.js';
import { treeSizeArgument } from '../words.js';

interface TimelineOptions extends CommonOptions {
  readonly family?: string;
  readonly follow?: boolean;
  readonly after?: number;
  readonly full?: boolean;
}

/** Waits before a broken stream is opened again; the last one again and again. */
const AGAIN_AFTER_MS = [500, 2_000, 5_000];

export function registerTimeline(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'timeline',
    summary: 'What happens, as it happens: a rotation, or everything you may see',
    about:
      'With --follow it stays and shows each fact as it is recorded, until Ctrl-C. A connection that breaks is opened again and goes\non where it was: nothing is missed and nothing shown twice. For what is over see "keyturn replay".',
    examples: [
      'keyturn timeline production/session-jwt --follow',
      'keyturn timeline --family production/session-jwt',
      'keyturn timeline --follow',
      'keyturn timeline --follow --after 4711 --json',
    ],
    json: 'one JSON value a line',
  })
    .argument('[rotation]', ROTATION_ARGUMENT)
    .option('--family <family>', 'every fact of a family and of all its rotations')
    .option('--follow', 'stay, and show what comes')
    .option(
      '--after <treesize>',
      'only what came after so many events of the log',
      parsedBy(treeSizeArgument),
    )
    .option('--full', 'with the intents and other lines a short view leaves out, and the ids of the events')
    .action(async (text: string | undefined, options: TimelineOptions) => {
      const { family, follow = false, after, full = false } = options;
      if (family !== undefined && (text !== undefined || follow)) {
        throw new UsageError('--family shows what is recorded: without a rotation, without --follow');
      }
      if (family === undefined && text === undefined && !follow) {
        throw new UsageError('name a rotation, or add --follow to see what comes of all of them');
      }
      const session = new Session(around, options);
      const show = (line: FollowedLine): void => {
        showLine(session, line, full);
      };
      if (family !== undefined) {
        const { id } = await findFamily(session, family);
        const { items } = await session.client.all(`/families/${id}/timeline`, followedSchema);
        for (const line of items) if (line.treeSize > (after ?? 0)) show(line);
        return;
      }
      if (text === undefined) {
        await followStream(session, '/timeline/stream', { after }, show);
        return;
      }
      const { id } = await findRotation(session, text, { orLast: true });
      if (!follow) {
        await showSince(session, id, after ?? 0, show);
        return;
      }
      try {
        await followStream(session, `/rotations/${id}/timeline/stream`, { after }, show);
      } catch (error) {
        if (!(error instanceof ProblemError) || error.problem.code !== 'route.not-found') throw error;
        session.aside('This service has no stream yet: looked at again and again instead.');
        await followByLooking(session, id, after ?? 0, show);
      }
    });
}

/** Until it is interrupted, or the service says that there is nothing more for us. */
async function followStream(
  session: Session,
  path: string,
  query: Query,
  show: (line: FollowedLine) => void,
): Promise<never> {
  const { client, around } = session;
  let place: string | undefined;
  for (let tries = 0; ; tries += 1) {
    try {
      for await (const event of client.events(path, query, place)) {
        tries = 0;
        if (event.type === 'end') {
          const { code, detail } = client.eventData(event, streamEndSchema);
          if (code !== 'service.stopping') throw new RefusedError(code, detail);
          break;
        }
        if (event.data !== '') show(client.eventData(event, followedSchema));
        place = event.lastEventId ?? place;
      }
    } catch (error) {
      const passing =
        error instanceof UnavailableError || (error instanceof ProblemError && error.status >= 500);
      // What never answered is a wrong address, not a broken line.
      if (!passing || place === undefined) throw error;
    }
    if (tries === 0) session.aside('The connection ended; opened again where it was.');
    await around.sleep(AGAIN_AFTER_MS[Math.min(tries, AGAIN_AFTER_MS.length - 1)] ?? 0, around.interrupted);
  }
}

/** Answers how far was looked. */
async function showSince(
  { client }: Session,
  id: string,
  after: number,
  show: (line: FollowedLine) => void,
): Promise<number> {
  const { entries, treeSize } = await client.get(`/rotations/${id}/timeline`, timelineSchema);
  for (const entry of entries) if (entry.treeSize > after) show(entry);
  return treeSize;
}

async function followByLooking(
  session: Session,
  id: string,
  after: number,
  show: (line: FollowedLine) => void,
): Promise<never> {
  const { around } = session;
  for (let place = after; ;) {
    place = await showSince(session, id, place, show);
    await around.sleep(LOOK_EVERY_MS, around.interrupted);
  }
}

function showLine(session: Session, line: FollowedLine, full: boolean): void {
  session.jsonLine(line);
  if (session.json || (!full && line.minor === true)) return;
  const { family } = line;
  if (family !== undefined) session.line(session.paint(family.qualifiedName, 'cyan'));
  session.lines(entryLines(session, line, '', full));
}
