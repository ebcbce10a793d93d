import { Controller, Delete, Get, HttpCode, Inject, Ip, Post } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { z } from 'zod';
import {
  covers,
  displayNameSchema,
  permissionsOf,
  roleSchema,
  scopeSchema,
  subjectIdSchema,
  subjectKindSchema,
  type IssuedToken,
  type Principal,
  type TokenEntry,
} from '#access';
import { DomainError, formatInstant, instantSchema, parseInstant } from '#eventlog';
import { ApiTags } from './http/api-description.js';
import type { Keyturn } from './composition.js';
import { AnyToken, Public, RequiresPermission } from './http/access.guard.js';
import type { CommandContext } from './http/command-context.js';
import { Cursor, cut, pageQuery, type Page } from './http/cursor.js';
import { Caller, RequestCommand } from './http/request-context.js';
import { ZodBody, ZodParam, ZodQuery } from './http/validation.js';
import { KEYTURN } from './injection-tokens.js';
import { ExchangeOneTimeCode, IssueAccessToken, RevokeAccessToken } from './token.handlers.js';

const issueBody = z.strictObject({
  /** A known subject, or one to be registered with the token. */
  subject: z.union([
    z.strictObject({ id: subjectIdSchema }),
    z.strictObject({ name: displayNameSchema, kind: subjectKindSchema }),
  ]),
  roles: z.array(roleSchema).min(1).max(10),
  scope: scopeSchema,
  label: displayNameSchema,
  expiresAt: instantSchema.optional(),
});

const exchangeBody = z.strictObject({ code: z.string().min(1).max(200), name: displayNameSchema });

const tokensCursor = new Cursor('tokens', z.tuple([z.int(), z.string()]));

interface TokenView {
  readonly id: string;
  readonly subject: string;
  readonly name: string;
  readonly label: string;
  readonly roles: readonly string[];
  readonly scope: Principal['scope'];
  readonly status: 'active' | 'expired' | 'revoked';
  readonly oneTime: boolean;
  readonly issuedAt: string;
  readonly issuedBy: string;
  readonly expiresAt?: string;
  readonly revokedAt?: string;
}

/** `token` is there once, in the first answer; a repeat finds it kept nowhere. */
type IssuedView = TokenView & { readonly token?: string };

@ApiTags('tokens')
@Controller('api/v1')
export class TokensController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
  ) {}

  @Get('me')
  @AnyToken()
  me(@Caller() caller: Principal): Readonly<Record<string, unknown>> {
    const { subject, name, tokenId, roles, scope } = caller;
    return { subject, name, token: tokenId, roles, scope, permissions: permissionsOf(roles) };
  }

  /** As far as the caller's own token reaches, in the order they were issued in. */
  @Get('tokens')
  @RequiresPermission('token:admin')
  list(
    @ZodQuery(pageQuery) { limit, cursor }: z.output<typeof pageQuery>,
    @Caller() caller: Principal,
  ): Page<TokenView> {
    const { tokens, readModel } = this.keyturn;
    const [issuedAt, tokenId] = tokensCursor.read(cursor) ?? [];
    let place = issuedAt === undefined || tokenId === undefined ? undefined : { issuedAt, tokenId };
    const found: TokenEntry[] = [];
    while (found.length <= limit) {
      const some = tokens.tokensAfter(place, limit + 1);
      found.push(...some.filter((token) => covers(caller.scope, token.scope)));
      if (some.length <= limit) break;
      place = some.at(-1);
    }
    const { rows, next } = cut(found, limit, (last) => tokensCursor.write([last.issuedAt, last.tokenId]));
    return { items: rows.map((token) => this.#view(token)), next, treeSize: readModel.treeSize() };
  }

  @Post('tokens')
  @RequiresPermission('token:admin')
  async issue(
    @ZodBody(issueBody) body: z.output<typeof issueBody>,
    @RequestCommand() { principal, cause }: CommandContext,
  ): Promise<IssuedView> {
    const { subject, roles, scope, label } = body;
    const expiresAt = body.expiresAt === undefined ? undefined : parseInstant(body.expiresAt);
    const expiry = expiresAt === undefined ? {} : { expiresAt };
    const token = { issuer: principal, subject, roles, scope, label, ...expiry };
    return this.#issued(await this.commands.execute(new IssueAccessToken(token, cause)));
  }

  @Delete('tokens/:id')
  @HttpCode(204)
  @RequiresPermission('token:admin')
  async revoke(
    @ZodParam('id', subjectIdSchema) tokenId: string,
    @RequestCommand() { principal, cause }: CommandContext,
  ): Promise<void> {
    const token = { issuer: principal, tokenId, reason: 'revoked over HTTP' };
    await this.commands.execute(new RevokeAccessToken(token, cause));
  }

  /** The first sign-in: the code the first start printed, exchanged once for a person and a token. */
  @Post('tokens/bootstrap')
  @Public()
  async bootstrap(
    @ZodBody(exchangeBody, { secretsIn: ['code'] }) { code, name }: z.output<typeof exchangeBody>,
    @Ip() address: string,
  ): Promise<IssuedView> {
    const exchange = { code, name, origin: { via: 'http', address } } as const;
    return this.#issued(await this.commands.execute(new ExchangeOneTimeCode(exchange)));
  }

  #issued({ tokenId, secret }: IssuedToken): IssuedView {
    const entry = this.keyturn.tokens.token(tokenId);
    if (entry === undefined) throw new DomainError('token.not-found', 'There is no such token');
    const view = this.#view(entry);
    return secret === undefined ? view : { ...view, token: secret.reveal().toString('utf8') };
  }

  #view(entry: TokenEntry): TokenView {
    const {
      tokenId,
      subject,
      name,
      label,
      roles,
      scope,
      bootstrap,
      issuedAt,
      issuedBy,
      expiresAt,
      revokedAt,
    } = entry;
    const expired = expiresAt !== undefined && expiresAt <= this.keyturn.clock.now();
    return {
      id: tokenId,
      subject,
      name,
      label,
      roles,
      scope,
      status: revokedAt === undefined ? (expired ? 'expired' : 'active') : 'revoked',
      oneTime: bootstrap,
      issuedAt: formatInstant(issuedAt),
      issuedBy,
      ...(expiresAt === undefined ? {} : { expiresAt: formatInstant(expiresAt) }),
      ...(revokedAt === undefined ? {} : { revokedAt: formatInstant(revokedAt) }),
    };
  }
}
