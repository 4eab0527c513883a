/** How sure: the map of where the samples differ, over the output. */

import { blobOf } from "./api.js";
import { part } from "./elements.js";

const WHITE = 255; // of the map
let url = null; // the object URL of the map
let covered = ""; // the name of what the map covers

/** uncertainty: of the answer in JSON, nothing for one sample; name: of the picture. */
export function showUncertainty(uncertainty, name) {
  coverWithMap(false);
  if (url) URL.revokeObjectURL(url);
  url = null;
  part("sure").hidden = !uncertainty;
  if (!uncertainty) return;
  const { image, greys, samples, mean, largest } = uncertainty;
  const differ = largest > 0;
  part("sure-tools").hidden = !differ;
  part("sure-words").textContent = differ
    ? `The output is the mean of ${samples} samples. Their standard deviation is ${mean.toFixed(2)} levels of 255 in the mean, `
      + `${largest.toFixed(1)} at most. Samples share the errors that are not left to chance: where they agree, all may be wrong.`
    : `All ${samples} samples are equal: at these settings this model leaves nothing to chance, so they say nothing about how sure it is.`;
  if (!differ) return;
  url = URL.createObjectURL(blobOf(image));
  part("sure-map").src = url;
  part("sure-white").textContent = `${(WHITE / greys).toFixed(0)} levels or more`;
  Object.assign(part("sure-download"), { href: url, download: `${name.replace(/\.[^.]*$/, "")}-uncertainty.png` });
}

/** Show the map in the place of the output or of the state, or put these back. */
export function coverWithMap(on) {
  if (!part("sure-map").hidden) part("after-tag").textContent = covered;
  covered = part("after-tag").textContent;
  if (on) part("after-tag").textContent = "deviation";
  part("sure-map").hidden = !on;
  part("sure-on").checked = on;
}

part("sure-on").addEventListener("change", ({ target }) => coverWithMap(target.checked));
