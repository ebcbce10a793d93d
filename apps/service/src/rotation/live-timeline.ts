import { allows, authenticate, type Principal, type Target } from '#access';
import { EventLogError, type LoggedEvent } from '#eventlog';
import { openSealed } from '#eventlog/kit';
import type { Keyturn } from '../composition.js';
import type { StreamedBatch, StreamedItem, StreamEnd, StreamSource } from '../http/event-stream.js';
import type { Directory } from './directory.js';
import { entriesOf, type EntryJson } from './timeline-entries.js';

/** Events of the log that are looked through at once. */
const BATCH = 200;

/** Whose stream it is; asked again and again, for a token may be revoked while it is open. */
export interface Reader {
  readonly authorization: string | undefined;
}

/** One rotation's timeline with its containment: what is on record after `after`, then what comes. */
export function rotationSource(
  keyturn: Keyturn,
  directory: Directory,
  rotationId: string,
  reader: Reader,
  after: number,
): StreamSource {
  return {
    after,
    next: async (cursor) => {
      // All rows reach at least so far, and nothing beyond it is sent: what is appended between two reads is not jumped over.
      const upTo = keyturn.readModel.treeSize();
      const { emergency } = directory.rotation(rotationId).state;
      const containments = emergency?.containment === undefined ? [] : [emergency.containment];
      const reach = Math.max(
        directory.reachOf('rotations', rotationId),
        ...containments.map((id) => directory.reachOf('containments', id)),
      );
      if (reach <= cursor) return { items: [], upTo, more: false };
      const entries = await entriesOf(keyturn, { rotation: rotationId, containments }, upTo);
      const items = entries
        .filter(({ treeSize }) => treeSize > cursor)
        .map((entry) => ({ id: entry.treeSize, data: entry }));
      return { items, upTo, more: false };
    },
    ended: () =>
      endOf(keyturn, reader, () => targetOf(directory, directory.rotation(rotationId).state.familyId)),
    failure: failureOf,
    onWake: (wake) => onWake(keyturn, wake),
  };
}

/** The timeline of every rotation and containment within the reader's scope, in the log's order. */
export function wholeSource(
  keyturn: Keyturn,
  directory: Directory,
  reader: Reader,
  after: number,
): StreamSource {
  return {
    after,
    next: (cursor) => nextOfAll(keyturn, directory, reader, cursor),
    ended: () => endOf(keyturn, reader),
    failure: failureOf,
    onWake: (wake) => onWake(keyturn, wake),
  };
}

async function nextOfAll(
  keyturn: Keyturn,
  directory: Directory,
  reader: Reader,
  cursor: number,
): Promise<StreamedBatch> {
  const { log, readModel } = keyturn;
  const folded = readModel.treeSize();
  const principal = principalOf(keyturn, reader);
  const found = new Map<string, Promise<readonly EntryJson[]>>();
  const items: StreamedItem[] = [];
  let upTo = cursor;
  for (const logged of await first(log.readAll({ after: cursor, limit: BATCH }), folded)) {
    upTo = logged.treeSize;
    const content = openSealed(logged);
    const about = aboutOf(directory, content.stream);
    if (about === undefined || principal === undefined) continue;
    const target = targetOf(directory, about.familyId);
    if (!allows(principal, 'rotation:read', target)) continue;
    const key = [about.rotation, ...about.containments].join();
    const entries = found.get(key) ?? entriesOf(keyturn, about, folded);
    found.set(key, entries);
    const entry = (await entries).find(({ eventId }) => eventId === content.id);
    if (entry === undefined) continue;
    const { familyId, rotation = null } = about;
    const family = { id: familyId, qualifiedName: target.qualifiedName };
    items.push({ id: logged.treeSize, data: { ...entry, rotation, family } });
  }
  return { items, upTo, more: upTo - cursor === BATCH };
}

async function first(events: AsyncIterable<LoggedEvent>, folded: number): Promise<readonly LoggedEvent[]> {
  const some: LoggedEvent[] = [];
  for await (const logged of events) {
    // What the read model has not folded yet has no family yet: it comes with the next look.
    if (logged.treeSize > folded) break;
    some.push(logged);
  }
  return some;
}

interface About {
  readonly familyId: string;
  readonly rotation: string | undefined;
  readonly containments: readonly string[];
}

/** What a stream's lines are made of; `undefined` for what no rotation's timeline shows. */
function aboutOf(directory: Directory, stream: string): About | undefined {
  const [, category = '', id = ''] = /^([a-z]+)-(.+)$/.exec(stream) ?? [];
  if (category === 'containment') {
    const state = directory.containmentState(id);
    if (state === undefined) return undefined;
    return state.rotation === undefined
      ? { familyId: state.familyId, rotation: undefined, containments: [id] }
      : aboutRotation(directory, state.rotation, id);
  }
  return category === 'rotation' ? aboutRotation(directory, id) : undefined;
}

function aboutRotation(directory: Directory, rotation: string, containment?: string): About | undefined {
  if (directory.reachOf('rotations', rotation) === 0) return undefined;
  const { familyId, emergency } = directory.rotation(rotation).state;
  const containments = new Set(
    [emergency?.containment, containment].filter((id): id is string => id !== undefined),
  );
  return { familyId, rotation, containments: [...containments] };
}

function targetOf(directory: Directory, familyId: string): Target & { readonly qualifiedName: string } {
  const { environment = '', name = '', team = '' } = directory.family(familyId).state.details ?? {};
  return { environment, team, qualifiedName: `${environment}/${name}` };
}

function principalOf({ tokens, clock }: Keyturn, { authorization }: Reader): Principal | undefined {
  const answer = authenticate(tokens, clock, authorization);
  return answer.kind === 'principal' ? answer.principal : undefined;
}

function endOf(keyturn: Keyturn, reader: Reader, target?: () => Target): StreamEnd | undefined {
  if (keyturn.closing.aborted) {
    return { code: 'service.stopping', detail: 'The service is stopping; come back with Last-Event-ID' };
  }
  const principal = principalOf(keyturn, reader);
  if (principal === undefined) {
    return { code: 'access.unauthenticated', detail: 'This token opens nothing any more' };
  }
  if (allows(principal, 'rotation:read', target?.())) return undefined;
  return { code: 'access.forbidden', detail: 'This token may not read this any more' };
}

/** What the log refuses to read is said; that it is repeated changes nothing. */
function failureOf(error: unknown): StreamEnd | undefined {
  return error instanceof EventLogError ? { code: error.code, detail: error.message } : undefined;
}

function onWake({ readModel, closing }: Keyturn, wake: () => void): () => void {
  const unlisten = readModel.onApplied(wake);
  closing.addEventListener('abort', wake);
  return () => {
    unlisten();
    closing.removeEventListener('abort', wake);
  };
}
