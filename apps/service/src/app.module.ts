import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import type { Keyturn } from './composition.js';
import { BackEndsController } from './back-ends.controller.js';
import { HealthController } from './health.controller.js';
import { AccessGuard } from './http/access.guard.js';
import { QueryGuard } from './http/query.guard.js';
import { CommandInterceptor } from './http/command.interceptor.js';
import { ApiDocsController, ApiDocument } from './http/openapi.js';
import { ProblemDetailsFilter } from './http/problem-details.filter.js';
import { KEYTURN, OPENAPI_DOCUMENT } from './injection-tokens.js';
import { JwksController } from './jwks.controller.js';
import { LogController } from './log.controller.js';
import { MetricsController } from './metrics.controller.js';
import { HookController } from './notify/hook.controller.js';
import { EmergenciesController } from './rotation/emergencies.controller.js';
import { FamiliesController } from './rotation/families.controller.js';
import { FamilyFactsController } from './rotation/family-facts.controller.js';
import { FreezesController } from './rotation/freezes.controller.js';
import { HoldsController } from './rotation/holds.controller.js';
import { OperationsController } from './rotation/operations.controller.js';
import { PoliciesController } from './rotation/policies.controller.js';
import { ProcessesController } from './rotation/processes.controller.js';
import { ROTATION_PROVIDERS } from './rotation/rotation.handlers.js';
import { RotationsController } from './rotation/rotations.controller.js';
import { TimelineStreamController } from './rotation/timeline-stream.controller.js';
import { RootController } from './root.controller.js';
import { TOKEN_HANDLERS } from './token.handlers.js';
import { TokensController } from './tokens.controller.js';

/** What HTTP offers. A new part adds its controllers and handlers to these two lists. */
const CONTROLLERS = [
  RootController,
  HealthController,
  JwksController,
  BackEndsController,
  TokensController,
  LogController,
  MetricsController,
  ApiDocsController,
  EmergenciesController,
  FamiliesController,
  RotationsController,
  TimelineStreamController,
  PoliciesController,
  OperationsController,
  HookController,
  FreezesController,
  HoldsController,
  ProcessesController,
  FamilyFactsController,
];
const HANDLERS = [...TOKEN_HANDLERS, ...ROTATION_PROVIDERS];

@Module({})
export class AppModule {
  static for(keyturn: Keyturn): DynamicModule {
    return {
      module: AppModule,
      imports: [CqrsModule.forRoot()],
      controllers: CONTROLLERS,
      providers: [
        { provide: KEYTURN, useValue: keyturn },
        { provide: OPENAPI_DOCUMENT, useClass: ApiDocument },
        // In this order: who may not ask learns nothing of what is asked.
        { provide: APP_GUARD, useClass: AccessGuard },
        { provide: APP_GUARD, useClass: QueryGuard },
        { provide: APP_INTERCEPTOR, useClass: CommandInterceptor },
        { provide: APP_FILTER, useClass: ProblemDetailsFilter },
        ...HANDLERS,
      ],
    };
  }
}
