import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import {
  ExchangeBootstrap,
  IssueToken,
  RevokeToken,
  type ExchangeCommand,
  type IssuedToken,
  type IssueTokenCommand,
  type RevokeTokenCommand,
} from '#access';
import type { Cause } from '#eventlog/kit';
import type { Keyturn } from './composition.js';
import { KEYTURN } from './injection-tokens.js';

/** The use cases of libs/access on the command bus; an answer is given when every reader sees what was done. */

export class IssueAccessToken extends Command<IssuedToken> {
  constructor(
    readonly token: IssueTokenCommand,
    readonly cause: Cause,
  ) {
    super();
  }
}

@CommandHandler(IssueAccessToken)
class IssueAccessTokenHandler implements ICommandHandler<IssueAccessToken> {
  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {}

  async execute({ token, cause }: IssueAccessToken): Promise<IssuedToken> {
    const issued = await new IssueToken(this.keyturn.store).execute(token, cause);
    await this.keyturn.settle(issued.at);
    return issued;
  }
}

export class RevokeAccessToken extends Command<void> {
  constructor(
    readonly token: RevokeTokenCommand,
    readonly cause: Cause,
  ) {
    super();
  }
}

@CommandHandler(RevokeAccessToken)
class RevokeAccessTokenHandler implements ICommandHandler<RevokeAccessToken> {
  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {}

  /** Answered only when the token opens nothing any more. */
  async execute({ token, cause }: RevokeAccessToken): Promise<void> {
    await this.keyturn.settle(await new RevokeToken(this.keyturn.store).execute(token, cause));
  }
}

export class ExchangeOneTimeCode extends Command<IssuedToken> {
  constructor(readonly exchange: ExchangeCommand) {
    super();
  }
}

@CommandHandler(ExchangeOneTimeCode)
class ExchangeOneTimeCodeHandler implements ICommandHandler<ExchangeOneTimeCode> {
  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {}

  async execute({ exchange }: ExchangeOneTimeCode): Promise<IssuedToken> {
    const { store, tokens } = this.keyturn;
    const issued = await new ExchangeBootstrap(store, tokens).execute(exchange);
    await this.keyturn.settle(issued.at);
    return issued;
  }
}

export const TOKEN_HANDLERS = [IssueAccessTokenHandler, RevokeAccessTokenHandler, ExchangeOneTimeCodeHandler];
