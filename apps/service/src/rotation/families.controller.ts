import { Controller, Delete, Get, HttpCode, Inject, Post, Put, Res, StreamableFile } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import type { Permission, Principal } from '#access';
import { DomainError, instantSchema } from '#eventlog';
import { PAPERS, renderEmergencyCard, renderRunbook, type Paper } from '#evidence';
import {
  boundAt,
  classificationSchema,
  consumerDetailsSchema,
  departedTerms,
  departureSchema,
  departuresText,
  durationSchema,
  familyDetailsSchema,
  lineSchema,
  ownerSchema,
  runbookSchema,
  scheduleSchema,
  selectPolicy,
  REHEARSED,
  STRATEGIES,
  textSchema,
  triggerSchema,
  uuidSchema,
  versionIdSchema,
  type DestructionView,
  type FamilyView,
  type Placed,
  type RotationPlan,
  type RotationPreview,
  type RotationViewJson,
} from '#rotation';
import {
  ContainVersions,
  PreviewRotation,
  RequestDestruction,
  RegisterConsumer,
  RegisterFamily,
  RequestRotation,
  ReviseFamily,
  AskDeviation,
  SetSchedule,
  type DeviationAsk,
} from '#rotation/application';
import { Asked } from '../http/asked.js';
import { ApiProduces, ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { pageQuery, type Page } from '../http/cursor.js';
import { setETag } from '../http/etag.js';
import { Caller, RequestCommand, type HttpReply } from '../http/request-context.js';
import { ZodBody, ZodParam, ZodQuery } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory } from './directory.js';
import { familyTimeline, type FamilyTimelineLine } from './family-timeline.js';
import { settlePlaced } from './placing.js';
import { runbookInput } from './runbook-input.js';
import { Timetable, type ScheduleItem } from './schedule-rows.js';

export const familyReference = z.string().min(1).max(200);

const familiesQuery = pageQuery.extend({
  environment: z.string().max(60).optional(),
  team: z.string().max(120).optional(),
  name: z.string().max(120).optional(),
  /** Those whose back end is not as the record has it. */
  drift: z.literal('open').optional(),
});

/** Encryption keys are refused with the reason, not as an unknown word. */
const familyBody = familyDetailsSchema.extend({
  usage: z.string().transform((usage, context) => {
    if (usage === 'encrypt' || usage === 'wrap') {
      context.addIssue({
        code: 'custom',
        message: `"${usage}" is refused for now: withdrawing an encryption key would make old ciphertext unreadable; register signing, MAC and authentication secrets`,
      });
      return z.NEVER;
    }
    const known = familyDetailsSchema.shape.usage.safeParse(usage);
    if (!known.success) {
      context.addIssue({ code: 'custom', message: 'must be one of sign, mac, authenticate' });
      return z.NEVER;
    }
    return known.data;
  }),
  mode: familyDetailsSchema.shape.mode.default('tracked'),
  illustrative: z.boolean().default(false),
});

const consumerBody = consumerDetailsSchema.extend({
  neverRefreshes: z.boolean().default(false),
  thirdParty: z.boolean().default(false),
  instances: consumerDetailsSchema.shape.instances.default(1),
});

export const wishBody = z.strictObject({
  strategy: z.enum(STRATEGIES).default('graceful'),
  trigger: triggerSchema.default('manual'),
  reason: textSchema,
  windows: z.strictObject({ accept: durationSchema.optional(), drain: durationSchema.optional() }).optional(),
  deviation: z.strictObject({ reason: textSchema, until: instantSchema }).optional(),
  /** What a rehearsal rehearses; left out: graceful. */
  rehearses: z.enum(REHEARSED).optional(),
  /** Of a rolling rotation, in rising shares that end at 100; left out: the policy's, or 25, 50, 75, 100 % a week apart. */
  cohorts: z
    .array(z.strictObject({ share: z.int().min(1).max(100), hold: durationSchema }))
    .min(1)
    .max(20)
    .optional(),
  emergency: z
    .strictObject({
      /** Left out: every accepted version. */
      compromisedVersions: z.array(versionIdSchema).min(1).max(100).optional(),
      /** Left out: now. T+ counts from it. */
      discoveredAt: instantSchema.optional(),
      exposedFrom: instantSchema.optional(),
      incident: lineSchema.optional(),
      contain: z.boolean().default(true),
      /**
       * Declared over everything one incident reached: refused (`emergency.already-declared`) where an emergency answers it, and
       * compromisedVersions left out is what was in use at the discovery, never what was made since.
       */
      unlessDeclared: z.boolean().optional(),
    })
    .optional(),
});

const classificationBody = classificationSchema.strict();

const deviationBody = z.strictObject({
  /** The terms that bind in the place of the policy's. */
  departs: departureSchema,
  reason: textSchema,
  until: instantSchema,
});
const deviationApproval = z.strictObject({ note: textSchema.optional() });
const deviationClosing = z.strictObject({ reason: textSchema });

const planQuery = z.strictObject({ plan: z.string().optional() });

const clearBody = z.strictObject({
  versions: z.array(versionIdSchema).min(1).max(100),
  reason: textSchema,
});

const destroyBody = z.strictObject({
  versions: z.array(versionIdSchema).min(1).max(100),
  reason: textSchema,
  /** Retention: not before this. */
  notBefore: instantSchema.optional(),
});

const paperQuery = z.strictObject({ paper: z.enum(PAPERS).default('a4') });

const containBody = z.strictObject({
  versions: z.array(versionIdSchema).min(1).max(100),
  reason: textSchema,
  incident: lineSchema.optional(),
});

@ApiTags('families')
@Controller('api/v1/families')
export class FamiliesController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(QueryBus) private readonly queries: QueryBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
    @Inject(Timetable) private readonly timetable: Timetable,
  ) {}

  @Get()
  @RequiresPermission('family:read')
  list(
    @ZodQuery(familiesQuery) query: z.output<typeof familiesQuery>,
    @Caller() caller: Principal,
  ): Page<FamilyView> {
    return this.directory.families(query, caller.scope);
  }

  @Post()
  @RequiresPermission('family:write')
  async register(
    @ZodBody(familyBody) details: z.output<typeof familyBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<FamilyView> {
    requireAllowed(command.principal, 'family:write', details);
    const placed = await this.commands.execute<RegisterFamily, Placed>(new RegisterFamily(command, details));
    await settlePlaced(this.keyturn, placed, reply);
    reply.header('location', `/api/v1/families/${placed.id}`);
    return this.directory.familyView(placed.id);
  }

  /** By id, or by `environment%2Fname`. */
  @Get(':family')
  @RequiresPermission('family:read')
  get(
    @ZodParam('family', familyReference) reference: string,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: HttpReply,
  ): FamilyView {
    const view = this.#allowed(reference, caller, 'family:read');
    setETag(reply, view.revision);
    return view;
  }

  /** The runbook on one page, for the wall. What is missing is shown as missing. */
  @Get(':family/runbook.pdf')
  @RequiresPermission('family:read')
  @ApiProduces('application/pdf')
  runbookPage(
    @ZodParam('family', familyReference) reference: string,
    @ZodQuery(paperQuery) query: z.output<typeof paperQuery>,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<StreamableFile> {
    return this.#page('runbook', renderRunbook, reference, query.paper, caller, reply);
  }

  /** What to do by hand while Keyturn itself is down, and how to record it afterwards: one page, printed beforehand. */
  @Get(':family/emergency-card.pdf')
  @RequiresPermission('family:read')
  @ApiProduces('application/pdf')
  emergencyCard(
    @ZodParam('family', familyReference) reference: string,
    @ZodQuery(paperQuery) query: z.output<typeof paperQuery>,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<StreamableFile> {
    return this.#page('emergency-card', renderEmergencyCard, reference, query.paper, caller, reply);
  }

  @Put(':family/runbook')
  @RequiresPermission('family:write')
  async reviseRunbook(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(runbookSchema) body: z.output<typeof runbookSchema>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const runbook = Object.fromEntries(
      Object.entries(body).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    return this.#revise(reference, { type: 'ReviseRunbook', runbook }, asked);
  }

  /** Says what a family registered in haste is: part of what its registration owes. */
  @Put(':family/classification')
  @RequiresPermission('family:write')
  classify(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(classificationBody) classification: z.output<typeof classificationBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    // Whoever moves it to another team may act there too.
    const { environment } = this.#allowed(reference, asked.command.principal, 'family:write');
    requireAllowed(asked.command.principal, 'family:write', { environment, team: classification.team });
    return this.#revise(reference, { type: 'ClassifyFamily', classification }, asked);
  }

  /** Asks that it may depart from its policy for a while; changes nothing until somebody else approves it. */
  @Post(':family/deviations')
  @RequiresPermission('family:write')
  requestDeviation(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(deviationBody) body: z.output<typeof deviationBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    return this.#deviation(reference, 'family:write', { type: 'request', ...body }, asked);
  }

  @Post(':family/deviations/:deviation/approve')
  @HttpCode(200)
  @RequiresPermission('policy:approve')
  approveDeviation(
    @ZodParam('family', familyReference) reference: string,
    @ZodParam('deviation', uuidSchema) deviation: string,
    @ZodBody(deviationApproval) { note }: z.output<typeof deviationApproval>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const ask = { type: 'approve', deviation, note } as const;
    return this.#deviation(reference, 'policy:approve', ask, asked);
  }

  /** Withdraws it, ends it before its time, or says that its end was looked at. */
  @Post(':family/deviations/:deviation/close')
  @HttpCode(200)
  @RequiresPermission('family:write')
  closeDeviation(
    @ZodParam('family', familyReference) reference: string,
    @ZodParam('deviation', uuidSchema) deviation: string,
    @ZodBody(deviationClosing) { reason }: z.output<typeof deviationClosing>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const ask = { type: 'close', deviation, reason } as const;
    return this.#deviation(reference, 'family:write', ask, asked);
  }

  async #deviation(
    reference: string,
    permission: Permission,
    ask: DeviationAsk,
    { command, expected, reply }: Asked,
  ): Promise<FamilyView> {
    const { id } = this.#allowed(reference, command.principal, permission);
    const placed = await this.commands.execute<AskDeviation, Placed>(
      new AskDeviation(command, id, ask, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.familyView(id);
  }

  /** Places its rotations inside its policy's periods; never lengthens them. */
  @Put(':family/schedule')
  @RequiresPermission('family:write')
  async setSchedule(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(scheduleSchema) schedule: z.output<typeof scheduleSchema>,
    @Asked() { command, expected, reply }: Asked,
  ): Promise<FamilyView> {
    const { id } = this.#allowed(reference, command.principal, 'family:write');
    const placed = await this.commands.execute<SetSchedule, Placed>(
      new SetSchedule(command, id, schedule, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.familyView(id);
  }

  @Put(':family/owner')
  @RequiresPermission('family:write')
  async assignOwner(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(ownerSchema) owner: z.output<typeof ownerSchema>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    return this.#revise(reference, { type: 'AssignOwner', owner }, asked);
  }

  @Post(':family/consumers')
  @RequiresPermission('family:write')
  async registerConsumer(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(consumerBody) consumer: z.output<typeof consumerBody>,
    @Asked() { command, expected, reply }: Asked,
  ): Promise<FamilyView> {
    const family = this.#allowed(reference, command.principal, 'family:write');
    const placed = await this.commands.execute<RegisterConsumer, Placed>(
      new RegisterConsumer(command, family.id, consumer, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.familyView(family.id);
  }

  @Put(':family/consumers/:consumer')
  @RequiresPermission('family:write')
  async reviseConsumer(
    @ZodParam('family', familyReference) reference: string,
    @ZodParam('consumer', uuidSchema) consumerId: string,
    @ZodBody(consumerBody) consumer: z.output<typeof consumerBody>,
    @Asked() { command, expected, reply }: Asked,
  ): Promise<FamilyView> {
    const family = this.#allowed(reference, command.principal, 'family:write');
    const known = family.consumers.find((each) => each.id === consumerId);
    if (known === undefined) throw new DomainError('consumer.not-found', 'this family has no such consumer');
    if (known.name !== consumer.name) {
      throw new DomainError(
        'consumer.name-fixed',
        'a consumer keeps its name: remove it and register the other',
        {
          field: 'name',
        },
      );
    }
    const placed = await this.commands.execute<RegisterConsumer, Placed>(
      new RegisterConsumer(command, family.id, consumer, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.familyView(family.id);
  }

  @Delete(':family/consumers/:consumer')
  @HttpCode(200)
  @RequiresPermission('family:write')
  async removeConsumer(
    @ZodParam('family', familyReference) reference: string,
    @ZodParam('consumer', uuidSchema) consumerId: string,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const change = { type: 'RemoveConsumer', consumerId, reason: 'removed over HTTP' } as const;
    return this.#revise(reference, change, asked);
  }

  /** The windows a graceful rotation would get now, with the constraint that binds each. */
  /** Every fact of it, its own and its rotations', in the log's order. Read from the log itself. */
  @Get(':family/timeline')
  @RequiresPermission('rotation:read')
  timeline(
    @ZodParam('family', familyReference) reference: string,
    @ZodQuery(pageQuery) query: z.output<typeof pageQuery>,
    @Caller() caller: Principal,
  ): Promise<Page<FamilyTimelineLine>> {
    const { id } = this.#allowed(reference, caller, 'rotation:read');
    return familyTimeline(this.keyturn, id, query);
  }

  @Get(':family/windows')
  @RequiresPermission('family:read')
  async windows(
    @ZodParam('family', familyReference) reference: string,
    @Caller() caller: Principal,
  ): Promise<RotationPlan['windows']> {
    return this.#windows(this.#allowed(reference, caller, 'family:read'), caller);
  }

  /** Read only: which policy applies, and why. */
  @Get(':family/policy')
  @RequiresPermission('policy:read')
  policy(
    @ZodParam('family', familyReference) reference: string,
    @Caller() caller: Principal,
  ): Readonly<Record<string, unknown>> {
    this.#allowed(reference, caller, 'policy:read');
    const { details, deviations } = this.directory.family(reference).state;
    const now = this.keyturn.clock.now();
    const bound = this.directory.policyStates().flatMap((state) => boundAt(state, now) ?? []);
    const selected = details === undefined ? undefined : selectPolicy(bound, details);
    return {
      policy: selected ?? null,
      // What binds: the policy's terms, with what the family departs from in their place.
      terms: selected === undefined ? null : departedTerms(selected.terms, deviations, now),
      departures: departuresText(deviations, now),
      why:
        selected === undefined
          ? 'no policy that is in force selects this family: default terms apply, shown as an exception'
          : `selected by ${Object.keys(selected.selector).join(', ') || 'no selector: it selects every family'}; protection is compared first, then kind, then environment`,
    };
  }

  @Get(':family/schedule')
  @RequiresPermission('schedule:read')
  schedule(
    @ZodParam('family', familyReference) reference: string,
    @Caller() caller: Principal,
  ): ScheduleItem {
    this.#allowed(reference, caller, 'schedule:read');
    return this.timetable.rowOf(this.directory.family(reference).state, this.keyturn.clock.now());
  }

  /** Requests a rotation; an emergency is one with `strategy: emergency`. With `?plan` nothing is started. */
  @Post(':family/rotations')
  @RequiresPermission('rotation:read')
  async rotate(
    @ZodParam('family', familyReference) reference: string,
    @ZodQuery(planQuery) query: z.output<typeof planQuery>,
    @ZodBody(wishBody) wish: z.output<typeof wishBody>,
    @Asked() { command, expected, reply }: Asked,
  ): Promise<RotationViewJson | RotationPreview> {
    const permission = wish.strategy === 'emergency' ? 'emergency:declare' : 'rotation:request';
    const family = this.#allowed(reference, command.principal, permission);
    if (query.plan !== undefined) {
      const preview = await this.#preview(family.id, command.subject, wish);
      reply.code(200);
      return preview;
    }
    const placed = await this.commands.execute<RequestRotation, Placed>(
      new RequestRotation(command, family.id, wish, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    reply.header('location', `/api/v1/rotations/${placed.id}`);
    return this.directory.rotationView(placed.id);
  }

  /** Denies suspected versions at once; needs no slot and no new key. */
  @Post(':family/containments')
  @RequiresPermission('containment:apply')
  async contain(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(containBody) input: z.output<typeof containBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<Readonly<Record<string, unknown>>> {
    const family = this.#allowed(reference, command.principal, 'containment:apply');
    const placed = await this.commands.execute<ContainVersions, Placed>(
      new ContainVersions(command, family.id, input),
    );
    await settlePlaced(this.keyturn, placed, reply);
    reply.header('location', `/api/v1/containments/${placed.id}`);
    return { ...this.directory.containment(placed.id) };
  }

  /** A suspicion came to nothing. A confirmed compromise is final, and is refused. */
  @Post(':family/compromises/clear')
  @HttpCode(200)
  @RequiresPermission('containment:apply')
  async clearCompromise(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(clearBody) { versions, reason }: z.output<typeof clearBody>,
    @Asked() asked: Asked,
  ): Promise<FamilyView> {
    const change = { type: 'ClearCompromise', versions, reason } as const;
    return this.#revise(reference, change, asked, 'containment:apply');
  }

  /** Asks for key material to be deleted for good. It happens once another subject approves. */
  @Post(':family/destructions')
  @RequiresPermission('destruction:request')
  async destroy(
    @ZodParam('family', familyReference) reference: string,
    @ZodBody(destroyBody) wish: z.output<typeof destroyBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<DestructionView> {
    const family = this.#allowed(reference, command.principal, 'destruction:request');
    if (command.repeat === undefined || command.repeat.length === 0) {
      const other = this.directory.openDestructionOf(family.id, wish.versions);
      if (other !== undefined) {
        throw new DomainError(
          'destruction.already-requested',
          `destruction ${other.id} (${other.status}) has ${other.version} already`,
          { field: 'versions', destruction: other.id },
        );
      }
    }
    const placed = await this.commands.execute<RequestDestruction, Placed>(
      new RequestDestruction(command, family.id, wish),
    );
    await settlePlaced(this.keyturn, placed, reply);
    reply.header('location', `/api/v1/destructions/${placed.id}`);
    return this.directory.destruction(placed.id);
  }

  async #windows(family: FamilyView, caller: Principal): Promise<RotationPlan['windows']> {
    // Without overlap there is none to compute.
    if (family.overlap === 'none') return undefined;
    const wish = { strategy: 'graceful', trigger: 'manual', reason: 'windows' } as const;
    const preview = await this.queries.execute<PreviewRotation, RotationPreview>(
      new PreviewRotation(caller.subject, family.id, wish, true),
    );
    return preview.plan.windows;
  }

  async #page(
    kind: string,
    render: typeof renderRunbook,
    reference: string,
    paper: Paper,
    caller: Principal,
    reply: HttpReply,
  ): Promise<StreamableFile> {
    const family = this.#allowed(reference, caller, 'family:read');
    const input = await runbookInput(
      this.keyturn,
      { directory: this.directory, timetable: this.timetable },
      family,
      () => this.#windows(family, caller),
    );
    const pdf = await render(input, paper);
    reply
      .header('cache-control', 'no-store')
      .header('content-disposition', `inline; filename="${kind}-${family.id.slice(0, 8)}.pdf"`)
      .header('keyturn-tree-size', String(input.treeSize));
    return new StreamableFile(pdf, { type: 'application/pdf' });
  }

  #preview(
    familyId: string,
    subject: string,
    wish: z.output<typeof wishBody> | { strategy: 'graceful'; trigger: 'manual'; reason: string },
  ): Promise<RotationPreview> {
    return this.queries.execute<PreviewRotation, RotationPreview>(
      new PreviewRotation(subject, familyId, wish),
    );
  }

  #allowed(
    reference: string,
    principal: Principal,
    permission: Parameters<typeof requireAllowed>[1],
  ): FamilyView {
    const view = this.directory.familyView(reference);
    requireAllowed(principal, permission, view);
    return view;
  }

  async #revise(
    reference: string,
    change: ReviseFamily['change'],
    { command, expected, reply }: Asked,
    permission: Parameters<typeof requireAllowed>[1] = 'family:write',
  ): Promise<FamilyView> {
    const family = this.#allowed(reference, command.principal, permission);
    const placed = await this.commands.execute<ReviseFamily, Placed>(
      new ReviseFamily(command, family.id, change, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.familyView(family.id);
  }
}
