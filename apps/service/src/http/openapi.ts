import { Controller, Get, Header, Inject } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { OPENAPI_DOCUMENT } from '../injection-tokens.js';
import { Public } from './access.guard.js';
import { ApiExcludeController, applyDescriptions } from './api-description.js';

/** Made when it is first asked for: nobody who starts a service should wait for it. The controller below is part of what it describes. */
export class ApiDocument {
  #app: NestFastifyApplication | undefined;
  #document: Promise<OpenAPIObject> | undefined;

  of(app: NestFastifyApplication): void {
    this.#app = app;
  }

  get(): Promise<OpenAPIObject> {
    if (this.#app === undefined) throw new Error('the application does not stand yet');
    this.#document ??= documentOf(this.#app).catch((error: unknown) => {
      // Whoever asks next tries again: a file that could not be read may be there by then.
      this.#document = undefined;
      throw error;
    });
    return this.#document;
  }
}

async function documentOf(app: NestFastifyApplication): Promise<OpenAPIObject> {
  const swagger = await import('@nestjs/swagger');
  applyDescriptions(swagger);
  const about = new swagger.DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Keyturn')
    .setDescription(
      'Key and secret rotation as an immutable history. Errors are RFC 9457 problems with a stable `code`; every POST ' +
        'carries an `Idempotency-Key`; times are RFC 3339 UTC, durations ISO 8601.',
    )
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer' })
    .build();
  return swagger.SwaggerModule.createDocument(app, about);
}

@ApiExcludeController()
@Controller('api/docs')
export class ApiDocsController {
  constructor(@Inject(OPENAPI_DOCUMENT) private readonly document: ApiDocument) {}

  /** One page without a script: whoever wants more gives the JSON to a tool of their own. */
  @Get()
  @Public()
  @Header('content-type', 'text/html; charset=utf-8')
  @Header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
  async page(): Promise<string> {
    return pageOf(await this.document.get());
  }

  @Get('openapi.json')
  @Public()
  json(): Promise<OpenAPIObject> {
    return this.document.get();
  }
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

function pageOf({ info, paths }: OpenAPIObject): string {
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method];
      return operation === undefined ? [] : [{ path, method, operation }];
    }),
  );
  const sections = operations.map(({ path, method, operation }) => {
    const permission: unknown = Object.entries(operation).find(([name]) => name === 'x-permission')?.[1];
    const needs = typeof permission === 'string' ? `needs <code>${escape(permission)}</code>` : '';
    const parts = [operation.parameters, operation.requestBody].filter((part) => part !== undefined);
    const details = parts
      .filter((part) => !Array.isArray(part) || part.length > 0)
      .map((part) => `<pre>${escape(JSON.stringify(part, null, 2))}</pre>`);
    return `<details><summary><b>${method.toUpperCase()}</b> <code>${escape(path)}</code> ${needs}</summary>${details.join('')}</details>`;
  });
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(info.title)} API</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}pre{background:#f4f4f4;padding:.75rem;overflow:auto}summary{padding:.25rem 0;cursor:pointer}</style>
<h1>${escape(info.title)} API</h1><p>${escape(info.description ?? '')}</p><p>For tools: <a href="/api/docs/openapi.json">openapi.json</a></p>
${sections.join('\n')}</html>`;
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
