import { BackendError } from '#custody';
import { derivedId } from '#platform';
import { emergencyContainmentId, ENDED, type RotationState } from '#rotation';
import { AskContainment, AskContainmentHandler } from '#rotation/application';
import { ask, playScript, type Played, type Script, type Stage } from '../support/scripts.js';

/** More often than that a person does not look. */
const MOST_LOOKS = 12;

interface Helped extends Played {
  /** Why people were asked, in the order they were. */
  readonly asked: readonly string[];
}

/**
 * Plays a script to its end though it waits for people on the way: `mend` is what they do about it, then they have it tried again.
 * Where they have nothing to do, what it waits for is thrown.
 */
export async function playHelped(
  stage: Stage,
  script: Script,
  mend: (waitsFor: string) => Promise<boolean> = async () => false,
): Promise<Helped> {
  const asked: string[] = [];
  for (;;) {
    try {
      return { ...(await playScript(stage, script)), asked };
    } catch (error) {
      if (!(error instanceof Error) || asked.length >= MOST_LOOKS) throw error;
      // What somebody does in the server by hand meets the same trouble: they look what came of it, under the same key, and go on.
      if (error instanceof BackendError) {
        asked.push(error.message);
        continue;
      }
      const suspended = await suspendedOf(stage, script);
      const why = suspended?.suspended?.reason ?? error.message;
      asked.push(why);
      const mended = (await retryContainments(stage, script, asked.length)) || (await mend(why));
      if (suspended === undefined && !mended) throw error;
      if (suspended !== undefined)
        await ask(stage, suspended.rotationId, {
          type: 'RetryRotation',
          reason: `looked at it, ${asked.length}`,
        });
    }
  }
}

async function rotationsOf(
  { ledger, familyId, context }: Stage,
  script: Script,
): Promise<ReadonlySet<string>> {
  const first = derivedId(ledger.logId, context(script.name).commandId);
  const { state: family } = await ledger.family(familyId);
  return new Set([family.slot?.rotation ?? first, first]);
}

/** Whether one of an emergency's containments waited for somebody: it is to be tried again now. */
async function retryContainments(stage: Stage, script: Script, times: number): Promise<boolean> {
  const { ledger } = stage;
  let retried = false;
  for (const rotation of await rotationsOf(stage, script)) {
    const id = emergencyContainmentId(ledger.logId, rotation);
    if ((await ledger.containment(id)).state.status !== 'suspended') continue;
    await new AskContainmentHandler(ledger).execute(
      new AskContainment(stage.context(`${id} looked at ${times}`), id, { type: 'retry' }),
    );
    retried = true;
  }
  return retried;
}

async function suspendedOf(stage: Stage, script: Script): Promise<RotationState | undefined> {
  const { ledger } = stage;
  for (const id of await rotationsOf(stage, script)) {
    const { state } = await ledger.rotation(id);
    if (state.suspended !== undefined && !ENDED.includes(state.phase)) return state;
  }
  return undefined;
}
