/** The size of the output: what the tasks of the chosen model offer. */

import { make, part } from "./elements.js";

const scalesOf = (model) => [...new Set(Object.values(model?.tasks ?? {}).map(({ scale }) => scale))].sort((a, b) => a - b);

/** Offer the scales of a model of v1/models; what was chosen before stays if it has it. */
export function offerScales(model) {
  const scales = scalesOf(model);
  const select = part("scale");
  const before = select.value;
  select.replaceChildren(...scales.map((scale) => make("option", {
    value: scale, textContent: scale === 1 ? "as it is" : `${scale} times larger` })));
  select.value = scales.map(String).includes(before) ? before : scales[0] ?? "";
  part("scale-part").hidden = scales.every((scale) => scale === 1);
  select.disabled = scales.length < 2;
}

/** How many times higher and wider the output will be. */
export const chosenScale = () => Number(part("scale").value) || 1;
