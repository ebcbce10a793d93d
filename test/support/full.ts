/** Set by `npm run test:full` (jest.full.config.js): the whole product; otherwise a seeded slice of it. */
declare global {
  // oxlint-disable-next-line no-var -- a global needs it
  var KEYTURN_FULL: boolean | undefined;
}

export const FULL = globalThis.KEYTURN_FULL === true;

/** Which slice: printed with every proof that takes one. */
export const SLICE_SEED = 20_261_121;
