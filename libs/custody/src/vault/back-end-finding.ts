/** One thing that was looked at, in words for whoever mends it. */
export interface BackEndFinding {
  /** Stable: `back-end.prod-eu.login`. */
  readonly id: string;
  readonly state: 'fine' | 'warning' | 'problem';
  readonly text: string;
  readonly mend?: string;
}
