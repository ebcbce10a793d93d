import { Controller, Get, Headers, Inject, Param, Res } from '@nestjs/common';
import { DomainError } from '#eventlog';
import { ApiProduces, ApiTags } from './http/api-description.js';
import type { Keyturn } from './composition.js';
import { Public } from './http/access.guard.js';
import type { HttpReply } from './http/request-context.js';
import { KEYTURN } from './injection-tokens.js';

/**
 * What verifiers are served. Straight from the back ends' memory: it waits for no log, no read model and no disk, and is
 * never empty by accident.
 */
@ApiTags('jwks')
@Controller('jwks')
export class JwksController {
  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {}

  @Get(':familyId')
  @Public()
  @ApiProduces('application/jwk-set+json')
  serve(
    @Param('familyId') familyId: string,
    @Headers('if-none-match') seen: string | undefined,
    @Res() reply: HttpReply,
  ): void {
    const document = this.keyturn.servedDocument(familyId);
    if (document === undefined) {
      throw new DomainError('jwks.not-found', 'No public keys are served for this family');
    }
    const { body, etag, maxAgeSeconds } = document;
    reply.header('etag', etag).header('cache-control', `public, max-age=${maxAgeSeconds}`);
    if (seen !== undefined && matches(seen, etag)) reply.code(304).send();
    else reply.header('content-type', 'application/jwk-set+json').send(body);
  }
}

/** `If-None-Match` compares weakly. */
function matches(seen: string, etag: string): boolean {
  return seen.split(',').some((part) => ['*', etag, `W/${etag}`].includes(part.trim()));
}
