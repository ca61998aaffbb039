import { create } from '@bufbuild/protobuf';
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt';

/** Whole seconds. */
export function seconds(count: number): Duration {
  return create(DurationSchema, { seconds: BigInt(count) });
}

/** Milliseconds, an integer. */
export function milliseconds(ms: number): Duration {
  return create(DurationSchema, { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 });
}
