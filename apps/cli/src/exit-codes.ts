/** What the shell is told. Part of the command line's contract: scripts branch on these. */
export const EXIT = {
  ok: 0,
  /** A rule refused it, or it does not exist: repeating it changes nothing. */
  refused: 1,
  usage: 2,
  /** Not reachable, too slow, or failing: repeating it may help. */
  unavailable: 3,
  /** It ran, and ended other than asked. */
  endedOtherwise: 4,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_TEXT = `Exit codes:
  0    done
  1    refused by a rule, or not found
  2    wrong usage
  3    the service cannot be reached, is too slow or fails
  4    it ended other than asked (rolled back, suspended, declined, ...)
  130  interrupted`;
