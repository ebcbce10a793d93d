import { DomainError } from '#eventlog';
import type { BackendDeclaration, Effect, KeyBackend } from '#custody';
import { STEPS, type StepName } from '../domain/step.events.js';
import type { RotationPlan } from '../domain/rotation.events.js';
import type { StepDeclaration } from '../domain/saga/view.js';
import { stepTable } from '../domain/step-table.js';

/** The back ends of this installation, by instance name (`local`, `vault.prod-eu`). */
export class BackEnds {
  readonly #byInstance: ReadonlyMap<string, KeyBackend>;

  constructor(backEnds: readonly KeyBackend[]) {
    this.#byInstance = new Map(backEnds.map((backEnd) => [backEnd.declaration.instance, backEnd]));
  }

  all(): readonly KeyBackend[] {
    return [...this.#byInstance.values()];
  }

  find(instance: string): KeyBackend | undefined {
    return this.#byInstance.get(instance);
  }

  get(instance: string): KeyBackend {
    const found = this.find(instance);
    if (found === undefined) {
      throw new DomainError(
        'back-end.not-known',
        `there is no back end "${instance}" here; known are: ${[...this.#byInstance.keys()].join(', ')}`,
        { field: 'backEnd.instance' },
      );
    }
    return found;
  }
}

/** What whoever approves a plan must know of its back end: most change what consumers read without ever reading it. */
export function readsValuesText(backEnds: BackEnds, plan: Pick<RotationPlan, 'backEnd'>): readonly string[] {
  const { instance, object } = plan.backEnd;
  return backEnds.find(instance)?.declaration.capabilities.readsValues === true
    ? [
        `Keyturn reads what ${object} holds, values or passwords, into its memory: ${instance} has no other way to move or to try it`,
      ]
    : [];
}

function declared(declaration: BackendDeclaration, effect: Effect | 'probe'): number {
  // A probe changes nothing: nothing of it can take effect late.
  return effect === 'probe' ? 0 : declaration.effects[effect].longestRequestMs;
}

/** What the saga needs to know of a back end's effects, step by step. */
export function stepDeclarations(
  declaration: BackendDeclaration,
): Readonly<Record<StepName, StepDeclaration>> {
  const entries = STEPS.map((step) => [
    step,
    {
      longestRequestMs: declared(declaration, stepTable[step].effect),
      outlivesProcess: declaration.requestsOutliveProcess,
    },
  ]);
  return Object.fromEntries(entries) as Readonly<Record<StepName, StepDeclaration>>;
}
