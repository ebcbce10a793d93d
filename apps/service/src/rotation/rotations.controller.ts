import { Controller, Get, HttpCode, Inject, Post, Res, StreamableFile } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { z } from 'zod';
import type { Permission, Principal } from '#access';
import { DomainError, formatInstant, instantSchema, parseInstant } from '#eventlog';
import { renderRotationRecord } from '#evidence';
import {
  asOf,
  attestationSchema,
  containmentStream,
  emergencyTargets,
  durationSchema,
  lineSchema,
  OVERRIDABLE,
  rotationStream,
  STEPS,
  textSchema,
  timelineOf,
  versionIdSchema,
  windowsOf,
  type ContainmentEvent,
  type Placed,
  type RotationEvent,
  type RotationState,
  type RotationViewJson,
  type StepName,
} from '#rotation';
import { AskRotation, CorrectFact, SampleTelemetry, type RotationAsk } from '#rotation/application';
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
import { dossierOf, namesOf } from './dossier.js';
import { correctionBody } from './family-facts.controller.js';
import { knownAt, knownSize, treeSizeSchema } from './known-at.js';
import { settlePlaced } from './placing.js';
import { entryJson } from './timeline-entries.js';

const rotationsQuery = pageQuery.extend({
  family: z.string().max(200).optional(),
  state: z.enum(['open', 'ended', 'all']).default('all'),
});

const knownQuery = z.strictObject({ known: treeSizeSchema.optional() });
const timelineQuery = knownQuery.extend({ at: instantSchema.optional() });

/** A rotation's id, or enough of its beginning to be the only one. */
export const rotationReference = z.string().regex(/^[0-9a-f][0-9a-f-]{3,35}$/, {
  message: 'must be a rotation id, or at least its first four characters',
});

const reasonBody = z.strictObject({ reason: textSchema });
const optionalReasonBody = z.strictObject({ reason: textSchema.optional() });
const approveBody = z.strictObject({ note: textSchema.optional() });
const noteBody = z.strictObject({ note: textSchema });
const reviewBody = z.strictObject({ summary: textSchema });
const rollbackBody = z.strictObject({
  reason: textSchema,
  /** After the revocation: the accept window of the old version, cut as a recorded decision. */
  acceptWindow: durationSchema.optional(),
});
const attestBody = z.strictObject({
  evidence: attestationSchema.shape.evidence.strict(),
  by: attestationSchema.shape.by,
  /** When it was so; left out: not recorded. */
  occurredAt: instantSchema.optional(),
  /** Of `generate`: what was made. Never the value. */
  generated: z
    .strictObject({
      versionId: versionIdSchema.optional(),
      algorithm: z.string().trim().min(1).max(40).optional(),
      strengthBits: z.int().positive().max(16_384).optional(),
      fingerprint: z.string().trim().min(1).max(200).optional(),
    })
    .optional(),
});
const stepParam = z.enum(STEPS);
const confirmBody = z.strictObject({
  kind: z.enum(['acceptance', 'emission']),
  /** The consumer's id or its name. */
  consumer: z.string().min(1).max(120),
  /** The version it accepts or emits with: that of this rotation. */
  version: versionIdSchema,
  /** k of n: the instances that confirm. */
  instances: z.array(lineSchema).min(1).max(1_000),
});
const withdrawBody = z.strictObject({
  kind: z.enum(['acceptance', 'emission']),
  /** The consumer's id or its name. */
  consumer: z.string().min(1).max(120),
  /** The instances that do not use the version after all. */
  instances: z.array(lineSchema).min(1).max(1_000),
  reason: textSchema,
});
const overrideBody = z.strictObject({
  gate: z.enum(OVERRIDABLE),
  /** Left out for telemetry, which is no one consumer's. */
  consumer: z.string().min(1).max(120).optional(),
  reason: textSchema,
});

const uses = z.int().min(0);
const telemetryBody = z.strictObject({
  from: instantSchema,
  to: instantSchema,
  /** Uses of the new version, of the old ones, and what verified with neither. */
  current: uses,
  previous: uses,
  invalid: uses,
  previousLastSeen: instantSchema.optional(),
  note: textSchema.optional(),
});

/** The newest sample with it; `null`: nothing was counted. */
type RotationWithTelemetry = RotationViewJson & {
  readonly telemetry: {
    readonly from: string;
    readonly to: string;
    readonly current: number;
    readonly previous: number;
    readonly invalid: number;
    readonly previousSeenAt: string | null;
  } | null;
};

@ApiTags('rotations')
@Controller('api/v1/rotations')
export class RotationsController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
  ) {}

  @Get()
  @RequiresPermission('rotation:read')
  list(
    @ZodQuery(rotationsQuery) query: z.output<typeof rotationsQuery>,
    @Caller() caller: Principal,
  ): Page<RotationViewJson> {
    return this.directory.rotations(query, caller.scope);
  }

  @Get(':rotation')
  @RequiresPermission('rotation:read')
  async get(
    @ZodParam('rotation', rotationReference) reference: string,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<RotationWithTelemetry> {
    const view = await this.#withTelemetry(this.#allowed(reference, caller, 'rotation:read').rotationId);
    setETag(reply, view.revision);
    return view;
  }

  @Post(':rotation/approve')
  @HttpCode(200)
  @RequiresPermission('rotation:approve')
  approve(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(approveBody) { note }: z.output<typeof approveBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    return this.#ask(reference, 'rotation:approve', { type: 'approve', note }, asked);
  }

  @Post(':rotation/reject')
  @HttpCode(200)
  @RequiresPermission('rotation:approve')
  reject(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(reasonBody) { reason }: z.output<typeof reasonBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    return this.#ask(reference, 'rotation:approve', { type: 'reject', reason }, asked);
  }

  @Post(':rotation/confirmations')
  @HttpCode(200)
  @RequiresPermission('rotation:confirm')
  confirm(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(confirmBody) body: z.output<typeof confirmBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    const { kind, consumer, version, instances } = body;
    const consumerId = this.#consumer(reference, consumer);
    const ask = { type: 'confirm', kind, consumerId, versionId: version, instances } as const;
    return this.#ask(reference, 'rotation:confirm', ask, asked);
  }

  /** A confirmation was wrong. What followed from it stands; what waits for it waits again. */
  @Post(':rotation/confirmations/withdraw')
  @HttpCode(200)
  @RequiresPermission('rotation:confirm')
  withdrawConfirmation(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(withdrawBody) body: z.output<typeof withdrawBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    const { kind, consumer, instances, reason } = body;
    const consumerId = this.#consumer(reference, consumer);
    const ask = { type: 'withdraw-confirmation', kind, consumerId, instances, reason } as const;
    return this.#ask(reference, 'rotation:confirm', ask, asked);
  }

  /** A fact of this rotation was recorded wrongly. Both stay visible, and nothing is undone. */
  @Post(':rotation/corrections')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  async correct(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(correctionBody) input: z.output<typeof correctionBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<RotationViewJson> {
    const { rotationId } = this.#allowed(reference, command.principal, 'rotation:operate');
    const placed = await this.commands.execute<CorrectFact, Placed>(
      new CorrectFact(command, { rotation: rotationId }, input),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.rotationView(rotationId);
  }

  @Post(':rotation/overrides')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  override(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(overrideBody) body: z.output<typeof overrideBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    const { gate, consumer, reason } = body;
    const consumerId = consumer === undefined ? undefined : this.#consumer(reference, consumer);
    return this.#ask(reference, 'rotation:operate', { type: 'override', gate, consumerId, reason }, asked);
  }

  /** What a verifier or a pipeline counted of the old and the new version in a span; a gate may wait for it. */
  @Post(':rotation/telemetry')
  @HttpCode(200)
  @RequiresPermission('rotation:confirm')
  async sample(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(telemetryBody) counts: z.output<typeof telemetryBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<RotationWithTelemetry> {
    const { rotationId } = this.#allowed(reference, command.principal, 'rotation:confirm');
    const placed = await this.commands.execute<SampleTelemetry, Placed>(
      new SampleTelemetry(command, rotationId, counts),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.#withTelemetry(rotationId);
  }

  @Post(':rotation/rollback')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  rollBack(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(rollbackBody) { reason, acceptWindow }: z.output<typeof rollbackBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    const ask = { type: 'rollback', reason, acceptWindow } as const;
    return this.#ask(reference, 'rotation:operate', ask, asked);
  }

  /** People take a step over, where the back end cannot be reached or is not to be used. */
  @Post(':rotation/steps/:step/switch-to-attested')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  switchToAttested(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodParam('step', stepParam) step: StepName,
    @ZodBody(reasonBody) { reason }: z.output<typeof reasonBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    const ask = { type: 'switch-to-attested', step, reason } as const;
    return this.#ask(reference, 'rotation:operate', ask, asked);
  }

  /** A person or a pipeline says, with evidence, that a step was performed. */
  @Post(':rotation/steps/:step/attest')
  @HttpCode(200)
  @RequiresPermission('rotation:confirm')
  attest(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodParam('step', stepParam) step: StepName,
    @ZodBody(attestBody) body: z.output<typeof attestBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    const { evidence, by, generated } = body;
    const occurredAt = body.occurredAt === undefined ? undefined : parseInstant(body.occurredAt);
    const attestation = { evidence, ...(by === undefined ? {} : { by }) };
    const ask = { type: 'attest', step, attestation, occurredAt, generated } as const;
    return this.#ask(reference, 'rotation:confirm', ask, asked);
  }

  @Post(':rotation/pause')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  pause(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(reasonBody) { reason }: z.output<typeof reasonBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    return this.#ask(reference, 'rotation:operate', { type: 'pause', reason }, asked);
  }

  @Post(':rotation/resume')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  resume(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(optionalReasonBody) { reason }: z.output<typeof optionalReasonBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    return this.#ask(reference, 'rotation:operate', { type: 'resume', reason }, asked);
  }

  @Post(':rotation/abandon')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  abandon(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(reasonBody) { reason }: z.output<typeof reasonBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    return this.#ask(reference, 'rotation:operate', { type: 'abandon', reason }, asked);
  }

  @Post(':rotation/retry')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  retry(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(optionalReasonBody) { reason }: z.output<typeof optionalReasonBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    return this.#ask(reference, 'rotation:operate', { type: 'retry', reason }, asked);
  }

  @Post(':rotation/notes')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  note(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(noteBody) { note }: z.output<typeof noteBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    return this.#ask(reference, 'rotation:operate', { type: 'note', note }, asked);
  }

  /** The post-incident review of an emergency was held. */
  @Post(':rotation/review')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  review(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodBody(reviewBody) { summary }: z.output<typeof reviewBody>,
    @Asked() asked: Asked,
  ): Promise<RotationViewJson> {
    return this.#ask(reference, 'rotation:operate', { type: 'review', summary }, asked);
  }

  /**
   * What happened, in order: with `?at` what was so then, with `?known` what the first TREESIZE events of the log tell
   * (what was known then), with both what was known then of what was so then. Read from the log itself.
   */
  @Get(':rotation/timeline')
  @RequiresPermission('rotation:read')
  async timeline(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodQuery(timelineQuery) query: z.output<typeof timelineQuery>,
    @Caller() caller: Principal,
  ): Promise<Readonly<Record<string, unknown>>> {
    const state = this.#allowed(reference, caller, 'rotation:read');
    const { store } = this.keyturn;
    const rotation = await store.read(rotationStream(state.rotationId));
    const known = await knownSize(this.keyturn, rotation, query.known);
    // The category of the stream decides its event types.
    const all = knownAt(rotation.events as readonly RotationEvent[], known);
    const containments = knownAt(await this.#containmentEvents(state), known);
    const at = query.at === undefined ? undefined : parseInstant(query.at);
    const first = Math.min(...all.map((event) => event.occurredAt ?? event.recordedAt));
    if (at !== undefined && at < first) {
      throw new DomainError(
        'timeline.before-beginning',
        `this rotation begins at ${formatInstant(first)}: there is nothing before it`,
        { field: 'at', beginning: formatInstant(first) },
      );
    }
    const rotationEvents = at === undefined ? all : asOf(all, at);
    const containmentEvents = at === undefined ? containments : asOf(containments, at);
    const names = namesOf(this.keyturn, [...rotationEvents, ...containmentEvents]);
    const entries = timelineOf({ rotationEvents, containmentEvents, names }).map(entryJson);
    return {
      rotation: state.rotationId,
      at: query.at ?? null,
      known: query.known ?? null,
      entries,
      targets: emergencyTargets(rotationEvents, containmentEvents),
      windows: windowsOf(rotationEvents),
      treeSize: known,
    };
  }

  /** The record on paper, with `?known` as it was known then: byte-identical for the same tree size. */
  @Get(':rotation/record.pdf')
  @RequiresPermission('rotation:read')
  @ApiProduces('application/pdf')
  async record(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodQuery(knownQuery) query: z.output<typeof knownQuery>,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<StreamableFile> {
    const state = this.#allowed(reference, caller, 'rotation:read');
    const dossier = await dossierOf(this.keyturn, this.directory, state, query.known);
    const pdf = await renderRotationRecord(dossier);
    reply
      .header('cache-control', 'no-store')
      .header('content-disposition', `inline; filename="rotation-${state.rotationId.slice(0, 8)}.pdf"`)
      .header('keyturn-tree-size', String(dossier.treeSize));
    return new StreamableFile(pdf, { type: 'application/pdf' });
  }

  /** What was counted stands in a stream of its own, read here. */
  async #withTelemetry(rotationId: string): Promise<RotationWithTelemetry> {
    const { state } = await this.keyturn.ledger.telemetry(rotationId);
    const { newest, previousSeenAt } = state;
    return {
      ...this.directory.rotationView(rotationId),
      telemetry:
        newest === undefined
          ? null
          : {
              from: formatInstant(newest.from),
              to: formatInstant(newest.to),
              current: newest.current,
              previous: newest.previous,
              invalid: newest.invalid,
              previousSeenAt: previousSeenAt === undefined ? null : formatInstant(previousSeenAt),
            },
    };
  }

  async #containmentEvents(state: RotationState): Promise<readonly ContainmentEvent[]> {
    const id = state.emergency?.containment;
    if (id === undefined) return [];
    const { events } = await this.keyturn.store.read(containmentStream(id));
    return events as readonly ContainmentEvent[];
  }

  #consumer(reference: string, consumer: string): string {
    const { plan } = this.directory.rotationMeant(reference);
    return (
      plan?.consumers.find((each) => each.consumerId === consumer || each.name === consumer)?.consumerId ??
      consumer
    );
  }

  #allowed(reference: string, principal: Principal, permission: Permission): RotationState {
    const state = this.directory.rotationMeant(reference);
    const { details } = this.directory.family(state.familyId).state;
    requireAllowed(principal, permission, {
      environment: details?.environment ?? '',
      team: details?.team ?? '',
    });
    return state;
  }

  async #ask(
    reference: string,
    permission: Permission,
    ask: RotationAsk,
    { command, expected, reply }: Asked,
  ): Promise<RotationViewJson> {
    const { rotationId } = this.#allowed(reference, command.principal, permission);
    const placed = await this.commands.execute<AskRotation, Placed>(
      new AskRotation(command, rotationId, ask, expected),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.directory.rotationView(rotationId);
  }
}
