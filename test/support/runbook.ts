/** A runbook page with every field filled: what a driven family is rotated by. */
export const COMPLETE_RUNBOOK = {
  scope: 'signs what the tests verify',
  storage: 'the local back end; verifiers read its document',
  blastRadius: 'the tests’ consumers',
  rolloutOrder: 'accept, emit, revoke',
  verification: 'an old artefact is refused',
  rollbackPlan: 'keyturn rollback; the platform lead decides',
  cadence: 'every 90 days',
  nextReview: '2030-01-01',
} as const;
