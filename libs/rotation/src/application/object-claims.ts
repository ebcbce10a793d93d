import { BackendError } from '#custody';
import { DomainError } from '#eventlog';
import type { FamilyDetails } from '../domain/family.events.js';
import type { BackEnds } from './back-ends.js';

type BackEndObject = NonNullable<FamilyDetails['backEnd']>;

/** One thing that a family is alone with: what the claim is made of, and how a person calls it. */
export interface ObjectClaim {
  readonly value: string;
  readonly called: string;
}

/**
 * What of a back end's object is claimed: the object by its name, and each part of it by where it lies. Two names can hold one thing: a
 * role stands in two pairs, a path is an object of another back end. Throws `back-end.object-refused` where it is named as nothing is there.
 */
export function objectClaims(
  backEnds: BackEnds,
  { instance, object }: BackEndObject,
): readonly ObjectClaim[] {
  const value = `${instance}:${object}`;
  return [
    { value, called: value },
    ...partsOf(backEnds, { instance, object }).map(({ part, place }) => ({
      value: place,
      called: part === object ? value : `${value} holds ${part}, which`,
    })),
  ];
}

function partsOf(
  backEnds: BackEnds,
  { instance, object }: BackEndObject,
): readonly { readonly part: string; readonly place: string }[] {
  try {
    return backEnds.find(instance)?.claims?.(object) ?? [];
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    throw new DomainError('back-end.object-refused', error.message, { field: 'backEnd.object' });
  }
}
