export { DEFINITIONS, PROJECTIONS } from './catalog.js';
export { openKeyturn, READ_MODEL_PATIENCE_MS, type Keyturn, type Overrides } from './composition.js';
export { assembleApp, createApp, LIMITS, type CreatedApp } from './create-app.js';
export type { Problem } from './http/problems.js';
export type { Route } from './http/route-table.js';
export { GRACE_MS, ListenError, serve, stopOnSignal, type ServeOptions, type Serving } from './serve.js';
export { placesOf, type Places } from './places.js';
