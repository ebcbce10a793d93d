import type { Provider } from '@nestjs/common';
import { CommandHandler, QueryHandler } from '@nestjs/cqrs';
import { BackEnds, FAMILIES_OF_CUSTODIAN, Ledger, PolicyDirectory } from '#rotation';
import {
  AskContainment,
  AskContainmentHandler,
  AskDestruction,
  AskDestructionHandler,
  CorrectFact,
  CorrectFactHandler,
  RecordDeparture,
  RecordDepartureHandler,
  RequestDestruction,
  RequestDestructionHandler,
  AskDeviation,
  AskDeviationHandler,
  AskRotation,
  AskRotationHandler,
  ChangePolicy,
  ChangePolicyHandler,
  ConfirmHold,
  ConfirmHoldHandler,
  ContainVersions,
  ContainVersionsHandler,
  DeclareFreeze,
  DeclareFreezeHandler,
  DefinePolicy,
  DefinePolicyHandler,
  ImportHistory,
  ImportHistoryHandler,
  LiftFreeze,
  LiftFreezeHandler,
  PreviewRotation,
  PreviewRotationHandler,
  RegisterConsumer,
  RegisterConsumerHandler,
  RegisterFamily,
  RegisterFamilyHandler,
  RegisterUnregistered,
  RegisterUnregisteredHandler,
  RequestRotation,
  RequestRotationHandler,
  ReviseFamily,
  ReviseFamilyHandler,
  SampleTelemetry,
  SampleTelemetryHandler,
  SetSchedule,
  SetScheduleHandler,
} from '#rotation/application';
import type { Keyturn } from '../composition.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory } from './directory.js';
import { Timetable } from './schedule-rows.js';

/**
 * Puts the use cases of libs/rotation on the buses. The library itself is free of Nest, so that its runner and its use
 * cases start fast and run bare in crash tests; here each handler is registered for its command.
 */
CommandHandler(RegisterFamily)(RegisterFamilyHandler);
CommandHandler(RegisterUnregistered)(RegisterUnregisteredHandler);
CommandHandler(ReviseFamily)(ReviseFamilyHandler);
CommandHandler(RegisterConsumer)(RegisterConsumerHandler);
CommandHandler(DefinePolicy)(DefinePolicyHandler);
CommandHandler(ChangePolicy)(ChangePolicyHandler);
CommandHandler(RequestRotation)(RequestRotationHandler);
CommandHandler(AskRotation)(AskRotationHandler);
CommandHandler(ContainVersions)(ContainVersionsHandler);
CommandHandler(DeclareFreeze)(DeclareFreezeHandler);
CommandHandler(LiftFreeze)(LiftFreezeHandler);
CommandHandler(ConfirmHold)(ConfirmHoldHandler);
CommandHandler(AskContainment)(AskContainmentHandler);
CommandHandler(CorrectFact)(CorrectFactHandler);
CommandHandler(RecordDeparture)(RecordDepartureHandler);
CommandHandler(RequestDestruction)(RequestDestructionHandler);
CommandHandler(AskDestruction)(AskDestructionHandler);
CommandHandler(AskDeviation)(AskDeviationHandler);
CommandHandler(SetSchedule)(SetScheduleHandler);
CommandHandler(SampleTelemetry)(SampleTelemetryHandler);
CommandHandler(ImportHistory)(ImportHistoryHandler);
QueryHandler(PreviewRotation)(PreviewRotationHandler);

export const ROTATION_PROVIDERS: readonly Provider[] = [
  {
    provide: Directory,
    useFactory: (keyturn: Keyturn) => new Directory(keyturn.readModel, keyturn.backEnds),
    inject: [KEYTURN],
  },
  {
    provide: Timetable,
    useFactory: (keyturn: Keyturn) => new Timetable(keyturn.readModel),
    inject: [KEYTURN],
  },
  { provide: Ledger, useFactory: (keyturn: Keyturn) => keyturn.ledger, inject: [KEYTURN] },
  { provide: BackEnds, useFactory: (keyturn: Keyturn) => keyturn.backEnds, inject: [KEYTURN] },
  {
    provide: PolicyDirectory,
    useFactory: (keyturn: Keyturn, directory: Directory): PolicyDirectory => ({
      policyIds: async () => {
        // A policy approved a moment ago binds what is asked now.
        await keyturn.readModel.caughtUp();
        return directory.policyStates().map((policy) => policy.policyId);
      },
    }),
    inject: [KEYTURN, Directory],
  },
  {
    provide: RegisterUnregisteredHandler,
    useFactory: (ledger: Ledger, backEnds: BackEnds) => new RegisterUnregisteredHandler(ledger, backEnds),
    inject: [Ledger, BackEnds],
  },
  {
    provide: RegisterFamilyHandler,
    useFactory: (ledger: Ledger, backEnds: BackEnds) => new RegisterFamilyHandler(ledger, backEnds),
    inject: [Ledger, BackEnds],
  },
  {
    provide: ImportHistoryHandler,
    useFactory: (ledger: Ledger, backEnds: BackEnds) => new ImportHistoryHandler(ledger, backEnds),
    inject: [Ledger, BackEnds],
  },
  ...[
    ReviseFamilyHandler,
    RegisterConsumerHandler,
    DefinePolicyHandler,
    ChangePolicyHandler,
    ContainVersionsHandler,
    AskContainmentHandler,
    CorrectFactHandler,
    RequestDestructionHandler,
    DeclareFreezeHandler,
    LiftFreezeHandler,
    ConfirmHoldHandler,
    SampleTelemetryHandler,
  ].map((Handler) => ({
    provide: Handler,
    useFactory: (ledger: Ledger) => new Handler(ledger),
    inject: [Ledger],
  })),
  {
    provide: AskDestructionHandler,
    useFactory: (ledger: Ledger, backEnds: BackEnds) => new AskDestructionHandler(ledger, backEnds),
    inject: [Ledger, BackEnds],
  },
  {
    provide: AskRotationHandler,
    useFactory: (ledger: Ledger, backEnds: BackEnds) => new AskRotationHandler(ledger, backEnds),
    inject: [Ledger, BackEnds],
  },
  {
    provide: RecordDepartureHandler,
    useFactory: (ledger: Ledger, keyturn: Keyturn) =>
      new RecordDepartureHandler(ledger, {
        familiesOf: async (subject) => {
          // Whoever was assigned a moment ago leaves too.
          await keyturn.readModel.caughtUp();
          return keyturn.readModel.db
            .prepare(FAMILIES_OF_CUSTODIAN)
            .all(subject)
            .map((row) => String(row['family_id']));
        },
      }),
    inject: [Ledger, KEYTURN],
  },
  {
    provide: RequestRotationHandler,
    useFactory: (ledger: Ledger, backEnds: BackEnds, policies: PolicyDirectory) =>
      new RequestRotationHandler(ledger, backEnds, policies),
    inject: [Ledger, BackEnds, PolicyDirectory],
  },
  {
    provide: AskDeviationHandler,
    useFactory: (ledger: Ledger, policies: PolicyDirectory) => new AskDeviationHandler(ledger, policies),
    inject: [Ledger, PolicyDirectory],
  },
  {
    provide: SetScheduleHandler,
    useFactory: (ledger: Ledger, policies: PolicyDirectory) => new SetScheduleHandler(ledger, policies),
    inject: [Ledger, PolicyDirectory],
  },
  {
    provide: PreviewRotationHandler,
    useFactory: (ledger: Ledger, backEnds: BackEnds, policies: PolicyDirectory) =>
      new PreviewRotationHandler(ledger, backEnds, policies),
    inject: [Ledger, BackEnds, PolicyDirectory],
  },
];
