export {
  APPROVER,
  DAY,
  FAMILY_ID,
  HOUR,
  MINUTE,
  REQUESTER,
  SECOND,
  someConsumer,
  someConsumers,
  someDetails,
  someRunbook,
  someRequest,
  someTerms,
  someUuid,
  someVersion,
  START,
} from './fixtures.js';
export {
  interfere,
  REQUEST_KINDS,
  WAYS,
  type Interference,
  type Interfered,
  type RequestKind,
  type Way,
} from './interference.js';
export { brokenAtTheEnd, watchLaws, windowsByDesign } from './laws.js';
export { BackEndFault, SimulatedBackEnd, type BackEndChange, type EffectCall } from './simulated-back-end.js';
export {
  BETWEEN,
  BUSY,
  containmentOf,
  INJECTIONS,
  LONGEST_REQUEST_MS,
  SimulatedWorld,
  type Injection,
  type Moment,
  type WorldObserver,
  type WorldOptions,
} from './simulation.js';
export {
  accepting,
  approve,
  draining,
  emitting,
  FATES,
  IN_FLIGHT,
  inFlight,
  phases,
  until,
  type Setup,
} from './phases.js';
export {
  act,
  allHistories,
  comeToRest,
  help,
  newest,
  plannedHistories,
  played,
  type Action,
  type History,
} from './histories.js';
