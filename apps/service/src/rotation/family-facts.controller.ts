import { Controller, HttpCode, Inject, Post, Put, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { z } from 'zod';
import type { Permission } from '#access';
import { instantSchema } from '#eventlog';
import {
  authoritySchema,
  lineSchema,
  textSchema,
  uuidSchema,
  versionIdSchema,
  type FamilyView,
  type Placed,
} from '#rotation';
import { CorrectFact, RecordDeparture, ReviseFamily } from '#rotation/application';
import { Asked } from '../http/asked.js';
import { ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { RequestCommand, type HttpReply } from '../http/request-context.js';
import { ZodBody, ZodParam } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory } from './directory.js';
import { familyReference } from './families.controller.js';
import { settlePlaced } from './placing.js';

const custodianBody = z.strictObject({ knows: lineSchema });
const acknowledgeBody = z.strictObject({ statement: textSchema });
const authorityBody = authoritySchema.strict().extend({ reason: textSchema });
const reviewBody = z.strictObject({ summary: textSchema, nextReview: z.iso.date() });
const acceptDriftBody = z.strictObject({
  /** Id of the drift that was looked at, as the family shows it. */
  drift: uuidSchema,
  reason: textSchema,
});
const reasonBody = z.strictObject({ reason: textSchema });
const exposureBody = z.strictObject({
  versions: z.array(versionIdSchema).min(1).max(100),
  scope: textSchema,
  exposedFrom: instantSchema.optional(),
  exposedUntil: instantSchema.optional(),
  incident: lineSchema.optional(),
});
export const correctionBody = z.strictObject({
  /** The id of the event that is wrong. */
  of: uuidSchema,
  reason: textSchema,
  correction: textSchema,
});
const departureBody = z.strictObject({
  /** Left out: now. */
  leftAt: instantSchema.optional(),
});

/** Facts of a family that no rotation makes: its people, its authority, its reviews, what an exposure reached. */
@ApiTags('families, people')
@Controller('api/v1')
export class FamilyFactsController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
  ) {}

  /** Somebody is entrusted with this secret, or knows it. */
  @Put('families/:family/custodians/:subject')
  @RequiresPermission('family:write')
  assignCustodian(
    @ZodParam('family', familyReference) reference: string,
    @ZodParam('subject', uuidSchema) subject: string,
    @ZodBody(custodianBody) { knows }: z.output<typeof custodianBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const change = { type: 'AssignCustodian', subject, knows } as const;
    return this.#revise(reference, 'family:write', change, asked);
  }

  /** The custodian acknowledges the duties: always the one who calls. */
  @Post('families/:family/custodians/acknowledge')
  @HttpCode(200)
  @RequiresPermission('family:read')
  acknowledge(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(acknowledgeBody) { statement }: z.output<typeof acknowledgeBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const change = { type: 'AcknowledgeCustodian', subject: asked.command.subject, statement } as const;
    return this.#revise(reference, 'family:read', change, asked);
  }

  @Put('families/:family/authority')
  @RequiresPermission('family:write')
  setAuthority(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(authorityBody) { reason, ...authority }: z.output<typeof authorityBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const change = { type: 'SetAuthority', authority, reason } as const;
    return this.#revise(reference, 'family:write', change, asked);
  }

  /** The runbook was gone through; says when it is next. */
  @Post('families/:family/reviews')
  @HttpCode(200)
  @RequiresPermission('family:write')
  review(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(reviewBody) body: z.output<typeof reviewBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const change = { type: 'CompleteReview', ...body } as const;
    return this.#revise(reference, 'family:write', change, asked);
  }

  /** What the back end shows otherwise is known: from now on the record has it so, and what it held goes on. */
  @Post('families/:family/drift/accept')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  acceptDrift(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(acceptDriftBody) body: z.output<typeof acceptDriftBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const change = { type: 'AcceptDrift', ...body } as const;
    return this.#revise(reference, 'rotation:operate', change, asked);
  }

  @Post('families/:family/retire')
  @HttpCode(200)
  @RequiresPermission('family:write')
  retire(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(reasonBody) { reason }: z.output<typeof reasonBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const change = { type: 'RetireFamily', reason } as const;
    return this.#revise(reference, 'family:write', change, asked);
  }

  @Post('families/:family/exposures')
  @HttpCode(200)
  @RequiresPermission('containment:apply')
  scopeExposure(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(exposureBody) exposure: z.output<typeof exposureBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const change = { type: 'ScopeExposure', exposure } as const;
    return this.#revise(reference, 'containment:apply', change, asked);
  }

  /** A fact of this family was recorded wrongly. Both stay visible, and nothing is undone. */
  @Post('families/:family/corrections')
  @HttpCode(200)
  @RequiresPermission('family:write')
  async correct(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(correctionBody) input: z.output<typeof correctionBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<FamilyView> {
    const family = this.directory.familyView(reference);
    requireAllowed(command.principal, 'family:write', family);
    const placed = await this.commands.execute<CorrectFact, Placed>(
      new CorrectFact(command, { family: family.id }, input),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.familyView(family.id);
  }

  /** Somebody left: every family they knew owes a rotation. Reaches over all environments and teams. */
  @Post('people/:subject/departure')
  @HttpCode(200)
  @RequiresPermission('token:admin')
  async departure(
    @ZodParam('subject', uuidSchema) subject: string,
    @ZodBody(departureBody) { leftAt }: z.output<typeof departureBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<{ readonly subject: string; readonly families: readonly FamilyView[] }> {
    requireAllowed(command.principal, 'token:admin', 'everything');
    const placed = await this.commands.execute<RecordDeparture, Placed>(
      new RecordDeparture(command, subject, leftAt),
    );
    await settlePlaced(this.keyturn, placed, reply);
    await this.keyturn.readModel.caughtUp();
    return { subject, families: this.directory.familiesLeftBy(subject) };
  }

  async #revise(
    reference: string,
    permission: Permission,
    change: ReviseFamily['change'],
    { command, expected, reply }: Asked,
  ): Promise<FamilyView> {
    const family = this.directory.familyView(reference);
    requireAllowed(command.principal, permission, family);
    const placed = await this.commands.execute<ReviseFamily, Placed>(
      new ReviseFamily(command, family.id, change, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.familyView(family.id);
  }
}
