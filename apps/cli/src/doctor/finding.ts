/** One line of `keyturn doctor`. */
export interface Finding {
  /** Stable: scripts branch on it. */
  readonly id: string;
  /** `problem`: it does not work, or is not safe. `warning`: it works, and somebody should look. */
  readonly state: 'fine' | 'warning' | 'problem' | 'not-looked-at';
  readonly text: string;
  /** What to do, where something is to be done. */
  readonly mend?: string;
}

export const fine = (id: string, text: string): Finding => ({ id, state: 'fine', text });
export const warning = (id: string, text: string, mend: string): Finding => ({
  id,
  state: 'warning',
  text,
  mend,
});
export const problem = (id: string, text: string, mend: string): Finding => ({
  id,
  state: 'problem',
  text,
  mend,
});
export const notLookedAt = (id: string, text: string): Finding => ({ id, state: 'not-looked-at', text });
