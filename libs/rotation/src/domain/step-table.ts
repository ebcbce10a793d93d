import type { StepName } from './step.events.js';

/**
 * Every step the saga performs. The crash matrix is made from this table (test/crash): a new row without a case
 * fails the run.
 */
export interface StepRow {
  /** What is called at the back end; `probe` changes nothing. */
  readonly effect:
    | 'generate'
    | 'publish'
    | 'switch-emission'
    | 'withdraw'
    | 're-accept'
    | 'cut-over'
    | 'contain'
    | 'lift'
    | 'destroy'
    | 'probe';
  readonly outcome: string;
  /** Holds and pauses stop forward steps only; a way back, a containment and an emergency go on. */
  readonly direction: 'forward' | 'back' | 'aside';
  /** Waits for the clocks to agree (contracts, Clocks): before emit, revoke, destroy, and a rollback's own withdrawal. */
  readonly clockBound: boolean;
  /** Begins only inside the family's change window. */
  readonly inChangeWindow: boolean;
}

const forward = { direction: 'forward', clockBound: false, inChangeWindow: false } as const;
const switching = { direction: 'forward', clockBound: true, inChangeWindow: true } as const;
const back = { direction: 'back', clockBound: false, inChangeWindow: false } as const;

export const stepTable: Readonly<Record<StepName, StepRow>> = {
  generate: { effect: 'generate', outcome: 'KeyGenerated', ...forward },
  accept: { effect: 'publish', outcome: 'DualAcceptDeployed', ...forward },
  emit: { effect: 'switch-emission', outcome: 'EmitterSwitched', ...switching },
  revoke: { effect: 'withdraw', outcome: 'OldKeyRevoked', ...switching },
  cutover: { effect: 'cut-over', outcome: 'CutOver', ...switching },
  verify: { effect: 'probe', outcome: 'OldKeyRejectionVerified', ...forward },
  reaccept: { effect: 're-accept', outcome: 'KeyReaccepted', ...back },
  return: { effect: 'switch-emission', outcome: 'EmissionReturned', ...back },
  withdraw: { effect: 'withdraw', outcome: 'NewKeyWithdrawn', ...back, clockBound: true },
  cutback: { effect: 'cut-over', outcome: 'CutBack', ...back },
  contain: {
    effect: 'contain',
    outcome: 'ContainmentApplied',
    direction: 'aside',
    clockBound: false,
    inChangeWindow: false,
  },
  lift: { effect: 'lift', outcome: 'ContainmentLifted', ...forward },
  destroy: { effect: 'destroy', outcome: 'OldKeyDestroyed', ...forward, clockBound: true },
};

/** The four places around each step where a worker may die. */
export const STEP_BOUNDARIES = ['before-intent', 'before-effect', 'after-effect', 'after-outcome'] as const;
export type StepBoundary = (typeof STEP_BOUNDARIES)[number];

/** Places between two appends to different streams, each completed by the sweep or by the next decision. */
export const SEAMS = [
  'seam:family-claimed',
  'seam:object-claimed',
  'seam:consumer-claimed',
  'seam:policy-claimed',
  'seam:slot-opened',
  'seam:rotation-ended',
  'seam:switch-claimed',
  'seam:switch-released',
  'seam:containment-opened',
  'seam:suspicion-recorded',
  'seam:person-left',
  'seam:process-slot-taken',
  'seam:process-ended',
  'seam:superseded-settled',
  'seam:import-started',
  'seam:import-line',
  'seam:import-before-completed',
] as const;
export type Seam = (typeof SEAMS)[number];
