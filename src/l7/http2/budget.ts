// What a peer may do that costs us and brings it nothing: resets, pings, settings, empty frames and the like. Who does
// its share of real work earns some back.

/** At once, and a second. */
export const BURST = 1000;
const REFILL = 100;

export class Budget {
  private spent = 0;
  private at = 0;

  /** False: it is used up. */
  spend(nowMs: number): boolean {
    if (this.at === 0) this.at = nowMs;
    const refilled = ((nowMs - this.at) * REFILL) / 1000;
    if (refilled >= 1) {
      this.spent = Math.max(0, this.spent - refilled);
      this.at = nowMs;
    }
    this.spent += 1;
    return this.spent <= BURST;
  }

  earn(): void {
    if (this.spent > 0) this.spent -= 1;
  }
}
