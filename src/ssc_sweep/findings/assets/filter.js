// Show the rows that hold the typed text and have the chosen status; open the panel that a link leads to.
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
