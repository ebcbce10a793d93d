import type { RecordedEvent } from '#eventlog';
import type { RotationDossier } from '#evidence';
import {
  containmentStream,
  familyStream,
  rotationStream,
  type ContainmentEvent,
  type FamilyEvent,
  type RotationEvent,
  type RotationState,
} from '#rotation';
import type { Keyturn } from '../composition.js';
import type { Directory } from './directory.js';
import { knownAt, knownSize, recordedAtSize } from './known-at.js';

/** Subject id → name, as it is known now, of everybody these events name. */
export function namesOf(
  keyturn: Keyturn,
  events: readonly RecordedEvent[],
): Readonly<Record<string, string>> {
  const ids = new Set(JSON.stringify(events).match(SUBJECT) ?? []);
  const named = [...ids].flatMap((id) => keyturn.tokens.subject(id) ?? []);
  return {
    system: 'Keyturn',
    ...Object.fromEntries(named.map(({ subject, name }): [string, string] => [subject, name])),
  };
}

/** Whatever may be a subject's id: who acted stands in the envelope, who is spoken of anywhere in the data. */
const SUBJECT = /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g;

/**
 * Everything a record page is made of, read from the streams: as of the newest event among them, or as of the tree size
 * that was asked for.
 */
export async function dossierOf(
  keyturn: Keyturn,
  directory: Directory,
  state: RotationState,
  known?: number,
): Promise<RotationDossier> {
  const { store } = keyturn;
  const rotation = await store.read(rotationStream(state.rotationId));
  const size = await knownSize(keyturn, rotation, known);
  // The category of a stream decides its event types.
  const rotationEvents = knownAt(rotation.events as readonly RotationEvent[], size);
  const familyEvents = knownAt(
    (await store.read(familyStream(state.familyId))).events as readonly FamilyEvent[],
    size,
  );
  const containments = directory
    .containmentsOf(state.familyId)
    .filter((each) => each.rotation === state.rotationId);
  const containmentEvents = (
    await Promise.all(
      containments.map(async (each) =>
        knownAt(
          (await store.read(containmentStream(each.containmentId))).events as readonly ContainmentEvent[],
          size,
        ),
      ),
    )
  ).flat();
  const last = [...familyEvents, ...rotationEvents, ...containmentEvents].reduce((newest, event) =>
    event.treeSize > newest.treeSize ? event : newest,
  );
  return {
    logId: store.logId,
    treeSize: known ?? last.treeSize,
    asOf:
      known === undefined ? last.recordedAt : Math.max(last.recordedAt, await recordedAtSize(keyturn, known)),
    familyId: state.familyId,
    rotationId: state.rotationId,
    familyEvents,
    rotationEvents,
    containmentEvents,
    names: namesOf(keyturn, [...familyEvents, ...rotationEvents, ...containmentEvents]),
  };
}
