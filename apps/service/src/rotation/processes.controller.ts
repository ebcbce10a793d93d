import { Controller, Get, HttpCode, Inject, Post, Put, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { z } from 'zod';
import type { Permission, Principal } from '#access';
import { instantSchema, parseInstant } from '#eventlog';
import { SecretValue } from '#platform';
import {
  attestationSchema,
  textSchema,
  uuidSchema,
  type ContainmentView,
  type DestructionView,
  type Placed,
} from '#rotation';
import {
  AskContainment,
  AskDestruction,
  type ContainmentAsk,
  type DestructionAsk,
} from '#rotation/application';
import { Asked } from '../http/asked.js';
import { ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import { setETag } from '../http/etag.js';
import { pageQuery, type Page } from '../http/cursor.js';
import { Caller, type HttpReply } from '../http/request-context.js';
import { ZodBody, ZodParam, ZodQuery } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory } from './directory.js';
import { settlePlaced } from './placing.js';

const processesQuery = pageQuery.extend({
  /** Its id, or `environment/name`. */
  family: z.string().max(200).optional(),
  state: z.enum(['open', 'ended', 'all']).default('open'),
});
const reasonBody = z.strictObject({ reason: textSchema });
const optionalReasonBody = z.strictObject({ reason: textSchema.optional() });
const noteBody = z.strictObject({ note: textSchema.optional() });
/** It is used once and kept nowhere; what answers never shows it. */
const wrappedTokenBody = z.strictObject({
  wrappedToken: z
    .string()
    .regex(/^[\x21-\x7e]{1,4096}$/, { error: 'must be a wrapping token, on one line' })
    .transform((text) => new SecretValue(text)),
});
const noBody = z.strictObject({});
const attestationBody = z.strictObject({
  ...attestationSchema.shape,
  evidence: z.strictObject(attestationSchema.shape.evidence.shape),
  /** When it was so; left out where nobody recorded it. */
  occurredAt: instantSchema.optional(),
});
const containmentAttestationBody = attestationBody.extend({
  step: z.enum(['contain', 'lift']).default('contain'),
});

/** The processes beside a rotation: what is asked of a containment or a destruction that exists. */
@ApiTags('containments, destructions')
@Controller('api/v1')
export class ProcessesController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
  ) {}

  /** Those that deny something or wait for somebody; with `?state=all` also those that were lifted. */
  @Get('containments')
  @RequiresPermission('rotation:read')
  containments(
    @ZodQuery(processesQuery) query: z.output<typeof processesQuery>,
    @Caller() caller: Principal,
  ): Page<ContainmentView> {
    return this.directory.containments(query, caller.scope);
  }

  /** Those that wait for an approval, for their date or for a person; with `?state=all` also those that ended. */
  @Get('destructions')
  @RequiresPermission('rotation:read')
  destructions(
    @ZodQuery(processesQuery) query: z.output<typeof processesQuery>,
    @Caller() caller: Principal,
  ): Page<DestructionView> {
    return this.directory.destructions(query, caller.scope);
  }

  /** Takes a containment back, once the suspicion is cleared; never for a confirmed compromise. */
  @Post('containments/:containment/lift')
  @HttpCode(200)
  @RequiresPermission('containment:apply')
  lift(
    @ZodParam('containment', uuidSchema) id: string,
    @ZodBody(reasonBody) { reason }: z.output<typeof reasonBody>,
    @Asked() asked: Asked,
  ): Promise<ContainmentView> {
    return this.#askContainment(id, { type: 'lift', reason }, asked);
  }

  @Post('containments/:containment/retry')
  @HttpCode(200)
  @RequiresPermission('containment:apply')
  retryContainment(
    @ZodParam('containment', uuidSchema) id: string,
    @ZodBody(noBody) _body: z.output<typeof noBody>,
    @Asked() asked: Asked,
  ): Promise<ContainmentView> {
    return this.#askContainment(id, { type: 'retry' }, asked);
  }

  /** A person says, with evidence, that the versions were denied (or are no longer) by hand. */
  @Post('containments/:containment/attest')
  @HttpCode(200)
  @RequiresPermission('containment:apply')
  attestContainment(
    @ZodParam('containment', uuidSchema) id: string,
    @ZodBody(containmentAttestationBody) body: z.output<typeof containmentAttestationBody>,
    @Asked() asked: Asked,
  ): Promise<ContainmentView> {
    const { step, occurredAt, ...attestation } = body;
    const ask = { type: 'attest', step, attestation, occurredAt: instantOf(occurredAt) } as const;
    return this.#askContainment(id, ask, asked);
  }

  @Get('destructions/:destruction')
  @RequiresPermission('rotation:read')
  destruction(
    @ZodParam('destruction', uuidSchema) id: string,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: HttpReply,
  ): DestructionView {
    const view = this.directory.destruction(id);
    requireAllowed(caller, 'rotation:read', this.directory.familyView(view.family));
    setETag(reply, view.revision);
    return view;
  }

  @Post('destructions/:destruction/approve')
  @HttpCode(200)
  @RequiresPermission('destruction:approve')
  approve(
    @ZodParam('destruction', uuidSchema) id: string,
    @ZodBody(noteBody) { note }: z.output<typeof noteBody>,
    @Asked() asked: Asked,
  ): Promise<DestructionView> {
    const ask = { type: 'approve', note } as const;
    return this.#askDestruction(id, 'destruction:approve', ask, asked);
  }

  @Post('destructions/:destruction/reject')
  @HttpCode(200)
  @RequiresPermission('destruction:approve')
  reject(
    @ZodParam('destruction', uuidSchema) id: string,
    @ZodBody(reasonBody) { reason }: z.output<typeof reasonBody>,
    @Asked() asked: Asked,
  ): Promise<DestructionView> {
    const ask = { type: 'reject', reason } as const;
    return this.#askDestruction(id, 'destruction:approve', ask, asked);
  }

  @Post('destructions/:destruction/retry')
  @HttpCode(200)
  @RequiresPermission('destruction:request')
  retry(
    @ZodParam('destruction', uuidSchema) id: string,
    @ZodBody(optionalReasonBody) { reason }: z.output<typeof optionalReasonBody>,
    @Asked() asked: Asked,
  ): Promise<DestructionView> {
    const ask = { type: 'retry', reason } as const;
    return this.#askDestruction(id, 'destruction:request', ask, asked);
  }

  /**
   * A token that may delete the key material in its server, wrapped: Keyturn's own logins may not. It is unwrapped at once and held in memory
   * until it was used, is over, or the service ends.
   */
  @Put('destructions/:destruction/token')
  @HttpCode(200)
  @RequiresPermission('destruction:approve')
  supplyToken(
    @ZodParam('destruction', uuidSchema) id: string,
    @ZodBody(wrappedTokenBody, { secretsIn: ['wrappedToken'] })
    { wrappedToken }: z.output<typeof wrappedTokenBody>,
    @Asked() asked: Asked,
  ): Promise<DestructionView> {
    const ask = { type: 'supply-token', wrapped: wrappedToken } as const;
    return this.#askDestruction(id, 'destruction:approve', ask, asked);
  }

  /** Where people keep the key material: a person says, with evidence, that it is destroyed. */
  @Post('destructions/:destruction/attest')
  @HttpCode(200)
  @RequiresPermission('destruction:request')
  attest(
    @ZodParam('destruction', uuidSchema) id: string,
    @ZodBody(attestationBody) body: z.output<typeof attestationBody>,
    @Asked() asked: Asked,
  ): Promise<DestructionView> {
    const { occurredAt, ...attestation } = body;
    const ask = { type: 'attest', attestation, occurredAt: instantOf(occurredAt) } as const;
    return this.#askDestruction(id, 'destruction:request', ask, asked);
  }

  async #askContainment(
    id: string,
    ask: ContainmentAsk,
    { command, expected, reply }: Asked,
  ): Promise<ContainmentView> {
    const { family } = this.directory.containment(id);
    requireAllowed(command.principal, 'containment:apply', this.directory.familyView(family));
    const placed = await this.commands.execute<AskContainment, Placed>(
      new AskContainment(command, id, ask, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.containment(id);
  }

  async #askDestruction(
    id: string,
    permission: Permission,
    ask: DestructionAsk,
    { command, expected, reply }: Asked,
  ): Promise<DestructionView> {
    const { family } = this.directory.destruction(id);
    requireAllowed(command.principal, permission, this.directory.familyView(family));
    const placed = await this.commands.execute<AskDestruction, Placed>(
      new AskDestruction(command, id, ask, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.destruction(id);
  }
}

function instantOf(instant: string | undefined): number | undefined {
  return instant === undefined ? undefined : parseInstant(instant);
}
