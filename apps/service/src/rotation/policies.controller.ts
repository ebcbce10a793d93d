import { Controller, Get, HttpCode, Inject, Post, Put, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { z } from 'zod';
import type { Permission, Principal } from '#access';
import { formatInstant, instantSchema } from '#eventlog';
import {
  PLANNED_STRATEGIES,
  policyDetailsSchema,
  textSchema,
  uuidSchema,
  type Placed,
  type PolicyView,
} from '#rotation';
import { ChangePolicy, DefinePolicy } from '#rotation/application';
import { Asked } from '../http/asked.js';
import { ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { pageQuery, type Page } from '../http/cursor.js';
import { setETag } from '../http/etag.js';
import { RequestCommand, type HttpReply } from '../http/request-context.js';
import { ZodBody, ZodParam, ZodQuery } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory } from './directory.js';
import { settlePlaced } from './placing.js';

/** Where nobody says from when on, it is effective from its recording on: never before. */
const defineBody = policyDetailsSchema.extend({
  effectiveFrom: policyDetailsSchema.shape.effectiveFrom.optional(),
});
const amendBody = defineBody.omit({ selector: true });
const approveBody = z.strictObject({
  /** `termsRevision` of what was read; needed once the policy was amended, or If-Match. */
  revision: z.int().min(0).optional(),
  note: textSchema.optional(),
});
const grantBody = z.strictObject({
  until: instantSchema,
  reason: textSchema,
  /** Left out: every planned one. */
  strategies: z
    .array(z.enum(PLANNED_STRATEGIES))
    .min(1)
    .default([...PLANNED_STRATEGIES]),
});
const revokeBody = z.strictObject({ reason: textSchema });
const retireBody = z.strictObject({ reason: textSchema });

@ApiTags('policies')
@Controller('api/v1/policies')
export class PoliciesController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
  ) {}

  @Get()
  @RequiresPermission('policy:read')
  list(@ZodQuery(pageQuery) query: z.output<typeof pageQuery>): Page<PolicyView> {
    return this.directory.policies(query, this.keyturn.clock.now());
  }

  @Post()
  @RequiresPermission('policy:write')
  async define(
    @ZodBody(defineBody) body: z.output<typeof defineBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<PolicyView> {
    allowed(command.principal, 'policy:write', body.selector.environment);
    const details = this.#effective(body);
    const placed = await this.commands.execute<DefinePolicy, Placed>(new DefinePolicy(command, details));
    await settlePlaced(this.keyturn, placed, reply);
    reply.header('location', `/api/v1/policies/${placed.id}`);
    return this.#view(placed.id);
  }

  @Get(':policy')
  @RequiresPermission('policy:read')
  get(@ZodParam('policy', uuidSchema) id: string, @Res({ passthrough: true }) reply: HttpReply): PolicyView {
    const view = this.#view(id);
    setETag(reply, view.revision);
    return view;
  }

  @Put(':policy')
  @RequiresPermission('policy:write')
  amend(
    @ZodParam('policy', uuidSchema) id: string,
    @ZodBody(amendBody) body: z.output<typeof amendBody>,
    @Asked() asked: Asked,
  ): Promise<PolicyView> {
    const change = { type: 'amend', details: this.#effective(body) } as const;
    return this.#change(id, 'policy:write', change, asked);
  }

  /** By somebody other than its author. */
  @Post(':policy/approve')
  @HttpCode(200)
  @RequiresPermission('policy:approve')
  approve(
    @ZodParam('policy', uuidSchema) id: string,
    @ZodBody(approveBody) { revision, note }: z.output<typeof approveBody>,
    @Asked() asked: Asked,
  ): Promise<PolicyView> {
    const change = { type: 'approve', revision, note } as const;
    return this.#change(id, 'policy:approve', change, asked);
  }

  /** Planned rotations under this policy are approved in advance; never one that the granter asks for, nor a deviation. */
  @Post(':policy/standing-approvals')
  @RequiresPermission('policy:approve')
  grant(
    @ZodParam('policy', uuidSchema) id: string,
    @ZodBody(grantBody) body: z.output<typeof grantBody>,
    @Asked() asked: Asked,
  ): Promise<PolicyView> {
    return this.#change(id, 'policy:approve', { type: 'grant', ...body }, asked);
  }

  @Post(':policy/standing-approvals/:approval/revoke')
  @HttpCode(200)
  @RequiresPermission('policy:approve')
  revokeGrant(
    @ZodParam('policy', uuidSchema) id: string,
    @ZodParam('approval', uuidSchema) approval: string,
    @ZodBody(revokeBody) { reason }: z.output<typeof revokeBody>,
    @Asked() asked: Asked,
  ): Promise<PolicyView> {
    const change = { type: 'revoke-grant', approval, reason } as const;
    return this.#change(id, 'policy:approve', change, asked);
  }

  @Post(':policy/retire')
  @HttpCode(200)
  @RequiresPermission('policy:write')
  retire(
    @ZodParam('policy', uuidSchema) id: string,
    @ZodBody(retireBody) { reason }: z.output<typeof retireBody>,
    @Asked() asked: Asked,
  ): Promise<PolicyView> {
    return this.#change(id, 'policy:write', { type: 'retire', reason }, asked);
  }

  #effective<Body extends { readonly effectiveFrom?: string | undefined }>(
    body: Body,
  ): Body & { readonly effectiveFrom: string } {
    return { ...body, effectiveFrom: body.effectiveFrom ?? formatInstant(this.keyturn.clock.now()) };
  }

  #view(id: string): PolicyView {
    return this.directory.policy(id, this.keyturn.clock.now());
  }

  async #change(
    id: string,
    permission: Permission,
    change: ChangePolicy['change'],
    { command, expected, reply }: Asked,
  ): Promise<PolicyView> {
    allowed(command.principal, permission, this.#view(id).selector.environment);
    const placed = await this.commands.execute<ChangePolicy, Placed>(
      new ChangePolicy(command, id, change, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.#view(id);
  }
}

/** A policy that names no environment reaches everywhere: so must the token. */
function allowed(principal: Principal, permission: Permission, environment: string | undefined): void {
  requireAllowed(principal, permission, environment === undefined ? 'everything' : { environment });
}
