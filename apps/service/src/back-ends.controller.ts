import { Controller, Get, Inject } from '@nestjs/common';
import type { BackendDeclaration } from '#custody';
import { formatInstant } from '#eventlog';
import type { Keyturn } from './composition.js';
import { RequiresPermission } from './http/access.guard.js';
import { ApiTags } from './http/api-description.js';
import { KEYTURN } from './injection-tokens.js';

interface BackEndView {
  /** As families name it. */
  readonly instance: string;
  readonly kind: BackendDeclaration['kind'];
  readonly algorithms: BackendDeclaration['algorithms'];
  readonly capabilities: BackendDeclaration['capabilities'];
  /** The first step that cannot be undone there. */
  readonly pointOfNoReturn: string;
  /** `null`: it lies in this service, or with people. */
  readonly server: {
    readonly state: string;
    /** Why steps on it wait; `null`: they do not. */
    readonly reason: string | null;
    /** Why its login is refused, and what to mend; `null`: it is not. */
    readonly login: string | null;
    readonly answeredAt: string | null;
    readonly version: string | null;
  } | null;
}

/** Where key material lies: what families may name, what each can do, and whether it answers. */
@ApiTags('back-ends')
@Controller('api/v1/back-ends')
export class BackEndsController {
  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {}

  /** Every back end of this installation. From memory: none is asked for it. */
  @Get()
  @RequiresPermission('family:read')
  list(): { readonly items: readonly BackEndView[] } {
    const health = new Map(this.keyturn.vault.health().map((each) => [each.instance, each]));
    const items = this.keyturn.backEnds.all().map(({ declaration }): BackEndView => {
      const { instance, kind, algorithms, capabilities, pointOfNoReturn } = declaration;
      const standing = health.get(instance);
      return {
        instance,
        kind,
        algorithms,
        capabilities,
        pointOfNoReturn,
        server:
          standing === undefined
            ? null
            : {
                state: standing.state,
                reason: standing.reason ?? null,
                login: standing.login ?? null,
                answeredAt: standing.answeredAt === undefined ? null : formatInstant(standing.answeredAt),
                version: standing.version ?? null,
              },
      };
    });
    return { items };
  }
}
