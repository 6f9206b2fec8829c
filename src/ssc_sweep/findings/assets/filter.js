// Show the rows that hold the typed text and have the chosen status; open the panel that a link leads to; show two
// panels beside each other.
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
const panels = [...document.querySelectorAll("details.run")], sides = ["left", "right"].map(id => document.getElementById(id));
const beside = document.getElementById("beside"), clear = document.getElementById("clear");
function compare() {
  const chosen = sides.map(side => panels[side.value]).filter(Boolean);
  beside.replaceChildren(...chosen.map(panel => {
    const copy = panel.cloneNode(true);
    copy.querySelectorAll("[id]").forEach(node => node.removeAttribute("id"));
    copy.open = true;
    return copy;
  }));
  clear.hidden = !chosen.length;
}
for (const side of sides) {
  side.append(new Option("a run", ""), ...panels.map((panel, i) => new Option(panel.querySelector("summary").textContent, i)));
  side.addEventListener("change", compare);
}
clear.addEventListener("click", () => { for (const side of sides) side.value = ""; compare(); });
