import { z } from 'zod';
import { consumerDetailsSchema, familyDetailsSchema } from '../../domain/family.events.js';
import { environmentSchema, nameSchema } from '../../domain/vocabulary.js';

/** How files name a family: `production/Session JWT`. */
export const qualifiedNameSchema = z
  .string()
  .trim()
  .refine((text) => splitQualifiedName(text) !== undefined, { message: 'must be environment/name' });

/** `production/Session JWT` → its two parts. */
export function splitQualifiedName(
  text: string,
): { readonly environment: string; readonly name: string } | undefined {
  const at = text.indexOf('/');
  if (at < 0) return undefined;
  const environment = environmentSchema.safeParse(text.slice(0, at));
  const name = nameSchema.safeParse(text.slice(at + 1));
  return environment.success && name.success ? { environment: environment.data, name: name.data } : undefined;
}

/** How a declaration of a family or a consumer may be shortened. */
export const declaredFamilySchema = familyDetailsSchema.extend({
  illustrative: familyDetailsSchema.shape.illustrative.default(false),
});
export const declaredConsumerSchema = consumerDetailsSchema.extend({
  neverRefreshes: consumerDetailsSchema.shape.neverRefreshes.default(false),
  thirdParty: consumerDetailsSchema.shape.thirdParty.default(false),
  instances: consumerDetailsSchema.shape.instances.default(1),
});
