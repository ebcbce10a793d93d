export { CommandChannel } from './channels/command-channel.js';
export type { Channel, Message } from './channels/channel.js';
export { PostChannel } from './channels/post-channel.js';
export { hookSecret, SECRET_BYTES } from './channels/signature.js';
export {
  deliveryId,
  deliveryStream,
  HOOK,
  HookDispatcher,
  type CausedAlarm,
  type DispatcherOptions,
} from './application/hook-dispatcher.js';
export { deliveryEvents, type Alarm, type DeliveryEvent } from './domain/delivery.events.js';
export { RETRY_AFTER_MS, type DeliveryState, type Outcome } from './domain/delivery.js';
export { deliveriesProjection } from './infrastructure/deliveries.projection.js';
