import { Controller, HttpCode, Inject, Post, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { instantSchema } from '#eventlog';
import {
  environmentSchema,
  familyDetailsSchema,
  lineSchema,
  nameSchema,
  textSchema,
  triggerSchema,
  type Placed,
  type RotationViewJson,
} from '#rotation';
import { RegisterUnregistered, RequestRotation } from '#rotation/application';
import { ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { RequestCommand, type HttpReply } from '../http/request-context.js';
import { ZodBody } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory } from './directory.js';
import { settlePlaced } from './placing.js';

const emergencyBody = z.strictObject({
  /** Where the secret lies: a back end's object, a file, a console. Never the value. */
  path: lineSchema.max(200),
  environment: environmentSchema,
  /** Left out: made from the path. */
  name: nameSchema.optional(),
  team: nameSchema.default('unknown'),
  kind: familyDetailsSchema.shape.kind.default('shared-secret'),
  protects: familyDetailsSchema.shape.protects.default('other'),
  usage: familyDetailsSchema.shape.usage.default('authenticate'),
  owner: familyDetailsSchema.shape.owner.default({ role: 'incident responder' }),
  reason: textSchema,
  trigger: triggerSchema.default('compromise'),
  discoveredAt: instantSchema.optional(),
  exposedFrom: instantSchema.optional(),
  incident: lineSchema.optional(),
});

@ApiTags('rotations')
@Controller('api/v1/emergencies')
export class EmergenciesController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
  ) {}

  /** An emergency on a secret nobody registered: it is written down, and its steps are people's to attest. */
  @Post()
  @HttpCode(201)
  @RequiresPermission('emergency:declare')
  async declare(
    @ZodBody(emergencyBody) body: z.output<typeof emergencyBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<RotationViewJson> {
    const { reason, trigger, discoveredAt, exposedFrom, incident, ...family } = body;
    requireAllowed(command.principal, 'emergency:declare', family);
    const registered = await this.commands.execute<RegisterUnregistered, Placed>(
      new RegisterUnregistered(command, family),
    );
    const placed = await this.commands.execute<RequestRotation, Placed>(
      new RequestRotation(command, registered.id, {
        strategy: 'emergency',
        trigger,
        reason,
        // What lies in nobody's back end can be denied by nobody but people.
        emergency: { contain: false, discoveredAt, exposedFrom, incident },
      }),
    );
    await settlePlaced(this.keyturn, placed, reply);
    reply.header('location', `/api/v1/rotations/${placed.id}`);
    return this.directory.rotationView(placed.id);
  }
}
