import assert from "node:assert/strict";
import { test } from "node:test";
import { findModel, FAMILIES, MODELS, scalesOf } from "../src/models.js";

test("the table says of each model what its file says", () => {
  const grids = MODELS.filter((model) => model.takesGrid);
  assert.deepEqual([...new Set(grids.map((model) => model.family))], ["rlfn-s"]);
  assert.ok(grids.every((model) => model.margin === 36 && model.stride === 6 && model.minSide === 15));
  assert.ok(MODELS.filter((model) => !model.takesGrid).every((model) => model.margin === 10 && model.stride === 1));
});

test("a model is found by family and scale", () => {
  assert.equal(findModel().name, "rlfn-xs-x4");
  assert.equal(findModel("rlfn-s", 3).name, "rlfn-s-x3");
  assert.deepEqual(scalesOf("rlfn-xxs-photo"), [2]);
});

test("what there is not is refused with what there is", () => {
  assert.throws(() => findModel("rlfn-xl"), new RegExp(`no model 'rlfn-xl'.*${FAMILIES[0]}.*and ${FAMILIES[FAMILIES.length - 1]}`));
  assert.throws(() => findModel("rlfn-xxs-photo", 4), /cannot upscale x4. It upscales x2\./);
});
