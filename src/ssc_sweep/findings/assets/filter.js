// Show the rows that hold the typed text and have the chosen status; open the panel that a link leads to;
// compare two runs.
const find = document.getElementById("find"), pick = document.getElementById("pick"), shown = document.getElementById("shown");
function filter() {
  const rows = [...document.querySelectorAll("#runs tbody tr")], words = find.value.toLowerCase().split(/\s+/);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word)) || (pick.value !== "" && row.dataset.status !== pick.value);
  }
  shown.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} runs`;
}
find.addEventListener("input", filter);
pick.addEventListener("change", filter);
function open() { document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", ""); }
addEventListener("hashchange", open);
filter();
open();
const panels = new Map([...document.querySelectorAll("details.run")].map(panel => [panel.querySelector("summary").id.slice(4), panel]));
const sides = ["left", "right"].map(id => document.getElementById(id));
const beside = document.getElementById("beside"), clear = document.getElementById("clear");
const base = JSON.parse(beside.dataset.base);
function made(tag, name, ...inside) {
  const node = document.createElement(tag);
  node.className = name;
  node.append(...inside);
  return node;
}
const title = panel => panel.querySelector("summary").textContent;
// The keys whose values differ, a row each.
function differences(chosen) {
  if (!chosen.every(panel => panel.dataset.config)) return made("p", "quiet", "The config of one of them is unknown.");
  const [a, b] = chosen.map(panel => ({...base, ...JSON.parse(panel.dataset.config)}));
  const keys = Object.keys({...a, ...b}).filter(key => (a[key] ?? null) !== (b[key] ?? null));
  if (!keys.length) return made("p", "", "Their configs are equal.");
  const row = (tag, ...texts) => made("tr", "", ...texts.map(text => made(tag, "name", text)));
  const table = made("table", "", made("thead", "", row("th", "config", "first", "second")),
    made("tbody", "", ...keys.map(key => row("td", key, a[key] ?? "-", b[key] ?? "-"))));
  return Object.assign(made("div", "scroll", table), {tabIndex: 0, role: "region", ariaLabel: "Config of both runs"});
}
// Both runs' curve of one name in one box, on one axis: a panel's own curve fills its box whatever its values are.
function curve(name, pair) {
  const known = pair.filter(Boolean), low = Math.min(...known.map(one => one.dataset.low)), high = Math.max(...known.map(one => one.dataset.high));
  const longest = Math.max(...known.map(one => one.dataset.count), 2);
  const scale = bottom => bottom > 0 ? [Math.log, Math.exp] : [Math.asinh, Math.sinh], [to] = scale(low);
  const drawn = pair.map((one, i) => {
    const line = one?.querySelector("polyline");
    if (!line) return "";
    const [there, back] = scale(+one.dataset.low), [bottom, top] = [there(+one.dataset.low), there(+one.dataset.high)];
    const points = line.getAttribute("points").split(" ").map(point => point.split(",").map(Number)).map(([x, y]) => {
      const value = back(bottom + (29 - y) / 28 * (top - bottom)), part = (to(value) - to(low)) / Math.max(to(high) - to(low), 1e-12);
      return `${(1 + (x - 1) * (one.dataset.count - 1) / (longest - 1)).toFixed(1)},${(29 - 28 * part).toFixed(1)}`;
    });
    return `<polyline class="${i ? "second" : ""}" points="${points.join(" ")}"/>`;
  });
  const caption = made("figcaption", "", `${name}, both on one ${low > 0 ? "log " : ""}axis`);
  pair.forEach((one, i) => caption.append(made("br", ""), made("span", i ? "key second" : "key"),
    one ? one.querySelector("figcaption").textContent.slice(name.length + 2) : "not recorded"));
  const figure = made("figure", "", caption);
  if (drawn.some(Boolean)) figure.insertAdjacentHTML("afterbegin",
    `<svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label="Curves of the two runs; the numbers are below">${drawn.join("")}</svg>`);
  return figure;
}
function curves(chosen) {
  const each = chosen.map(panel => new Map([...panel.querySelectorAll("figure")].map(one => [one.dataset.name, one])));
  const names = [...new Set(each.flatMap(one => [...one.keys()]))];
  return made("div", "curves both", ...names.map(name => curve(name, each.map(one => one.get(name)))));
}
function copy(panel) {
  const whole = panel.cloneNode(true);
  whole.querySelectorAll("[id]").forEach(node => node.removeAttribute("id"));
  whole.querySelector(".curves")?.remove();
  whole.open = true;
  return whole;
}
function compare() {
  const chosen = sides.map(side => panels.get(side.value)).filter(Boolean);
  const two = chosen.length === 2 ? [
    made("p", "", made("span", "key"), title(chosen[0]), made("br", ""), made("span", "key second"), title(chosen[1])),
    differences(chosen), curves(chosen)] : chosen.length ? [made("p", "quiet", "Choose a second run.")] : [];
  beside.replaceChildren(...two, made("div", "beside", ...chosen.map(copy)));
  clear.hidden = !chosen.length;
}
for (const side of sides) {
  side.append(new Option("choose a run", ""), ...[...panels].map(([number, panel]) => new Option(title(panel), number)));
  side.addEventListener("change", compare);
}
// The first click chooses the first run; the second one chooses the other and leads to both.
document.getElementById("runs").addEventListener("click", event => {
  const link = event.target.closest("[data-run]");
  if (!link) return;
  const [left, right] = sides, first = !left.value || right.value;
  (first ? left : right).value = link.dataset.run;
  if (first) {
    right.value = "";
    event.preventDefault();
    shown.textContent = `First run: ${title(panels.get(link.dataset.run))}. Click “compare” in another row.`;
  } else filter();
  compare();
});
clear.addEventListener("click", () => { for (const side of sides) side.value = ""; compare(); filter(); });
