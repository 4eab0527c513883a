document.documentElement.classList.add("js");

document.addEventListener("input", (event) => {
  const box = event.target.closest(".compare");
  if (box) box.style.setProperty("--at", event.target.value + "%");
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("th button");
  if (!button) return;
  const head = button.closest("th");
  const body = head.closest("table").tBodies[0];
  const down = head.getAttribute("aria-sort") !== "descending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => row.cells[head.cellIndex].textContent.trim();
  const number = (text) => Number(text.replace("\u2212", "-"));
  const order = (a, b) => {
    const known = [a, b].map((text) => Number.isFinite(number(text)));
    if (known[0] && known[1]) return number(a) - number(b);
    return known[0] - known[1] || a.localeCompare(b, "en", { numeric: true });
  };
  const rows = [...body.rows].sort((a, b) => order(key(a), key(b)));
  body.append(...(down ? rows.reverse() : rows));
});
