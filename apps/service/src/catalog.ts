import { accessEvents, accessProjection } from '#access';
import type { EventDefinitions } from '#eventlog';
import type { Projection } from '#eventlog/kit';
import { deliveriesProjection, deliveryEvents } from '#notify';
import {
  claimEvents,
  claimsProjection,
  containmentsProjection,
  familiesProjection,
  policiesProjection,
  rotationsProjection,
  wakeupsProjection,
  containmentEvents,
  destructionEvents,
  destructionsProjection,
  familyEvents,
  peopleProjection,
  personEvents,
  holdEvents,
  importEvents,
  inventoryEvents,
  policyEvents,
  rotationEvents,
  stepEvents,
  telemetryEvents,
} from '#rotation';
import { obligationEvents, obligationsProjection } from '#schedule';
import { commandIndexProjection } from './command-index.projection.js';

/** Everything this Keyturn can read and fold. An event type or projection that is not here does not exist for it. */

export const DEFINITIONS: readonly EventDefinitions[] = [
  accessEvents,
  claimEvents,
  containmentEvents,
  deliveryEvents,
  destructionEvents,
  familyEvents,
  holdEvents,
  importEvents,
  inventoryEvents,
  obligationEvents,
  personEvents,
  policyEvents,
  rotationEvents,
  stepEvents,
  telemetryEvents,
];

export const PROJECTIONS: readonly Projection[] = [
  accessProjection,
  commandIndexProjection,
  familiesProjection,
  rotationsProjection,
  containmentsProjection,
  destructionsProjection,
  policiesProjection,
  claimsProjection,
  peopleProjection,
  wakeupsProjection,
  deliveriesProjection,
  obligationsProjection,
];
