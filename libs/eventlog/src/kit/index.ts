export {
  type Cause,
  type EventStore,
  type History,
  type KitOptions,
  type StreamPosition,
} from './event-store.js';
export { type Projection, type ReadModel, type RebuildProgress } from './read-model.js';
