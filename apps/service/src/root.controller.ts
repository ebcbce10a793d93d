import { Controller, Get } from '@nestjs/common';
import { ApiTags } from './http/api-description.js';
import { Public } from './http/access.guard.js';

@ApiTags('health')
@Controller()
export class RootController {
  /** Where to go from here, for whoever opens the address that `keyturn serve` prints. Says nothing of what is kept. */
  @Get()
  @Public()
  root(): Readonly<Record<'name' | 'docs' | 'openapi' | 'api' | 'live' | 'ready', string>> {
    return {
      name: 'Keyturn',
      docs: '/api/docs',
      openapi: '/api/docs/openapi.json',
      api: '/api/v1',
      live: '/health/live',
      ready: '/health/ready',
    };
  }
}
