// Undoes changes of documents while the app runs. Copy this file into the folder `convex/` of your project, and deploy it.
// Each call of `apply` is one transaction. A document that is no longer as expected is left alone, and its id is returned.
import { internalMutation } from "./_generated/server";
import { v, type Value } from "convex/values";

export const apply = internalMutation({
  args: {
    table: v.string(),
    replace: v.array(v.object({ expected: v.any(), document: v.any() })),
    delete: v.array(v.any()),
  },
  handler: async (ctx, args) => {
    const changes = [...args.replace, ...args.delete.map((expected) => ({ expected, document: null }))];
    const answer = { replaced: 0, deleted: 0, notAsExpected: [] as string[] };
    for (const { expected, document } of changes) {
      const id = ctx.db.normalizeId(args.table as any, expected._id);
      const now = id && (await ctx.db.get(id));
      if (!id || !now || !same(now, expected)) {
        answer.notAsExpected.push(expected._id);
      } else if (document === null) {
        await ctx.db.delete(id);
        answer.deleted += 1;
      } else {
        const { _id, _creationTime, ...fields } = document;
        await ctx.db.replace(id, fields);
        answer.replaced += 1;
      }
    }
    return answer;
  },
});

/** Whether two values are equal in every bit that JavaScript shows: 1n is not 1, and -0 is not 0. */
function same(a: Value | undefined, b: Value | undefined): boolean {
  if (a instanceof ArrayBuffer && b instanceof ArrayBuffer) {
    const [left, right] = [new Uint8Array(a), new Uint8Array(b)];
    return left.length === right.length && left.every((byte, i) => byte === right[i]);
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, i) => same(item, b[i]));
  }
  const isObject = (x: unknown): x is Record<string, Value> =>
    typeof x === "object" && x !== null && !(x instanceof ArrayBuffer) && !Array.isArray(x);
  if (isObject(a) && isObject(b)) {
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((key) => key in b && same(a[key], b[key]));
  }
  return Object.is(a, b);
}
