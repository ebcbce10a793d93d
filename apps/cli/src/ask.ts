import { z } from 'zod';
import { findRotation, rotationAfter, type FindRotation } from './find.js';
import { rotationPage } from './rotation-text.js';
import { Session, type CommonOptions } from './session.js';
import type { Surroundings } from './surroundings.js';

export interface Ask extends FindRotation {
  /** The last part of the path. */
  readonly action: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** What is said once it is recorded. */
  readonly done: string;
}

/** One request to one rotation, and what became of it. */
export async function askRotation(
  around: Surroundings,
  options: CommonOptions,
  text: string,
  { action, body, done, ...find }: Ask,
): Promise<void> {
  const session = new Session(around, options);
  const { id } = await findRotation(session, text, find);
  const answer = await session.client.post(`/rotations/${id}/${action}`, z.unknown(), { body });
  const rotation = await rotationAfter(session, answer, id);
  session.answer(rotation, () => {
    session.line(session.paint(done, 'green'));
    session.lines(rotationPage(session, rotation));
  });
}
