// What one side has done another hears of in a later turn: of the loop that both share, or of another process.

const turnMs = 20;
const turns = 150;

/**
 * Tries until the assertions hold, the first time a turn later: what comes that should not has time to come too. What
 * they say of the last try is thrown. Turns are counted and not time, of which a busy machine takes what it likes; on
 * an idle one they are 3 s, less than a connection is kept for later (4 s): what was left open is not taken for closed.
 */
export async function eventually<T>(holds: () => T | Promise<T>): Promise<T> {
  for (let turn = 1; ; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, turnMs));
    try {
      return await holds();
    } catch (error) {
      if (turn === turns) throw error;
    }
  }
}
