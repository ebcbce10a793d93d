export { asStored } from './as-stored.js';
export { canonicalBytes, canonicalText, InvalidValueError, MAX_VALUE_DEPTH } from './canonical.js';
export { dataHashOf, leafOf, openSealed, RECORD_VERSION, sealEvent, type EventContent } from './envelope.js';
export {
  InvalidEventError,
  LOG_STREAM,
  logEvents,
  openEventStore,
  UnknownEventError,
  type Cause,
  type EventStore,
  type History,
  type KitOptions,
  type StreamPosition,
} from './event-store.js';
export { IntegrityFindings } from './integrity-findings.js';
export {
  openReadModel,
  ReadModelBehindError,
  rebuildReadModel,
  type Projection,
  type ReadModel,
  type ReadModelOptions,
  type RebuildOptions,
  type RebuildProgress,
} from './read-model.js';
export { scrubOnce, startScrub, type Scrub, type ScrubOptions } from './scrub.js';
