export { eventLogContract, type ContractLog } from './event-log.contract.js';
export {
  deciderSpec,
  deepFreeze,
  frozenFold,
  type DeciderSpec,
  type Given,
  type When,
} from './given-when-then.js';
export { hashOf } from './hash-of.js';
export { collect, comparable, probeEvents, probeStream } from './probe-events.js';
export {
  history,
  isRecorded,
  recorded,
  RECORDED_FROM,
  SOME_STREAM,
  type EnvelopeOverrides,
  type HistoryOf,
  type RecordedOf,
} from './recorded.js';
export { treeRoot } from './tree-root.js';
