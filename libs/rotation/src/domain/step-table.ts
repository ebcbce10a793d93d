import type { StepName } from './step.events.js';

/**
 * Every step the saga performs. The crash matrix is made from this table (test/crash): a new row without a case
 * fails the run.
 */
export interface StepRow {
  /** What is called at the back end; `probe` changes nothing. */
  readonly effect: 'generate' | 'publish' | 'switch-emission' | 'withdraw' | 'contain' | 'probe';
  readonly outcome: string;
  /** Holds and pauses stop forward steps only; a way back, a containment and an emergency go on. */
  readonly direction: 'forward' | 'back' | 'aside';
  /** Waits for the clocks to agree (contracts, Clocks): before emit, revoke, and a rollback's own withdrawal. */
  readonly clockBound: boolean;
}

export const stepTable: Readonly<Record<StepName, StepRow>> = {
  generate: { effect: 'generate', outcome: 'KeyGenerated', direction: 'forward', clockBound: false },
  accept: { effect: 'publish', outcome: 'DualAcceptDeployed', direction: 'forward', clockBound: false },
  emit: { effect: 'switch-emission', outcome: 'EmitterSwitched', direction: 'forward', clockBound: true },
  revoke: { effect: 'withdraw', outcome: 'OldKeyRevoked', direction: 'forward', clockBound: true },
  verify: { effect: 'probe', outcome: 'OldKeyRejectionVerified', direction: 'forward', clockBound: false },
  return: { effect: 'switch-emission', outcome: 'EmissionReturned', direction: 'back', clockBound: false },
  withdraw: { effect: 'withdraw', outcome: 'NewKeyWithdrawn', direction: 'back', clockBound: true },
  contain: { effect: 'contain', outcome: 'ContainmentApplied', direction: 'aside', clockBound: false },
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
  'seam:superseded-settled',
  'seam:import-started',
  'seam:import-line',
  'seam:import-before-completed',
] as const;
export type Seam = (typeof SEAMS)[number];
