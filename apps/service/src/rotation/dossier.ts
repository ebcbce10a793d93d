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

/** Subject id → name, as they are known now. */
export function namesOf(keyturn: Keyturn): Readonly<Record<string, string>> {
  return {
    system: 'Keyturn',
    ...Object.fromEntries(keyturn.tokens.subjects().map(({ subject, name }) => [subject, name])),
  };
}

/** Everything a record page is made of, read from the streams as of the newest event among them. */
export async function dossierOf(
  keyturn: Keyturn,
  directory: Directory,
  state: RotationState,
): Promise<RotationDossier> {
  const { store } = keyturn;
  // The category of a stream decides its event types.
  const familyEvents = (await store.read(familyStream(state.familyId))).events as readonly FamilyEvent[];
  const rotationEvents = (await store.read(rotationStream(state.rotationId)))
    .events as readonly RotationEvent[];
  const containments = directory
    .containmentsOf(state.familyId)
    .filter((each) => each.rotation === state.rotationId);
  const containmentEvents = (
    await Promise.all(
      containments.map(
        async (each) =>
          (await store.read(containmentStream(each.containmentId))).events as readonly ContainmentEvent[],
      ),
    )
  ).flat();
  const last = [...familyEvents, ...rotationEvents, ...containmentEvents].reduce((newest, event) =>
    event.treeSize > newest.treeSize ? event : newest,
  );
  return {
    logId: store.logId,
    treeSize: last.treeSize,
    asOf: last.recordedAt,
    familyId: state.familyId,
    rotationId: state.rotationId,
    familyEvents,
    rotationEvents,
    containmentEvents,
    names: namesOf(keyturn),
  };
}
