// Every proof as a whole product, beside everything the check runs (`npm run test:full`).
import base, { withLong } from './jest.config.js';

export default {
  ...base,
  projects: withLong(base.projects).map((project) => ({ ...project, globals: { KEYTURN_DEPTH: 'full' } })),
};
