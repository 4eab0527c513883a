/** What is known of a served model: its version, its tasks, its metrics. */

import { make, part, short } from "./elements.js";

export const spaced = (name) => name.replaceAll("_", " ");

/** model: one of v1/models, or undefined when there is none to speak of; metrics: how each is shown. */
export function showModel(model, metrics) {
  part("about").hidden = !model;
  if (!model) return;
  const { tasks = {}, protocol = {}, passed } = model.metrics;
  const loaded = new Date(model.loaded).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const verdict = passed === undefined ? [] : [make("span", {
    className: `verdict ${passed ? "pass" : "fail"}`, textContent: passed ? "every gate is met" : "a gate is missed" })];
  part("about-what").replaceChildren(
    make("b", { textContent: model.alias }), ", version ", make("code", { textContent: short(model.version) }),
    `, for ${Object.keys(model.tasks).map(spaced).join(", ")}; here since ${loaded}. `, ...verdict);
  part("about-problem").hidden = !model.problem;
  part("about-problem").textContent = model.problem ? `A newer version is not served: ${model.problem}` : "";
  const measured = Object.keys(tasks).length > 0;
  part("metrics-part").hidden = part("protocol-part").hidden = !measured;
  part("metrics-note").textContent = measured
    ? "Means over held-out pictures, input \u2192 output, then what the reference without training reaches; in brackets the 95 % interval of the gain; less is better where \u2193 stands."
    : "This version was published without metrics.";
  part("metrics").replaceChildren(...metricsTable(tasks, metrics));
  part("protocol").replaceChildren(...Object.entries(protocol).flatMap(([name, text]) =>
    [make("dt", { textContent: spaced(name) }), make("dd", { textContent: text })]));
}

/** metrics.json's tasks -> the head and the body of a table; a metric that no task has gets no column. */
function metricsTable(tasks, metrics) {
  const rows = Object.entries(tasks);
  const number = (value, digits) => Number.isFinite(value) ? value.toFixed(digits) : "\u2013";
  const shown = metrics.filter(({ name }) => rows.some(([, { output }]) => Number.isFinite(output?.[name])));
  const titles = ["task", "pictures", "gain, dB", ...shown.map(({ heading }) => heading)];
  const cells = ([name, { images, input = {}, reference = {}, output = {}, gain = {}, intervals }]) => {
    const between = intervals?.gain?.psnr_rgb?.map((value) => number(value, 2)).join(", ");
    const gained = `${gain.psnr_rgb > 0 ? "+" : ""}${number(gain.psnr_rgb, 2)}`;
    return [make("th", { scope: "row", textContent: spaced(name) }),
      ...[images, between ? `${gained} [${between}]` : gained,
        ...shown.map(({ name: metric, digits }) => `${number(input[metric], digits)} \u2192 ${number(output[metric], digits)}`
          + (metric in reference ? `, reference ${number(reference[metric], digits)}` : "")),
      ].map((textContent) => make("td", { textContent }))];
  };
  return [
    make("thead", {}, make("tr", {}, ...titles.map((textContent) => make("th", { scope: "col", textContent })))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row)))),
  ];
}
