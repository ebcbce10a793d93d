import { eventCatalogue } from './event-catalogue.js';
import { openApiDocument } from './openapi-document.js';

/** Every generated page by its path. test/docs compares them with what is committed. */
export async function generatedDocs(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['docs/events.md', eventCatalogue()],
    ['docs/openapi.json', await openApiDocument()],
  ]);
}
