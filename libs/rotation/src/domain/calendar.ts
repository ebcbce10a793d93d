import { z } from 'zod';
import { instantSchema } from '#eventlog';
import { lineSchema } from './vocabulary.js';

/** Rules of the calendar as they are stored; what they mean at an instant is computed in `change-windows.ts` and in schedule. */

export const WEEKDAYS = [
  'monday',
  'tuesday',
  'wednesday',
  'thursday',
  'friday',
  'saturday',
  'sunday',
] as const;
export type Weekday = (typeof WEEKDAYS)[number];

/** Wall-clock time in the rule's zone: `HH:MM`, 24 hours. */
export const timeOfDaySchema = z
  .string()
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, { message: 'must be a time of day such as 02:00' });

/** A name of the IANA time zone database, or UTC. Whether it exists is checked where it is asked for. */
export const timeZoneSchema = z
  .string()
  .max(60)
  .regex(/^[A-Za-z]+([_+\-/][A-Za-z0-9]+)*$/, {
    message: 'must be an IANA time zone such as Europe/Vienna, or UTC',
  });

/** "The 2nd Thursday of the quarter, 02:00": when a planned rotation is to be started. */
export const calendarRuleSchema = z.object({
  nth: z.union([z.int().min(1).max(4), z.literal('last')]),
  weekday: z.enum(WEEKDAYS),
  of: z.enum(['month', 'quarter', 'year']),
  at: timeOfDaySchema,
  timeZone: timeZoneSchema,
});
export type CalendarRule = z.output<typeof calendarRuleSchema>;

/** Emit and revoke begin only inside one of these. */
export const changeWindowSchema = z.object({
  weekdays: z.array(z.enum(WEEKDAYS)).min(1).max(7),
  from: timeOfDaySchema,
  to: timeOfDaySchema.meta({
    description: 'Before `from`: on the next day. The same as `from`: the whole day.',
  }),
  timeZone: timeZoneSchema,
});
export type ChangeWindow = z.output<typeof changeWindowSchema>;

/** Nothing forward begins from `from` until `to`: a blackout known in advance, such as a season's freeze. */
export const blackoutSchema = z.object({ from: instantSchema, to: instantSchema, reason: lineSchema });
export type Blackout = z.output<typeof blackoutSchema>;
