import { rotationSchema, type Rotation } from './api.js';
import { EndedOtherwise } from './failures.js';
import { rotationPage, stateOf } from './rotation-text.js';
import type { Session } from './session.js';
import { day, waitsForText } from './words.js';

/** How often a waiting command looks. */
export const LOOK_EVERY_MS = 2_000;

/** Follows a rotation to its end, or to where it needs a person that no plan foresaw. */
async function follow(session: Session, first: Rotation): Promise<Rotation> {
  const { client, around } = session;
  let rotation = first;
  let said = '';
  for (;;) {
    const state = `${stateOf(rotation)}${rotation.waitsFor === null ? '' : `: ${waitsForText(rotation.waitsFor)}`}`;
    if (state !== said) {
      said = state;
      session.aside(`${day(new Date(session.now()).toISOString())}  ${state}`);
      for (const command of rotation.next) session.aside(`    next  ${command}`);
    }
    if (rotation.ended || rotation.suspended !== null) return rotation;
    await around.sleep(LOOK_EVERY_MS, around.interrupted);
    rotation = await client.get(`/rotations/${rotation.id}`, rotationSchema);
  }
}

/** Prints a rotation, waits for it where asked, and says by the exit code whether it ended as asked. */
export async function showAndFollow(session: Session, rotation: Rotation, wait: boolean): Promise<void> {
  const shown = wait ? await follow(session, rotation) : rotation;
  session.answer(shown, () => {
    session.lines(rotationPage(session, shown));
  });
  if (!wait) return;
  if (shown.suspended !== null) {
    throw new EndedOtherwise(`Suspended, waits for ${shown.suspended.person}: ${shown.suspended.reason}`);
  }
  if (shown.phase !== 'completed') throw new EndedOtherwise(`It ended ${stateOf(shown)}, not completed`);
}
